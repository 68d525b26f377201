//! `schedule`: cron, presets, distances, assets and their mixture; and the URIs of assets, here and in tasks.
//! It refuses expressions that no date fits, and assets without a scheme.

use super::diagnostic::{Sink, Span, quoted};
use super::read::{Fields, FromNode, members, texts_with_spans, unknown_key, wrong_type};
use super::spec::{AssetExpression, Schedule};
use super::yaml::{Kind, Node};
use super::{quantity, suggest, when};
use crate::timetable::{PRESETS, PRESETS_WITHOUT_CRON, preset};

/// The longest URI of an asset, in bytes (Airflow's column width).
const ASSET_BYTES_MAX: usize = 1500;
const FORMS: &str =
    "a cron expression, a preset, {every: 15m}, {assets: [...]}, a list of assets or null";
const KEYS: [&str; 3] = ["every", "cron", "assets"];

/// What `schedule` says; without it runs are made on request only.
pub(super) fn read(fields: Fields<'_, '_>, sink: &mut Sink) -> Schedule {
    let Some(node) = fields.node("schedule") else {
        return Schedule::None;
    };
    match &node.kind {
        Kind::String(text) => written(node, text.trim(), sink),
        Kind::Mapping(_) => mapping(node, sink).unwrap_or(Schedule::None),
        Kind::Sequence(_) => assets(node, sink).map_or(Schedule::None, Schedule::Assets),
        _ => {
            wrong_type(node, "schedule", FORMS, sink);
            Schedule::None
        }
    }
}

fn written(node: &Node<'_>, text: &str, sink: &mut Sink) -> Schedule {
    match text {
        "@none" | "None" => Schedule::None,
        "@once" => Schedule::Once,
        "@continuous" => Schedule::Continuous,
        _ => cron(node, text, sink).unwrap_or(Schedule::None),
    }
}

/// Five fields, or a preset that stands for them.
fn cron(node: &Node<'_>, text: &str, sink: &mut Sink) -> Option<Schedule> {
    if let Some(fields) = preset(text) {
        return Some(Schedule::Cron(fields.to_owned()));
    }
    if text.starts_with('@') {
        let message = format!("{} is not a preset", quoted(text));
        let cron = PRESETS.iter().map(|(name, _)| *name);
        let names: Vec<&str> = PRESETS_WITHOUT_CRON.into_iter().chain(cron).collect();
        let hint = suggest::hint(text, names.iter().copied(), || {
            Some(format!("one of {}", names.join(", ")))
        });
        sink.error_hint(node.span, "unknown-preset", message, hint);
        return None;
    }
    match when::check_cron(text) {
        Ok(true) => {}
        Ok(false) => {
            let message = format!("{} never fires: no date fits it", quoted(text));
            let hint = "look at the day of the month and the month; for manual runs only, leave \
                        `schedule` out"
                .to_owned();
            sink.error_hint(node.span, "never-fires", message, hint);
        }
        Err(reason) => {
            let message = format!("{} is not a cron expression: {reason}", quoted(text));
            let hint = if quantity::duration(text).is_some() {
                format!("for a fixed distance write {{every: {text}}}")
            } else {
                "for example \"0 2 * * 1\" is Monday at 02:00".to_owned()
            };
            sink.error_hint(node.span, "invalid-cron", message, hint);
        }
    }
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    Some(Schedule::Cron(fields.join(" ")))
}

fn mapping(node: &Node<'_>, sink: &mut Sink) -> Option<Schedule> {
    // `{all: [...]}` and `{any: [...]}` are what `assets` holds; that they need the key round them is easily missed.
    let entries = node.as_mapping().unwrap_or_default();
    if let Some(entry) = entries
        .iter()
        .find(|one| matches!(&*one.key, "all" | "any"))
    {
        let hint = format!("write {{assets: {{{}: [...]}}}}", entry.key);
        unknown_key(&entry.key, entry.key_span, "schedule", Some(hint), sink);
        return None;
    }
    let fields = members(node, "schedule", &KEYS, sink)?;
    let every = fields.positive("every", sink).map(Schedule::Every);
    let cron = fields.node("cron").map(|node| {
        let text = String::from_node(node, "cron", sink)?;
        cron(node, text.trim(), sink)
    });
    let assets = fields.node("assets").map(|node| assets(node, sink));
    let has = |key| fields.node(key).is_some();
    if has("every") && has("cron") || !KEYS.iter().any(|key| has(key)) {
        if entries.iter().all(|entry| KEYS.contains(&&*entry.key)) {
            let message =
                "the schedule names no time and no asset, or two kinds of time".to_owned();
            let hint =
                "write {every: 15m}, {cron: \"0 2 * * 1\"}, {assets: [\"s3://data/features\"]}, \
                        or assets with one of the other two"
                    .to_owned();
            sink.error_hint(node.span, "invalid-schedule", message, hint);
        }
        return None;
    }
    let timed = every.or(cron.flatten());
    match (assets, timed) {
        (Some(assets), Some(timed)) => Some(Schedule::AssetsOrTime(assets?, Box::new(timed))),
        (Some(assets), None) => assets.map(Schedule::Assets),
        (None, timed) => timed,
    }
}

/// A URI, a list (all of them), `{all: [...]}` or `{any: [...]}`, nested. Recursion is bounded by the depth limit.
fn assets(node: &Node<'_>, sink: &mut Sink) -> Option<AssetExpression> {
    match &node.kind {
        Kind::String(text) => uri(text, node.span, sink).map(AssetExpression::Asset),
        Kind::Sequence(items) => parts(node, items, sink).map(AssetExpression::All),
        Kind::Mapping(entries) => {
            let fields = members(node, "assets", &["all", "any"], sink)?;
            let (Some(entry), 1) = (entries.first(), entries.len()) else {
                let message = "`assets` says neither `all` nor `any`, or both".to_owned();
                let hint = "nest them: {any: [\"s3://a\", {all: [\"s3://b\", \"s3://c\"]}]}";
                sink.error_hint(node.span, "invalid-assets", message, hint.to_owned());
                return None;
            };
            let Kind::Sequence(items) = &entry.value.kind else {
                wrong_type(&entry.value, &entry.key, "a list of assets", sink);
                return None;
            };
            let parts = parts(&entry.value, items, sink)?;
            let all = fields.node("all").is_some();
            Some(if all {
                AssetExpression::All(parts)
            } else {
                AssetExpression::Any(parts)
            })
        }
        _ => {
            let expected = "an asset's URI, a list of them, {all: [...]} or {any: [...]}";
            wrong_type(node, "assets", expected, sink);
            None
        }
    }
}

fn parts(node: &Node<'_>, items: &[Node<'_>], sink: &mut Sink) -> Option<Vec<AssetExpression>> {
    if items.is_empty() {
        let message = "the list of assets is empty".to_owned();
        let hint = "write for example [\"s3://data/features\"]".to_owned();
        sink.error_hint(node.span, "invalid-assets", message, hint);
        return None;
    }
    Some(items.iter().filter_map(|item| assets(item, sink)).collect())
}

/// The assets under `inlets` or `outlets`.
pub(super) fn uris(fields: Fields<'_, '_>, key: &str, sink: &mut Sink) -> Vec<String> {
    let list = fields
        .node(key)
        .and_then(|node| texts_with_spans(node, key, sink));
    list.unwrap_or_default()
        .into_iter()
        .filter_map(|(text, span)| uri(&text, span, sink))
        .collect()
}

fn uri(text: &str, span: Span, sink: &mut Sink) -> Option<String> {
    let reason = bad_uri(text);
    if let Some(reason) = reason {
        let message = format!("{} is not the URI of an asset: {reason}", quoted(text));
        let hint = "write for example s3://data/features".to_owned();
        sink.error_hint(span, "invalid-asset", message, hint);
    }
    reason.is_none().then(|| text.to_owned())
}

fn bad_uri(text: &str) -> Option<&'static str> {
    let scheme = text.split_once(':').map(|(scheme, _)| scheme);
    let is_scheme = |scheme: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(known)
    };
    if text.is_empty() {
        Some("it is empty")
    } else if text.len() > ASSET_BYTES_MAX {
        Some("it is longer than 1500 bytes")
    } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Some("it holds a space, a control character or a letter that is not ASCII")
    } else if !scheme.is_some_and(is_scheme) {
        Some("it has no scheme such as s3:")
    } else if scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("airflow")) {
        Some("the scheme airflow: is reserved")
    } else {
        None
    }
}
