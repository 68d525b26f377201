//! What can happen to schedules: time passes, runs end, people pause, edit, trigger and backfill, assets are updated, and what
//! can go wrong does.

use super::audit::Audit;
use super::host::existing;
use super::plan::ASSETS;
use super::sim::Sim;
use super::store::{Commit, Run, Write};
use crate::audit::Checked;
use crate::world::after;
use airlock_core::ids::RunId;
use airlock_core::run::event::RunType;
use airlock_core::schedule::{BackfillRequest, ReprocessBehavior};
use airlock_core::task_instance::state::DagRunState;
use jiff::{SignedDuration, Timestamp};
use std::rc::Rc;

/// A world lasts about so many units of its tempo: what catches up has as many ticks.
const WORLD_UNITS: i64 = 40;

/// What can happen next.
#[derive(Debug, Clone, Copy)]
enum Act {
    Wake,
    Commit,
    End,
    Time,
    Asset,
    Trigger,
    Pause,
    Edit,
    Backfill,
    Cancel,
    Fault,
}

impl Sim {
    pub(super) fn something_happens(&mut self) -> Checked<()> {
        if self.host.failed {
            return self.crash();
        }
        let dag = self.draw.below(self.host.dags.len());
        match self.next_act() {
            Act::Wake => self.wake_due(),
            Act::Commit => {
                let is_refused = self.draw.chance(2);
                self.commit(is_refused);
                Ok(())
            }
            Act::End => self.end_some_run(),
            Act::Time => {
                self.pass_time();
                Ok(())
            }
            Act::Asset => {
                let uri = self.draw.one_of(&ASSETS, "s3://a");
                let mut turn = Commit::default();
                self.update_asset(uri, &mut turn)?;
                self.submit(turn);
                Ok(())
            }
            Act::Trigger => self.trigger(dag),
            Act::Pause => {
                self.settle();
                let is_paused = self.store.dags.get(dag).is_some_and(|rows| rows.is_paused);
                self.set_paused(dag, !is_paused)
            }
            Act::Edit => self.edit(dag),
            Act::Backfill => self.change_backfill(dag),
            Act::Cancel => self.cancel_queued(dag),
            Act::Fault => self.fault(dag),
        }
    }

    /// Draws among what can happen, by weight.
    fn next_act(&mut self) -> Act {
        let is_due = self.host.next_timer().is_some_and(|at| at <= self.now);
        let waits = |is: bool, weight: usize| if is { weight } else { 0 };
        let has_run = self.running_run().is_some();
        let weights = [
            (Act::Wake, waits(is_due, 40)),
            (Act::Commit, waits(!self.host.in_flight.is_empty(), 40)),
            (Act::End, waits(has_run, 30)),
            (Act::Time, 18),
            (Act::Asset, 7),
            (Act::Trigger, 4),
            (Act::Pause, 4),
            (Act::Edit, 4),
            (Act::Backfill, 8),
            (Act::Cancel, 1),
            (Act::Fault, 6),
        ];
        let total = weights.iter().map(|(_, weight)| weight).sum();
        let mut left = self.draw.below(total);
        for (act, weight) in weights {
            if left < weight {
                return act;
            }
            left -= weight;
        }
        Act::Time
    }

    /// The next timer, unless it lies so far ahead that whoever catches up would never end.
    pub(super) fn near_timer(&self) -> Option<Timestamp> {
        let end = after(self.setting.epoch, self.setting.units(2 * WORLD_UNITS));
        self.host.next_timer().filter(|at| *at <= end)
    }

    /// The clock goes on: to the next timer, just short of it, a little, some ticks, or as long as nobody was there.
    fn pass_time(&mut self) {
        let timer = self.near_timer().map(|at| at.max(self.now));
        let units = self.draw.between(1, 4);
        let is_late = self.now > after(self.setting.epoch, self.setting.units(WORLD_UNITS));
        let by = match self.draw.below(12) {
            _ if is_late => SignedDuration::from_millis(self.draw.between(1, 100_000)),
            0 => self.setting.units(self.draw.between(10, 30)),
            1..=3 => SignedDuration::from_micros(self.draw.between(1, 90_000_000)),
            4 => SignedDuration::from_nanos(self.draw.between(1, 5_000)),
            _ => self.setting.units(units),
        };
        let short = SignedDuration::from_micros(-1);
        self.now = match (self.draw.below(4), timer) {
            (0 | 1, Some(at)) => at,
            (2, Some(at)) => after(at, short).max(self.now),
            _ => after(self.now, by),
        };
        self.say(|| "is the time".to_owned());
    }

    fn end_some_run(&mut self) -> Checked<()> {
        let Some((dag, run_id)) = self.running_run() else {
            return Ok(());
        };
        let state = if self.draw.chance(35) {
            DagRunState::Failed
        } else {
            DagRunState::Success
        };
        let mut turn = Commit::default();
        self.end_run(dag, &run_id, state, &mut turn)?;
        self.submit(turn);
        Ok(())
    }

    /// Somebody asks for a run, often for a date that the timetable has or will have.
    fn trigger(&mut self, dag: usize) -> Checked<()> {
        let now = self.now;
        let Some(live) = self.host.dags.get_mut(dag) else {
            return Ok(());
        };
        let anchor = live.schedule.last_scheduled().copied();
        let next = live.plan.rule.next(anchor.as_ref(), now);
        let date = match self.draw.below(4) {
            0 => None,
            1 => Some(now),
            _ => next.or(anchor).map(|run| run.logical_date),
        };
        let is_taken = date.is_some_and(|date| existing(&live.runs, date).is_some());
        let text = format!("manual__{}_{}", date.unwrap_or(now), live.runs.len());
        let (Ok(run_id), false) = (RunId::parse(&text), is_taken) else {
            return Ok(());
        };
        let interval = live.timetable.manual(date.unwrap_or(now));
        let run = Run {
            run_id: run_id.clone(),
            run_type: RunType::Manual,
            logical_date: date,
            run_after: now,
            state: DagRunState::Queued,
            backfill_id: None,
            consumed: Vec::new(),
        };
        live.queued.push_back(run_id.clone());
        live.runs.insert(run_id, run.clone());
        self.say(|| format!("d{dag}  somebody asks for {text}"));
        self.audit.triggered(dag, run.clone(), interval)?;
        let mut turn = Commit::default();
        turn.write(dag, Write::Run(run));
        self.start_runs(dag, &mut turn)?;
        self.submit(turn);
        // What its DAG's timer says does not change: only a date that it passes may be taken.
        Ok(())
    }

    /// Somebody pauses or unpauses a DAG. It is stored first, by whoever is asked.
    pub(super) fn set_paused(&mut self, dag: usize, is_paused: bool) -> Checked<()> {
        let Some(rows) = self.store.dags.get_mut(dag) else {
            return Ok(());
        };
        rows.is_paused = is_paused;
        let plan = rows.plan.clone();
        self.say(|| format!("d{dag}  is_paused {is_paused}"));
        let mut turn = Commit::default();
        self.put_dag(dag, &plan, is_paused, &mut turn)?;
        self.submit(turn);
        Ok(())
    }

    /// A new version: another schedule altogether, or catchup or a limit switched.
    fn edit(&mut self, dag: usize) -> Checked<()> {
        self.settle();
        let Some(old) = self.plan(dag) else {
            return Ok(());
        };
        let drawn = self.setting.plan(&mut self.draw, dag, self.now);
        Audit::whole(drawn.is_ok(), || format!("{:?}", drawn.as_ref().err()))?;
        let Ok(mut plan) = drawn else { return Ok(()) };
        let slow_enough = plan.rule.catchup || !old.rule.catchup;
        if self.draw.chance(40) && slow_enough {
            // The same ticks, but for catchup where they are rare enough, the limit and what the fire time means.
            let mut rule = old.rule.clone();
            rule.catchup &= self.draw.chance(50);
            rule.kind = plan.rule.kind;
            let mut dag = (*old.dag).clone();
            dag.catchup = rule.catchup;
            dag.timetable = rule.kind;
            dag.max_active_runs = plan.dag.max_active_runs;
            plan = super::plan::Plan {
                dag: dag.into(),
                rule,
                assets: old.assets.clone(),
                outlet: old.outlet,
            };
        }
        let oldest = after(self.now, self.setting.units(-2 * WORLD_UNITS));
        let anchor = self.host.dags.get(dag);
        let anchor = anchor.and_then(|live| live.schedule.last_scheduled());
        if plan.rule.catchup && anchor.is_some_and(|last| last.run_after < oldest) {
            // What went on from there would never catch up.
            return Ok(());
        }
        let plan = Rc::new(plan);
        self.say(|| format!("d{dag}  is now {plan}"));
        self.stats.versions += 1;
        Audit::upcoming(&plan, self.now)?;
        let Some(rows) = self.store.dags.get_mut(dag) else {
            return Ok(());
        };
        rows.plan = plan.clone();
        let is_paused = rows.is_paused;
        // The host may die before it hears of it.
        if self.draw.chance(10) {
            return self.crash();
        }
        let mut turn = Commit::default();
        self.put_dag(dag, &plan, is_paused, &mut turn)?;
        self.submit(turn);
        Ok(())
    }

    fn change_backfill(&mut self, dag: usize) -> Checked<()> {
        match (self.audit.backfill_of(dag), self.draw.below(4)) {
            (Some((_, is_paused)), 0 | 1) => self.pause_backfill(dag, !is_paused),
            (Some((id, _)), 2) => self.cancel_backfill(dag, id),
            _ => self.create_backfill(dag),
        }
    }

    fn create_backfill(&mut self, dag: usize) -> Checked<()> {
        let from = after(self.now, self.setting.units(self.draw.between(-30, 1)));
        let to = after(from, self.setting.units(self.draw.between(-1, 20)));
        let behaviors = [
            ReprocessBehavior::None,
            ReprocessBehavior::Failed,
            ReprocessBehavior::Completed,
        ];
        let request = BackfillRequest {
            run_backwards: self.draw.chance(35),
            max_active_runs: self.draw.one_of(&[0, 1, 1, 2, 3, 10], 10),
            reprocess_behavior: self.draw.one_of(&behaviors, ReprocessBehavior::None),
            ..BackfillRequest::new(from, to)
        };
        let (now, id) = (self.now, self.next_backfill);
        let Some(live) = self.host.dags.get_mut(dag) else {
            return Ok(());
        };
        // What ticks too often for the range is not asked for.
        if live.plan.rule.ticks_faster_than(self.setting.tempo) {
            return Ok(());
        }
        let existing = |date: Timestamp| existing(&live.runs, date);
        let plan = live.plan.clone();
        let planned = live
            .schedule
            .backfill_dry_run(&plan.dag, &request, now, &existing);
        let began = live
            .schedule
            .create_backfill(&plan.dag, id, request.clone(), now);
        self.audit
            .backfill_asked(dag, id, &request, now, &planned, &began)?;
        if began.is_err() {
            return Ok(());
        }
        self.say(|| format!("d{dag}  backfill {id} begins: {request:?}"));
        self.next_backfill += 1;
        self.stats.backfills += 1;
        self.backfill_changed(dag)
    }

    pub(super) fn pause_backfill(&mut self, dag: usize, is_paused: bool) -> Checked<()> {
        let Some((id, _)) = self.audit.backfill_of(dag) else {
            return Ok(());
        };
        self.say(|| format!("d{dag}  backfill {id} is_paused {is_paused}"));
        if let Some(live) = self.host.dags.get_mut(dag) {
            let found = live.schedule.pause_backfill(id, is_paused);
            Audit::whole(found, || format!("d{dag} has no backfill {id}"))?;
        }
        self.audit.backfill_paused(dag, is_paused)?;
        self.backfill_changed(dag)
    }

    fn backfill_changed(&mut self, dag: usize) -> Checked<()> {
        let mut turn = Commit::default();
        self.store_schedule(dag, &mut turn);
        self.make_runs(dag, &mut turn)?;
        self.start_runs(dag, &mut turn)?;
        self.submit(turn);
        Ok(())
    }

    fn cancel_backfill(&mut self, dag: usize, id: u64) -> Checked<()> {
        self.say(|| format!("d{dag}  backfill {id} is cancelled"));
        let mut turn = Commit::default();
        self.audit.backfill_cancelled(dag)?;
        let mut queued = Vec::new();
        if let Some(live) = self.host.dags.get_mut(dag) {
            let effects = live.schedule.cancel_backfill(id, self.now);
            self.audit.said_to_cancel(dag, &effects, &live.schedule)?;
            let runs = live.queued.iter();
            let of_it = runs.filter(|run_id| {
                let run = live.runs.get(*run_id);
                run.is_some_and(|run| run.backfill_id == Some(id))
            });
            queued.extend(of_it.cloned());
        }
        self.store_schedule(dag, &mut turn);
        for run_id in queued {
            self.end_run(dag, &run_id, DagRunState::Failed, &mut turn)?;
        }
        self.submit(turn);
        Ok(())
    }

    /// Somebody ends a run that waits.
    fn cancel_queued(&mut self, dag: usize) -> Checked<()> {
        let queued = self.host.dags.get(dag);
        let Some(run_id) = queued.and_then(|live| live.queued.front().cloned()) else {
            return Ok(());
        };
        let mut turn = Commit::default();
        self.end_run(dag, &run_id, DagRunState::Failed, &mut turn)?;
        self.submit(turn);
        Ok(())
    }

    fn fault(&mut self, dag: usize) -> Checked<()> {
        match self.draw.below(5) {
            0 | 1 => self.crash(),
            2 => {
                let back = match self.draw.below(3) {
                    0 => self.setting.units(-1),
                    _ => SignedDuration::from_millis(-self.draw.between(1, 600_000)),
                };
                self.now = after(self.now, back);
                self.say(|| format!("the clock was set back by {back:#}"));
                Ok(())
            }
            3 => {
                self.say(|| format!("d{dag}  is woken for nothing"));
                let mut turn = Commit::default();
                self.make_runs(dag, &mut turn)?;
                self.submit(turn);
                Ok(())
            }
            _ => {
                let lost = self.host.timers.pop();
                self.say(|| format!("a timer is lost: {lost:?}"));
                Ok(())
            }
        }
    }
}
