//! Clearing, marking, editing, and other versions of a DAG.

use crate::support::*;
use airlock_core::dag::spec::{Task, TriggerRule};
use airlock_core::ids::TaskIndex;
use airlock_core::run::ClearOptions;
use airlock_core::run::IllegalEvent;
use airlock_core::run::event::{AttemptErrorKind, Command, Event, Input, Outcome, Reason};
use airlock_core::task_instance::state::DagRunState;
use airlock_core::task_instance::state::TaskInstanceState::*;

fn chain() -> Play {
    Play::started(dag_of(vec![task("a", &[]), task("b", &[0])]))
}

fn reasons(play: &Play) -> Vec<(u32, Reason)> {
    let reason = |event: &Event| match event {
        Event::StateSet { task, reason, .. } => Some((task.0, (*reason)?)),
        _ => Option::None,
    };
    play.events.iter().filter_map(reason).collect()
}

#[test]
fn i6_a_cleared_run_that_had_ended_is_queued_again_and_runs_what_was_cleared() {
    let mut play = chain();
    play.run(ti(0, -1), value("1"));
    play.run(ti(1, -1), error(AttemptErrorKind::Permanent));
    assert_eq!(play.finished, Some(DagRunState::Failed));
    let step = play.clear(&[(1, -1, 0)]);
    assert_eq!(step.commands, [Command::RunReopened]);
    assert_eq!(play.state.state(), DagRunState::Queued);
    assert_eq!((play.of(ti(0, -1)), play.of(ti(1, -1))), (Success, None));
    assert_eq!(
        (play.state.end_reason(), play.state.started_at()),
        (Option::None, Option::None)
    );
    play.now = second(50);
    play.send(Input::Start);
    assert_eq!(play.state.started_at(), Some(second(50)));
    assert_eq!(play.run(ti(1, -1), ok()).events.len(), 2);
    assert_eq!(play.finished, Some(DagRunState::Success));
    assert_eq!(play.state.instance(ti(1, -1)).unwrap().try_number(), 2);
    play.check_replay();
}

#[test]
fn i6_a_cleared_live_attempt_is_told_to_stop_and_restarts_when_its_end_comes() {
    let mut play = chain();
    let (_, fence) = play.admit(ti(0, -1));
    let step = play.clear(&[(0, -1, 0)]);
    assert!(matches!(step.commands[..], [Command::StopAttempt { .. }]));
    assert_eq!((play.of(ti(0, -1)), play.state.active()), (Restarting, 1));
    assert_eq!(play.state.live_attempts(), [(ti(0, -1), fence)]);
    let admit = Input::Admit {
        ti: ti(0, -1),
        owner: OWNER,
    };
    assert!(play.state.step(play.now, admit, &Templates).is_err());
    let stale = play.send(Input::PushXCom {
        ti: ti(0, -1),
        fence,
        key: "k".to_owned(),
        value: "1".to_owned(),
    });
    assert!(stale.stale);
    // Whatever it says at its end, it counts for nothing.
    let step = play.finish(ti(0, -1), value("9"));
    assert!(matches!(
        step.commands[..],
        [Command::Release { .. }, Command::Want { .. }]
    ));
    assert_eq!(
        (
            play.of(ti(0, -1)),
            play.state.xcom(TaskIndex(0), -1, "return_value")
        ),
        (Scheduled, Option::None)
    );
    assert_eq!(play.admit(ti(0, -1)).0, 2);
    play.check_replay();
}

#[test]
fn i6_a_restarting_task_waits_for_upstream_that_was_cleared_with_it() {
    let mut play = chain();
    play.run(ti(0, -1), ok());
    play.admit(ti(1, -1));
    play.clear(&[(0, -1, 0), (1, -1, 0)]);
    play.finish(ti(1, -1), error(AttemptErrorKind::Cancelled));
    assert_eq!((play.of(ti(0, -1)), play.of(ti(1, -1))), (Scheduled, None));
    play.run(ti(0, -1), ok());
    assert_eq!(play.of(ti(1, -1)), Scheduled);
    play.check_replay();
}

#[test]
fn i6_a_lost_host_ends_an_attempt_that_was_told_to_stop() {
    let mut play = chain();
    let (_, fence) = play.admit(ti(0, -1));
    play.clear(&[(0, -1, 0)]);
    play.live.clear();
    play.send(Input::Lose {
        ti: ti(0, -1),
        fence,
    });
    assert_eq!((play.of(ti(0, -1)), play.slots.len()), (Scheduled, 0));
    play.check_replay();
}

#[test]
fn i6_a_run_that_is_being_stopped_cannot_be_cleared() {
    let mut play = chain();
    play.admit(ti(0, -1));
    play.send(Input::Cancel {
        reason: "no".to_owned(),
    });
    let instances = vec![(TaskIndex(0), -1, 0)];
    let before = play.state.clone();
    assert!(
        play.state
            .step(play.now, Input::Clear { instances }, &Templates)
            .is_err()
    );
    assert!(before == play.state);
}

#[test]
fn b1_clear_keeps_the_try_number_and_gives_as_many_retries_again() {
    let retried = Task {
        retries: 1,
        ..task("a", &[])
    };
    let mut play = Play::started(dag_of(vec![retried]));
    for _ in 0..2 {
        play.run(ti(0, -1), error(AttemptErrorKind::Transient));
        if play.finished.is_none() {
            play.wake();
        }
    }
    assert_eq!(
        (play.of(ti(0, -1)), play.state.try_limit(ti(0, -1))),
        (Failed, Some(2))
    );
    play.clear(&[(0, -1, 0)]);
    assert_eq!(play.state.try_limit(ti(0, -1)), Some(4));
    play.send(Input::Start);
    assert_eq!(play.admit(ti(0, -1)).0, 3);
    play.finish(ti(0, -1), error(AttemptErrorKind::Transient));
    assert_eq!(play.of(ti(0, -1)), UpForRetry);
    play.wake();
    assert_eq!(play.admit(ti(0, -1)).0, 4);
    play.finish(ti(0, -1), error(AttemptErrorKind::Transient));
    assert_eq!(play.of(ti(0, -1)), Failed);
    play.check_replay();
}

#[test]
fn c2_a_cleared_task_that_a_branch_had_skipped_is_skipped_again() {
    let tasks = vec![task("branch", &[]), task("yes", &[0]), task("no", &[0])];
    let mut play = Play::started(dag_of(tasks));
    play.run(ti(0, -1), branch(&["yes"]));
    play.run(ti(1, -1), ok());
    play.clear(&[(2, -1, 0)]);
    play.send(Input::Start);
    assert_eq!(play.of(ti(2, -1)), Skipped);
    assert!(reasons(&play).contains(&(2, Reason::PreviouslySkipped)));
    assert_eq!(play.finished, Some(DagRunState::Success));
    // Cleared with its branch, the new choice counts.
    play.clear(&[(0, -1, 0), (1, -1, 0), (2, -1, 0)]);
    play.send(Input::Start);
    play.run(ti(0, -1), branch(&["no"]));
    assert_eq!(
        (play.of(ti(1, -1)), play.of(ti(2, -1))),
        (Skipped, Scheduled)
    );
    play.check_replay();
}

#[test]
fn d3_the_sensor_clock_starts_anew_with_a_clear() {
    let mut sensor = task("wait", &[]);
    sensor.sensor.timeout = seconds(100);
    let mut play = Play::started(dag_of(vec![sensor]));
    play.admit(ti(0, -1));
    play.now = second(101);
    play.finish(ti(0, -1), Outcome::NotYet);
    assert_eq!(play.of(ti(0, -1)), Failed);
    play.clear(&[(0, -1, 0)]);
    play.send(Input::Start);
    play.admit(ti(0, -1));
    play.now = second(150);
    play.finish(ti(0, -1), Outcome::NotYet);
    assert_eq!(play.of(ti(0, -1)), Running);
    play.check_replay();
}

fn mapped(list: &str) -> Play {
    let mut play = Play::started(dag_of(vec![
        task("list", &[]),
        templated("each", &[0], "xcom:0"),
        task("end", &[1]),
    ]));
    play.run(ti(0, -1), value(list));
    play
}

#[test]
fn f7_a_cleared_mapped_task_is_expanded_anew_and_what_is_beyond_the_list_is_removed() {
    let mut play = mapped("[1,2,3]");
    for index in 0..3 {
        play.run(ti(1, index), ok());
    }
    play.run(ti(2, -1), ok());
    play.clear(&[(0, -1, 0), (1, 0, 3), (2, -1, 0)]);
    play.send(Input::Start);
    play.run(ti(0, -1), value("[8]"));
    let states: Vec<_> = (0..3).map(|index| play.of(ti(1, index))).collect();
    assert_eq!(states, [Scheduled, Removed, Removed]);
    assert_eq!(play.state.element(TaskIndex(1), 0).unwrap()["x"], 8);
    assert_eq!(play.admit(ti(1, 0)).0, 2);
    play.finish(ti(1, 0), ok());
    assert_eq!(play.of(ti(2, -1)), Scheduled);
    // A longer list adds instances, and takes removed ones back.
    play.clear(&[(0, -1, 0), (1, 0, 1)]);
    play.run(ti(0, -1), value("[1,2,3,4]"));
    let states: Vec<_> = (0..4).map(|index| play.of(ti(1, index))).collect();
    assert_eq!(states, [Scheduled; 4]);
    play.check_replay();
}

#[test]
fn f7_one_instance_is_cleared_alone() {
    let mut play = mapped("[1,2]");
    play.run(ti(1, 0), ok());
    play.run(ti(1, 1), error(AttemptErrorKind::Permanent));
    assert_eq!(play.of(ti(2, -1)), UpstreamFailed);
    let options = ClearOptions {
        downstream: true,
        only_failed: true,
        ..ClearOptions::default()
    };
    let set = play.state.clear_set(&[TaskIndex(1)], &options);
    assert_eq!(set, [(TaskIndex(1), 1, 2), (TaskIndex(2), -1, 0)]);
    play.send(Input::Clear { instances: set });
    play.send(Input::Start);
    assert_eq!((play.of(ti(1, 0)), play.of(ti(1, 1))), (Success, Scheduled));
    play.run(ti(1, 1), ok());
    play.run(ti(2, -1), ok());
    assert_eq!(play.finished, Some(DagRunState::Success));
    play.check_replay();
}

#[test]
fn f10_clearing_a_task_takes_its_setups_and_teardowns_along() {
    let setup = Task {
        is_setup: true,
        ..task("up", &[])
    };
    let teardown = Task {
        is_teardown: true,
        ..ruled("down", &[0, 1], TriggerRule::AllDoneSetupSuccess)
    };
    let play = Play::started(dag_of(vec![
        setup,
        task("work", &[0]),
        teardown,
        task("other", &[]),
    ]));
    let tasks = |named: u32, options: &ClearOptions| -> Vec<u32> {
        let set = play.state.clear_set(&[TaskIndex(named)], options);
        set.into_iter().map(|(task, ..)| task.0).collect()
    };
    let alone = ClearOptions::default();
    assert_eq!(tasks(1, &alone), [0, 1, 2]);
    assert_eq!(tasks(0, &alone), [0, 2]);
    assert_eq!(tasks(2, &alone), [2]);
    assert_eq!(tasks(3, &alone), [3]);
    let upstream = ClearOptions {
        upstream: true,
        ..ClearOptions::default()
    };
    assert_eq!(tasks(2, &upstream), [0, 1, 2]);
}

#[test]
fn i7_a_mark_stops_and_fences_a_live_attempt_and_downstream_goes_on() {
    let mut play = chain();
    play.admit(ti(0, -1));
    let step = play.mark(ti(0, -1), Success);
    assert!(matches!(
        step.commands[..],
        [Command::StopAttempt { .. }, Command::Want { .. }]
    ));
    assert_eq!(
        (play.of(ti(0, -1)), play.of(ti(1, -1))),
        (Success, Scheduled)
    );
    play.run(ti(1, -1), ok());
    assert_eq!(
        play.finished,
        Option::None,
        "an attempt still holds its slots"
    );
    play.finish(ti(0, -1), error(AttemptErrorKind::Cancelled));
    assert_eq!(
        (play.of(ti(0, -1)), play.finished),
        (Success, Some(DagRunState::Success))
    );
    play.check_replay();
}

#[test]
fn i7_a_mark_in_a_run_that_has_ended_changes_states_and_the_runs_state_by_the_same_rule() {
    let mut play = chain();
    play.run(ti(0, -1), ok());
    play.run(ti(1, -1), error(AttemptErrorKind::Permanent));
    let step = play.mark(ti(0, -1), Skipped);
    assert_eq!((step.events.len(), step.commands.len()), (1, 0));
    play.mark(ti(1, -1), Success);
    assert_eq!(
        (play.state.state(), play.finished),
        (DagRunState::Success, Some(DagRunState::Success))
    );
    play.mark(ti(1, -1), Failed);
    assert_eq!(play.finished, Some(DagRunState::Failed));
    play.check_replay();
}

#[test]
fn i7_a_run_marked_failed_fails_what_is_live_and_skips_the_rest() {
    let mut play = chain();
    play.admit(ti(0, -1));
    let by = "ana".to_owned();
    play.send(Input::MarkRun {
        state: DagRunState::Failed,
        by,
    });
    assert_eq!((play.of(ti(0, -1)), play.of(ti(1, -1))), (Failed, Skipped));
    play.finish(ti(0, -1), ok());
    assert_eq!(
        (play.finished, play.state.end_reason()),
        (Some(DagRunState::Failed), Some("marked"))
    );
    let by = "ana".to_owned();
    play.send(Input::MarkRun {
        state: DagRunState::Success,
        by,
    });
    assert_eq!(play.finished, Some(DagRunState::Success));
    play.check_replay();
}

#[test]
fn e8_an_xcom_is_edited_and_deleted_by_a_person_even_after_the_end() {
    let mut play = chain();
    play.run(ti(0, -1), value("1"));
    play.run(ti(1, -1), ok());
    let edit = |value: Option<&str>| Input::EditXCom {
        ti: ti(0, -1),
        key: "return_value".to_owned(),
        value: value.map(str::to_owned),
        by: "ana".to_owned(),
    };
    play.send(edit(Some("2")));
    assert_eq!(play.state.xcom(TaskIndex(0), -1, "return_value"), Some("2"));
    play.send(edit(Option::None));
    assert_eq!(
        play.state.xcom(TaskIndex(0), -1, "return_value"),
        Option::None
    );
    let again = play.state.step(play.now, edit(Option::None), &Templates);
    assert!(matches!(again, Err(IllegalEvent::NoXCom { .. })));
    play.check_replay();
}

#[test]
fn a25_a_run_goes_on_with_another_version_by_task_id() {
    let mut play = chain();
    play.run(ti(0, -1), value("1"));
    play.run(ti(1, -1), error(AttemptErrorKind::Permanent));
    let next = vec![task("new", &[]), task("b", &[0])];
    play.change_version(dag_of(next), 1);
    assert_eq!((play.of(ti(0, -1)), play.of(ti(1, -1))), (None, Failed));
    let gone: Vec<_> = play
        .state
        .gone_instances()
        .map(|(id, index, one)| (id.to_string(), index, one.state()))
        .collect();
    assert_eq!(gone, [("a".to_owned(), -1, Removed)]);
    play.clear(&[(1, -1, 0)]);
    play.send(Input::Start);
    play.run(ti(0, -1), ok());
    assert_eq!(play.admit(ti(1, -1)).0, 2);
    play.finish(ti(1, -1), ok());
    assert_eq!(play.finished, Some(DagRunState::Success));
    // The task comes back with what was known about it.
    play.change_version(dag_of(vec![task("a", &[]), task("b", &[])]), 2);
    assert_eq!((play.of(ti(0, -1)), play.of(ti(1, -1))), (Removed, Success));
    play.check_replay();
}

#[test]
fn a25_a_version_changes_only_while_nothing_is_scheduled_and_apply_says_what_it_needs() {
    let mut play = chain();
    let dag = play.state.dag().clone();
    let before = play.state.clone();
    assert!(
        play.state
            .change_version(play.now, dag, [1; 32], &Templates)
            .is_err()
    );
    let event = Event::VersionChanged {
        dag_version: [1; 32],
        at: play.now,
    };
    let needs = IllegalEvent::NeedsDag {
        dag_version: [1; 32],
    };
    assert_eq!(play.state.apply(&event), Err(needs));
    assert!(before == play.state);
}
