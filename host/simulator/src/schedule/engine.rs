//! What the modelled host does with what the core's schedules say, as the real one does: a turn is one commit with the runs that
//! it made and the schedules that changed, and what is on its way to the store may be lost.

use super::audit::{Audit, recorded};
use super::host::existing;
use super::plan::Plan;
use super::sim::Sim;
use super::store::{Commit, Write, encode};
use crate::audit::Checked;
use airlock_core::ids::RunId;
use airlock_core::run::event::{AssetEvent, RunType};
use airlock_core::schedule::{ClearRun, CreateRun, ScheduleEffect};
use airlock_core::task_instance::state::DagRunState;
use airlock_core::timetable::Timetable;
use jiff::Timestamp;
use std::cmp::Reverse;
use std::rc::Rc;

impl Sim {
    /// Hands a turn over to the store.
    pub(super) fn submit(&mut self, turn: Commit) {
        if !turn.is_empty() {
            self.host.in_flight.push_back(turn);
        }
    }

    /// Makes what is due, and asks to be woken.
    pub(super) fn make_runs(&mut self, dag: usize, turn: &mut Commit) -> Checked<()> {
        let now = self.now;
        let Some(live) = self.host.dags.get_mut(dag) else {
            return Ok(());
        };
        let active = live.active();
        let before = live.schedule.clone();
        let (plan, timetable, runs) = (live.plan.clone(), &live.timetable, &live.runs);
        let existing = |date: Timestamp| existing(runs, date);
        let is_taken = |run_id: &RunId| runs.contains_key(run_id);
        let schedule = &mut live.schedule;
        let effects = schedule.due(&plan.dag, timetable, now, active, &existing, &is_taken);
        let changed = live.schedule != before;
        let left_before = self.audit.due(dag, now, &effects, &live.schedule)?;
        self.stats.asked += 1;
        let said = effects.len();
        for effect in effects {
            self.carry_out(dag, effect, turn);
        }
        if let Some(live) = self.host.dags.get(dag) {
            self.audit
                .carried_out(dag, now, said, left_before, &live.schedule)?;
        }
        if changed {
            self.store_schedule(dag, turn);
        }
        self.start_runs(dag, turn)?;
        self.wake_dag(dag)
    }

    pub(super) fn wake_dag(&mut self, dag: usize) -> Checked<()> {
        let Some(live) = self.host.dags.get(dag) else {
            return Ok(());
        };
        let (plan, active) = (&live.plan.dag, live.active());
        let wake = live
            .schedule
            .next_wake(plan, &live.timetable, self.now, active);
        self.audit.wakes(dag, self.now, wake)?;
        if let Some(at) = wake {
            self.host.timers.push(Reverse((at, dag)));
        }
        Ok(())
    }

    fn carry_out(&mut self, dag: usize, effect: ScheduleEffect, turn: &mut Commit) {
        match effect {
            ScheduleEffect::Create(run) => self.create(dag, &run, turn),
            ScheduleEffect::Clear(clear) => self.clear(dag, &clear, turn),
            ScheduleEffect::Paused { .. } | ScheduleEffect::BackfillEnded(_) => {}
        }
    }

    fn create(&mut self, dag: usize, run: &CreateRun, turn: &mut Commit) {
        self.say(|| format!("d{dag}  makes {} for {:?}", run.run_id, run.logical_date));
        self.stats.runs += 1;
        let Some(live) = self.host.dags.get_mut(dag) else {
            return;
        };
        let run = recorded(run);
        live.queued.push_back(run.run_id.clone());
        live.runs.insert(run.run_id.clone(), run.clone());
        turn.write(dag, Write::Run(run));
    }

    fn clear(&mut self, dag: usize, clear: &ClearRun, turn: &mut Commit) {
        self.say(|| format!("d{dag}  clears {}", clear.run_id));
        let live = self.host.dags.get_mut(dag);
        let Some(live) = live.filter(|live| live.runs.contains_key(&clear.run_id)) else {
            return;
        };
        live.queued.push_back(clear.run_id.clone());
        if let Some(run) = live.runs.get_mut(&clear.run_id) {
            run.state = DagRunState::Queued;
            run.run_type = RunType::Backfill;
            run.backfill_id = Some(clear.backfill_id);
            turn.write(dag, Write::Run(run.clone()));
        }
    }

    pub(super) fn store_schedule(&mut self, dag: usize, turn: &mut Commit) {
        let (Some(live), Some(page)) = (self.host.dags.get(dag), self.audit.page(dag)) else {
            return;
        };
        let write = Write::Schedule(encode(&live.schedule), Box::new(page.clone()));
        turn.write(dag, write);
    }

    pub(super) fn start_runs(&mut self, dag: usize, turn: &mut Commit) -> Checked<()> {
        loop {
            let Some(live) = self.host.dags.get_mut(dag) else {
                return Ok(());
            };
            let Some(run_id) = live.next_to_start() else {
                return self.audit.all_started(dag);
            };
            live.queued.retain(|queued| *queued != run_id);
            let run = live.runs.get_mut(&run_id).map(|run| {
                run.state = DagRunState::Running;
                run.clone()
            });
            self.say(|| format!("d{dag}  starts {run_id}"));
            self.audit.starts(dag, &run_id)?;
            if let Some(run) = run {
                turn.write(dag, Write::Run(run));
            }
        }
    }

    /// A run ends: its schedule hears of it, its outlets are updated, the next one is made.
    pub(super) fn end_run(
        &mut self,
        dag: usize,
        run_id: &RunId,
        state: DagRunState,
        turn: &mut Commit,
    ) -> Checked<()> {
        self.say(|| format!("d{dag}  {run_id} ends in {state}"));
        let now = self.now;
        let Some(live) = self.host.dags.get_mut(dag) else {
            return Ok(());
        };
        live.queued.retain(|queued| queued != run_id);
        let Some(run) = live.runs.get_mut(run_id) else {
            return Ok(());
        };
        run.state = state;
        turn.write(dag, Write::Run(run.clone()));
        let before = live.schedule.clone();
        let effects = live.schedule.run_ended(&live.plan.dag, run_id, state, now);
        let changed = live.schedule != before;
        self.audit
            .run_ended(dag, run_id, state, &effects, &live.schedule)?;
        let outlet = live.plan.outlet.filter(|_| state == DagRunState::Success);
        for effect in effects {
            if let ScheduleEffect::Paused { .. } = effect {
                self.say(|| format!("d{dag}  is paused: too many failures"));
                turn.write(dag, Write::Paused);
            }
        }
        if changed {
            self.store_schedule(dag, turn);
        }
        if let Some(uri) = outlet {
            self.update_asset(uri, turn)?;
        }
        self.make_runs(dag, turn)
    }

    /// An asset is updated: every schedule that waits for it keeps the event, in the commit of what updated it.
    pub(super) fn update_asset(&mut self, uri: &str, turn: &mut Commit) -> Checked<()> {
        self.stats.events += 1;
        let event = AssetEvent {
            uri: uri.to_owned(),
            at: self.now,
            source: format!("e{}", self.stats.events),
            extra: "{}".to_owned(),
        };
        self.say(|| format!("{} of {uri}", event.source));
        let mut waiting = Vec::new();
        for (dag, live) in self.host.dags.iter_mut().enumerate() {
            let kept = live.schedule.asset_updated(&live.plan.dag, event.clone());
            self.audit.asset_updated(dag, &event, kept)?;
            if kept {
                waiting.push(dag);
            }
        }
        for dag in &waiting {
            self.store_schedule(*dag, turn);
        }
        for dag in waiting {
            self.make_runs(dag, turn)?;
        }
        Ok(())
    }

    /// A new version, or the DAG was paused or unpaused: stored by whoever asked, then told.
    pub(super) fn put_dag(
        &mut self,
        dag: usize,
        plan: &Rc<Plan>,
        is_paused: bool,
        turn: &mut Commit,
    ) -> Checked<()> {
        let timetable = Timetable::new(&plan.dag);
        Audit::whole(timetable.is_ok(), || format!("d{dag}: {timetable:?}"))?;
        let (Some(live), Ok(timetable)) = (self.host.dags.get_mut(dag), timetable) else {
            return Ok(());
        };
        let before = live.schedule.clone();
        live.plan = plan.clone();
        live.timetable = timetable;
        live.schedule.set_paused(is_paused);
        let changed = live.schedule != before;
        self.audit.put(dag, plan, is_paused)?;
        if changed {
            self.store_schedule(dag, turn);
        }
        self.start_runs(dag, turn)?;
        self.make_runs(dag, turn)
    }
}
