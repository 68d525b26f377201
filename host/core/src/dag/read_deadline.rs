//! `deadlines` and `owner_links` of a DAG.
//! It refuses a deadline that calls nobody, and links that a browser would run.

use super::diagnostic::{Sink, quoted};
use super::quantity::{self, DURATION_FORM};
use super::read::{Fields, FromNode, choice, members, wrong_type};
use super::read_callback::callbacks;
use super::read_dag;
use super::spec::{Deadline, DeadlineReference};
use super::yaml::{Kind, Node};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;

/// The most deadlines of a DAG.
const DEADLINES_MAX: usize = 100;
/// The most runs that an average is taken over.
const RUNS_MAX: u32 = 1_000;
const REFERENCES: [(&str, DeadlineReference); 2] = [
    ("logical_date", DeadlineReference::LogicalDate),
    ("queued_at", DeadlineReference::QueuedAt),
];
/// The schemes of a link that a page may show.
const LINK_SCHEMES: [&str; 3] = ["https://", "http://", "mailto:"];

/// The deadlines in the order of the file.
pub(super) fn read(fields: Fields<'_, '_>, zone: &TimeZone, sink: &mut Sink) -> Vec<Deadline> {
    let Some(node) = fields.node("deadlines") else {
        return Vec::new();
    };
    let Kind::Sequence(items) = &node.kind else {
        let expected = "a list of {reference, interval, callback}";
        wrong_type(node, "deadlines", expected, sink);
        return Vec::new();
    };
    if items.len() > DEADLINES_MAX {
        let count = items.len();
        let message = format!("the DAG has {count} deadlines; at most {DEADLINES_MAX} are watched");
        let hint = "remove the ones that mean the same".to_owned();
        sink.error_hint(node.span, "too-many-deadlines", message, hint);
        return Vec::new();
    }
    items
        .iter()
        .filter_map(|item| deadline(item, zone, sink))
        .collect()
}

fn deadline(node: &Node<'_>, zone: &TimeZone, sink: &mut Sink) -> Option<Deadline> {
    let keys = ["reference", "interval", "callback"];
    let fields = members(node, "deadlines", &keys, sink)?;
    let nothing = |node: &Node<'_>| matches!(&node.kind, Kind::Sequence(items) if items.is_empty());
    for key in keys
        .iter()
        .filter(|key| fields.node(key).is_none_or(nothing))
    {
        let message = format!("the deadline has no `{key}`");
        let hint = "write {reference: queued_at, interval: 2h, callback: {operator: notify.slack}}";
        sink.error_hint(node.span, "missing-key", message, hint.to_owned());
    }
    let interval = fields.node("interval").map(|node| interval(node, sink));
    let callbacks = callbacks(fields, "callback", sink);
    let reference = reference(fields.node("reference")?, zone, sink)?;
    Some(Deadline {
        reference,
        interval: interval??,
        callbacks,
    })
}

/// A duration with a sign: a deadline may lie before its reference.
fn interval(node: &Node<'_>, sink: &mut Sink) -> Option<SignedDuration> {
    let value = match &node.kind {
        Kind::String(text) => match text.trim().strip_prefix('-') {
            Some(rest) => quantity::duration(rest).map(|value| -value),
            None => quantity::duration(text),
        },
        Kind::Number(number) => quantity::seconds(number),
        _ => None,
    };
    if value.is_none() {
        wrong_type(node, "interval", DURATION_FORM, sink);
    }
    value
}

fn reference(node: &Node<'_>, zone: &TimeZone, sink: &mut Sink) -> Option<DeadlineReference> {
    if node.as_str().is_some() {
        return choice(node, "reference", &REFERENCES, sink);
    }
    let fields = members(node, "reference", &["fixed", "average_runtime"], sink)?;
    let fixed = fields.node("fixed");
    let average = fields.node("average_runtime");
    match (fixed, average) {
        (Some(_), None) => {
            read_dag::date(fields, "fixed", zone, sink).map(DeadlineReference::Fixed)
        }
        (None, Some(node)) => {
            let runs = u32::from_node(node, "average_runtime", sink)?;
            if !(1..=RUNS_MAX).contains(&runs) {
                let message = format!("`average_runtime` must be from 1 to {RUNS_MAX} runs");
                let hint = "write for example {average_runtime: 10}".to_owned();
                sink.error_hint(node.span, "out-of-range", message, hint);
                return None;
            }
            Some(DeadlineReference::AverageRuntime(runs))
        }
        _ => {
            let message = "the reference of the deadline is not one thing".to_owned();
            let hint =
                "one of logical_date, queued_at, {fixed: 2024-01-31} and {average_runtime: 10}";
            sink.error_hint(node.span, "invalid-deadline", message, hint.to_owned());
            None
        }
    }
}

/// `owner_links`: a link for each owner. A page shows them, so their schemes are few.
pub(super) fn owner_links(fields: Fields<'_, '_>, sink: &mut Sink) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let Some(node) = fields.node("owner_links") else {
        return out;
    };
    let Some(entries) = node.as_mapping() else {
        wrong_type(node, "owner_links", "a mapping from owners to links", sink);
        return out;
    };
    for entry in entries {
        let Some(link) = String::from_node(&entry.value, "owner_links", sink) else {
            continue;
        };
        let lower = link.to_ascii_lowercase();
        let known = LINK_SCHEMES.iter().any(|scheme| lower.starts_with(scheme));
        if !known || !link.bytes().all(|byte| byte.is_ascii_graphic()) {
            let message = format!("{} is not a link that can be shown", quoted(&link));
            let hint =
                "write https://..., http://... or mailto:name@host, without spaces".to_owned();
            sink.error_hint(entry.value.span, "invalid-link", message, hint);
        }
        out.insert(entry.key.clone().into_owned(), link);
    }
    out
}
