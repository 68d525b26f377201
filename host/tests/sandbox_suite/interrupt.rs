//! Time limits and cancellation: told first, then stopped.

use crate::support::*;
use airlock::sandbox::AttemptLimits;
use airlock_core::run::event::AttemptErrorKind;
use std::time::Duration;

fn limits(timeout: Option<u64>, grace: u64) -> AttemptLimits {
    AttemptLimits {
        execution_timeout: timeout.map(Duration::from_millis),
        grace: Duration::from_millis(grace),
        ..AttemptLimits::default()
    }
}

#[test]
fn i5_a_guest_is_told_of_its_timeout_and_may_save_what_it_has() {
    let sandbox = sandbox();
    let mut honest = attempt(&zoo(&sandbox), "honour-cancel", "");
    honest.request.limits = limits(Some(20), 60_000);
    let report = block_on(sandbox.run(honest.request));
    assert_eq!(kind(&report), AttemptErrorKind::TimedOut);
    assert!(error(&report).message.contains("ended by itself"));
    assert_eq!(honest.seen.texts(), ["begun", "saved a checkpoint"]);
}

#[test]
fn b6_a_guest_that_does_not_listen_is_stopped_after_its_grace() {
    let sandbox = sandbox();
    let plugin = zoo(&sandbox);
    for (operator, config) in [("ignore-cancel", ""), ("spin", ""), ("sleep", "3600000")] {
        let mut deaf = attempt(&plugin, operator, config);
        deaf.request.limits = limits(Some(20), 20);
        let report = block_on(sandbox.run(deaf.request));
        assert_eq!(kind(&report), AttemptErrorKind::TimedOut);
        assert!(
            error(&report)
                .message
                .contains("was stopped after its grace of 20ms")
        );
        assert!(report.usage.wall >= Duration::from_millis(40));
    }
}

#[test]
fn cancelling_tells_the_guest_and_keeps_the_reason() {
    let sandbox = sandbox();
    let mut running = attempt(&zoo(&sandbox), "honour-cancel", "");
    running.request.limits = limits(None, 60_000);
    let cancel = running.request.cancel.clone();
    let report = block_on(async {
        let run = sandbox.run(running.request);
        assert_eq!(running.lines.recv().await.as_deref(), Some("begun"));
        cancel.cancel("a person asked");
        cancel.cancel("too late");
        run.await
    });
    assert_eq!(kind(&report), AttemptErrorKind::Cancelled);
    assert!(error(&report).message.contains("a person asked"));
    assert!(
        running
            .seen
            .texts()
            .contains(&"saved a checkpoint".to_owned())
    );
}

#[test]
fn an_attempt_that_was_cancelled_before_it_began_never_runs() {
    let sandbox = sandbox();
    let waiting = attempt(&zoo(&sandbox), "echo", "1");
    waiting.request.cancel.cancel("not needed");
    let report = block_on(sandbox.run(waiting.request));
    assert_eq!(kind(&report), AttemptErrorKind::Cancelled);
    assert!(waiting.seen.texts().is_empty());
}

#[test]
fn an_attempt_that_nobody_waits_for_is_stopped() {
    let sandbox = sandbox();
    let mut endless = attempt(&zoo(&sandbox), "ignore-cancel", "");
    block_on(async {
        let run = sandbox.run(endless.request);
        assert_eq!(endless.lines.recv().await.as_deref(), Some("begun"));
        drop(run);
        // The channel ends when the ports are dropped, and they are dropped with the store.
        while endless.lines.recv().await.is_some() {}
    });
}

#[test]
fn the_end_of_the_sandbox_ends_its_attempts() {
    let sandbox = sandbox();
    let mut endless = attempt(&zoo(&sandbox), "ignore-cancel", "");
    let report = block_on(async {
        let run = sandbox.run(endless.request);
        assert_eq!(endless.lines.recv().await.as_deref(), Some("begun"));
        drop(sandbox);
        run.await
    });
    assert_eq!(kind(&report), AttemptErrorKind::Cancelled);
    assert!(error(&report).message.contains("shutting down"));
}
