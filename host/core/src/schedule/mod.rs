//! When runs of one DAG are made: by its timetable, by assets, by a backfill; and when a run that waits may start.
//! Pure: `now`, what runs exist and how many are active are handed in, and what is to be done comes back as values.
//! It refuses to make a run itself. The shell stores a [`DagSchedule`] in the same commit as the runs it said to make, so
//! that a restart at any point makes no run twice and forgets none.

mod assets;
mod backfill;
mod dates;
mod deadline;
mod due;
mod left;
mod run_id;

pub use assets::ASSET_EVENTS_MAX;
pub use backfill::{Backfill, BackfillCounts, ExistingRun};
pub use dates::{
    BACKFILL_DATES_MAX, BACKFILL_MAX_ACTIVE_RUNS_DEFAULT, BackfillRequest, InvalidBackfill,
    PlannedDate, ReprocessBehavior, WhatHappens,
};
pub use deadline::{DeadlineFacts, deadlines, past_durations_needed};
pub use run_id::{isoformat, run_id, whole_microsecond};

use crate::dag::spec::{Dag, Schedule};
use crate::ids::RunId;
use crate::run::event::{AssetEvent, Json, RunHeader, RunType};
use crate::task_instance::state::DagRunState;
use crate::timetable::DueRun;
use assets::AssetQueue;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Runs that one call makes at most. What is left is due at once again: [`DagSchedule::next_wake`] says so.
pub const RUNS_A_CALL_MAX: usize = 100;

/// The unfinished runs of a DAG that count against `max_active_runs`: all but those of backfills.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ActiveRuns {
    /// In state `running`.
    pub running: u32,
    /// In state `queued`.
    pub queued: u32,
}

/// What the shell is to do.
#[derive(Debug, Clone, PartialEq)]
pub enum ScheduleEffect {
    /// Make this run, `queued`.
    Create(CreateRun),
    /// Clear every task instance of a run that exists, so that it runs again as a part of the backfill: its type becomes
    /// `backfill`.
    Clear(ClearRun),
    /// The DAG was paused after so many failed runs in a row.
    Paused {
        /// How many.
        failed_in_a_row: u32,
    },
    /// Every date of the backfill was run or skipped, or it was cancelled and its runs have ended. It is not part of the
    /// schedule any more.
    BackfillEnded(Box<Backfill>),
}

/// A run to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateRun {
    /// Its id.
    pub run_id: RunId,
    /// Why it exists.
    pub run_type: RunType,
    /// `None` for a run that assets made.
    pub logical_date: Option<Timestamp>,
    /// Start and end of the data interval; `None` for a run that assets made.
    pub data_interval: Option<(Timestamp, Timestamp)>,
    /// When it was due.
    pub run_after: Timestamp,
    /// The backfill that makes it, and the conf it gives.
    pub backfill: Option<(u64, Json)>,
    /// What the previous run left does not matter.
    pub ignore_depends_on_past: bool,
    /// What it consumes, oldest first.
    pub asset_events: Vec<AssetEvent>,
    /// Which version of the DAG it takes: false only where a backfill was told so.
    pub run_on_latest_version: bool,
}

impl CreateRun {
    fn new(run_id: RunId, run_type: RunType, run_after: Timestamp) -> Self {
        Self {
            run_id,
            run_type,
            logical_date: None,
            data_interval: None,
            run_after,
            backfill: None,
            ignore_depends_on_past: false,
            asset_events: Vec::new(),
            run_on_latest_version: true,
        }
    }

    /// The run of a tick. `None` only for a date that no id can hold.
    fn dated(run_type: RunType, due: &DueRun) -> Option<Self> {
        let run_id = run_id(run_type, due.run_after).ok()?;
        let mut run = Self::new(run_id, run_type, due.run_after);
        run.logical_date = Some(due.logical_date);
        run.data_interval = Some((due.data_interval_start, due.data_interval_end));
        Some(run)
    }

    /// What the run's first event says about it; its `params` and `deadlines` are the shell's to fill in.
    pub fn into_header(self) -> RunHeader {
        let mut header = RunHeader::new(self.run_id, self.run_type, self.run_after);
        header.logical_date = self.logical_date;
        header.data_interval_start = self.data_interval.map(|interval| interval.0);
        header.data_interval_end = self.data_interval.map(|interval| interval.1);
        header.ignore_depends_on_past = self.ignore_depends_on_past;
        header.triggered_by = match (&self.backfill, self.run_type) {
            (Some((id, _)), _) => format!("backfill {id}"),
            (None, RunType::AssetTriggered) => "assets".to_owned(),
            (None, _) => "timetable".to_owned(),
        };
        header.asset_events = self.asset_events;
        if let Some((id, conf)) = self.backfill {
            header.backfill_id = Some(id);
            header.conf = conf;
        }
        header
    }
}

/// A run to be cleared for a backfill.
#[derive(Debug, Clone, PartialEq)]
pub struct ClearRun {
    /// Which run.
    pub run_id: RunId,
    /// The backfill that it becomes part of.
    pub backfill_id: u64,
    /// The conf it gets.
    pub conf: Json,
    /// Whether it goes on with the DAG's latest version.
    pub run_on_latest_version: bool,
    /// What the previous run left does not matter.
    pub ignore_depends_on_past: bool,
}

/// Why a queued run does not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotStarted {
    /// The DAG is paused.
    DagPaused,
    /// So many runs are running already, and no more may.
    MaxActiveRuns {
        /// The limit.
        max_active_runs: u32,
    },
    /// Its backfill is paused.
    BackfillPaused {
        /// Which.
        backfill_id: u64,
    },
    /// So many runs of its backfill are running already.
    BackfillMaxActiveRuns {
        /// Which.
        backfill_id: u64,
        /// The limit.
        max_active_runs: u32,
    },
}

/// What is remembered about when runs of one DAG are made. Serializable in formats without self-description.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DagSchedule {
    is_paused: bool,
    /// The anchor of the timetable: the last run that it made.
    last: Option<DueRun>,
    failed_in_a_row: u32,
    assets: AssetQueue,
    backfill: Option<Box<Backfill>>,
}

impl DagSchedule {
    /// A DAG that is new here.
    pub fn new(dag: &Dag) -> Self {
        Self {
            is_paused: dag.is_paused_upon_creation,
            last: None,
            failed_in_a_row: 0,
            assets: AssetQueue::default(),
            backfill: None,
        }
    }

    /// Whether no run is made or started.
    pub fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Somebody pauses or unpauses the DAG. Unpausing forgets the failures that may have paused it.
    pub fn set_paused(&mut self, is_paused: bool) {
        if self.is_paused && !is_paused {
            self.failed_in_a_row = 0;
        }
        self.is_paused = is_paused;
    }

    /// The last run that the timetable made.
    pub fn last_scheduled(&self) -> Option<&DueRun> {
        self.last.as_ref()
    }

    /// Failed runs since the last one that ended well.
    pub fn failed_in_a_row(&self) -> u32 {
        self.failed_in_a_row
    }

    /// The asset events that wait, by asset.
    pub fn asset_events(&self) -> impl Iterator<Item = &AssetEvent> {
        self.assets.events()
    }

    /// Events that were dropped because [`ASSET_EVENTS_MAX`] waited.
    pub fn asset_events_dropped(&self) -> u64 {
        self.assets.dropped()
    }

    /// An asset was updated. False where the DAG does not wait for it, or is paused: then the event is not kept, as in
    /// Airflow, so that unpausing begins with a blank slate.
    pub fn asset_updated(&mut self, dag: &Dag, event: AssetEvent) -> bool {
        match dag.schedule.assets() {
            Some(expression) if !self.is_paused => self.assets.push(expression, event),
            _ => false,
        }
    }

    /// The backfill that has not ended.
    pub fn backfill(&self) -> Option<&Backfill> {
        self.backfill.as_deref()
    }

    /// Begins a backfill under an id that no other has; its runs come from [`Self::due`].
    pub fn create_backfill(
        &mut self,
        dag: &Dag,
        id: u64,
        request: BackfillRequest,
        now: Timestamp,
    ) -> Result<(), InvalidBackfill> {
        if let Some(backfill) = &self.backfill {
            return Err(InvalidBackfill::AlreadyRunning { id: backfill.id() });
        }
        let dates = self.backfill_dates(dag, &request, now)?;
        let backfill = Backfill::new(id, request, &dates, now);
        self.backfill = Some(Box::new(backfill));
        Ok(())
    }

    /// What a backfill would do, in its order; nothing changes.
    pub fn backfill_dry_run(
        &self,
        dag: &Dag,
        request: &BackfillRequest,
        now: Timestamp,
        existing: &dyn Fn(Timestamp) -> Option<ExistingRun>,
    ) -> Result<Vec<PlannedDate>, InvalidBackfill> {
        let dates = self.backfill_dates(dag, request, now)?;
        Ok(dates::dry_run(request, &dates, existing))
    }

    fn backfill_dates(
        &self,
        dag: &Dag,
        request: &BackfillRequest,
        now: Timestamp,
    ) -> Result<Vec<DueRun>, InvalidBackfill> {
        let anchor = self.last.as_ref().map(|run| run.logical_date);
        request.check(dag, now)?;
        dates::dates(dag, request, anchor.or(dag.start_date), now)
    }

    /// Pauses or unpauses the backfill: no more of its runs are made or started. False if there is no such backfill.
    pub fn pause_backfill(&mut self, id: u64, is_paused: bool) -> bool {
        let backfill = self
            .backfill
            .as_mut()
            .filter(|backfill| backfill.id() == id);
        backfill.is_some_and(|backfill| {
            backfill.set_paused(is_paused);
            true
        })
    }

    /// Makes no more runs of a backfill; those it made go on, and it ends with the last of them. Those of its runs that are
    /// still `queued` are the shell's to end.
    pub fn cancel_backfill(&mut self, id: u64, now: Timestamp) -> Vec<ScheduleEffect> {
        if let Some(backfill) = self
            .backfill
            .as_mut()
            .filter(|backfill| backfill.id() == id)
        {
            backfill.cancel();
        }
        self.end_backfill(now).into_iter().collect()
    }

    /// Whether a queued run may start, `running` runs counted with it being: of its backfill, or of the DAG without backfills.
    pub fn may_start(
        &self,
        dag: &Dag,
        backfill_id: Option<u64>,
        running: u32,
    ) -> Result<(), NotStarted> {
        if self.is_paused {
            return Err(NotStarted::DagPaused);
        }
        let backfill = self.backfill.as_deref();
        let Some(backfill_id) = backfill_id else {
            let max_active_runs = max_active_runs(dag);
            if running < max_active_runs {
                return Ok(());
            }
            return Err(NotStarted::MaxActiveRuns { max_active_runs });
        };
        let backfill = backfill.filter(|backfill| backfill.id() == backfill_id);
        let max_active_runs = backfill.map_or(1, |backfill| backfill.request().max_active_runs);
        if backfill.is_some_and(Backfill::is_paused) {
            Err(NotStarted::BackfillPaused { backfill_id })
        } else if running >= max_active_runs {
            Err(NotStarted::BackfillMaxActiveRuns {
                backfill_id,
                max_active_runs,
            })
        } else {
            Ok(())
        }
    }

    /// A run ended. Called once for each, in the commit that records its end.
    pub fn run_ended(
        &mut self,
        dag: &Dag,
        run_id: &RunId,
        state: DagRunState,
        now: Timestamp,
    ) -> Vec<ScheduleEffect> {
        let mut effects = Vec::new();
        if let Some(backfill) = &mut self.backfill {
            backfill.run_ended(run_id, state);
        }
        effects.extend(self.end_backfill(now));
        self.failed_in_a_row = match state {
            DagRunState::Failed => self.failed_in_a_row.saturating_add(1),
            _ => 0,
        };
        let limit = dag.max_consecutive_failed_dag_runs;
        if limit > 0 && self.failed_in_a_row >= limit && !self.is_paused {
            self.is_paused = true;
            effects.push(ScheduleEffect::Paused {
                failed_in_a_row: self.failed_in_a_row,
            });
        }
        effects
    }

    fn end_backfill(&mut self, now: Timestamp) -> Option<ScheduleEffect> {
        let mut ended = self.backfill.take_if(|backfill| backfill.is_done())?;
        ended.end(now);
        Some(ScheduleEffect::BackfillEnded(ended))
    }
}

/// A continuous schedule allows one run at a time, whatever the DAG says.
fn max_active_runs(dag: &Dag) -> u32 {
    let schedule = match &dag.schedule {
        Schedule::AssetsOrTime(_, timed) => timed.as_ref(),
        schedule => schedule,
    };
    match schedule {
        Schedule::Continuous => dag.max_active_runs.min(1),
        _ => dag.max_active_runs,
    }
}
