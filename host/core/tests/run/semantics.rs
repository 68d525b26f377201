//! One attempt and what follows: branches, short circuits, retries, XCom values, setups and teardowns, the run's own end.

use crate::support::*;
use airlock_core::dag::spec::{Task, TriggerRule};
use airlock_core::ids::TaskIndex;
use airlock_core::run::IllegalEvent;
use airlock_core::run::event::{AttemptErrorKind, Command, Event, Fence, Input, Outcome};
use airlock_core::task_instance::state::DagRunState;
use airlock_core::task_instance::state::TaskInstanceState::*;

fn teardown(id: &str, upstream: &[u32]) -> Task {
    Task {
        is_teardown: true,
        ..ruled(id, upstream, TriggerRule::AllDoneSetupSuccess)
    }
}

fn setup(id: &str, upstream: &[u32]) -> Task {
    Task {
        is_setup: true,
        ..task(id, upstream)
    }
}

/// gate -> a -> join, gate -> b, gate -> join.
fn branching() -> Play {
    let join = ruled("join", &[0, 1], TriggerRule::NoneFailedMinOneSuccess);
    let tasks = vec![task("gate", &[]), task("a", &[0]), task("b", &[0]), join];
    Play::started(dag_of(tasks))
}

#[test]
fn a_branch_keeps_what_is_chosen_and_what_is_below_it() {
    let mut play = branching();
    play.run(ti(0, -1), branch(&["a"]));
    assert_eq!(
        (play.of(ti(1, -1)), play.of(ti(2, -1)), play.of(ti(3, -1))),
        (Scheduled, Skipped, None)
    );
    assert_eq!(
        play.state.xcom(TaskIndex(0), -1, "return_value"),
        Some(r#"["a"]"#)
    );
    play.run(ti(1, -1), ok());
    play.run(ti(3, -1), ok());
    assert_eq!(play.finished, Some(DagRunState::Success));
    play.check_replay();
}

#[test]
fn a_branch_that_chooses_nothing_skips_all_and_the_run_succeeds() {
    let mut play = branching();
    play.run(ti(0, -1), branch(&[]));
    assert!(
        [1, 2, 3]
            .iter()
            .all(|task| play.of(ti(*task, -1)) == Skipped)
    );
    assert_eq!(play.finished, Some(DagRunState::Success));
}

#[test]
fn a_branch_to_a_task_that_is_not_directly_downstream_fails() {
    let mut play = branching();
    let step = play.run(ti(0, -1), branch(&["a", "nobody"]));
    assert_eq!(play.of(ti(0, -1)), Failed);
    let Event::AttemptFinished {
        outcome: Outcome::Error(error),
        ..
    } = &step.events[0]
    else {
        panic!("not recorded as an error: {step:?}");
    };
    assert!(error.message.contains("\"nobody\""), "{}", error.message);
    assert_eq!(play.finished, Some(DagRunState::Failed));
    play.check_replay();
}

#[test]
fn a_short_circuit_skips_direct_or_all_downstream_but_no_teardown() {
    for ignore in [true, false] {
        let cleanup = ruled("cleanup", &[1], TriggerRule::AllDone);
        let tasks = vec![
            setup("gate", &[]),
            task("work", &[0]),
            cleanup,
            teardown("end", &[0, 1]),
        ];
        let mut play = Play::started(dag_of(tasks));
        let outcome = Outcome::ShortCircuit {
            ignore_downstream_trigger_rules: ignore,
        };
        play.run(ti(0, -1), outcome);
        assert_eq!(play.of(ti(0, -1)), Success);
        assert_eq!(
            play.state.xcom(TaskIndex(0), -1, "return_value"),
            Some("false")
        );
        assert_eq!(play.of(ti(1, -1)), Skipped);
        assert_eq!(play.of(ti(2, -1)), if ignore { Skipped } else { Scheduled });
        assert_eq!(play.of(ti(3, -1)), Scheduled);
        play.check_replay();
    }
}

#[test]
fn b2_a_retry_waits_for_its_delay_and_starts_a_new_try() {
    let flaky = Task {
        retries: 1,
        retry_delay: seconds(30),
        ..task("flaky", &[])
    };
    let mut play = Play::started(dag_of(vec![flaky]));
    assert_eq!(play.admit(ti(0, -1)).0, 1);
    let step = play.finish(ti(0, -1), error(AttemptErrorKind::TimedOut));
    assert_eq!(
        step.commands,
        [
            Command::Release { ti: ti(0, -1) },
            Command::WakeAt { at: second(30) }
        ]
    );
    assert_eq!(play.of(ti(0, -1)), UpForRetry);
    // Waking too early is harmless, and asks for the same wake-up again.
    let early = play.send(Input::Wake);
    assert_eq!((early.events.len(), early.commands.len()), (0, 1));
    play.wake();
    let (try_number, fence) = play.admit(ti(0, -1));
    assert_eq!((try_number, fence.attempt), (2, 2));
    play.finish(ti(0, -1), error(AttemptErrorKind::Trap));
    assert_eq!(
        (play.of(ti(0, -1)), play.finished),
        (Failed, Some(DagRunState::Failed))
    );
    play.check_replay();
}

#[test]
fn b4_errors_that_will_not_go_away_are_not_retried() {
    use AttemptErrorKind::{Cancelled, InvalidInput, Permanent, Unrunnable};
    for kind in [Permanent, InvalidInput, Unrunnable, Cancelled] {
        let mut play = Play::started(dag_of(vec![Task {
            retries: 5,
            ..task("t", &[])
        }]));
        play.run(ti(0, -1), error(kind));
        assert_eq!(play.of(ti(0, -1)), Failed, "{kind:?}");
    }
}

#[test]
fn e1_a_push_replaces_what_was_pushed_before_and_is_visible_at_once() {
    let mut play = Play::started(dag_of(vec![task("t", &[])]));
    let (_, fence) = play.admit(ti(0, -1));
    for value in ["1", "2"] {
        let (key, value) = ("k".to_owned(), value.to_owned());
        play.send(Input::PushXCom {
            ti: ti(0, -1),
            fence,
            key,
            value: value.clone(),
        });
        assert_eq!(play.state.xcom(TaskIndex(0), -1, "k"), Some(value.as_str()));
    }
    play.check_replay();
}

#[test]
fn e3_xcoms_are_upserted_and_go_with_a_new_try() {
    let outputs = Task {
        retries: 1,
        multiple_outputs: true,
        ..task("t", &[])
    };
    let mut play = Play::started(dag_of(vec![outputs]));
    let (_, fence) = play.admit(ti(0, -1));
    for value in ["1", "2"] {
        let (key, value) = ("k".to_owned(), value.to_owned());
        play.send(Input::PushXCom {
            ti: ti(0, -1),
            fence,
            key,
            value,
        });
    }
    assert_eq!(play.state.xcom(TaskIndex(0), -1, "k"), Some("2"));
    // An answer that multiple_outputs does not allow counts as a failure of this try.
    play.finish(ti(0, -1), value("[1]"));
    assert_eq!(play.of(ti(0, -1)), UpForRetry);
    play.wake();
    play.admit(ti(0, -1));
    assert_eq!(play.state.xcom(TaskIndex(0), -1, "k"), Option::None);
    play.finish(ti(0, -1), value(r#"{"a":1,"b":"x"}"#));
    let pushed: Vec<_> = play.state.xcoms_of(ti(0, -1)).collect();
    assert_eq!(
        pushed,
        [
            ("a", "1"),
            ("b", "\"x\""),
            ("return_value", r#"{"a":1,"b":"x"}"#)
        ]
    );
    play.check_replay();
}

#[test]
fn null_is_not_pushed_and_do_xcom_push_is_obeyed() {
    let silent = Task {
        do_xcom_push: false,
        ..task("silent", &[])
    };
    let mut play = Play::started(dag_of(vec![silent, task("null", &[])]));
    play.run(ti(0, -1), value("1"));
    play.run(ti(1, -1), value("null"));
    for task in [0, 1] {
        assert_eq!(
            play.state.xcom(TaskIndex(task), -1, "return_value"),
            Option::None
        );
    }
}

#[test]
fn one_guest_cannot_push_xcoms_without_end() {
    let mut play = Play::started(dag_of(vec![task("t", &[])]));
    let (_, fence) = play.admit(ti(0, -1));
    let push = |key: String| Input::PushXCom {
        ti: ti(0, -1),
        fence,
        key,
        value: "1".to_owned(),
    };
    for key in 0..airlock_core::run::XCOM_KEYS_MAX {
        play.send(push(key.to_string()));
    }
    let before = play.state.clone();
    let total = airlock_core::run::XCOM_TOTAL_BYTES_MAX;
    let (key, value) = ("0".to_owned(), format!("\"{}\"", "x".repeat(total)));
    let large = Input::PushXCom {
        ti: ti(0, -1),
        fence,
        key,
        value,
    };
    assert!(play.state.step(play.now, large, &Templates).is_err());
    for key in ["one more".to_owned(), "k".repeat(100_000)] {
        let refused = play.state.step(play.now, push(key), &Templates);
        assert!(matches!(refused, Err(IllegalEvent::XComLimit { .. })));
    }
    assert!(before == play.state);
    play.send(push("0".to_owned()));
}

#[test]
fn a_stale_outcome_changes_nothing() {
    let mut play = Play::started(dag_of(vec![Task {
        retries: 3,
        ..task("t", &[])
    }]));
    let (_, old) = play.admit(ti(0, -1));
    play.finish(ti(0, -1), error(AttemptErrorKind::Transient));
    let late = |fence| {
        [
            Input::Finish {
                ti: ti(0, -1),
                fence,
                outcome: ok(),
            },
            Input::PushXCom {
                ti: ti(0, -1),
                fence,
                key: "k".to_owned(),
                value: "1".to_owned(),
            },
            Input::Lose {
                ti: ti(0, -1),
                fence,
            },
        ]
    };
    let refuse = |play: &mut Play, fence| {
        for input in late(fence) {
            let before = play.state.clone();
            let step = play.send(input);
            assert!(step.stale && step.events.is_empty() && step.commands.is_empty());
            assert!(before == play.state);
        }
    };
    refuse(&mut play, old);
    play.wake();
    let (_, new) = play.admit(ti(0, -1));
    refuse(&mut play, old);
    refuse(
        &mut play,
        Fence {
            owner: new.owner + 1,
            ..new
        },
    );
    play.finish(ti(0, -1), ok());
    refuse(&mut play, new);
    assert_eq!(play.finished, Some(DagRunState::Success));
}

#[test]
fn i1_illegal_inputs_are_errors_and_change_nothing() {
    let mut play = Play::started(dag_of(vec![task("a", &[]), task("b", &[0])]));
    let fence = Fence {
        attempt: 1,
        owner: OWNER,
    };
    let illegal = [
        Input::Start,
        Input::Admit {
            ti: ti(1, -1),
            owner: 1,
        },
        Input::Admit {
            ti: ti(0, 0),
            owner: 1,
        },
        Input::Admit {
            ti: ti(9, -1),
            owner: 1,
        },
        Input::Admit {
            ti: ti(0, i32::MIN),
            owner: 1,
        },
        Input::Finish {
            ti: ti(0, i32::MAX),
            fence,
            outcome: ok(),
        },
        Input::Lose {
            ti: ti(u32::MAX, -1),
            fence,
        },
    ];
    for input in illegal {
        let before = play.state.clone();
        assert!(
            play.state
                .step(play.now, input.clone(), &Templates)
                .is_err(),
            "{input:?}"
        );
        assert!(before == play.state);
    }
}

#[test]
fn work_that_failed_fails_the_run_and_its_teardown_still_runs() {
    let tasks = vec![
        setup("up", &[]),
        task("work", &[0]),
        teardown("down", &[0, 1]),
    ];
    let mut play = Play::started(dag_of(tasks.clone()));
    play.run(ti(0, -1), ok());
    play.run(ti(1, -1), error(AttemptErrorKind::Permanent));
    play.run(ti(2, -1), ok());
    assert_eq!(play.finished, Some(DagRunState::Failed));
    // A failed teardown fails the run only if it says so.
    for (fails, end) in [(false, DagRunState::Success), (true, DagRunState::Failed)] {
        let mut tasks = tasks.clone();
        tasks[2].on_failure_fail_dagrun = fails;
        let mut play = Play::started(dag_of(tasks));
        play.run(ti(0, -1), ok());
        play.run(ti(1, -1), ok());
        play.run(ti(2, -1), error(AttemptErrorKind::Permanent));
        assert_eq!(play.finished, Some(end));
    }
}

#[test]
fn a_setup_that_failed_takes_its_whole_scope_along() {
    // The second task's own rule would let it run: the setup above it, not directly, decides first.
    let second = ruled("second", &[1], TriggerRule::AllDone);
    let tasks = vec![
        setup("up", &[]),
        task("first", &[0]),
        second,
        teardown("down", &[0, 2]),
    ];
    for (outcome, state) in [
        (error(AttemptErrorKind::Permanent), UpstreamFailed),
        (Outcome::Skip("nothing to do".to_owned()), Skipped),
    ] {
        let mut play = Play::started(dag_of(tasks.clone()));
        play.run(ti(0, -1), outcome);
        assert!([1, 2, 3].iter().all(|task| play.of(ti(*task, -1)) == state));
        assert!(play.finished.is_some());
        play.check_replay();
    }
}

#[test]
fn a23_leaves_alone_decide_the_run() {
    let cleanup = ruled("cleanup", &[0], TriggerRule::AllDone);
    let mut play = Play::started(dag_of(vec![task("work", &[]), cleanup]));
    play.run(ti(0, -1), error(AttemptErrorKind::Permanent));
    play.run(ti(1, -1), ok());
    assert_eq!(play.finished, Some(DagRunState::Success));
    assert_eq!(
        Play::started(dag_of(Vec::new())).finished,
        Some(DagRunState::Success)
    );
}

#[test]
fn a24_a_run_that_cannot_go_on_is_deadlocked() {
    // `removed` satisfies neither side of all_skipped.
    let stuck = ruled("stuck", &[0], TriggerRule::AllSkipped);
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
    assert_eq!(play.finished, Some(DagRunState::Failed));
    assert_eq!(play.state.end_reason(), Some("all_tasks_deadlocked"));
}
