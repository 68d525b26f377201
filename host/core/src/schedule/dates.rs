//! Which dates a backfill runs, and whether it may: the checks that come before anything is made.

use super::backfill::ExistingRun;
use crate::dag::spec::{Dag, Schedule};
use crate::run::event::Json;
use crate::task_instance::state::DagRunState;
use crate::timetable::{DueRun, Timetable, TimetableError};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The dates of one backfill at most.
pub const BACKFILL_DATES_MAX: usize = 10_000;
/// Airflow's default for a backfill's `max_active_runs`.
pub const BACKFILL_MAX_ACTIVE_RUNS_DEFAULT: u32 = 10;

/// What becomes of a date that has a run which ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReprocessBehavior {
    /// It is left alone.
    #[default]
    None,
    /// It is cleared and run again if it failed.
    Failed,
    /// It is cleared and run again, failed or not.
    Completed,
}

/// What somebody asks a backfill to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackfillRequest {
    /// The earliest logical date.
    pub from_date: Timestamp,
    /// The latest logical date, included.
    pub to_date: Timestamp,
    /// The latest date goes first.
    pub run_backwards: bool,
    /// Its runs that may be unfinished at once; at least 1. They do not count against the DAG's own limit.
    pub max_active_runs: u32,
    /// What becomes of dates that were run.
    pub reprocess_behavior: ReprocessBehavior,
    /// The conf of its runs: a JSON object.
    pub conf: Json,
    /// Whether its runs take the DAG's latest version (Airflow 3.3's default).
    pub run_on_latest_version: bool,
}

impl BackfillRequest {
    /// Airflow's defaults for the dates from `from_date` to `to_date`.
    pub fn new(from_date: Timestamp, to_date: Timestamp) -> Self {
        Self {
            from_date,
            to_date,
            run_backwards: false,
            max_active_runs: BACKFILL_MAX_ACTIVE_RUNS_DEFAULT,
            reprocess_behavior: ReprocessBehavior::None,
            conf: "{}".to_owned(),
            run_on_latest_version: true,
        }
    }

    pub(super) fn check(&self, dag: &Dag, now: Timestamp) -> Result<(), InvalidBackfill> {
        if self.from_date > self.to_date {
            return Err(InvalidBackfill::Reversed {
                from_date: self.from_date,
                to_date: self.to_date,
            });
        }
        if self.from_date >= now {
            return Err(InvalidBackfill::Future {
                from_date: self.from_date,
            });
        }
        if self.max_active_runs == 0 {
            return Err(InvalidBackfill::NoActiveRuns);
        }
        let task = dag
            .tasks
            .iter()
            .find(|task| task.depends_on_past || task.wait_for_downstream);
        let Some(task) = task else {
            return Ok(());
        };
        let task_id = task.task_id.to_string();
        if self.run_backwards {
            Err(InvalidBackfill::Direction { task_id })
        } else if self.reprocess_behavior == ReprocessBehavior::None {
            Err(InvalidBackfill::Reprocess { task_id })
        } else {
            Ok(())
        }
    }

    /// What becomes of a date.
    pub(super) fn decide(&self, existing: Option<&ExistingRun>) -> WhatHappens {
        let Some(run) = existing else {
            return WhatHappens::Create;
        };
        match (run.state, self.reprocess_behavior) {
            (DagRunState::Queued | DagRunState::Running, _) => WhatHappens::InFlight,
            (_, ReprocessBehavior::Completed)
            | (DagRunState::Failed, ReprocessBehavior::Failed) => WhatHappens::Clear,
            _ => WhatHappens::AlreadyExists,
        }
    }
}

/// A backfill that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBackfill {
    /// The DAG has an unfinished one.
    #[error(
        "backfill {id} of this DAG has not ended; wait for it, or cancel it with `airlock backfill cancel {id}`"
    )]
    AlreadyRunning {
        /// Which.
        id: u64,
    },
    /// It ends before it begins.
    #[error(
        "--from-date {from_date} is later than --to-date {to_date}; swap them (--run-backwards turns the order of the runs)"
    )]
    Reversed {
        /// As given.
        from_date: Timestamp,
        /// As given.
        to_date: Timestamp,
    },
    /// It begins in the future.
    #[error("--from-date {from_date} is in the future; a backfill runs dates that have passed")]
    Future {
        /// As given.
        from_date: Timestamp,
    },
    /// It may run nothing.
    #[error("--max-active-runs is 0; write at least 1")]
    NoActiveRuns,
    /// The later run would be there before the one it depends on.
    #[error(
        "task {task_id} has depends_on_past, so the backfill cannot be run in reverse; leave --run-backwards out"
    )]
    Direction {
        /// The first such task.
        task_id: String,
    },
    /// A failed run in the middle would block all after it.
    #[error(
        "task {task_id} has depends_on_past; write --reprocess-behavior failed or completed, so that a run that failed before does not block those after it"
    )]
    Reprocess {
        /// The first such task.
        task_id: String,
    },
    /// The schedule has no ticks.
    #[error(
        "this DAG's schedule has no dates to run (it is on request, @once, @continuous or by assets); trigger a run with --logical-date instead"
    )]
    NoTimetable,
    /// The range holds no tick.
    #[error(
        "no date of the schedule lies from {from_date} to {to_date} and has passed; `airlock dags next-execution` shows the dates"
    )]
    NoDates {
        /// As given.
        from_date: Timestamp,
        /// As given.
        to_date: Timestamp,
    },
    /// The range is too long.
    #[error(
        "more than {BACKFILL_DATES_MAX} dates lie in the range; make several backfills of shorter ranges"
    )]
    TooManyDates,
    /// The schedule cannot be followed.
    #[error(transparent)]
    Timetable(#[from] TimetableError),
}

/// What a backfill does about one date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhatHappens {
    /// A run is made.
    Create,
    /// The run that exists is cleared and runs again.
    Clear,
    /// The run that exists is left alone.
    AlreadyExists,
    /// The run that exists has not ended, and is left alone.
    InFlight,
}

/// A line of a dry run.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedDate {
    /// The date.
    pub run: DueRun,
    /// What would happen if the backfill came to it now.
    pub what: WhatHappens,
    /// The run that exists.
    pub existing: Option<ExistingRun>,
}

pub(super) fn dry_run(
    request: &BackfillRequest,
    dates: &[DueRun],
    existing: &dyn Fn(Timestamp) -> Option<ExistingRun>,
) -> Vec<PlannedDate> {
    let planned = dates.iter().map(|run| {
        let existing = existing(run.logical_date);
        PlannedDate {
            run: *run,
            what: request.decide(existing.as_ref()),
            existing,
        }
    });
    if request.run_backwards {
        planned.rev().collect()
    } else {
        planned.collect()
    }
}

/// The ticks in the range, oldest first: logical dates from `from_date` to `to_date`, both included, whose interval ended
/// before `now`. A fixed period has its ticks where `anchor` puts them.
pub(super) fn dates(
    dag: &Dag,
    request: &BackfillRequest,
    anchor: Option<Timestamp>,
    now: Timestamp,
) -> Result<Vec<DueRun>, InvalidBackfill> {
    let schedule = match &dag.schedule {
        Schedule::AssetsOrTime(_, timed) => timed.as_ref(),
        schedule => schedule,
    };
    let first = match (schedule, anchor) {
        (Schedule::Cron(_), _) | (Schedule::Every(_), None) => request.from_date,
        (Schedule::Every(period), Some(anchor)) => aligned(request.from_date, anchor, *period)?,
        _ => return Err(InvalidBackfill::NoTimetable),
    };
    let range = (first, request.to_date);
    let timetable = Timetable::between(schedule, &dag.timezone, dag.timetable, range)?;
    let mut dates: Vec<DueRun> = Vec::new();
    while let Some(run) = timetable.next(dates.last(), now) {
        if run.data_interval_end >= now {
            break;
        }
        if dates.len() >= BACKFILL_DATES_MAX {
            return Err(InvalidBackfill::TooManyDates);
        }
        dates.push(run);
    }
    if dates.is_empty() {
        return Err(InvalidBackfill::NoDates {
            from_date: request.from_date,
            to_date: request.to_date,
        });
    }
    Ok(dates)
}

/// The first instant at or after `from` that lies a whole number of periods from `anchor`.
fn aligned(
    from: Timestamp,
    anchor: Timestamp,
    period: SignedDuration,
) -> Result<Timestamp, InvalidBackfill> {
    let invalid = InvalidBackfill::Timetable(TimetableError::InvalidPeriod { period });
    if period <= SignedDuration::ZERO {
        return Err(invalid);
    }
    let into = from
        .duration_since(anchor)
        .as_nanos()
        .rem_euclid(period.as_nanos());
    let missing = if into == 0 {
        0
    } else {
        period.as_nanos() - into
    };
    from.checked_add(SignedDuration::from_nanos_i128(missing))
        .map_err(|_| invalid)
}
