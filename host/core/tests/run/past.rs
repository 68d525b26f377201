//! Tasks that wait for the previous run.

use crate::support::*;
use airlock_core::dag::spec::{Dag, Task, TriggerRule};
use airlock_core::ids::{TaskId, TaskIndex};
use airlock_core::run::PastAnswer;
use airlock_core::run::event::{AttemptErrorKind, Event, Input, Outcome, RunHeader};
use airlock_core::task_instance::state::DagRunState;
use airlock_core::task_instance::state::TaskInstanceState::*;

fn past(task: Task) -> Task {
    Task {
        depends_on_past: true,
        ..task
    }
}

/// first -> second; `second` depends on its past.
fn chain() -> Dag {
    dag_of(vec![task("first", &[]), past(task("second", &[0]))])
}

fn waiting(play: &Play) -> Vec<u32> {
    play.state.waits_for_past().map(|task| task.0).collect()
}

fn met(play: &mut Play, tasks: &[u32]) -> usize {
    let tasks = tasks.iter().copied().map(TaskIndex).collect();
    play.send(Input::PastDependsMet { tasks }).events.len()
}

fn ask(play: &Play, task_id: &str, downstream: bool) -> PastAnswer {
    let task_id = TaskId::parse(task_id).unwrap();
    play.state.past_allows(&task_id, downstream)
}

#[test]
fn b9_depends_on_past_waits_after_its_rule_until_the_previous_run_allows_it() {
    let mut play = Play::started(chain());
    assert!(waiting(&play).is_empty());
    play.run(ti(0, -1), ok());
    assert_eq!((play.of(ti(1, -1)), waiting(&play)), (None, vec![1]));
    assert_eq!(met(&mut play, &[1, 1, 0, 9]), 2);
    assert_eq!((play.of(ti(1, -1)), waiting(&play)), (Scheduled, vec![]));
    // An answer that comes twice is harmless.
    assert_eq!(met(&mut play, &[1]), 0);
    play.run(ti(1, -1), ok());
    assert_eq!(play.finished, Some(DagRunState::Success));
    assert_eq!(met(&mut play, &[1]), 0);
    play.check_replay();
}

#[test]
fn b9_an_answer_before_the_rule_is_kept() {
    let mut play = Play::started(chain());
    assert_eq!(met(&mut play, &[1]), 1);
    play.run(ti(0, -1), ok());
    assert_eq!(play.of(ti(1, -1)), Scheduled);
    play.check_replay();
}

#[test]
fn b9_a_failure_above_does_not_wait_for_the_past() {
    let mut play = Play::started(chain());
    play.run(ti(0, -1), error(AttemptErrorKind::Permanent));
    assert_eq!(play.of(ti(1, -1)), UpstreamFailed);
    assert_eq!(play.finished, Some(DagRunState::Failed));
}

#[test]
fn b9_the_first_run_does_not_wait() {
    let header = RunHeader {
        ignore_depends_on_past: true,
        ..header()
    };
    let mut play = Play::queued_with(dag_of(vec![past(task("t", &[]))]), header);
    play.send(Input::Start);
    assert_eq!(play.of(ti(0, -1)), Scheduled);
}

#[test]
fn b9_the_previous_run_allows_what_ended_in_success_or_skipped() {
    let dag = dag_of(vec![literal("t", &[], 3), task("below", &[0])]);
    let mut play = Play::started(dag);
    assert_eq!(ask(&play, "t", false), PastAnswer::NotYet);
    assert_eq!(ask(&play, "nobody", false), PastAnswer::NoSuchTask);
    play.run(ti(0, 0), ok());
    play.run(ti(0, 1), Outcome::Skip(String::new()));
    assert_eq!(ask(&play, "t", false), PastAnswer::NotYet);
    let mut failing = Play {
        state: play.state.clone(),
        wants: play.wants.clone(),
        ..Play::queued(dag_of(Vec::new()))
    };
    failing.run(ti(0, 2), error(AttemptErrorKind::Permanent));
    // A failure is waited for as well: until somebody clears or marks it.
    assert_eq!(ask(&failing, "t", false), PastAnswer::NotYet);
    play.run(ti(0, 2), ok());
    assert_eq!(ask(&play, "t", false), PastAnswer::Allows);
}

#[test]
fn b10_wait_for_downstream_forces_depends_on_past_and_asks_for_direct_downstream() {
    let first = Task {
        wait_for_downstream: true,
        ..task("first", &[])
    };
    let tasks = vec![first, task("second", &[0]), task("third", &[1])];
    let mut play = Play::started(dag_of(tasks));
    assert_eq!((play.of(ti(0, -1)), waiting(&play)), (None, vec![0]));
    met(&mut play, &[0]);
    play.run(ti(0, -1), ok());
    assert_eq!(ask(&play, "first", false), PastAnswer::Allows);
    assert_eq!(ask(&play, "first", true), PastAnswer::NotYet);
    play.run(ti(1, -1), ok());
    assert_eq!(play.of(ti(2, -1)), Scheduled);
    assert_eq!(ask(&play, "first", true), PastAnswer::Allows);
}

#[test]
fn b11_a_skip_by_rule_waits_for_the_past_only_if_asked_to() {
    for waits in [true, false] {
        let below = Task {
            wait_for_past_depends_before_skipping: waits,
            ..past(task("below", &[0]))
        };
        let mut play = Play::started(dag_of(vec![task("t", &[]), below]));
        play.run(ti(0, -1), Outcome::Skip(String::new()));
        assert_eq!(play.of(ti(1, -1)), if waits { None } else { Skipped });
        assert_eq!(play.finished.is_none(), waits);
        assert_eq!(waiting(&play).len(), usize::from(waits));
        met(&mut play, &[1]);
        assert_eq!(play.of(ti(1, -1)), Skipped);
        assert_eq!(play.finished, Some(DagRunState::Success));
        play.check_replay();
    }
}

#[test]
fn a24_waiting_for_the_past_is_no_deadlock_and_can_be_cancelled() {
    let mut play = Play::started(dag_of(vec![past(task("t", &[]))]));
    assert_eq!((play.finished, waiting(&play)), (Option::None, vec![0]));
    let reason = "enough".to_owned();
    play.send(Input::Cancel { reason });
    assert_eq!(play.finished, Some(DagRunState::Failed));
    assert_eq!(play.state.end_reason(), Some("cancelled"));
    play.check_replay();
}

#[test]
fn a24_what_the_past_does_not_hold_is_still_a_deadlock() {
    let stuck = past(ruled("stuck", &[0], TriggerRule::AllSkipped));
    let mut play = Play::queued(dag_of(vec![task("gone", &[]), stuck]));
    let removed = Event::StateSet {
        task: TaskIndex(0),
        from: -1,
        to: 0,
        state: Removed,
        reason: Option::None,
        message: Option::None,
        at: second(0),
    };
    play.state.apply(&removed).unwrap();
    play.send(Input::Start);
    assert_eq!(play.state.end_reason(), Some("all_tasks_deadlocked"));
}

#[test]
fn b9_a_mapped_task_and_a_mapped_group_wait_as_a_whole() {
    let tasks = vec![past(literal("mapped", &[], 2)), past(task("a", &[]))];
    let mut play = Play::started(grouped(tasks, &[1], over(3)));
    assert_eq!(waiting(&play), [0, 1]);
    met(&mut play, &[0, 1]);
    assert_eq!(play.states(0), [Scheduled; 2]);
    assert_eq!(play.states(1), [Scheduled; 3]);
    play.check_replay();
}

#[test]
fn b11_a_group_without_elements_is_skipped_when_the_past_allows_it() {
    let a = Task {
        wait_for_past_depends_before_skipping: true,
        ..past(task("a", &[]))
    };
    let dag = grouped(vec![a, task("b", &[0])], &[0, 1], over(0));
    let mut play = Play::started(dag);
    assert_eq!(
        (play.states(0), play.states(1)),
        (vec![None], vec![Skipped])
    );
    assert_eq!(waiting(&play), [0]);
    met(&mut play, &[0]);
    assert_eq!(play.finished, Some(DagRunState::Success));
    play.check_replay();
}

#[test]
fn a_teardown_that_waits_for_its_past_keeps_a_run_alive_that_fails_fast() {
    let teardown = past(Task {
        is_teardown: true,
        trigger_rule: TriggerRule::AllDone,
        ..task("teardown", &[0])
    });
    let dag = Dag {
        fail_fast: true,
        ..dag_of(vec![task("work", &[]), teardown])
    };
    let mut play = Play::started(dag);
    play.run(ti(0, -1), error(AttemptErrorKind::Permanent));
    assert_eq!((play.finished, waiting(&play)), (Option::None, vec![1]));
    assert_eq!(met(&mut play, &[1]), 2);
    play.run(ti(1, -1), ok());
    assert_eq!(play.finished, Some(DagRunState::Failed));
    play.check_replay();
}
