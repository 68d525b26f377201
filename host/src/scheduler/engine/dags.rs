//! The DAGs of the service: their schedules decide when runs are made; here they are made. A schedule is stored in the commit
//! of the run that changed it, so that a restart makes no run twice and forgets none. It refuses to decide what is due.

use super::Engine;
use crate::scheduler::batch::Batch;
use crate::scheduler::codec::{decode_row, encode_row};
use crate::scheduler::message::SchedulerError;
use crate::scheduler::queries::run_at;
use crate::scheduler::records::{DagRow, RunRow, schedule_key};
use crate::scheduler::stored::durations;
use crate::store::Table;
use airlock_core::dag::check_params;
use airlock_core::dag::spec::Dag;
use airlock_core::ids::{DagId, RunId};
use airlock_core::run::event::RunHeader;
use airlock_core::schedule::{
    ActiveRuns, ClearRun, CreateRun, DagSchedule, DeadlineFacts, ExistingRun, ScheduleEffect,
    deadlines, past_durations_needed,
};
use airlock_core::task_instance::state::DagRunState;
use airlock_core::timetable::Timetable;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::cmp::Reverse;
use std::sync::Arc;

/// Durations that are remembered of a DAG: as many as a deadline may ask for.
const DURATIONS_MAX: usize = 1_000;

/// A DAG that the service makes runs of.
pub(super) struct LiveDag {
    pub(super) dag: Arc<Dag>,
    pub(super) dag_version: [u8; 32],
    pub(super) row: DagRow,
    pub(super) schedule: DagSchedule,
    /// The schedule was checked when the DAG was read; a DAG without one makes no runs.
    pub(super) timetable: Option<Timetable>,
}

impl LiveDag {
    pub(super) fn new(
        dag: Arc<Dag>,
        dag_version: [u8; 32],
        row: DagRow,
        schedule: Option<DagSchedule>,
    ) -> Self {
        let timetable = Timetable::new(&dag)
            .inspect_err(|error| tracing::error!(dag_id = %dag.dag_id, %error, "no runs are made"))
            .ok();
        let mut schedule = schedule.unwrap_or_else(|| DagSchedule::new(&dag));
        schedule.set_paused(row.is_paused || row.is_stale);
        Self {
            dag,
            dag_version,
            row,
            schedule,
            timetable,
        }
    }
}

impl Engine {
    /// A DAG is new, edited, paused or stale.
    pub(super) fn put_dag(
        &mut self,
        dag: Arc<Dag>,
        dag_version: [u8; 32],
        row: DagRow,
        batch: &mut Batch,
    ) {
        if !self.is_service {
            return;
        }
        let dag_id = row.dag_id.clone();
        let schedule = self.dags.remove(&dag_id).map(|old| old.schedule);
        let live = LiveDag::new(dag, dag_version, row, schedule);
        self.dispatcher.set_paused(&dag_id, live.row.is_paused);
        self.dags.insert(dag_id.clone(), live);
        self.start_runs(&dag_id, batch);
        self.make_runs(&dag_id, batch);
    }

    /// Reads every DAG. What was told before is in the store as well.
    pub(super) fn start_service(&mut self, batch: &mut Batch) -> Result<(), SchedulerError> {
        self.is_service = true;
        let failed = |error: &dyn std::fmt::Display| SchedulerError::Store(error.to_string());
        let dags = crate::scheduler::stored::stored_dags(self.parts.store.as_ref())
            .map_err(|error| failed(&error))?;
        let mut dag_ids = Vec::with_capacity(dags.len());
        for stored in dags {
            let dag_id = stored.row.dag_id.clone();
            self.dispatcher.set_paused(&dag_id, stored.row.is_paused);
            let live = LiveDag::new(stored.dag, stored.dag_version, stored.row, stored.schedule);
            self.dags.insert(dag_id.clone(), live);
            dag_ids.push(dag_id);
        }
        self.tell_untold(batch).map_err(|error| failed(&error))?;
        for dag_id in dag_ids {
            self.catch_up(&dag_id, batch);
            self.start_runs(&dag_id, batch);
            self.make_runs(&dag_id, batch);
            self.submit_if_full(batch);
        }
        Ok(())
    }

    /// Runs of a backfill that ended while no service was there to hear of it.
    fn catch_up(&mut self, dag_id: &DagId, batch: &mut Batch) {
        let Some(live) = self.dags.get(dag_id) else {
            return;
        };
        let active = live
            .schedule
            .backfill()
            .map(airlock_core::schedule::Backfill::active);
        let active: Vec<_> = active.into_iter().flatten().cloned().collect();
        for run_id in active {
            match self.look(dag_id, &run_id, |state, _| state.state()) {
                Ok(state) if state.is_finished() => {
                    self.schedule_run_ended(dag_id, &run_id, state, batch);
                }
                // It goes on, and its end will be heard of.
                Ok(_) => {}
                Err(SchedulerError::NotFound { .. }) => {
                    tracing::warn!(%dag_id, %run_id, "a run of the backfill is not there any more");
                    self.schedule_run_ended(dag_id, &run_id, DagRunState::Failed, batch);
                }
                Err(error) => {
                    tracing::error!(%dag_id, %run_id, %error, "a run of the backfill cannot be read");
                }
            }
        }
    }

    /// What counts against the limits of a DAG.
    fn active_runs(&self, dag_id: &DagId) -> ActiveRuns {
        self.active
            .get(dag_id)
            .map_or_else(ActiveRuns::default, |active| ActiveRuns {
                running: active.running,
                queued: u32::try_from(active.queued.len()).unwrap_or(u32::MAX),
            })
    }

    /// Makes every run that is due, and asks to be woken for the next one.
    pub(super) fn make_runs(&mut self, dag_id: &DagId, batch: &mut Batch) {
        if self.failure.is_some() {
            return;
        }
        let (now, active) = (self.parts.clock.now(), self.active_runs(dag_id));
        let Some(mut live) = self.dags.remove(dag_id) else {
            return;
        };
        let before = live.schedule.clone();
        let effects = match &live.timetable {
            Some(timetable) => {
                let existing = |date| self.existing(dag_id, date);
                let is_taken = |run_id: &RunId| self.is_taken(dag_id, run_id);
                let schedule = &mut live.schedule;
                schedule.due(&live.dag, timetable, now, active, &existing, &is_taken)
            }
            None => Vec::new(),
        };
        let changed = live.schedule != before;
        self.dags.insert(dag_id.clone(), live);
        for effect in effects {
            self.carry_out_schedule(dag_id, effect, batch);
        }
        if changed {
            self.store_schedule(dag_id, batch);
        }
        self.wake_dag(dag_id, now);
    }

    fn wake_dag(&mut self, dag_id: &DagId, now: Timestamp) {
        let active = self.active_runs(dag_id);
        let at = self.dags.get(dag_id).and_then(|live| {
            let timetable = live.timetable.as_ref()?;
            live.schedule.next_wake(&live.dag, timetable, now, active)
        });
        if let Some(at) = at {
            self.dag_timers.push(Reverse((at, dag_id.clone())));
        }
    }

    /// DAGs that asked to be woken by now.
    pub(super) fn wake_dags(&mut self, batch: &mut Batch) {
        let now = self.parts.clock.now();
        let mut due = std::collections::BTreeSet::new();
        while let Some(Reverse((at, _))) = self.dag_timers.peek() {
            if *at > now {
                break;
            }
            if let Some(Reverse((_, dag_id))) = self.dag_timers.pop() {
                due.insert(dag_id);
            }
        }
        for dag_id in due {
            self.make_runs(&dag_id, batch);
            self.submit_if_full(batch);
        }
    }

    /// The run with a logical date, live or in the store.
    pub(super) fn existing(&self, dag_id: &DagId, date: Timestamp) -> Option<ExistingRun> {
        let live = self.dates.get(&(dag_id.clone(), date));
        let live = live.and_then(|number| self.runs.get(number));
        let row = match live {
            Some(run) => Some(run.row.clone()),
            None => run_at(self.parts.store.as_ref(), dag_id, date)
                .inspect_err(|error| tracing::error!(%dag_id, %error, "a run index cannot be read"))
                .ok()
                .flatten(),
        };
        row.map(|row| ExistingRun {
            run_id: row.run_id,
            state: row.state,
        })
    }

    /// Does what a schedule said. The schedule is written in the same commit: a backfill that has ended is in one of the two
    /// places, never in both or none.
    pub(super) fn carry_out_schedule(
        &mut self,
        dag_id: &DagId,
        effect: ScheduleEffect,
        batch: &mut Batch,
    ) {
        match effect {
            ScheduleEffect::Create(run) => self.create_run(dag_id, run, batch),
            ScheduleEffect::Clear(run) => self.clear_for_backfill(dag_id, &run, batch),
            ScheduleEffect::Paused { failed_in_a_row } => {
                self.pause_after_failures(dag_id, failed_in_a_row, batch);
            }
            ScheduleEffect::BackfillEnded(backfill) => {
                let key = crate::scheduler::records::backfill_key(dag_id, backfill.id());
                match encode_row(&*backfill) {
                    Ok(value) => batch.row(Table::State, key, Some(value)),
                    Err(error) => tracing::error!(%error, "a backfill cannot be encoded"),
                }
            }
        }
    }

    fn create_run(&mut self, dag_id: &DagId, run: CreateRun, batch: &mut Batch) {
        let Some(live) = self.dags.get(dag_id) else {
            return;
        };
        let (dag, dag_version) = (live.dag.clone(), live.dag_version);
        if self.is_taken(dag_id, &run.run_id) {
            return;
        }
        if let Some(header) = self.filled_header(&dag, run) {
            self.record_run(dag, dag_version, header, batch);
        }
    }

    /// What the shell adds to a run that a schedule makes: params and deadlines.
    fn filled_header(&mut self, dag: &Dag, run: CreateRun) -> Option<RunHeader> {
        let mut header = run.into_header();
        let conf: Value = serde_json::from_str(&header.conf).unwrap_or_default();
        match check_params(dag, &conf) {
            Ok(params) => header.params = Value::Object(params).to_string(),
            Err(errors) => {
                tracing::error!(dag_id = %dag.dag_id, run_id = %header.run_id, errors = errors.join("; "),
                    "the run is not made: give every param of a scheduled DAG a default");
                return None;
            }
        }
        header.deadlines = self.deadlines_of(dag, header.logical_date);
        Some(header)
    }

    /// When a run that is recorded now should have ended.
    pub(super) fn deadlines_of(
        &mut self,
        dag: &Dag,
        logical_date: Option<Timestamp>,
    ) -> Vec<Option<Timestamp>> {
        let past = self.past_durations(dag);
        let facts = DeadlineFacts {
            logical_date,
            queued_at: self.parts.clock.now(),
            past_durations: &past,
        };
        deadlines(dag, &facts)
    }

    /// How long as many runs took as the DAG's deadlines ask for. Read once; then each end is added.
    fn past_durations(&mut self, dag: &Dag) -> Vec<SignedDuration> {
        let needed = usize::try_from(past_durations_needed(dag)).unwrap_or(usize::MAX);
        if needed == 0 {
            self.durations.remove(&dag.dag_id);
            return Vec::new();
        }
        if !self.durations.contains_key(&dag.dag_id) {
            let read = durations(self.parts.store.as_ref(), &dag.dag_id, DURATIONS_MAX)
                .inspect_err(
                    |error| tracing::error!(dag_id = %dag.dag_id, %error, "past runs cannot be read"),
                )
                .unwrap_or_default();
            let took = read.into_iter().map(|(_, took)| took).collect();
            self.durations.insert(dag.dag_id.clone(), took);
        }
        let known = self.durations.get(&dag.dag_id).into_iter().flatten();
        known.take(needed).copied().collect()
    }

    /// A run has ended in success.
    pub(super) fn remember_duration(&mut self, row: &RunRow) {
        let (Some(known), Some(start), Some(end)) = (
            self.durations.get_mut(&row.dag_id),
            row.start_date,
            row.end_date,
        ) else {
            return;
        };
        known.push_front(end.duration_since(start));
        known.truncate(DURATIONS_MAX);
    }

    fn pause_after_failures(&mut self, dag_id: &DagId, failed: u32, batch: &mut Batch) {
        let Some(live) = self.dags.get_mut(dag_id) else {
            return;
        };
        tracing::warn!(%dag_id, failed, "paused: so many runs in a row have failed");
        live.row.is_paused = true;
        self.dispatcher.set_paused(dag_id, true);
        let key = dag_id.as_str().as_bytes().to_vec();
        // A version that was registered a moment ago is in the store, and may not have been told here yet.
        let stored = self.parts.store.get(Table::Dag, &key).ok().flatten();
        let stored = stored.and_then(|row| decode_row::<DagRow>(&row.value).ok());
        let row = DagRow {
            is_paused: true,
            ..stored.unwrap_or_else(|| live.row.clone())
        };
        match encode_row(&row) {
            Ok(value) => {
                batch.row(Table::Dag, key, Some(value));
            }
            Err(error) => tracing::error!(%error, "a DAG's row cannot be encoded"),
        }
    }

    pub(super) fn store_schedule(&mut self, dag_id: &DagId, batch: &mut Batch) {
        let Some(live) = self.dags.get(dag_id) else {
            return;
        };
        match encode_row(&live.schedule) {
            Ok(value) => batch.row(Table::State, schedule_key(dag_id), Some(value)),
            Err(error) => tracing::error!(%dag_id, %error, "a schedule cannot be encoded"),
        }
    }

    /// A run ended: failures in a row, its backfill, the next run.
    pub(super) fn schedule_run_ended(
        &mut self,
        dag_id: &DagId,
        run_id: &RunId,
        state: airlock_core::task_instance::state::DagRunState,
        batch: &mut Batch,
    ) {
        let now = self.parts.clock.now();
        let Some(live) = self.dags.get_mut(dag_id) else {
            return;
        };
        let before = live.schedule.clone();
        let effects = live.schedule.run_ended(&live.dag, run_id, state, now);
        let changed = live.schedule != before;
        for effect in effects {
            self.carry_out_schedule(dag_id, effect, batch);
        }
        if changed {
            self.store_schedule(dag_id, batch);
        }
        self.make_runs(dag_id, batch);
    }

    fn clear_for_backfill(&mut self, dag_id: &DagId, run: &ClearRun, batch: &mut Batch) {
        let reopened = self.reopen_for_backfill(dag_id, run, batch);
        if let Err(error) = reopened {
            tracing::error!(%dag_id, run_id = %run.run_id, %error, "the backfill cannot run the date again");
        }
    }
}
