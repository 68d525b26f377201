//! `grants`: what a DAG or a task may do, with sizes as people write them.
//! It refuses storage prefixes without a scheme or a closing `/`: `s3://data` would also match `s3://database/`.

use super::diagnostic::{Sink, quoted};
use super::quantity;
use super::read::{Fields, FromNode, Texts, members, texts_with_spans, wrong_type};
use super::yaml::{Kind, Node};
use crate::grant::{Grants, Limits, TrainingGrant};
use std::collections::BTreeMap;

const KEYS: [&str; 12] = [
    "http",
    "storage",
    "storage_read",
    "tracking",
    "models",
    "training",
    "dag_state",
    "trigger_dags",
    "secrets",
    "email",
    "scratch",
    "limits",
];
/// The schemes of storage that the host knows.
const SCHEMES: [&str; 4] = ["s3://", "gs://", "az://", "file://"];

impl FromNode for Grants {
    fn from_node(node: &Node<'_>, what: &str, sink: &mut Sink) -> Option<Self> {
        let fields = members(node, what, &KEYS, sink)?;
        Some(Self {
            http: texts(&fields, "http", sink),
            storage: prefixes(&fields, "storage", sink),
            storage_read: prefixes(&fields, "storage_read", sink),
            tracking: texts(&fields, "tracking", sink),
            models: texts(&fields, "models", sink),
            training: fields
                .node("training")
                .and_then(|node| training(node, sink)),
            dag_state: texts(&fields, "dag_state", sink),
            trigger_dags: texts(&fields, "trigger_dags", sink),
            secrets: fields
                .node("secrets")
                .map(|node| secrets(node, sink))
                .unwrap_or_default(),
            email: texts(&fields, "email", sink),
            scratch_bytes: size(&fields, "scratch", sink),
            limits: fields
                .node("limits")
                .map(|node| limits(node, sink))
                .unwrap_or_default(),
        })
    }
}

fn texts(fields: &Fields<'_, '_>, key: &str, sink: &mut Sink) -> Vec<String> {
    fields.or(key, Texts(Vec::new()), sink).0
}

fn prefixes(fields: &Fields<'_, '_>, key: &str, sink: &mut Sink) -> Vec<String> {
    let list = fields
        .node(key)
        .and_then(|node| texts_with_spans(node, key, sink));
    let mut out = Vec::new();
    for (text, span) in list.unwrap_or_default() {
        let known = SCHEMES.iter().any(|scheme| text.starts_with(scheme));
        if known && text.ends_with('/') {
            out.push(text);
            continue;
        }
        let hint = if known {
            format!(
                "write {}, so that nothing beside the folder matches",
                quoted(&format!("{text}/"))
            )
        } else {
            format!("begin with one of {}", SCHEMES.join(", "))
        };
        let message = format!("{} is not a storage prefix", quoted(&text));
        sink.error_hint(span, "storage-prefix", message, hint);
    }
    out
}

/// `true` takes the defaults, `false` is no grant.
fn training(node: &Node<'_>, sink: &mut Sink) -> Option<TrainingGrant> {
    if let Kind::Bool(granted) = node.kind {
        return granted.then(TrainingGrant::default);
    }
    let fields = members(node, "training", &["threads", "memory"], sink)?;
    let default = TrainingGrant::default();
    Some(TrainingGrant {
        threads: fields
            .at_least_one("threads", sink)
            .unwrap_or(default.threads),
        memory_bytes: size(&fields, "memory", sink).unwrap_or(default.memory_bytes),
    })
}

fn limits(node: &Node<'_>, sink: &mut Sink) -> Limits {
    let Some(fields) = members(node, "limits", &["memory", "log", "output"], sink) else {
        return Limits::default();
    };
    Limits {
        memory_bytes: size(&fields, "memory", sink),
        log_bytes: size(&fields, "log", sink),
        output_bytes: size(&fields, "output", sink),
    }
}

pub(super) fn size(fields: &Fields<'_, '_>, key: &str, sink: &mut Sink) -> Option<u64> {
    let node = fields.node(key)?;
    let bytes = match &node.kind {
        Kind::String(text) => quantity::size(text),
        Kind::Number(number) => number.as_u64(),
        _ => None,
    };
    if bytes.is_none() {
        wrong_type(node, key, quantity::SIZE_FORM, sink);
    }
    bytes
}

fn secrets(node: &Node<'_>, sink: &mut Sink) -> BTreeMap<String, Vec<String>> {
    let Some(entries) = node.as_mapping() else {
        wrong_type(
            node,
            "secrets",
            "a mapping from secret names to hosts",
            sink,
        );
        return BTreeMap::new();
    };
    let mut out = BTreeMap::new();
    for entry in entries {
        if let Some(Texts(hosts)) = Texts::from_node(&entry.value, &entry.key, sink) {
            out.insert(entry.key.clone().into_owned(), hosts);
        }
    }
    out
}
