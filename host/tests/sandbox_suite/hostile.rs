//! Guests that try to take more than they were given. Each is stopped with the name of its limit, and a neighbour that runs
//! at the same time ends well.

use crate::corpus::resident_bytes;
use crate::support::*;
use airlock::sandbox::{
    AttemptLimits, AttemptReport, InterfaceSet, Plugin, Sandbox, SandboxConfig,
};
use airlock_core::run::event::AttemptErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Runs the guest beside a well-behaved one; the other must end well, and the host must still work afterwards.
fn beside_a_neighbour(
    sandbox: &Sandbox,
    plugin: &Arc<Plugin>,
    (operator, config): (&str, &str),
    limits: AttemptLimits,
) -> (AttemptReport, Vec<String>) {
    let mut hostile = attempt(plugin, operator, config);
    hostile.request.limits = limits;
    let good = zoo(sandbox);
    let neighbour = attempt(&good, "sleep", "20");
    let after = attempt(&good, "echo", "2");
    let (bad, well) = block_on(async {
        tokio::join!(sandbox.run(hostile.request), sandbox.run(neighbour.request))
    });
    assert_eq!(success(&well), Some("1"));
    assert_eq!(success(&block_on(sandbox.run(after.request))), Some("2"));
    (bad, hostile.seen.texts())
}

fn hostile(operator: &str, config: &str, limits: AttemptLimits) -> (AttemptReport, Vec<String>) {
    let sandbox = sandbox();
    beside_a_neighbour(&sandbox, &zoo(&sandbox), (operator, config), limits)
}

fn assert_limit(report: &AttemptReport, words: &str) {
    let error = error(report);
    assert_eq!(
        error.kind,
        AttemptErrorKind::LimitExceeded,
        "{}",
        error.message
    );
    assert!(error.message.contains(words), "{}", error.message);
}

#[test]
fn memory_over_its_limit_ends_the_guest() {
    let limits = AttemptLimits {
        memory_bytes: 8 << 20,
        ..AttemptLimits::default()
    };
    let (report, _) = hostile("memory-bomb", "", limits);
    assert_limit(&report, "limit is 8388608");
    assert!(report.usage.memory_peak_bytes <= 8 << 20);
}

#[test]
fn cpu_over_its_limit_ends_an_endless_loop() {
    let limits = AttemptLimits {
        cpu: Some(Duration::from_millis(50)),
        ..AttemptLimits::default()
    };
    let (report, _) = hostile("spin", "", limits);
    assert_limit(&report, "computed longer than its limit of 50ms");
    assert!(report.usage.cpu > Duration::from_millis(50));
}

#[test]
fn recursion_without_end_overflows_only_its_own_stack() {
    let sandbox = sandbox();
    let deep = wat_guest(
        "",
        r#"(func $deep (param i32) (result i32)
             (i32.add (call $deep (i32.add (local.get 0) (i32.const 1))) (local.get 0)))
           (func (export "airlock:operator/guest@0.1.0#run") (param i32) (result i32)
             (call $deep (i32.const 0)))"#,
    );
    let plugin = sandbox.load(&deep).unwrap();
    let (report, _) = beside_a_neighbour(&sandbox, &plugin, ("wat", ""), AttemptLimits::default());
    assert_limit(&report, "stack overflow");
    assert!(error(&report).message.contains("deep"));
    // Rust keeps a second stack in linear memory: that one ends first, as an access out of bounds.
    let (report, _) = hostile("recursion", "", AttemptLimits::default());
    assert_eq!(kind(&report), AttemptErrorKind::Trap);
    assert!(error(&report).message.contains("guest_zoo::recursion"));
}

#[test]
fn tables_over_their_limit_end_the_guest() {
    let sandbox = sandbox();
    let bomb = wat_guest(
        "",
        r#"(table $t 1 funcref)
           (func (export "airlock:operator/guest@0.1.0#run") (param i32) (result i32)
             (loop $again (drop (table.grow $t (ref.null func) (i32.const 10000))) (br $again))
             (unreachable))"#,
    );
    let plugin = sandbox.load(&bomb).unwrap();
    let (report, _) = beside_a_neighbour(&sandbox, &plugin, ("wat", ""), AttemptLimits::default());
    assert_limit(&report, "table elements");
}

#[test]
fn a_large_or_a_shared_memory_is_not_valid_here() {
    let sandbox = sandbox();
    for memory in ["(memory i64 1)", "(memory 1 2 shared)"] {
        let run = r#"(func (export "airlock:operator/guest@0.1.0#run") (param i32) (result i32) (unreachable))"#;
        let refused = std::panic::catch_unwind(|| wat_guest("", &format!("{memory}{run}")));
        // wit-component refuses some by itself; what it lets through the sandbox must refuse.
        if let Ok(bytes) = refused {
            assert!(sandbox.load(&bytes).is_err(), "{memory}");
        }
    }
}

#[test]
fn a_flooded_log_is_cut_with_one_line_that_says_so() {
    for flood in ["log-flood", "stdout-flood"] {
        let limits = AttemptLimits {
            log_bytes: 10_000,
            ..AttemptLimits::default()
        };
        let (report, lines) = hostile(flood, "", limits);
        assert_eq!(success(&report), Some("1"), "a full log is no failure");
        assert!(report.usage.log_bytes <= 10_000);
        let notes = lines
            .iter()
            .filter(|line| line.contains("over its limit of 10000"));
        assert_eq!(notes.count(), 1);
        assert!(lines.iter().map(|line| line.len() + 1).sum::<usize>() <= 10_000 + 200);
    }
}

#[test]
fn large_values_are_refused_whether_the_host_can_hold_them_or_not() {
    let (report, _) = hostile("big-return", "100000", AttemptLimits::default());
    assert_limit(&report, "returned 100002 bytes");
    let (report, _) = hostile("big-return", "100000000", AttemptLimits::default());
    assert_eq!(
        kind(&report),
        AttemptErrorKind::LimitExceeded,
        "{}",
        error(&report).message
    );
    let (report, _) = hostile("big-call", "50000000", AttemptLimits::default());
    assert_limit(&report, "too much data in one call");
}

#[test]
fn handles_that_are_never_dropped_run_out_and_all_are_closed() {
    let sandbox = sandbox();
    let leak = attempt(&zoo(&sandbox), "handle-leak", "");
    let report = block_on(sandbox.run(leak.request));
    assert_limit(&report, "handle");
}

#[test]
fn many_tiny_host_calls_are_answered_and_never_hold_a_worker() {
    let (report, _) = hostile("tiny-calls", "200000", AttemptLimits::default());
    assert_eq!(success(&report), Some("0"));
}

#[test]
fn a_bug_in_a_port_ends_the_attempt_and_not_the_host() {
    let sandbox = sandbox();
    let plugin = wat_guest(
        r#"(import "airlock:operator/xcom@0.1.0" "push" (func $push (param i32 i32 i32 i32 i32)))"#,
        r#"(data (i32.const 600) "panic")
           (func (export "airlock:operator/guest@0.1.0#run") (param i32) (result i32)
             (call $push (i32.const 600) (i32.const 5) (i32.const 544) (i32.const 2) (i32.const 1024))
             (unreachable))"#,
    );
    let plugin = sandbox.load(&plugin).unwrap();
    let (report, _) = beside_a_neighbour(&sandbox, &plugin, ("wat", ""), AttemptLimits::default());
    assert_eq!(kind(&report), AttemptErrorKind::Trap);
    assert!(error(&report).message.contains("a bug in Airlock"));
}

#[test]
fn memory_is_clean_at_the_start_of_every_attempt() {
    let sandbox = sandbox();
    let plugin = zoo(&sandbox);
    for _ in 0..20 {
        let attempt = attempt(&plugin, "residue", "4000000");
        let report = block_on(sandbox.run(attempt.request));
        assert_eq!(success(&report), Some("0"));
    }
}

#[test]
fn more_attempts_than_slots_wait_and_all_end_well() {
    let sandbox = Sandbox::new(&SandboxConfig {
        workers: 2,
        attempts_max: 4,
        memory_bytes: 1 << 30,
        ..SandboxConfig::default()
    })
    .unwrap();
    let plugin = zoo(&sandbox);
    let running: Vec<_> = (0..40)
        .map(|_| sandbox.run(attempt(&plugin, "sleep", "1").request))
        .collect();
    for report in running {
        assert_eq!(success(&block_on(report)), Some("1"));
    }
}

#[test]
fn what_can_never_fit_is_said_at_once() {
    let sandbox = Sandbox::new(&SandboxConfig {
        memory_bytes: 64 << 20,
        ..SandboxConfig::default()
    })
    .unwrap();
    let report = block_on(sandbox.run(attempt(&noop(&sandbox), "noop", "{}").request));
    assert_eq!(kind(&report), AttemptErrorKind::Unrunnable);
    assert!(error(&report).message.contains("limits.memory_bytes"));
}

#[test]
fn a_thousand_attempts_leave_nothing_behind() {
    let sandbox = sandbox();
    let plugin = noop(&sandbox);
    let run = |count: usize| {
        for _ in 0..count {
            let mut noop = attempt(&plugin, "noop", "{}");
            noop.request.granted = InterfaceSet::ungranted();
            assert_eq!(success(&block_on(sandbox.run(noop.request))), None);
            assert_eq!(
                Arc::strong_count(&noop.seen),
                1,
                "the ports are gone with the attempt"
            );
            assert_eq!(noop.seen.closed.load(Ordering::SeqCst), 0);
        }
    };
    run(100);
    let before = resident_bytes();
    run(1000);
    let growth = resident_bytes().saturating_sub(before);
    assert!(
        growth < 48 << 20,
        "{growth} bytes more after 1,000 attempts"
    );
}
