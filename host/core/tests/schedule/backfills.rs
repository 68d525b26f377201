//! Backfills.

use crate::support::{Host, at, dag, with_task};
use airlock_core::schedule::{
    BackfillRequest, InvalidBackfill, NotStarted, ReprocessBehavior, WhatHappens,
};
use airlock_core::task_instance::state::DagRunState::{Failed, Running, Success};
use jiff::Timestamp;

const DAILY: &str = "schedule: '0 2 * * *'\nstart_date: 2025-06-10\nmax_active_runs: 1";

fn now() -> Timestamp {
    at("2025-07-01T12:00:00Z")
}

fn june(from: u32, to: u32) -> BackfillRequest {
    let date = |day: u32| at(&format!("2025-06-{day:02}T02:00:00Z"));
    BackfillRequest::new(date(from), date(to))
}

fn id(day: u32) -> String {
    format!("backfill__2025-06-{day:02}T02:00:00+00:00")
}

/// A host whose timetable has made its one run, and that has the backfill as number 7.
fn begin(request: BackfillRequest) -> Host {
    let mut host = Host::new(dag(DAILY));
    host.turns(now());
    begin_on(&mut host, request).unwrap();
    host
}

fn begin_on(host: &mut Host, request: BackfillRequest) -> Result<(), InvalidBackfill> {
    let dag = host.dag.clone();
    host.schedule.create_backfill(&dag, 7, request, now())
}

#[test]
fn i9_a_backfill_runs_every_tick_of_its_range_with_a_limit_of_its_own() {
    let mut host = begin(BackfillRequest {
        max_active_runs: 2,
        ..june(1, 4)
    });
    assert_eq!(host.turns(now()), [id(1), id(2)]);
    assert_eq!(host.next_wake(now()), None);
    host.end(&id(1), Failed, now());
    assert_eq!(host.turns(now()), [id(3)]);
    host.end_all(Success, now());
    assert_eq!(host.turns(now()), [id(4)]);
    assert!(host.ended.is_empty());
    host.end_all(Success, now());
    let counts = host.ended[0].counts();
    assert_eq!(
        (counts.dates, counts.created, counts.success, counts.failed),
        (4, 4, 3, 1)
    );
    assert_eq!(host.schedule.backfill(), None);
    let first: Vec<bool> = host.rows[1..]
        .iter()
        .map(|row| row.run.ignore_depends_on_past)
        .collect();
    assert_eq!(first, [true, false, false, false]);
    let header = host.rows[1].run.clone().into_header();
    assert_eq!(
        (header.backfill_id, header.triggered_by.as_str()),
        (Some(7), "backfill 7")
    );
}

#[test]
fn i9_run_backwards_begins_with_the_latest_date() {
    let mut host = begin(BackfillRequest {
        run_backwards: true,
        ..june(1, 3)
    });
    assert_eq!(host.turns(now()), [id(3), id(2), id(1)]);
}

#[test]
fn i9_dates_with_a_run_are_left_alone_or_cleared_as_reprocess_behavior_says() {
    let expected: [(ReprocessBehavior, &[&str]); 3] = [
        (ReprocessBehavior::None, &[]),
        (
            ReprocessBehavior::Failed,
            &["clear manual__2025-06-02T02:00:00+00:00"],
        ),
        (
            ReprocessBehavior::Completed,
            &[
                "clear manual__2025-06-01T02:00:00+00:00",
                "clear manual__2025-06-02T02:00:00+00:00",
            ],
        ),
    ];
    for (reprocess_behavior, cleared) in expected {
        let mut host = Host::new(dag(DAILY));
        host.trigger("2025-06-01T02:00:00Z", Success);
        host.trigger("2025-06-02T02:00:00Z", Failed);
        host.trigger("2025-06-03T02:00:00Z", Running);
        let request = BackfillRequest {
            reprocess_behavior,
            ..june(1, 4)
        };
        begin_on(&mut host, request).unwrap();
        let made = host.turns(now());
        assert_eq!(
            made.split_last().unwrap(),
            (
                &id(4),
                &cleared
                    .iter()
                    .map(|id| (*id).to_owned())
                    .collect::<Vec<_>>()[..]
            )
        );
        let counts = host.schedule.backfill().unwrap().counts();
        assert_eq!(
            (counts.in_flight, counts.already_exists + counts.cleared),
            (1, 2)
        );
    }
}

#[test]
fn i9_a_dry_run_says_what_would_happen_and_changes_nothing() {
    let host = Host::new(dag(DAILY));
    let before = host.schedule.clone();
    let plan = host
        .schedule
        .backfill_dry_run(&host.dag, &june(1, 3), now(), &|_| None)
        .unwrap();
    assert_eq!(plan.len(), 3);
    assert!(plan.iter().all(|date| date.what == WhatHappens::Create));
    assert_eq!(host.schedule, before);
}

#[test]
fn i9_depends_on_past_forbids_run_backwards_and_wants_reprocessing() {
    let mut host = Host::new(with_task(DAILY, "    depends_on_past: true"));
    let backwards = BackfillRequest {
        run_backwards: true,
        ..june(1, 3)
    };
    assert!(matches!(
        begin_on(&mut host, backwards),
        Err(InvalidBackfill::Direction { .. })
    ));
    assert!(matches!(
        begin_on(&mut host, june(1, 3)),
        Err(InvalidBackfill::Reprocess { .. })
    ));
    let request = BackfillRequest {
        reprocess_behavior: ReprocessBehavior::Failed,
        ..june(1, 3)
    };
    assert_eq!(begin_on(&mut host, request), Ok(()));
}

#[test]
fn i9_a_backfill_that_cannot_be_is_refused_with_the_reason() {
    let mut host = Host::new(dag(DAILY));
    assert!(matches!(
        begin_on(&mut host, june(3, 1)),
        Err(InvalidBackfill::Reversed { .. })
    ));
    let none = BackfillRequest {
        max_active_runs: 0,
        ..june(1, 3)
    };
    assert_eq!(
        begin_on(&mut host, none),
        Err(InvalidBackfill::NoActiveRuns)
    );
    let future = BackfillRequest::new(at("2025-08-01T00:00:00Z"), at("2025-08-02T00:00:00Z"));
    assert!(matches!(
        begin_on(&mut host, future),
        Err(InvalidBackfill::Future { .. })
    ));
    let between = BackfillRequest::new(at("2025-06-01T03:00:00Z"), at("2025-06-01T04:00:00Z"));
    assert!(matches!(
        begin_on(&mut host, between),
        Err(InvalidBackfill::NoDates { .. })
    ));
    assert_eq!(begin_on(&mut host, june(1, 3)), Ok(()));
    assert_eq!(
        begin_on(&mut host, june(5, 6)),
        Err(InvalidBackfill::AlreadyRunning { id: 7 })
    );
    let mut host = Host::new(dag(
        "schedule: '@continuous'\nmax_active_runs: 1\nstart_date: 2025-06-01",
    ));
    assert_eq!(
        begin_on(&mut host, june(1, 3)),
        Err(InvalidBackfill::NoTimetable)
    );
    let mut host = Host::new(dag("schedule: '* * * * *'\nstart_date: 2025-06-01"));
    assert_eq!(
        begin_on(&mut host, june(1, 20)),
        Err(InvalidBackfill::TooManyDates)
    );
}

#[test]
fn i9_a_paused_backfill_makes_and_starts_nothing_and_a_cancelled_one_ends_with_its_runs() {
    let mut host = begin(BackfillRequest {
        max_active_runs: 1,
        ..june(1, 9)
    });
    assert_eq!(host.turns(now()), [id(1)]);
    assert!(host.schedule.pause_backfill(7, true) && !host.schedule.pause_backfill(8, true));
    let paused = NotStarted::BackfillPaused { backfill_id: 7 };
    assert_eq!(host.schedule.may_start(&host.dag, Some(7), 0), Err(paused));
    host.end(&id(1), Success, now());
    assert_eq!(host.turns(now()), [""; 0]);
    host.schedule.pause_backfill(7, false);
    assert_eq!(host.turns(now()), [id(2)]);
    assert_eq!(host.schedule.cancel_backfill(7, now()), []);
    assert_eq!(host.turns(now()), [""; 0]);
    host.end(&id(2), Success, now());
    assert!(host.ended[0].is_cancelled() && host.ended[0].ended_at() == Some(now()));
}

#[test]
fn i9_the_dates_stay_when_the_schedule_is_edited_and_a_period_keeps_its_grid() {
    let mut host = Host::new(dag(
        "schedule: {every: 1h}\nstart_date: 2025-06-01T00:30:00Z\nmax_active_runs: 1",
    ));
    let request = BackfillRequest::new(at("2025-06-02T00:00:00Z"), at("2025-06-02T02:00:00Z"));
    begin_on(
        &mut host,
        BackfillRequest {
            max_active_runs: 1,
            ..request
        },
    )
    .unwrap();
    host.turns(now());
    host.dag = dag(DAILY);
    host.end_all(Success, now());
    let made = host.turns(now());
    assert!(
        made.contains(&"backfill__2025-06-02T01:30:00+00:00".to_owned()),
        "{made:?}"
    );
    host.restart();
}

#[test]
fn i9_a_date_whose_run_id_an_edited_schedule_gave_to_another_is_left_alone() {
    let interval = "schedule: '@daily'\ntimetable: interval\nstart_date: 2025-06-01";
    let mut host = Host::new(dag(interval));
    begin_on(&mut host, june(1, 3)).unwrap();
    host.turns(now());
    host.end_all(Success, now());
    host.dag = dag("schedule: '@daily'\nstart_date: 2025-06-01");
    let midnight = BackfillRequest::new(at("2025-06-04T00:00:00Z"), at("2025-06-04T00:00:00Z"));
    begin_on(&mut host, midnight).unwrap();
    host.turns(now());
    host.end_all(Success, now());
    let counts = host.ended.last().unwrap().counts();
    assert_eq!(
        (counts.dates, counts.created, counts.already_exists),
        (1, 0, 1)
    );
}
