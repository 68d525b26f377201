//! The world of schedules of one seed: which of the things that can happen happens next. First with faults, then without until
//! nothing is due and every run has ended.

use super::audit::{Audit, Page};
use super::host::Host;
use super::plan::{Plan, Setting};
use super::store::{Commit, DagRows, Run, Store};
use crate::audit::Checked;
use crate::draw::Draw;
use crate::trace::Detail;
use airlock_core::ids::RunId;
use airlock_core::task_instance::state::DagRunState;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// The most DAGs of a world.
const DAGS_MAX: usize = 6;
/// What happens before the faults stop.
const ACTS_LEAST: usize = 25;
/// And at most so much more.
const ACTS_MORE: usize = 55;
/// Turns after the faults stopped: more is not coming to rest.
const CALM_TURNS_MAX: usize = 2_500;
/// How often the clock goes on to the next timer at most, after everything came to rest.
const CALM_WAKES: usize = 3;

/// What is counted in a world of schedules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// DAGs, and new versions of them.
    pub versions: u64,
    /// Times that a schedule was asked what is due.
    pub asked: u64,
    /// Runs that were made.
    pub runs: u64,
    /// Backfills that began.
    pub backfills: u64,
    /// Asset events.
    pub events: u64,
    /// Times that the host died.
    pub crashes: u64,
}

impl Stats {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            versions: self.versions + other.versions,
            asked: self.asked + other.asked,
            runs: self.runs + other.runs,
            backfills: self.backfills + other.backfills,
            events: self.events + other.events,
            crashes: self.crashes + other.crashes,
        }
    }
}

impl std::fmt::Display for Stats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} versions of DAGs, {} runs made in {} calls, {} backfills, {} asset events, {} crashes",
            self.versions, self.runs, self.asked, self.backfills, self.events, self.crashes
        )
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Sim {
    pub(super) setting: Setting,
    pub(super) draw: Draw,
    /// The wall clock.
    pub(super) now: Timestamp,
    /// Faults have stopped.
    pub(super) calm: bool,
    pub(super) store: Store,
    pub(super) host: Host,
    pub(super) audit: Audit,
    pub(super) stats: Stats,
    pub(super) next_backfill: u64,
    detail: Detail,
    pub(super) lines: Vec<String>,
}

impl Sim {
    pub(super) fn new(seed: u64, detail: Detail) -> Result<Self, String> {
        let mut draw = Draw::new(seed);
        let setting = Setting::draw(&mut draw)?;
        let mut store = Store::default();
        let now = setting.epoch;
        for place in 0..=draw.below(DAGS_MAX) {
            let plan = Rc::new(setting.plan(&mut draw, place, now)?);
            let is_paused = plan.dag.is_paused_upon_creation;
            store.dags.push(DagRows {
                plan,
                is_paused,
                schedule: None,
                page: Page::new(is_paused),
                runs: BTreeMap::new(),
            });
        }
        let mut audit = Audit::default();
        audit.restart(&store);
        Ok(Self {
            now,
            setting,
            draw,
            calm: false,
            host: Host::start(&store)?,
            stats: Stats {
                versions: store.dags.len() as u64,
                ..Stats::default()
            },
            store,
            audit,
            next_backfill: 1,
            detail,
            lines: Vec::new(),
        })
    }

    /// What happened, in words: nothing is written unless somebody asked.
    pub(super) fn say(&mut self, line: impl FnOnce() -> String) {
        if self.detail != Detail::Off {
            self.lines.push(format!("{} {}", self.now, line()));
        }
    }

    /// Plays the seed to its end.
    pub(super) fn play(&mut self) -> Checked<()> {
        for dag in 0..self.host.dags.len() {
            let plan = self.host.dags.get(dag).map(|live| live.plan.clone());
            if let Some(plan) = plan {
                self.say(|| format!("d{dag} is {plan}"));
                Audit::upcoming(&plan, self.now)?;
            }
        }
        self.wake_all()?;
        for _ in 0..ACTS_LEAST + self.draw.below(ACTS_MORE) {
            self.something_happens()?;
        }
        self.calm_down()?;
        self.come_to_rest()?;
        for _ in 0..CALM_WAKES {
            let Some(at) = self.near_timer() else {
                break;
            };
            self.now = self.now.max(at);
            self.say(|| "the clock goes on to the next timer".to_owned());
            self.come_to_rest()?;
        }
        self.crash()
    }

    /// Every DAG is asked.
    pub(super) fn wake_all(&mut self) -> Checked<()> {
        let mut turn = Commit::default();
        for dag in 0..self.host.dags.len() {
            self.start_runs(dag, &mut turn)?;
            self.make_runs(dag, &mut turn)?;
        }
        self.submit(turn);
        Ok(())
    }

    /// DAGs whose timers are due.
    pub(super) fn wake_due(&mut self) -> Checked<()> {
        let mut due = BTreeSet::new();
        while let Some(std::cmp::Reverse((at, dag))) = self.host.timers.peek().copied() {
            if at > self.now {
                break;
            }
            self.host.timers.pop();
            due.insert(dag);
        }
        let mut turn = Commit::default();
        for dag in due {
            self.make_runs(dag, &mut turn)?;
        }
        self.submit(turn);
        Ok(())
    }

    /// The oldest turn on its way becomes durable, or is refused: then nothing behind it does.
    pub(super) fn commit(&mut self, is_refused: bool) {
        let Some(commit) = self.host.in_flight.pop_front() else {
            return;
        };
        if is_refused {
            self.say(|| "a commit is refused".to_owned());
            self.host.in_flight.clear();
            self.host.failed = true;
            return;
        }
        self.store.make(commit);
    }

    /// The host dies, with some of what was on its way durable, and starts again.
    pub(super) fn crash(&mut self) -> Checked<()> {
        let clean = self.host.in_flight.is_empty() && !self.host.failed;
        let on_its_way = std::mem::take(&mut self.host.in_flight);
        let durable = self.draw.below(on_its_way.len() + 1);
        let lost = on_its_way.len() - durable;
        self.say(|| format!("the host dies; commits made {durable}, lost {lost}"));
        for commit in on_its_way.into_iter().take(durable) {
            self.store.make(commit);
        }
        self.stats.crashes += 1;
        let started = Host::start(&self.store);
        Audit::whole(started.is_ok(), || format!("{:?}", started.as_ref().err()))?;
        let Ok(started) = started else { return Ok(()) };
        let before = std::mem::replace(&mut self.host, started);
        self.audit.restart(&self.store);
        if clean {
            for (dag, (live, rebuilt)) in before.dags.iter().zip(&self.host.dags).enumerate() {
                Audit::rebuilt(dag, &live.schedule, &rebuilt.schedule)?;
            }
        }
        self.wake_all()
    }

    /// Faults stop, and nothing is paused any more.
    fn calm_down(&mut self) -> Checked<()> {
        self.calm = true;
        self.say(|| "faults stop".to_owned());
        self.settle();
        self.crash()?;
        for dag in 0..self.host.dags.len() {
            self.settle();
            self.set_paused(dag, false)?;
            self.pause_backfill(dag, false)?;
        }
        Ok(())
    }

    /// Everything on its way becomes durable.
    pub(super) fn settle(&mut self) {
        while !self.host.in_flight.is_empty() {
            self.commit(false);
        }
    }

    /// Runs end well and timers fire until nothing more is to be done now.
    fn come_to_rest(&mut self) -> Checked<()> {
        for _ in 0..CALM_TURNS_MAX {
            self.settle();
            if let Some((dag, run_id)) = self.running_run() {
                let mut turn = Commit::default();
                self.end_run(dag, &run_id, DagRunState::Success, &mut turn)?;
                self.submit(turn);
            } else if self.host.next_timer().is_some_and(|at| at <= self.now) {
                self.wake_due()?;
            } else {
                for dag in 0..self.host.dags.len() {
                    self.audit.rests(dag, self.now)?;
                }
                return Ok(());
            }
        }
        Audit::never_rests(CALM_TURNS_MAX)
    }

    /// One of the runs that the store knows to be running: only such a run has begun to do anything.
    pub(super) fn running_run(&mut self) -> Option<(usize, RunId)> {
        let mut running = Vec::new();
        for (dag, (rows, live)) in self.store.dags.iter().zip(&self.host.dags).enumerate() {
            let is_running = |run: &Run| run.state == DagRunState::Running;
            let here = live.runs.values().filter(|run| is_running(run));
            let known = here.filter(|run| rows.runs.get(&run.run_id).is_some_and(is_running));
            running.extend(known.map(|run| (dag, &run.run_id)));
        }
        let place = self.draw.below(running.len());
        let (dag, run_id) = running.get(place)?;
        Some((*dag, (*run_id).clone()))
    }

    pub(super) fn plan(&self, dag: usize) -> Option<Rc<Plan>> {
        self.host.dags.get(dag).map(|live| live.plan.clone())
    }
}
