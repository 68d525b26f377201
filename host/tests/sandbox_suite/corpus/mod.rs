//! The hostile corpus: components that try to hurt the host, each with the end that it must have. After each the host works and
//! a neighbour ends well; after all of them every slot, every byte of admission and every port is given back, and the process
//! is no larger than before.

mod cases;
mod many;
mod mutants;
mod programs;
mod smith;

use crate::support::*;
use airlock::sandbox::{AttemptLimits, Sandbox, SandboxConfig};
use airlock_core::run::event::{AttemptErrorKind, Outcome};
use cases::{Case, End, cases};
use std::sync::Arc;
use std::time::Duration;

/// Of each hostile attempt.
pub const MEMORY_BYTES: u64 = 16 << 20;
const LOG_BYTES: u64 = 10_000;

/// What no attempt of the corpus may exceed. The time on a worker is what ends an endless loop.
pub fn limits() -> AttemptLimits {
    AttemptLimits {
        memory_bytes: MEMORY_BYTES,
        log_bytes: LOG_BYTES,
        cpu: Some(Duration::from_millis(100)),
        ..AttemptLimits::default()
    }
}

/// Room for two attempts of the whole memory budget: what is not given back is missed at once.
pub fn small_sandbox() -> Sandbox {
    Sandbox::new(&SandboxConfig {
        workers: 2,
        attempts_max: 4,
        memory_bytes: 512 << 20,
        ..SandboxConfig::default()
    })
    .unwrap()
}

/// For guests that never describe themselves: waiting longer for them tells nothing more.
pub fn impatient_sandbox() -> Sandbox {
    Sandbox::new(&SandboxConfig {
        workers: 1,
        attempts_max: 1,
        describe_timeout: Duration::from_millis(100),
        ..SandboxConfig::default()
    })
    .unwrap()
}

fn play(sandbox: &Sandbox, case: &Case) {
    let plugin = match sandbox.load(&case.component) {
        Ok(plugin) => plugin,
        Err(error) => {
            let End::Refused(words) = case.end else {
                panic!("{}: it must load, not: {error}", case.name);
            };
            assert!(error.to_string().contains(words), "{}: {error}", case.name);
            return;
        }
    };
    let mut hostile = attempt(&plugin, "wat", "{}");
    hostile.request.limits = limits();
    let report = block_on(sandbox.run(hostile.request));
    let (name, outcome) = (case.name, &report.outcome);
    match (case.end, outcome) {
        (End::Success, Outcome::Success(_)) => {}
        (End::Limit(words), Outcome::Error(error)) => {
            assert_eq!(
                error.kind,
                AttemptErrorKind::LimitExceeded,
                "{name}: {error:?}"
            );
            assert!(error.message.contains(words), "{name}: {}", error.message);
        }
        (End::Trap(words), Outcome::Error(error)) => {
            assert_eq!(error.kind, AttemptErrorKind::Trap, "{name}: {error:?}");
            assert!(error.message.contains(words), "{name}: {}", error.message);
        }
        (End::Stopped(words), Outcome::Error(error)) => {
            let stopped = matches!(
                error.kind,
                AttemptErrorKind::Trap | AttemptErrorKind::LimitExceeded
            );
            assert!(stopped, "{name}: {error:?}");
            assert!(error.message.contains(words), "{name}: {}", error.message);
        }
        (end, outcome) => panic!("{name}: {end:?} is not {outcome:?}"),
    }
    assert!(report.usage.memory_peak_bytes <= MEMORY_BYTES, "{name}");
    assert!(report.usage.log_bytes <= LOG_BYTES, "{name}");
    assert_eq!(
        Arc::strong_count(&hostile.seen),
        1,
        "{name}: its ports are gone"
    );
}

/// The host works, and all that admission had is there again.
pub fn check_whole(sandbox: &Sandbox, name: &str) {
    let good = noop(sandbox);
    let mut large = attempt(&good, "noop", "{}");
    large.request.limits.memory_bytes = 512 << 20;
    let report = block_on(sandbox.run(large.request));
    assert_eq!(
        success(&report),
        None,
        "after {name} everything is given back"
    );
}

#[test]
fn each_component_of_the_corpus_ends_as_it_must_and_gives_everything_back() {
    let (sandbox, impatient) = (small_sandbox(), impatient_sandbox());
    let all = cases();
    assert!(all.len() >= 60, "{} components", all.len());
    for case in &all {
        let is_silent = matches!(case.end, End::Refused("no answer within"));
        play(if is_silent { &impatient } else { &sandbox }, case);
        check_whole(&sandbox, case.name);
    }
    let before = resident_bytes();
    for case in all
        .iter()
        .filter(|case| !matches!(case.end, End::Refused(_)))
    {
        play(&sandbox, case);
    }
    let growth = resident_bytes().saturating_sub(before);
    assert!(
        growth < 64 << 20,
        "{growth} bytes more after the corpus ran again"
    );
}

pub fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mut lines = status.lines();
    let line = lines.find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        << 10
}
