//! Rows about branching, skipping, setups and the end of a run, one test each.

use crate::support::*;
use airlock_core::dag::spec::{Task, TriggerRule};
use airlock_core::run::event::{AttemptErrorKind, Outcome};
use airlock_core::task_instance::state::DagRunState;
use airlock_core::task_instance::state::TaskInstanceState::*;

fn short_circuit(ignore_downstream_trigger_rules: bool) -> Outcome {
    Outcome::ShortCircuit {
        ignore_downstream_trigger_rules,
    }
}

/// up -> work -> down, up -> down.
fn scope() -> Vec<Task> {
    let up = Task {
        is_setup: true,
        ..task("up", &[])
    };
    let down = Task {
        is_teardown: true,
        ..ruled("down", &[0, 1], TriggerRule::AllDoneSetupSuccess)
    };
    vec![up, task("work", &[0]), down]
}

#[test]
fn c3_a_branch_skips_direct_downstream_and_rules_skip_the_rest() {
    let tasks = vec![
        task("pick", &[]),
        task("a", &[0]),
        task("b", &[0]),
        task("below_b", &[2]),
        ruled("join", &[1, 3], TriggerRule::NoneFailedMinOneSuccess),
        ruled("cleanup", &[2], TriggerRule::AllDone),
    ];
    let mut play = Play::started(dag_of(tasks));
    play.run(ti(0, -1), branch(&["a"]));
    assert_eq!((play.of(ti(2, -1)), play.of(ti(3, -1))), (Skipped, Skipped));
    assert_eq!((play.of(ti(4, -1)), play.of(ti(5, -1))), (None, Scheduled));
    play.run(ti(1, -1), ok());
    assert_eq!(play.of(ti(4, -1)), Scheduled);
}

#[test]
fn c4_a_short_circuit_is_a_success_and_never_skips_a_teardown() {
    for ignore in [true, false] {
        let mut tasks = scope();
        tasks.push(ruled("cleanup", &[1], TriggerRule::AllDone));
        let mut play = Play::started(dag_of(tasks));
        play.run(ti(0, -1), short_circuit(ignore));
        assert_eq!((play.of(ti(0, -1)), play.of(ti(1, -1))), (Success, Skipped));
        assert_eq!(play.of(ti(2, -1)), Scheduled);
        assert_eq!(play.of(ti(3, -1)), if ignore { Skipped } else { Scheduled });
        play.check_replay();
    }
}

#[test]
fn c5_a_run_whose_leaves_are_all_skipped_succeeds() {
    let mut play = Play::started(dag_of(vec![task("gate", &[]), task("leaf", &[0])]));
    play.run(ti(0, -1), short_circuit(true));
    assert_eq!(play.of(ti(1, -1)), Skipped);
    assert_eq!(play.finished, Some(DagRunState::Success));
}

#[test]
fn c7_a_task_that_skips_itself_is_not_retried_and_skips_by_rule() {
    let skips = Task {
        retries: 3,
        ..task("skips", &[])
    };
    let after = ruled("after", &[0], TriggerRule::NoneFailed);
    let mut play = Play::started(dag_of(vec![skips, task("below", &[0]), after]));
    play.run(ti(0, -1), Outcome::Skip("nothing new".to_owned()));
    assert_eq!((play.of(ti(0, -1)), play.of(ti(1, -1))), (Skipped, Skipped));
    assert_eq!(play.of(ti(2, -1)), Scheduled);
}

#[test]
fn a23_leaves_decide_and_teardowns_only_if_they_say_so() {
    // A failed middle above an `all_done` leaf that succeeds.
    let leaf = ruled("leaf", &[0], TriggerRule::AllDone);
    let mut play = Play::started(dag_of(vec![task("middle", &[]), leaf]));
    play.run(ti(0, -1), error(AttemptErrorKind::Permanent));
    play.run(ti(1, -1), ok());
    assert_eq!(play.finished, Some(DagRunState::Success));
    for (fails, end) in [(false, DagRunState::Success), (true, DagRunState::Failed)] {
        let mut tasks = scope();
        tasks[2].on_failure_fail_dagrun = fails;
        let mut play = Play::started(dag_of(tasks));
        play.run(ti(0, -1), ok());
        play.run(ti(1, -1), ok());
        play.run(ti(2, -1), error(AttemptErrorKind::Permanent));
        assert_eq!(play.finished, Some(end));
    }
}

#[test]
fn f10_a_teardown_runs_when_its_setup_succeeded_and_the_work_ended_in_any_state() {
    let failed = || error(AttemptErrorKind::Permanent);
    for (work, end) in [
        (ok(), DagRunState::Success),
        (failed(), DagRunState::Failed),
        (Outcome::Skip(String::new()), DagRunState::Success),
    ] {
        let mut play = Play::started(dag_of(scope()));
        play.run(ti(0, -1), ok());
        assert_eq!(play.of(ti(2, -1)), None);
        play.run(ti(1, -1), work);
        assert_eq!(play.of(ti(2, -1)), Scheduled);
        play.run(ti(2, -1), ok());
        assert_eq!(play.finished, Some(end));
    }
    let mut play = Play::started(dag_of(scope()));
    play.run(ti(0, -1), failed());
    assert_eq!(play.of(ti(2, -1)), UpstreamFailed);
    let mut play = Play::started(dag_of(scope()));
    play.run(ti(0, -1), Outcome::Skip(String::new()));
    assert_eq!(play.of(ti(2, -1)), Skipped);
}

#[test]
fn f10_a_teardown_in_a_mapped_group_belongs_to_its_own_element() {
    let mut play = Play::started(grouped(scope(), &[0, 1, 2], over(2)));
    play.run(ti(0, 0), ok());
    play.run(ti(1, 0), error(AttemptErrorKind::Permanent));
    assert_eq!(play.states(2), [Scheduled, None]);
    play.run(ti(0, 1), error(AttemptErrorKind::Permanent));
    assert_eq!(play.states(2), [Scheduled, UpstreamFailed]);
    play.check_replay();
}

#[test]
fn b16_an_indirect_setup_decides_before_the_tasks_own_rule() {
    let mut tasks = scope();
    tasks.insert(2, ruled("more", &[1], TriggerRule::AllDone));
    tasks[3].depends_on.push(airlock_core::ids::TaskIndex(2));
    for (outcome, state) in [
        (error(AttemptErrorKind::Permanent), UpstreamFailed),
        (Outcome::Skip(String::new()), Skipped),
    ] {
        let mut play = Play::started(dag_of(tasks.clone()));
        play.run(ti(0, -1), outcome);
        assert_eq!(play.of(ti(2, -1)), state);
    }
}
