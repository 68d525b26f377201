//! Waiting: pokes, reschedules, timeouts, deferrals, and hosts that die.

use crate::support::*;
use airlock_core::dag::spec::{SensorMode, Task};
use airlock_core::ids::TaskIndex;
use airlock_core::run::event::{AttemptErrorKind, Command, Input, Outcome};
use airlock_core::run::step::LOSSES_MAX;
use airlock_core::task_instance::state::DagRunState;
use airlock_core::task_instance::state::TaskInstanceState::*;

fn sensor(mode: SensorMode, timeout: i64) -> Task {
    let mut task = Task {
        retries: 2,
        ..task("wait", &[])
    };
    task.sensor.mode = mode;
    task.sensor.poke_interval = seconds(60);
    task.sensor.timeout = seconds(timeout);
    task
}

const WAIT: airlock_core::ids::TaskInstanceKey = airlock_core::ids::TaskInstanceKey {
    task: TaskIndex(0),
    map_index: -1,
};

#[test]
fn d1_a_poking_sensor_keeps_its_slots_and_its_try() {
    let mut play = Play::started(dag_of(vec![sensor(SensorMode::Poke, 600)]));
    let (_, first) = play.admit(WAIT);
    let key = "seen".to_owned();
    play.send(Input::PushXCom {
        ti: WAIT,
        fence: first,
        key,
        value: "1".to_owned(),
    });
    let step = play.finish(WAIT, Outcome::NotYet);
    assert_eq!(step.commands, [Command::WakeAt { at: second(60) }]);
    assert_eq!((play.of(WAIT), play.state.active()), (Running, 1));
    // Between two pokes nothing is live: a second answer of the first poke is stale.
    assert!(
        play.send(Input::Finish {
            ti: WAIT,
            fence: first,
            outcome: ok()
        })
        .stale
    );
    assert!(
        play.state
            .step(play.now, Input::Admit { ti: WAIT, owner: 1 }, &Templates)
            .is_err()
    );
    play.wake();
    let (try_number, second_fence) = play.live[&WAIT];
    assert_eq!((try_number, second_fence.attempt), (1, 2));
    assert_eq!(play.state.xcom(TaskIndex(0), -1, "seen"), Some("1"));
    play.finish(WAIT, ok());
    assert_eq!((play.of(WAIT), play.slots.len()), (Success, 0));
    play.check_replay();
}

#[test]
fn d2_a_rescheduling_sensor_frees_its_slots_keeps_its_try_and_loses_its_xcoms() {
    let mut play = Play::started(dag_of(vec![sensor(SensorMode::Reschedule, 600)]));
    let (_, fence) = play.admit(WAIT);
    let key = "seen".to_owned();
    play.send(Input::PushXCom {
        ti: WAIT,
        fence,
        key,
        value: "1".to_owned(),
    });
    play.finish(WAIT, Outcome::NotYet);
    assert_eq!((play.of(WAIT), play.slots.len()), (UpForReschedule, 0));
    assert_eq!(play.state.due(WAIT), Some(second(60)));
    play.wake();
    assert_eq!(play.now, second(60));
    assert_eq!(play.admit(WAIT).0, 1);
    assert_eq!(
        play.state.xcom(TaskIndex(0), -1, "seen"),
        Option::<&str>::None
    );
    play.check_replay();
}

#[test]
fn d3_the_timeout_counts_from_the_first_poke_over_tries_and_ends_without_retry() {
    for mode in [SensorMode::Poke, SensorMode::Reschedule] {
        for soft_fail in [false, true] {
            let mut task = sensor(mode, 100);
            task.retry_delay = seconds(50);
            task.sensor.soft_fail = soft_fail;
            let mut play = Play::started(dag_of(vec![task]));
            play.run(WAIT, error(AttemptErrorKind::Transient));
            play.wake();
            play.run(WAIT, Outcome::NotYet);
            assert!(!play.of(WAIT).is_finished());
            play.wake();
            assert_eq!(play.now, second(110));
            if mode == SensorMode::Reschedule {
                play.admit(WAIT);
            }
            play.finish(WAIT, Outcome::NotYet);
            assert_eq!(play.of(WAIT), if soft_fail { Skipped } else { Failed });
            assert!(play.finished.is_some());
            play.check_replay();
        }
    }
}

#[test]
fn d4_backoff_grows_up_to_max_wait_and_to_what_is_left() {
    let mut task = sensor(SensorMode::Reschedule, 10_000);
    task.sensor.exponential_backoff = true;
    task.sensor.max_wait = Some(seconds(500));
    let mut play = Play::started(dag_of(vec![task]));
    let mut waits = Vec::new();
    for _ in 0..8 {
        play.run(WAIT, Outcome::NotYet);
        let before = play.now;
        play.wake();
        waits.push(play.now.duration_since(before).as_secs());
    }
    // Poke n waits interval * 2^(n-2), plus less than that again by hash.
    assert!(
        (30..60).contains(&waits[0]) && (60..120).contains(&waits[1]),
        "{waits:?}"
    );
    assert!(
        (120..240).contains(&waits[2]) && waits[4..].iter().all(|wait| *wait == 500),
        "{waits:?}"
    );
}

#[test]
fn i17_a_deferral_frees_slots_and_goes_on_in_the_same_try_with_its_xcoms() {
    let mut play = Play::started(dag_of(vec![task("t", &[])]));
    let (_, fence) = play.admit(WAIT);
    let key = "job".to_owned();
    play.send(Input::PushXCom {
        ti: WAIT,
        fence,
        key,
        value: "17".to_owned(),
    });
    let step = play.finish(WAIT, Outcome::Defer(second(500)));
    assert_eq!(
        step.commands,
        [
            Command::Release { ti: WAIT },
            Command::WakeAt { at: second(500) }
        ]
    );
    assert_eq!(play.of(WAIT), Deferred);
    play.wake();
    let (try_number, fence) = play.admit(WAIT);
    assert_eq!((try_number, fence.attempt), (1, 2));
    assert_eq!(play.state.xcom(TaskIndex(0), -1, "job"), Some("17"));
    play.check_replay();
}

#[test]
fn a_lost_attempt_is_started_again_in_the_same_try_until_it_is_suspected() {
    let mut play = Play::started(dag_of(vec![Task {
        retries: 1,
        ..task("t", &[])
    }]));
    for loss in 1..LOSSES_MAX {
        let (try_number, fence) = play.admit(WAIT);
        assert_eq!((try_number, fence.attempt), (1, u32::from(loss)));
        play.live.clear();
        let step = play.send(Input::Lose { ti: WAIT, fence });
        assert_eq!(step.commands[0], Command::Release { ti: WAIT });
        assert_eq!(play.of(WAIT), Restarting);
        assert!(play.send(Input::Lose { ti: WAIT, fence }).stale);
    }
    let (_, fence) = play.admit(WAIT);
    play.live.clear();
    play.send(Input::Lose { ti: WAIT, fence });
    assert_eq!(play.of(WAIT), UpForRetry);
    play.wake();
    // The new try starts with a clean record.
    assert_eq!(play.admit(WAIT).0, 2);
    play.check_replay();
}

#[test]
fn a_restarted_shell_learns_what_waits_and_what_was_live() {
    let tasks = vec![
        task("live", &[]),
        task("waits", &[]),
        literal("mapped", &[], 1_000),
        sensor(SensorMode::Poke, 900),
        task("done", &[]),
    ];
    let mut play = Play::started(dag_of(tasks));
    let (_, fence) = play.admit(ti(0, -1));
    let (_, poke) = play.admit(ti(3, -1));
    play.finish(ti(3, -1), Outcome::NotYet);
    play.run(ti(4, -1), ok());
    assert_eq!(
        play.state.live_attempts(),
        [(ti(0, -1), fence), (ti(3, -1), poke)]
    );
    let want = |task, from, to| Command::Want {
        task: TaskIndex(task),
        from,
        to,
    };
    let wake = Command::WakeAt { at: second(60) };
    assert_eq!(
        play.state.resume(),
        [want(1, -1, 0), want(2, 0, 1_000), wake]
    );
    // A poke-mode sensor that was between two pokes lost its slots with the host: it asks again.
    play.live.clear();
    for (ti, fence) in play.state.live_attempts() {
        play.send(Input::Lose { ti, fence });
    }
    assert_eq!(
        (play.of(ti(3, -1)), play.state.next_timer()),
        (Restarting, Option::None)
    );
    assert_eq!(play.state.state(), DagRunState::Running);
    play.check_replay();
}

#[test]
fn a_deferral_to_the_past_still_lets_time_pass() {
    let mut play = Play::started(dag_of(vec![task("t", &[])]));
    play.now = second(50);
    play.run(WAIT, Outcome::Defer(second(-9)));
    assert!(play.state.next_timer().unwrap() > second(50));
    assert!(play.send(Input::Wake).events.is_empty());
}
