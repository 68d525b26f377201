//! Runs that end before their time: cancelled, timed out, failing fast.

use crate::support::*;
use airlock_core::dag::spec::{Dag, Task, TriggerRule};
use airlock_core::run::event::{AttemptErrorKind, Input, Outcome};
use airlock_core::task_instance::state::DagRunState;
use airlock_core::task_instance::state::TaskInstanceState::*;

fn cancel(play: &mut Play) {
    play.send(Input::Cancel {
        reason: "not needed".to_owned(),
    });
}

#[test]
fn cancel_stops_what_runs_skips_the_rest_and_ends_with_the_last_attempt() {
    let tasks = vec![
        task("runs", &[]),
        task("wants", &[]),
        literal("mapped", &[0], 5),
        task("waits", &[]),
    ];
    let mut play = Play::started(dag_of(
        tasks
            .into_iter()
            .map(|task| Task { retries: 3, ..task })
            .collect(),
    ));
    play.run(ti(3, -1), error(AttemptErrorKind::Transient));
    play.admit(ti(0, -1));
    cancel(&mut play);
    assert_eq!(play.stops, [ti(0, -1)]);
    assert!(play.wants.is_empty() && play.state.next_timer().is_none());
    assert_eq!(
        (play.of(ti(1, -1)), play.of(ti(2, 4)), play.of(ti(3, -1))),
        (Skipped, Skipped, Skipped)
    );
    assert_eq!((play.of(ti(0, -1)), play.finished), (Running, Option::None));
    assert!(
        play.send(Input::Cancel {
            reason: "again".to_owned()
        })
        .events
        .is_empty()
    );
    // Whatever it answers, it is not retried; and it does not want to run again.
    play.finish(ti(0, -1), error(AttemptErrorKind::Transient));
    assert_eq!(
        (play.of(ti(0, -1)), play.finished),
        (Failed, Some(DagRunState::Failed))
    );
    assert_eq!(play.state.end_reason(), Some("cancelled"));
    assert_eq!(play.state.stop_message(), Some("not needed"));
    assert!(play.slots.is_empty());
    play.check_replay();
}

#[test]
fn an_attempt_that_still_succeeds_or_is_lost_ends_a_cancelled_run() {
    for lost in [false, true] {
        let mut play = Play::started(dag_of(vec![task("a", &[]), task("b", &[0])]));
        let (_, fence) = play.admit(ti(0, -1));
        cancel(&mut play);
        if lost {
            play.send(Input::Lose {
                ti: ti(0, -1),
                fence,
            });
        } else {
            play.finish(ti(0, -1), ok());
        }
        assert_eq!(play.of(ti(0, -1)), if lost { Failed } else { Success });
        assert_eq!(
            (play.of(ti(1, -1)), play.finished),
            (Skipped, Some(DagRunState::Failed))
        );
        assert!(play.slots.is_empty());
        play.check_replay();
    }
}

#[test]
fn a_queued_run_can_be_cancelled_and_a_finished_one_cannot() {
    let mut play = Play::queued(dag_of(vec![task("a", &[])]));
    cancel(&mut play);
    assert_eq!(play.finished, Some(DagRunState::Failed));
    let again = Input::Cancel {
        reason: String::new(),
    };
    assert!(play.state.step(play.now, again, &Templates).is_err());
    play.check_replay();
}

#[test]
fn a13_dagrun_timeout_counts_from_the_start_and_skips_all_that_is_unfinished() {
    let dag = Dag {
        dagrun_timeout: Some(seconds(100)),
        ..dag_of(vec![task("a", &[]), task("b", &[]), task("c", &[0])])
    };
    let mut play = Play::queued(dag);
    play.now = second(1_000);
    play.send(Input::Start);
    play.admit(ti(0, -1));
    assert_eq!(play.wake, Some(second(1_100)));
    play.wake();
    assert_eq!(play.stops, [ti(0, -1)]);
    play.finish(ti(0, -1), error(AttemptErrorKind::Cancelled));
    assert!(
        [0, 1, 2]
            .iter()
            .all(|task| play.of(ti(*task, -1)) == Skipped)
    );
    assert_eq!(
        (play.finished, play.state.end_reason()),
        (Some(DagRunState::Failed), Some("timed_out"))
    );
    play.check_replay();
}

#[test]
fn a19_fail_fast_stops_the_rest_but_lets_teardowns_run() {
    let setup = Task {
        is_setup: true,
        ..task("up", &[])
    };
    let teardown = Task {
        is_teardown: true,
        ..ruled("down", &[0, 1, 2], TriggerRule::AllDoneSetupSuccess)
    };
    let tasks = vec![
        setup,
        task("fails", &[0]),
        task("runs", &[0]),
        teardown,
        task("later", &[1]),
    ];
    let mut play = Play::started(Dag {
        fail_fast: true,
        ..dag_of(tasks)
    });
    play.run(ti(0, -1), ok());
    play.admit(ti(2, -1));
    play.run(ti(1, -1), error(AttemptErrorKind::Permanent));
    assert_eq!(
        (play.stops.clone(), play.of(ti(4, -1))),
        (vec![ti(2, -1)], Skipped)
    );
    assert_eq!(play.of(ti(3, -1)), None);
    play.finish(ti(2, -1), error(AttemptErrorKind::Cancelled));
    assert_eq!(play.of(ti(2, -1)), Failed);
    play.run(ti(3, -1), ok());
    assert_eq!(
        (play.finished, play.state.end_reason()),
        (Some(DagRunState::Failed), Some("task_failure"))
    );
    play.check_replay();
}

#[test]
fn a16_the_end_of_a_run_has_a_reason_in_airflows_words() {
    let reason = |act: &dyn Fn(&mut Play)| {
        let dag = Dag {
            dagrun_timeout: Some(seconds(5)),
            ..dag_of(vec![task("a", &[])])
        };
        let mut play = Play::started(dag);
        act(&mut play);
        play.state.end_reason().unwrap().to_owned()
    };
    let end = |outcome: Outcome| move |play: &mut Play| drop(play.run(ti(0, -1), outcome.clone()));
    assert_eq!(reason(&end(ok())), "success");
    let permanent = error(AttemptErrorKind::Permanent);
    assert_eq!(reason(&end(permanent)), "task_failure");
    assert_eq!(reason(&|play| drop(play.wake())), "timed_out");
}
