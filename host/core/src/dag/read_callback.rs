//! Callbacks: operators that are called when something happened, one or a list.
//! It refuses a callback without an operator, and one event under two keys.

use super::commands;
use super::diagnostic::{Sink, quoted};
use super::read::{Fields, FromNode, members, wrong_type};
use super::spec::Callback;
use super::yaml::{Kind, Node};
use crate::ids::OperatorName;
use serde_json::{Map, Value};

/// The most callbacks of one event.
const CALLBACKS_MAX: usize = 100;

/// `{operator, config}`, or the operator's name alone.
impl FromNode for Callback {
    fn from_node(node: &Node<'_>, what: &str, sink: &mut Sink) -> Option<Self> {
        let empty = Value::Object(Map::new());
        if node.as_str().is_some() {
            let operator = OperatorName::from_node(node, "operator", sink)?;
            commands::no_callback(&operator, node.span, sink);
            return Some(Self {
                operator,
                config: empty,
            });
        }
        let fields = members(node, what, &["operator", "config"], sink)?;
        if fields.node("operator").is_none() {
            let message = format!("`{what}` names no operator");
            let hint = "write {operator: notify.slack, config: {...}}".to_owned();
            sink.error_hint(node.span, "missing-key", message, hint);
        }
        let config = fields.node("config");
        if let Some(config) = config.filter(|config| config.as_mapping().is_none()) {
            wrong_type(config, "config", "a mapping: what the operator reads", sink);
        }
        let operator: OperatorName = fields.get("operator", sink)?;
        let span = fields.node("operator").map_or(node.span, |name| name.span);
        commands::no_callback(&operator, span, sink);
        Some(Self {
            operator,
            config: config.map_or(empty, Node::to_json),
        })
    }
}

/// One callback, or a list of them.
pub(super) struct Callbacks(pub(super) Vec<Callback>);

impl FromNode for Callbacks {
    fn from_node(node: &Node<'_>, what: &str, sink: &mut Sink) -> Option<Self> {
        let Kind::Sequence(items) = &node.kind else {
            return Callback::from_node(node, what, sink).map(|one| Self(vec![one]));
        };
        if items.len() > CALLBACKS_MAX {
            let count = items.len();
            let message =
                format!("`{what}` has {count} callbacks; at most {CALLBACKS_MAX} are called");
            let hint = "let one operator tell all of them".to_owned();
            sink.error_hint(node.span, "too-many-callbacks", message, hint);
            return None;
        }
        let read = |item| Callback::from_node(item, what, sink);
        Some(Self(items.iter().filter_map(read).collect()))
    }
}

/// The callbacks under `key`.
pub(super) fn callbacks(fields: Fields<'_, '_>, key: &str, sink: &mut Sink) -> Vec<Callback> {
    fields.or(key, Callbacks(Vec::new()), sink).0
}

/// The value under `key` or under its `alias`, of which the mapping itself may hold only one.
pub(super) fn either<'n, 't>(
    fields: Fields<'n, 't>,
    key: &str,
    alias: &str,
    sink: &mut Sink,
) -> Option<&'n Node<'t>> {
    if let (Some(_), Some(second)) = (fields.own_entry(key), fields.own_entry(alias)) {
        let message = format!("{} says the same as {}", quoted(alias), quoted(key));
        let hint = format!("keep `{key}`");
        sink.error_hint(second.key_span, "written-twice", message, hint);
    }
    fields.node(key).or_else(|| fields.node(alias))
}
