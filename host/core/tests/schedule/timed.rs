//! Runs that the timetable makes, pausing, limits and ids.

use crate::support::{Host, at, dag, hours, with_task};
use airlock_core::dag::spec::{Deadline, DeadlineReference};
use airlock_core::run::event::RunType;
use airlock_core::schedule::{
    DagSchedule, DeadlineFacts, NotStarted, RUNS_A_CALL_MAX, deadlines, isoformat, run_id,
};
use airlock_core::task_instance::state::DagRunState::{Failed, Success};
use jiff::SignedDuration;

const DAILY: &str = "schedule: '0 2 * * *'\nstart_date: 2025-06-10";

#[test]
fn a4_an_interval_run_is_made_at_its_end_and_a_trigger_run_at_its_date() {
    let mut host = Host::new(dag(&format!(
        "{DAILY}\ncatchup: true\ntimetable: interval\nend_date: 2025-06-10T02:00:00Z"
    )));
    assert_eq!(host.turns(at("2025-06-11T01:59:59Z")), [""; 0]);
    assert_eq!(
        host.next_wake(at("2025-06-11T01:59:59Z")),
        Some(at("2025-06-11T02:00:00Z"))
    );
    assert_eq!(
        host.turns(at("2025-06-11T02:00:00Z")),
        ["scheduled__2025-06-11T02:00:00+00:00"]
    );
    let run = &host.rows[0].run;
    assert_eq!(run.logical_date, Some(at("2025-06-10T02:00:00Z")));
    assert_eq!(
        run.data_interval,
        Some((at("2025-06-10T02:00:00Z"), at("2025-06-11T02:00:00Z")))
    );
    assert_eq!(host.next_wake(at("2025-06-12T02:00:00Z")), None);
}

#[test]
fn a5_a6_no_run_before_the_first_tick_after_start_date_and_none_after_end_date() {
    let mut host = Host::new(dag(&format!(
        "{DAILY}\ncatchup: true\nend_date: 2025-06-11T02:00:00Z"
    )));
    assert_eq!(host.turns(at("2025-06-09T12:00:00Z")), [""; 0]);
    let made = host.turns(at("2025-07-01T00:00:00Z"));
    assert_eq!(
        made,
        [
            "scheduled__2025-06-10T02:00:00+00:00",
            "scheduled__2025-06-11T02:00:00+00:00"
        ]
    );
}

#[test]
fn a7_catchup_makes_one_run_for_each_missed_tick_oldest_first() {
    let mut host = Host::new(dag(&format!("{DAILY}\ncatchup: true\nmax_active_runs: 5")));
    let now = at("2025-06-13T12:00:00Z");
    let expected =
        ["10", "11", "12", "13"].map(|day| format!("scheduled__2025-06-{day}T02:00:00+00:00"));
    assert_eq!(host.turns(now), expected);
    assert_eq!(host.turns(now), [""; 0]);
    assert!(host.rows[0].run.ignore_depends_on_past && !host.rows[1].run.ignore_depends_on_past);
}

#[test]
fn a7_without_catchup_only_the_latest_missed_tick_runs_at_once_on_unpause() {
    let mut host = Host::new(dag(
        "schedule: '0 2 * * 1'\nstart_date: 2025-01-01\nis_paused_upon_creation: true",
    ));
    let now = at("2025-06-18T13:37:00Z");
    assert_eq!((host.turns(now), host.next_wake(now)), (Vec::new(), None));
    host.schedule.set_paused(false);
    assert_eq!(host.turns(now), ["scheduled__2025-06-16T02:00:00+00:00"]);
    assert_eq!(host.next_wake(now), Some(at("2025-06-23T02:00:00Z")));
}

#[test]
fn a7_a_catchup_of_years_comes_in_parts() {
    let mut host = Host::new(dag(
        "schedule: '@hourly'\nstart_date: 2024-01-01\ncatchup: true\nmax_active_runs: 100000",
    ));
    let now = at("2025-01-01T00:30:00Z");
    assert_eq!(host.turn(now).len(), RUNS_A_CALL_MAX);
    assert_eq!(host.next_wake(now), Some(now));
    assert_eq!(host.turns(now).len(), 366 * 24 + 1 - RUNS_A_CALL_MAX);
}

#[test]
fn a11_runs_beyond_max_active_runs_are_not_made_until_one_ended() {
    let mut host = Host::new(dag(&format!("{DAILY}\ncatchup: true\nmax_active_runs: 2")));
    let now = at("2025-06-20T12:00:00Z");
    let first = host.turns(now);
    assert_eq!(first.len(), 2);
    assert_eq!(host.next_wake(now), None);
    host.end(&first[1], Success, now);
    assert_eq!(host.turns(now), ["scheduled__2025-06-12T02:00:00+00:00"]);
}

#[test]
fn a11_a_queued_run_starts_when_fewer_than_max_active_runs_are_running() {
    let host = Host::new(dag("max_active_runs: 2"));
    assert_eq!(host.schedule.may_start(&host.dag, None, 1), Ok(()));
    let limit = NotStarted::MaxActiveRuns { max_active_runs: 2 };
    assert_eq!(host.schedule.may_start(&host.dag, None, 2), Err(limit));
}

#[test]
fn a11_a_continuous_dag_makes_the_next_run_when_the_last_ended() {
    for start in ["", "\nstart_date: 2025-06-10"] {
        let mut host = Host::new(dag(&format!(
            "schedule: '@continuous'\nmax_active_runs: 1{start}"
        )));
        let mut dates = Vec::new();
        for minute in 1..5 {
            let now = at("2025-06-10T00:00:00Z") + hours(minute);
            let made = host.turns(now);
            assert_eq!((made.len(), host.turns(now).len()), (1, 0));
            dates.push(host.rows.last().unwrap().run.clone());
            host.end(&made[0], Success, now);
        }
        for pair in dates.windows(2) {
            assert!(pair[0].logical_date < pair[1].logical_date, "{pair:?}");
            assert_eq!(
                pair[0].data_interval.unwrap().1,
                pair[1].data_interval.unwrap().0
            );
        }
    }
}

#[test]
fn a14_a_paused_dag_makes_and_starts_no_run() {
    let mut host = Host::new(dag(DAILY));
    host.schedule.set_paused(true);
    let now = at("2025-06-20T12:00:00Z");
    assert_eq!((host.turn(now), host.next_wake(now)), (Vec::new(), None));
    assert_eq!(
        host.schedule.may_start(&host.dag, None, 0),
        Err(NotStarted::DagPaused)
    );
}

#[test]
fn a18_deadlines_count_from_their_references() {
    let mut dag = dag("");
    let references = [
        DeadlineReference::LogicalDate,
        DeadlineReference::QueuedAt,
        DeadlineReference::Fixed(at("2025-01-01T00:00:00Z")),
        DeadlineReference::AverageRuntime(2),
        DeadlineReference::AverageRuntime(3),
    ];
    let deadline = |reference| Deadline {
        reference,
        interval: hours(1),
        callbacks: Vec::new(),
    };
    dag.deadlines = references.map(deadline).to_vec();
    let facts = DeadlineFacts {
        logical_date: None,
        queued_at: at("2025-06-10T00:00:00Z"),
        past_durations: &[hours(2), hours(4)],
    };
    let expected = [
        None,
        Some(at("2025-06-10T01:00:00Z")),
        Some(at("2025-01-01T01:00:00Z")),
        Some(at("2025-06-10T04:00:00Z")),
        None,
    ];
    assert_eq!(deadlines(&dag, &facts), expected);
    let dated = DeadlineFacts {
        logical_date: Some(at("2025-06-09T00:00:00Z")),
        ..facts
    };
    assert_eq!(deadlines(&dag, &dated)[0], Some(at("2025-06-09T01:00:00Z")));
}

#[test]
fn a20_so_many_failed_runs_in_a_row_pause_the_dag() {
    let mut host = Host::new(dag(&format!("{DAILY}\ncatchup: true")));
    host.dag.max_consecutive_failed_dag_runs = 2;
    let now = at("2025-06-14T12:00:00Z");
    let ids = host.turns(now);
    assert_eq!(host.end(&ids[0], Failed, now), [""; 0]);
    assert_eq!(host.end(&ids[1], Success, now), [""; 0]);
    assert_eq!(host.end(&ids[2], Failed, now), [""; 0]);
    assert_eq!(host.end(&ids[3], Failed, now), ["paused 2"]);
    assert!(host.schedule.is_paused());
    host.schedule.set_paused(false);
    assert_eq!(host.schedule.failed_in_a_row(), 0);
}

#[test]
fn a22_run_ids_are_airflows() {
    let whole = at("2025-06-16T02:00:00Z");
    assert_eq!(
        isoformat(at("2025-06-16T02:00:00.000120Z")),
        "2025-06-16T02:00:00.000120+00:00"
    );
    assert_eq!(
        isoformat(at("1969-12-31T23:59:59.5Z")),
        "1969-12-31T23:59:59.500000+00:00"
    );
    for (run_type, id) in [
        (RunType::Scheduled, "scheduled__2025-06-16T02:00:00+00:00"),
        (RunType::Manual, "manual__2025-06-16T02:00:00+00:00"),
        (RunType::Backfill, "backfill__2025-06-16T02:00:00+00:00"),
        (
            RunType::AssetTriggered,
            "asset_triggered__2025-06-16T02:00:00+00:00",
        ),
    ] {
        assert_eq!(run_id(run_type, whole).unwrap().as_str(), id);
    }
}

#[test]
fn a22_a_date_that_has_a_run_is_not_run_by_the_timetable_again() {
    let mut host = Host::new(dag(&format!("{DAILY}\ncatchup: true")));
    host.trigger("2025-06-11T02:00:00Z", Success);
    let made = host.turns(at("2025-06-12T03:00:00Z"));
    assert_eq!(
        made,
        [
            "scheduled__2025-06-10T02:00:00+00:00",
            "scheduled__2025-06-12T02:00:00+00:00"
        ]
    );
}

#[test]
fn a_clock_that_jumps_back_makes_no_second_run_and_one_that_jumps_forward_is_like_downtime() {
    for head in [
        DAILY,
        "schedule: '@continuous'\nmax_active_runs: 1\nstart_date: 2025-06-01",
    ] {
        let mut host = Host::new(dag(head));
        let now = at("2025-06-16T12:00:00Z");
        assert_eq!(host.turns(now).len(), 1);
        host.end_all(Success, now);
        assert_eq!(host.turns(now - hours(72)), [""; 0]);
        assert!(
            host.next_wake(now - hours(72))
                .is_some_and(|wake| wake > now - hours(72))
        );
        assert_eq!(host.turns(now + hours(720)).len(), 1);
    }
}

#[test]
fn a_continuous_dag_whose_clock_was_set_back_waits_no_longer_than_for_the_last_run() {
    let mut host = Host::new(dag("schedule: '@continuous'\nmax_active_runs: 1"));
    let start = at("2025-06-16T09:00:00Z");
    host.turns(start);
    host.end_all(Success, start);
    let end = start + hours(1);
    assert_eq!(host.turns(end).len(), 1);
    host.end_all(Success, end);
    let wake = host.next_wake(end - SignedDuration::from_mins(30));
    assert!(
        wake.is_some_and(|wake| wake <= end + SignedDuration::from_micros(1)),
        "{wake:?}"
    );
}

#[test]
fn a_schedule_that_was_continuous_goes_on_when_it_is_edited_to_intervals() {
    let mut host = Host::new(dag("schedule: '@continuous'\nmax_active_runs: 1"));
    for minute in 0..2 {
        let now = at("2025-06-16T09:00:00Z") + SignedDuration::from_mins(minute);
        host.turns(now);
        host.end_all(Success, now);
    }
    host.dag = dag("schedule: '@daily'\ntimetable: interval\ncatchup: true");
    let now = at("2025-06-20T00:00:00Z");
    assert!(host.next_wake(now).is_some());
    assert!(!host.turns(now).is_empty());
}

#[test]
fn a_continuous_run_of_the_same_microsecond_has_an_id_of_its_own() {
    let mut host = Host::new(dag("schedule: '@continuous'\nmax_active_runs: 1"));
    let start = at("2025-06-16T09:00:00Z");
    host.turns(start);
    host.end_all(Success, start);
    let end = start + hours(1);
    host.turns(end);
    host.end_all(Success, end);
    assert_eq!(host.turns(end), [""; 0]);
    let later = end + SignedDuration::from_micros(1);
    assert_eq!(
        host.turns(later),
        ["scheduled__2025-06-16T10:00:00.000001+00:00"]
    );
}

#[test]
fn an_edited_schedule_goes_on_after_the_last_run() {
    let mut host = Host::new(dag(&format!("{DAILY}\ncatchup: true")));
    host.turns(at("2025-06-11T03:00:00Z"));
    host.dag = with_task(
        "schedule: '0 1 * * *'\ntimetable: interval\nstart_date: 2025-06-10\ncatchup: true",
        "",
    );
    let made = host.turns(at("2025-06-13T03:00:00Z"));
    assert_eq!(made.last().unwrap(), "scheduled__2025-06-13T01:00:00+00:00");
    let dates: Vec<_> = host.rows.iter().map(|row| row.run.logical_date).collect();
    assert!(dates.is_sorted() && !made.is_empty(), "{dates:?}");
    assert_eq!(DagSchedule::new(&host.dag).last_scheduled(), None);
}
