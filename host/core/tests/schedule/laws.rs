//! Laws: each tick exactly once and in order; a restart changes nothing; a backfill ends.

use crate::support::{Host, at, hours, scheduled};
use airlock_core::dag::spec::{Dag, Schedule, TimetableKind};
use airlock_core::schedule::{BackfillRequest, ReprocessBehavior};
use airlock_core::task_instance::state::DagRunState::{Failed, Success};
use airlock_core::timetable::upcoming;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

const CRONS: [&str; 7] = [
    "0 * * * *",
    "30 1 * * *",
    "30 2 * * *",
    "15 */6 * * *",
    "0 9 * * 1-5",
    "0 0 1,15 * *",
    "*/45 3 * * *",
];
const ZONES: [&str; 4] = [
    "UTC",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
];

/// A DAG in a week round a change of the clock in some of the zones.
fn any_dag() -> impl Strategy<Value = Dag> {
    let schedule = prop_oneof![
        prop::sample::select(CRONS.to_vec()).prop_map(|cron| Schedule::Cron(cron.to_owned())),
        (600_i64..90_000).prop_map(|seconds| Schedule::Every(SignedDuration::from_secs(seconds))),
    ];
    let kind = prop::sample::select(vec![TimetableKind::Trigger, TimetableKind::Interval]);
    let zone = prop::sample::select(ZONES.to_vec());
    let start = 0_i64..300_000;
    (schedule, kind, zone, start).prop_map(|(schedule, kind, zone, start)| Dag {
        timezone: zone.to_owned(),
        ..scheduled(schedule, kind, base() + SignedDuration::from_secs(start))
    })
}

fn base() -> Timestamp {
    at("2025-10-31T00:00:00Z")
}

/// Steps of the clock in minutes, some backwards.
fn any_steps() -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec(-300_i64..1_500, 1..12)
}

/// Plays a host until ten days after the base; what it made.
fn play(mut host: Host, steps: &[i64]) -> Host {
    let mut now = base();
    for (place, step) in steps.iter().enumerate() {
        now += SignedDuration::from_mins(*step);
        host.turn(now);
        if place % 3 == 0 {
            host.end_all(if place % 2 == 0 { Success } else { Failed }, now);
        }
    }
    let end = base() + hours(240);
    while host.next_wake(end).is_some_and(|wake| wake <= end) || host.active().running > 0 {
        host.turn(end);
        host.end_all(Success, end);
    }
    host
}

fn ids(host: &Host) -> Vec<String> {
    host.rows
        .iter()
        .map(|row| row.run.run_id.to_string())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a7_catchup_makes_each_tick_exactly_once_in_order(
        dag in any_dag(), steps in any_steps(), max_active_runs in 1_u32..5
    ) {
        let end = base() + hours(240);
        let expected: Vec<Timestamp> = upcoming(&dag, end, 2_000).unwrap().iter()
            .take_while(|run| run.run_after <= end).map(|run| run.logical_date).collect();
        let host = play(Host::new(Dag { max_active_runs, ..dag }), &steps);
        let made: Vec<Timestamp> = host.rows.iter().map(|row| row.run.logical_date.unwrap()).collect();
        prop_assert_eq!(made, expected);
    }

    #[test]
    fn a_restart_at_any_point_changes_nothing(
        dag in any_dag(), catchup in any::<bool>(), steps in any_steps(), max_active_runs in 1_u32..5
    ) {
        let dag = Dag { catchup, max_active_runs, ..dag };
        let live = play(Host::new(dag.clone()), &steps);
        let mut host = Host::new(dag);
        host.restarts = true;
        let restarted = play(host, &steps);
        prop_assert_eq!(ids(&restarted), ids(&live));
        prop_assert_eq!(restarted.schedule, live.schedule);
    }

    #[test]
    fn i9_a_backfill_ends_and_comes_to_each_date_once(
        dag in any_dag(), limit in 1_u32..4, run_backwards in any::<bool>(), behavior in 0_usize..3, restarts in any::<bool>()
    ) {
        let now = base() + hours(240);
        let mut host = Host::new(Dag { max_active_runs: 2, ..dag });
        host.restarts = restarts;
        host.turn(base() + hours(100));
        host.end_all(Failed, now);
        let reprocess_behavior = [ReprocessBehavior::None, ReprocessBehavior::Failed, ReprocessBehavior::Completed][behavior];
        let request = BackfillRequest {
            max_active_runs: limit, run_backwards, reprocess_behavior,
            ..BackfillRequest::new(base(), base() + hours(200))
        };
        let dag = host.dag.clone();
        if host.schedule.create_backfill(&dag, 1, request, now).is_ok() {
            let dates = host.schedule.backfill().unwrap().counts().dates;
            for _ in 0..=dates {
                host.turn(now);
                let running = host.rows.iter().filter(|row| row.backfill_id == Some(1) && !row.state.is_finished());
                prop_assert!(running.count() <= limit as usize);
                host.end_all(Success, now);
            }
            host.turn(now);
            prop_assert_eq!(host.ended.len(), 1);
            let counts = host.ended[0].counts();
            prop_assert_eq!(counts.created + counts.cleared + counts.already_exists + counts.in_flight, dates);
            prop_assert_eq!(counts.success, counts.created + counts.cleared);
        }
    }
}
