//! What is due now, and when to ask again.

use super::backfill::ExistingRun;
use super::run_id::{run_id, whole_microsecond};
use super::{ActiveRuns, CreateRun, DagSchedule, RUNS_A_CALL_MAX, ScheduleEffect, max_active_runs};
use crate::dag::spec::Dag;
use crate::ids::RunId;
use crate::run::event::RunType;
use crate::timetable::{DueRun, Timetable};
use jiff::{SignedDuration, Timestamp};

/// Ticks whose runs exist already that one call passes at most.
const TICKS_PASSED_MAX: usize = 1_000;

impl DagSchedule {
    /// What is to be done now; nothing while the DAG is paused. At most [`RUNS_A_CALL_MAX`] runs of each kind: ask again when
    /// [`Self::next_wake`] says so, when a run of the DAG has ended, and when an asset was updated.
    ///
    /// `existing` finds the run with a logical date, of whatever type: its date is not run by the timetable again. The anchor
    /// may move without an effect, so store the schedule if it changed. `is_taken` says whether a run has an id.
    pub fn due(
        &mut self,
        dag: &Dag,
        timetable: &Timetable,
        now: Timestamp,
        active: ActiveRuns,
        existing: &dyn Fn(Timestamp) -> Option<ExistingRun>,
        is_taken: &dyn Fn(&RunId) -> bool,
    ) -> Vec<ScheduleEffect> {
        if self.is_paused {
            return Vec::new();
        }
        let now = whole_microsecond(now);
        let mut effects: Vec<ScheduleEffect> = Vec::new();
        effects.extend(self.due_by_assets(dag, now).map(ScheduleEffect::Create));
        let unfinished = active.running.saturating_add(active.queued);
        let made = u32::try_from(effects.len()).unwrap_or(u32::MAX);
        let room = max_active_runs(dag).saturating_sub(unfinished.saturating_add(made));
        let scheduled = self.due_by_time(dag, timetable, now, room, existing);
        effects.extend(scheduled.into_iter().map(ScheduleEffect::Create));
        if let Some(backfill) = &mut self.backfill {
            // A date that this call gave to the timetable is in flight.
            let made = made_in(&effects);
            let taken = |date: Timestamp| existing(date).or_else(|| made(date));
            let steps = backfill.due(&taken, is_taken, RUNS_A_CALL_MAX);
            effects.extend(steps);
        }
        effects.extend(self.end_backfill(now));
        effects
    }

    /// When [`Self::due`] has something to say next, unless a run ends or an asset is updated before; not before `now`.
    pub fn next_wake(
        &self,
        dag: &Dag,
        timetable: &Timetable,
        now: Timestamp,
        active: ActiveRuns,
    ) -> Option<Timestamp> {
        if self.is_paused {
            return None;
        }
        let by_assets = dag
            .schedule
            .assets()
            .is_some_and(|expression| self.assets.is_ready(expression));
        let by_backfill = self
            .backfill
            .as_ref()
            .is_some_and(|backfill| backfill.is_due());
        if by_assets || by_backfill {
            return Some(now);
        }
        if active.running.saturating_add(active.queued) >= max_active_runs(dag) {
            return None;
        }
        let run = self.next_scheduled(timetable, whole_microsecond(now))?;
        Some(run.run_after.max(now))
    }

    /// The run that the timetable makes next, due or not, whatever the limits.
    pub fn next_scheduled(&self, timetable: &Timetable, now: Timestamp) -> Option<DueRun> {
        let Some(last) = &self.last else {
            return timetable.next(None, now);
        };
        let is_new = |run: &DueRun| run.logical_date > last.logical_date;
        let run = timetable.next(Some(last), now);
        if !timetable.is_continuous() {
            let run = run?;
            if is_new(&run) {
                return Some(run);
            }
            // An edit may put the tick before the end of the last interval before its date: then the tick after that date.
            let next = timetable.next(Some(&DueRun::exact(last.logical_date)), now);
            return next.filter(is_new);
        }
        let run = run.filter(is_new);
        // Ids are made of run_after: it goes forward, also in the microsecond of the last run and after a clock was set back.
        run.filter(|_| last.run_after < now)
            .or_else(|| after(last, now).filter(|run| !timetable.is_over(run.run_after)))
    }

    fn due_by_assets(&mut self, dag: &Dag, now: Timestamp) -> Option<CreateRun> {
        let consumed = self.assets.consume(dag.schedule.assets()?, now)?;
        let run_type = RunType::AssetTriggered;
        let run_id = run_id(run_type, consumed.run_after).ok()?;
        let mut run = CreateRun::new(run_id, run_type, consumed.run_after);
        run.asset_events = consumed.events;
        Some(run)
    }

    fn due_by_time(
        &mut self,
        dag: &Dag,
        timetable: &Timetable,
        now: Timestamp,
        room: u32,
        existing: &dyn Fn(Timestamp) -> Option<ExistingRun>,
    ) -> Vec<CreateRun> {
        let room = usize::try_from(room).map_or(RUNS_A_CALL_MAX, |room| room.min(RUNS_A_CALL_MAX));
        let mut runs = Vec::new();
        for _ in 0..TICKS_PASSED_MAX {
            if runs.len() >= room {
                break;
            }
            let next = self.next_scheduled(timetable, now);
            let Some(due) = next.filter(|due| due.run_after <= now) else {
                break;
            };
            let is_first = self.last.replace(due).is_none();
            if existing(due.logical_date).is_some() {
                continue;
            }
            if let Some(mut run) = CreateRun::dated(RunType::Scheduled, &due) {
                // With catchup the previous run is the previous scheduled one, and there is none.
                run.ignore_depends_on_past = is_first && dag.catchup;
                runs.push(run);
            }
        }
        runs
    }
}

/// A continuous run after one with the same logical date or of the same microsecond, or after a clock that was set back: it
/// goes on where the last one ended, under a date of its own.
fn after(last: &DueRun, now: Timestamp) -> Option<DueRun> {
    let taken = last.logical_date.max(last.data_interval_end);
    let at = now.max(taken.checked_add(SignedDuration::from_micros(1)).ok()?);
    Some(DueRun {
        logical_date: at,
        data_interval_start: last.data_interval_end,
        data_interval_end: at,
        run_after: at,
    })
}

fn made_in(effects: &[ScheduleEffect]) -> impl Fn(Timestamp) -> Option<ExistingRun> + use<> {
    let made: Vec<(Timestamp, ExistingRun)> = effects
        .iter()
        .filter_map(|effect| match effect {
            ScheduleEffect::Create(run) => {
                Some((run.logical_date?, ExistingRun::queued(run.run_id.clone())))
            }
            _ => None,
        })
        .collect();
    move |date| {
        let found = made.iter().find(|(made, _)| *made == date);
        found.map(|(_, run)| run.clone())
    }
}
