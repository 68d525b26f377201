//! What a task hands to its operator: `config`, and the lists that a mapped task or group expands over.
//! It refuses keys that are set twice, and lists longer than a run may hold; values of templates exist only in a run.

use super::MAP_LENGTH_MAX;
use super::diagnostic::{Sink, quoted};
use super::read::{Fields, wrong_type};
use super::spec::{Expand, ExpandSource};
use super::yaml::{Entry, Kind, Node, to_map};
use serde_json::{Map, Value};

/// `config` and `partial` together; what `expand` sets may not be set here as well.
pub(super) fn config(fields: Fields<'_, '_>, expand: Option<&Expand>, sink: &mut Sink) -> Value {
    let mut merged = Map::new();
    for key in ["config", "partial"] {
        let Some(node) = fields.node(key) else {
            continue;
        };
        let Some(entries) = node.as_mapping() else {
            let expected = "a mapping: what the operator reads";
            wrong_type(node, key, expected, sink);
            continue;
        };
        for entry in entries {
            let expanded = match expand {
                Some(Expand::Product(keys)) => keys.iter().any(|(key, _)| *key == entry.key),
                _ => false,
            };
            let other = if expanded { "expand" } else { "config" };
            if expanded || merged.contains_key(&*entry.key) && key == "partial" {
                sink.error_hint(
                    entry.key_span,
                    "config-twice",
                    format!("{} is set here and in `{other}`", quoted(&entry.key)),
                    "keep one of them".to_owned(),
                );
            }
        }
        merged.extend(to_map(entries));
    }
    Value::Object(merged)
}

pub(super) fn expand(fields: Fields<'_, '_>, sink: &mut Sink) -> Option<Expand> {
    let product = fields
        .own_entry("expand")
        .filter(|entry| !entry.value.is_null());
    let kwargs = fields
        .own_entry("expand_kwargs")
        .filter(|entry| !entry.value.is_null());
    match (product, kwargs) {
        (Some(_), Some(second)) => {
            sink.error_hint(
                second.key_span,
                "expand-twice",
                "`expand` and `expand_kwargs` are both written".to_owned(),
                "`expand` makes the cross product of its keys, `expand_kwargs` takes one mapping for each instance: keep one".to_owned(),
            );
            None
        }
        (Some(product), None) => expand_product(&product.value, sink),
        (None, Some(kwargs)) => expand_kwargs(&kwargs.value, sink),
        (None, None) => None,
    }
}

fn expand_product(node: &Node<'_>, sink: &mut Sink) -> Option<Expand> {
    let Some(entries) = node.as_mapping() else {
        wrong_type(
            node,
            "expand",
            "a mapping from config keys to lists or templates",
            sink,
        );
        return None;
    };
    if entries.is_empty() {
        let message = "`expand` names no key".to_owned();
        let hint = "write expand: {key: [a, b]}, or remove it".to_owned();
        sink.error_hint(node.span, "empty-expand", message, hint);
        return None;
    }
    let mut keys = Vec::with_capacity(entries.len());
    let mut length: usize = 1;
    for entry in entries {
        let Some(source) = source(&entry.value, &entry.key, sink) else {
            continue;
        };
        if let ExpandSource::Literal(items) = &source {
            length = length.saturating_mul(items.len());
        }
        keys.push((entry.key.clone().into_owned(), source));
    }
    check_length(node, length, sink);
    Some(Expand::Product(keys))
}

fn expand_kwargs(node: &Node<'_>, sink: &mut Sink) -> Option<Expand> {
    let source = source(node, "expand_kwargs", sink)?;
    if let (ExpandSource::Literal(items), Kind::Sequence(nodes)) = (&source, &node.kind) {
        check_length(node, items.len(), sink);
        for node in nodes.iter().filter(|node| node.as_mapping().is_none()) {
            wrong_type(node, "expand_kwargs", "a list of mappings", sink);
        }
    } else if node.as_mapping().is_some() {
        wrong_type(
            node,
            "expand_kwargs",
            "a list of mappings or a template",
            sink,
        );
    }
    Some(Expand::Kwargs(source))
}

fn check_length(node: &Node<'_>, length: usize, sink: &mut Sink) {
    if length > MAP_LENGTH_MAX {
        sink.error_hint(
            node.span,
            "map-too-long",
            format!("this makes {length} task instances; at most {MAP_LENGTH_MAX} are allowed"),
            "give each instance a batch of elements".to_owned(),
        );
    }
}

/// A list, a mapping (its pairs, as in Airflow), or one template for the whole value.
fn source(node: &Node<'_>, what: &str, sink: &mut Sink) -> Option<ExpandSource> {
    match &node.kind {
        Kind::Sequence(items) => Some(ExpandSource::Literal(
            items.iter().map(Node::to_json).collect(),
        )),
        Kind::Mapping(entries) => {
            let pair = |entry: &Entry<'_>| {
                Value::from(vec![Value::from(&*entry.key), entry.value.to_json()])
            };
            Some(ExpandSource::Literal(entries.iter().map(pair).collect()))
        }
        Kind::String(text) if text.contains("{{") => {
            Some(ExpandSource::Template(text.clone().into_owned()))
        }
        _ => {
            let expected = "a list, or a template such as \"{{ xcom_pull('a') }}\"";
            wrong_type(node, what, expected, sink);
            None
        }
    }
}
