//! Says why a call into a guest did not return: which limit, which trap, where. It refuses to pass on unbounded text.

use super::config::{MESSAGE_BYTES_MAX, TRAP_FRAMES_MAX};
use super::limiter::LimitError;
use super::text;
use airlock_core::run::event::{AttemptError, AttemptErrorKind};
use wasmtime::component::ResourceTableError;
use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

/// Bytes that the list of functions may take.
const FRAMES_BYTES_MAX: usize = 1 << 10;

/// Turns wasmtime's error into the attempt's; `stderr` is what the guest said last.
pub(super) fn explain(error: &wasmtime::Error, stderr: &str) -> AttemptError {
    let (kind, what) = classify(error);
    let mut message = what;
    let said = stderr.trim();
    if kind == AttemptErrorKind::Trap && !said.is_empty() {
        message.push_str("\nlast words on stderr: ");
        message.push_str(said);
    }
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        let frames = frames(backtrace);
        if !frames.is_empty() {
            message.push_str("\nin: ");
            message.push_str(text::bounded(&frames, FRAMES_BYTES_MAX));
        }
    }
    AttemptError {
        kind,
        message: text::message(&message, MESSAGE_BYTES_MAX),
    }
}

fn classify(error: &wasmtime::Error) -> (AttemptErrorKind, String) {
    use AttemptErrorKind::{LimitExceeded, Trap as Trapped};
    if let Some(limit) = error.downcast_ref::<LimitError>() {
        return (LimitExceeded, format!("the guest was stopped: {limit}"));
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        let message = format!(
            "the guest called exit({}) instead of returning an outcome",
            exit.0
        );
        return (Trapped, message);
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref() {
        return (
            LimitExceeded,
            "the guest was stopped: it holds too many handles; drop those that are done".to_owned(),
        );
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => {
            let message = "the guest was stopped: its calls are nested too deeply (stack overflow)";
            return (LimitExceeded, message.to_owned());
        }
        Some(trap) => return (Trapped, format!("the guest trapped: {trap}")),
        None => {}
    }
    let root = error.root_cause().to_string();
    // These two errors of wasmtime 48 have no public type; the tests of both limits notice when their words change.
    if root.contains("fuel allocated for hostcalls") {
        let message = "the guest was stopped: it handed over too much data in one call; use storage for large values";
        return (LimitExceeded, message.to_owned());
    }
    if root.contains("handle") && root.contains("limit") {
        return (LimitExceeded, format!("the guest was stopped: {root}"));
    }
    (Trapped, format!("the guest was stopped: {root}"))
}

/// What Rust puts between a panic and its trap: names that help nobody.
const MACHINERY: [&str; 5] = ["std[", "core[", "alloc[", "__rustc", "abort"];

/// Names of the guest's own functions, innermost first. Wasmtime demangles them in the text form only.
fn frames(backtrace: &WasmBacktrace) -> String {
    let shown = backtrace.to_string();
    let names = shown.lines().filter_map(|line| {
        let (_, place) = line.split_once(" - ")?;
        let name = place.split_once('!').map_or(place, |(_, name)| name);
        Some(name.trim())
    });
    let own = names.filter(|name| !MACHINERY.iter().any(|prefix| name.starts_with(prefix)));
    own.take(TRAP_FRAMES_MAX).collect::<Vec<_>>().join(" < ")
}
