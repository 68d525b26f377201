//! Hostile command-line programs: components that no tool of a language makes.

use super::{MEMORY_BYTES, check_whole, limits, small_sandbox};
use crate::support::*;
use airlock::sandbox::{
    AttemptReport, CancelSignal, CommandRequest, InterfaceSet, LoadError, Sandbox,
};
use airlock_core::run::event::{AttemptErrorKind, Outcome};
use std::sync::Arc;
use tokio::sync::mpsc;

fn run(sandbox: &Sandbox, bytes: &[u8]) -> Result<AttemptReport, LoadError> {
    let command = sandbox.load_command(bytes)?;
    let (send, _lines) = mpsc::unbounded_channel();
    let request = CommandRequest {
        command,
        arguments: vec!["hostile".to_owned()],
        environment: Vec::new(),
        stdin: Vec::new(),
        scratch: None,
        limits: limits(),
        ports: Arc::new(ports(&Arc::default(), send)),
        granted: InterfaceSet::NONE,
        cancel: CancelSignal::new(),
    };
    let report = block_on(sandbox.run_command(request));
    assert!(report.usage.memory_peak_bytes <= MEMORY_BYTES);
    Ok(report)
}

/// A component that exports `wasi:cli/run`, made of `items`; `$main` is the core instance whose `run` is called.
fn component(items: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            {items}
            (func $run (result (result)) (canon lift (core func $main "run")))
            (component $shape (import "main" (func $f (result (result)))) (export "run" (func $f)))
            (instance $exported (instantiate $shape (with "main" (func $run))))
            (export "wasi:cli/run@0.2.0" (instance $exported)))"#
    );
    wat::parse_str(text).unwrap()
}

const MAIN: &str = r#"(core module $m (func (export "run") (result i32) (i32.const 0))) (core instance $main (instantiate $m))"#;

#[test]
fn components_with_too_much_of_anything_are_refused_or_stopped() {
    let sandbox = small_sandbox();
    let report = run(&sandbox, &component(MAIN)).unwrap();
    assert_eq!(report.outcome, Outcome::Success(None), "the plain one runs");
    let repeat = |part: &str, count: usize| format!("{MAIN} {}", part.repeat(count));
    let memory = "(core module $big (memory 1)) ";
    let cases = [
        (
            "a hundred instances",
            repeat("(core instance (instantiate $m)) ", 100),
        ),
        (
            "ten thousand instances",
            repeat("(core instance (instantiate $m)) ", 10_000),
        ),
        (
            "ten memories",
            format!(
                "{MAIN} {memory} {}",
                "(core instance (instantiate $big)) ".repeat(10)
            ),
        ),
        ("two thousand modules", repeat("(core module) ", 2_000)),
        ("two thousand components", repeat("(component) ", 2_000)),
        ("sixty thousand types", repeat("(type (func)) ", 60_000)),
        (
            "a component in a component, two thousand deep",
            format!("{MAIN} {} {}", "(component ".repeat(90), ")".repeat(90))
                + &"(component) ".repeat(2_000),
        ),
        (
            "an import of another world",
            format!(r#"(import "airlock:operator/log@0.1.0" (instance)) {MAIN}"#),
        ),
        (
            "an import that nobody has",
            format!(r#"(import "evil:host/shell@1.0.0" (instance)) {MAIN}"#),
        ),
    ];
    for (name, items) in cases {
        match run(&sandbox, &component(&items)) {
            Err(error) => assert!(!error.to_string().is_empty(), "{name}"),
            Ok(report) => {
                let kind = kind(&report);
                let stopped = matches!(
                    kind,
                    AttemptErrorKind::LimitExceeded | AttemptErrorKind::Trap
                );
                assert!(stopped, "{name}: {report:?}");
            }
        }
        check_whole(&sandbox, name);
    }
}

#[test]
fn no_command_is_anything_but_a_program() {
    let sandbox = small_sandbox();
    let no_start = wat::parse_str(r#"(module (memory (export "memory") 1))"#).unwrap();
    let foreign = wat::parse_str(r#"(module (import "env" "system" (func)) (func (export "_start")) (memory (export "memory") 1))"#).unwrap();
    let sockets = wat::parse_str(r#"(module (import "wasi_snapshot_preview1" "sock_connect" (func)) (func (export "_start")) (memory (export "memory") 1))"#).unwrap();
    for (bytes, words) in [
        (&b"#!/bin/sh\n"[..], "not WebAssembly"),
        (&b""[..], "not WebAssembly"),
        (&b"\0asm\x01\0\0\0"[..], "no command-line program"),
        (no_start.as_slice(), "no command-line program"),
        (foreign.as_slice(), "no command-line program"),
        (sockets.as_slice(), "no command-line program"),
        (GUESTS.noop.as_slice(), "no command-line program"),
        (&b"\0asm\x0d\0\x01\0"[..], "no command-line program"),
    ] {
        let error = sandbox.load_command(bytes).unwrap_err().to_string();
        assert!(
            error.contains(words) || error.contains("does not offer"),
            "{words}: {error}"
        );
    }
}
