//! Operators that are no component: the host starts a program for them. `wasi-command` runs one inside the sandbox,
//! `native.command` one outside of it. It refuses to let that pass unseen, and both as callbacks.

use super::diagnostic::{Sink, Span, quoted};
use super::read_task::Draft;
use super::spec::Cache;
use crate::ids::OperatorName;

/// A WASI program in the sandbox.
pub const WASI_COMMAND: &str = "wasi-command";
/// A program of the machine.
pub const NATIVE_COMMAND: &str = "native.command";
/// What is said wherever a task of `native.command` shows.
pub const NATIVE_MARK: &str = "native: outside the sandbox";

/// Whether what the operator starts is outside the sandbox.
pub fn is_native(operator: &str) -> bool {
    operator == NATIVE_COMMAND
}

/// Whether the operator starts a program.
pub fn is_command(operator: &str) -> bool {
    operator == WASI_COMMAND || is_native(operator)
}

/// What must be said about a task that starts a program.
pub(super) fn check(draft: &Draft<'_, '_>, sink: &mut Sink) {
    let task = &draft.task;
    let operator = task.operator.as_str();
    if !is_command(operator) {
        return;
    }
    let span = |key| draft.fields.node(key).map_or(draft.span, |node| node.span);
    if task.cache == Cache::Content {
        let message = format!(
            "`cache: content` does not go with {operator}: nobody sees what its program reads"
        );
        let hint = "remove `cache`".to_owned();
        sink.error_hint(span("cache"), "cache-and-command", message, hint);
    }
    if is_native(operator) {
        let message = format!(
            "{} is {NATIVE_MARK}: its program may do what the host's user may",
            quoted(&draft.id_text)
        );
        let hint = "use a plugin or wasi-command where that is possible".to_owned();
        sink.warning(span("operator"), "native-command", message, hint);
    }
}

/// A callback has no log that is bounded by a task's limits, and nobody to cancel it.
pub(super) fn no_callback(operator: &OperatorName, span: Span, sink: &mut Sink) {
    if is_command(operator.as_str()) {
        let message = format!("{operator} cannot be a callback");
        let hint = "make it a task, with a trigger rule that says when it runs".to_owned();
        sink.error_hint(span, "command-as-callback", message, hint);
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    fn codes(text: &str) -> Vec<(bool, &'static str)> {
        let found = parse(text).diagnostics;
        found.iter().map(|one| (one.is_error(), one.code)).collect()
    }

    #[test]
    fn a_native_command_is_warned_of_and_a_sandboxed_one_is_not() {
        let dag = |operator: &str, more: &str| {
            format!("dag_id: d\ntasks:\n  - {{task_id: t, operator: {operator}{more}}}\n")
        };
        assert_eq!(
            codes(&dag("native.command", "")),
            [(false, "native-command")]
        );
        assert!(codes(&dag("wasi-command", "")).is_empty());
        assert_eq!(
            codes(&dag("wasi-command", ", cache: content")),
            [(true, "cache-and-command")]
        );
        for callback in ["native.command", "{operator: wasi-command}"] {
            let text = dag("probe", &format!(", on_failure_callback: {callback}"));
            assert_eq!(codes(&text), [(true, "command-as-callback")], "{text}");
        }
    }
}
