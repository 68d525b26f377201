//! `retry_policy`: what a failure of a certain kind or message leads to.
//! It refuses rules that say two things or nothing.

use super::diagnostic::Sink;
use super::quantity;
use super::read::{Fields, choice, members, wrong_type};
use super::spec::{RetryAction, RetryRule};
use super::yaml::{Kind, Node};
use crate::run::event::AttemptErrorKind;

/// The most rules of one task.
const RULES_MAX: usize = 100;
/// Each kind of failure and its word.
const KINDS: [(&str, AttemptErrorKind); 8] = [
    ("transient", AttemptErrorKind::Transient),
    ("permanent", AttemptErrorKind::Permanent),
    ("invalid_input", AttemptErrorKind::InvalidInput),
    ("trap", AttemptErrorKind::Trap),
    ("limit_exceeded", AttemptErrorKind::LimitExceeded),
    ("timed_out", AttemptErrorKind::TimedOut),
    ("unrunnable", AttemptErrorKind::Unrunnable),
    ("cancelled", AttemptErrorKind::Cancelled),
];
const ACTIONS: [(&str, RetryAction); 2] = [
    ("retry", RetryAction::Retry(None)),
    ("fail", RetryAction::Fail),
];

/// The rules in order; of the ones that fit, the first decides.
pub(super) fn read(fields: Fields<'_, '_>, retries: u32, sink: &mut Sink) -> Vec<RetryRule> {
    let Some(node) = fields.node("retry_policy") else {
        return Vec::new();
    };
    let Kind::Sequence(items) = &node.kind else {
        let expected = "a list of rules such as {on: [timed_out], action: fail}";
        wrong_type(node, "retry_policy", expected, sink);
        return Vec::new();
    };
    if items.len() > RULES_MAX {
        let message = format!(
            "`retry_policy` has {} rules; at most {RULES_MAX} are read",
            items.len()
        );
        let hint = "give one rule several kinds: {on: [trap, timed_out], ...}".to_owned();
        sink.error_hint(node.span, "too-many-rules", message, hint);
        return Vec::new();
    }
    let rules: Vec<RetryRule> = items.iter().filter_map(|item| rule(item, sink)).collect();
    let retrying = |rule: &RetryRule| matches!(rule.action, RetryAction::Retry(_));
    if retries == 0 && rules.iter().any(retrying) {
        let message = "a rule says to retry, but the task has no `retries`".to_owned();
        let hint = "add `retries: 2`: rules can only shorten what it allows".to_owned();
        sink.warning(node.span, "retry-without-retries", message, hint);
    }
    rules
}

fn rule(node: &Node<'_>, sink: &mut Sink) -> Option<RetryRule> {
    let fields = members(
        node,
        "retry_policy",
        &["on", "message", "retry", "action"],
        sink,
    )?;
    let kinds = match fields.node("on").map(|node| (node, &node.kind)) {
        None => Vec::new(),
        Some((_, Kind::Sequence(items))) => items
            .iter()
            .filter_map(|item| choice(item, "on", &KINDS, sink))
            .collect(),
        Some((node, _)) => choice(node, "on", &KINDS, sink).into_iter().collect(),
    };
    let retry = fields.node("retry").map(|node| retry(node, sink));
    let action = fields
        .node("action")
        .map(|node| choice(node, "action", &ACTIONS, sink));
    let action = match (retry, action) {
        (Some(action), None) | (None, Some(action)) => action?,
        (both, _) => {
            let message = match both {
                Some(_) => "the rule has both `retry` and `action`",
                None => "the rule does not say what to do",
            };
            let hint = "write one of `retry: 5m`, `retry: true` and `action: fail`".to_owned();
            sink.error_hint(node.span, "retry-rule", message.to_owned(), hint);
            return None;
        }
    };
    Some(RetryRule {
        kinds,
        message_contains: fields.or("message", String::new(), sink),
        action,
    })
}

/// A delay, `true` for the usual one, `false` to fail.
fn retry(node: &Node<'_>, sink: &mut Sink) -> Option<RetryAction> {
    let delay = match &node.kind {
        Kind::Bool(true) => return Some(RetryAction::Retry(None)),
        Kind::Bool(false) => return Some(RetryAction::Fail),
        Kind::String(text) => quantity::duration(text),
        Kind::Number(number) => quantity::seconds(number),
        _ => None,
    };
    if delay.is_none() {
        wrong_type(node, "retry", "a delay such as 5m, true or false", sink);
    }
    delay.map(|delay| RetryAction::Retry(Some(delay)))
}
