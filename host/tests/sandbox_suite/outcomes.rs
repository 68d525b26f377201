//! What a guest returns, says and is refused.

use crate::support::*;
use airlock::sandbox::ports::LogSource;
use airlock::sandbox::{Interface, InterfaceSet};
use airlock_core::run::event::{AttemptErrorKind, Outcome};

fn outcome(operator: &str, config: &str) -> Outcome {
    let sandbox = sandbox();
    let attempt = attempt(&zoo(&sandbox), operator, config);
    block_on(sandbox.run(attempt.request)).outcome
}

#[test]
fn every_outcome_arrives_as_it_was_meant() {
    assert_eq!(
        outcome("echo", "{\"a\":1}"),
        Outcome::Success(Some("{\"a\":1}".into()))
    );
    assert_eq!(
        outcome("context", "{}"),
        Outcome::Success(Some("[\"d\",\"r\",\"t\",-1,1,0]".into()))
    );
    assert_eq!(outcome("skip", ""), Outcome::Skip("nothing to do".into()));
    assert_eq!(
        outcome("branch", ""),
        Outcome::Branch(vec!["a".into(), "b".into()])
    );
    assert_eq!(
        outcome("defer", "2026-01-05T02:00:00Z"),
        Outcome::Defer("2026-01-05T02:00:00Z".parse().unwrap())
    );
}

#[test]
fn failures_keep_their_kind_and_lose_their_terminal_codes() {
    let failure = |operator, config| match outcome(operator, config) {
        Outcome::Error(error) => (error.kind, error.message),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        failure("transient", ""),
        (AttemptErrorKind::Transient, "not now".into())
    );
    assert_eq!(
        failure("permanent", ""),
        (AttemptErrorKind::Permanent, "never\u{fffd}[2J".into())
    );
    let (kind, message) = failure("invalid-input", "");
    assert_eq!(kind, AttemptErrorKind::InvalidInput);
    assert_eq!(message, "config member \"url\": is missing");
    assert_eq!(failure("garbage", "").0, AttemptErrorKind::Trap);
    assert_eq!(failure("defer", "tomorrow").0, AttemptErrorKind::Trap);
    let (kind, message) = failure("exit", "");
    assert_eq!(kind, AttemptErrorKind::Trap);
    assert!(
        message.contains("exit(3)") || message.contains("exit(1)"),
        "{message}"
    );
}

#[test]
fn stdout_becomes_safe_lines() {
    let sandbox = sandbox();
    let attempt = attempt(&zoo(&sandbox), "long-lines", "");
    let report = block_on(sandbox.run(attempt.request));
    assert_eq!(success(&report), Some("1"));
    let lines = attempt.seen.lines.lock().unwrap();
    assert!(
        lines
            .iter()
            .all(|(_, source, _)| *source == LogSource::Stdout)
    );
    let lengths: Vec<usize> = lines.iter().map(|(_, _, text)| text.len()).collect();
    assert_eq!(lengths[..3].iter().sum::<usize>(), 20_000);
    assert!(lengths.iter().all(|length| *length <= 8 << 10));
    let last: Vec<&str> = lines[3..]
        .iter()
        .map(|(_, _, text)| text.as_str())
        .collect();
    assert_eq!(
        last,
        [
            "\u{fffd}\u{fffd} bad \u{fffd}]0;title\u{fffd}",
            "unfinished"
        ]
    );
}

#[test]
fn a_panic_is_explained_with_its_words_and_functions_but_without_its_colours() {
    let sandbox = sandbox();
    let attempt = attempt(&zoo(&sandbox), "panic-ansi", "");
    let report = block_on(sandbox.run(attempt.request));
    let error = error(&report);
    assert_eq!(error.kind, AttemptErrorKind::Trap);
    assert!(error.message.contains("pwned"), "{}", error.message);
    assert!(
        error.message.contains("guest_zoo::misbehave"),
        "{}",
        error.message
    );
    for text in attempt.seen.texts().iter().chain([&error.message]) {
        assert!(!text.contains(['\x1b', '\u{202e}']), "{text:?}");
    }
}

#[test]
fn what_is_not_granted_is_denied_as_a_value_and_reported() {
    let sandbox = sandbox();
    let mut attempt = attempt(&zoo(&sandbox), "ask-denied", "");
    attempt.request.granted = InterfaceSet::ungranted().with(Interface::Storage);
    let report = block_on(sandbox.run(attempt.request));
    let said = success(&report).unwrap();
    // Storage was refused by its port, secrets by the sandbox; no environment, no arguments, no files.
    assert!(said.contains("the test's port denies"), "{said}");
    assert!(said.contains("needs the grant `secrets`"), "{said}");
    assert!(said.ends_with(" 0 true true\""), "{said}");
    let places: Vec<Interface> = report
        .denied
        .iter()
        .map(|denial| denial.interface)
        .collect();
    assert_eq!(places, [Interface::Storage, Interface::Secrets]);
}

#[test]
fn usage_is_counted() {
    let sandbox = sandbox();
    let attempt = attempt(&zoo(&sandbox), "echo", "[1,2,3]");
    let usage = block_on(sandbox.run(attempt.request)).usage;
    assert_eq!(usage.output_bytes, 7);
    assert_eq!(usage.log_bytes, "echo says [1,2,3]\n".len() as u64);
    assert!(usage.memory_peak_bytes >= 64 << 10);
    assert!(usage.cpu > std::time::Duration::ZERO && usage.cpu <= usage.wall);
}
