//! The simulation of one seed: which of the things that can happen now happens next. First with faults, then without until
//! every run has ended.

use crate::audit::{Audit, Checked, Violation};
use crate::draw::Draw;
use crate::shell::journal::Journal;
use crate::shell::{Message, PoolSize, Settings, Shell};
use crate::trace::{Detail, Trace};
use crate::workers::{self, Workers};
use crate::world::{QUEUES, RunKey, World, after, epoch, pool_name};
use airlock_core::dispatch::Slots;
use airlock_core::ids::{PoolName, TaskIndex, TaskInstanceKey};
use airlock_core::run::event::Fence;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;

/// Actions after the faults stopped, for each task instance that the world may have: more is not ending.
const CALM_ACTIONS_EACH: usize = 400;
/// The most that one turn takes out of the inbox.
const TURN_MESSAGES_MAX: usize = 6;

/// What a simulation counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Inputs that the core was given.
    pub steps: u64,
    /// Times that the host died.
    pub crashes: u64,
    /// Messages of attempts that were over.
    pub stale: u64,
    /// Commits that the store refused.
    pub refused: u64,
    /// What people changed about runs.
    pub changes: u64,
    /// Hosts that were started, which is also the last owner of a fence.
    pub owners: u64,
}

/// What can happen next.
#[derive(Debug, Clone, Copy)]
enum Action {
    Turn,
    Commit,
    Act,
    Speak,
    Time,
    Trigger,
    Fault,
    /// Somebody helps a run that waits in vain.
    Help,
}

/// See the module's documentation.
pub(crate) struct Sim {
    pub(crate) world: World,
    pub(crate) draw: Draw,
    /// The wall clock.
    pub(crate) now: Timestamp,
    /// Faults have stopped.
    pub(crate) calm: bool,
    pub(crate) shell: Shell,
    pub(crate) journal: Journal,
    pub(crate) workers: Workers,
    /// As the store has them: a host that starts reads them from there.
    pub(crate) settings: Settings,
    pub(crate) audit: Audit,
    pub(crate) stats: Stats,
    pub(crate) trace: Trace,
    /// How many runs have been asked for.
    pub(crate) arrived: u32,
}

impl Sim {
    pub(crate) fn new(seed: u64, detail: Detail) -> Checked<Self> {
        let mut draw = Draw::new(seed);
        let sentence = "Every seed has a world.";
        let world = World::generate(&mut draw)
            .map_err(|error| Violation::new("the_world_is_whole", sentence).because(error))?;
        let settings = Settings {
            pools: world.settings.pools.clone(),
            queues: world.settings.queues.clone(),
            ..Settings::default()
        };
        let mut audit = Audit::default();
        audit.begin(&settings);
        let shell = Shell::new(1, &world, &settings);
        Ok(Self {
            world,
            draw,
            now: epoch(),
            calm: false,
            shell,
            journal: Journal::default(),
            workers: Workers::default(),
            settings,
            audit,
            stats: Stats {
                owners: 1,
                ..Stats::default()
            },
            trace: Trace::new(detail),
            arrived: 0,
        })
    }

    /// Plays the seed to its end.
    pub(crate) fn play(&mut self) -> Checked<()> {
        for _ in 0..self.world.faults.actions {
            self.something_happens()?;
        }
        self.calm_down()?;
        let instances: usize = self
            .world
            .arrivals
            .iter()
            .filter_map(|arrival| self.world.dags.get(arrival.dag))
            .map(|model| model.dag.tasks.len())
            .sum();
        for _ in 0..CALM_ACTIONS_EACH * (instances + 10) {
            if self.is_over() {
                break;
            }
            self.something_happens()?;
        }
        self.audit.check_replay(&self.world, &self.shell)?;
        self.audit.check_ended()?;
        // What ended is still there for a host that starts now.
        self.crash()
    }

    /// Faults stop: pools are large enough for everything, every run is asked for, a host that failed starts again.
    fn calm_down(&mut self) -> Checked<()> {
        self.calm = true;
        self.trace.say(|| "faults stop".to_owned());
        if self.shell.failed {
            self.crash()?;
        }
        for name in ["default_pool", "gpu", "free"] {
            if let Ok(name) = pool_name(name) {
                self.set_pool(name, Slots::Limited(8), false);
            }
        }
        self.serve(QUEUES.iter().map(|queue| (*queue).to_owned()).collect());
        for place in std::mem::take(&mut self.settings.paused) {
            self.deliver(Message::Pause(place, false));
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.arrived as usize == self.world.arrivals.len()
            && self.audit.unfinished() == 0
            && self.shell.inbox.is_empty()
            && self.shell.in_flight.is_empty()
            && self.shell.effects.is_empty()
    }

    fn something_happens(&mut self) -> Checked<()> {
        if self.calm && self.shell.failed {
            return self.crash();
        }
        match self.next_action() {
            Action::Turn => {
                let messages = 1 + self.draw.below(TURN_MESSAGES_MAX);
                self.turn(messages)
            }
            Action::Commit => {
                let refuse = !self.calm && self.draw.rarely(self.world.faults.commit_refused);
                self.stats.refused += u64::from(refuse);
                self.commit(refuse);
                Ok(())
            }
            Action::Act => self.act(),
            Action::Speak => {
                let said = self.workers.speak(&mut self.draw, &self.world, self.calm);
                for message in said {
                    self.deliver(message);
                }
                Ok(())
            }
            Action::Time => {
                self.pass_time();
                Ok(())
            }
            Action::Trigger => {
                self.shell
                    .inbox
                    .push_back(Message::Trigger(RunKey(self.arrived)));
                self.arrived += 1;
                Ok(())
            }
            Action::Fault => self.fault(),
            Action::Help => {
                self.somebody_helps();
                Ok(())
            }
        }
    }

    /// Draws among what can happen, by weight.
    fn next_action(&mut self) -> Action {
        let is_due = self
            .shell
            .next_timer()
            .is_some_and(|(at, _)| at <= self.now);
        let waits = |is: bool, weight: usize| if is { weight } else { 0 };
        let arrives = (self.arrived as usize) < self.world.arrivals.len();
        let weights = [
            (
                Action::Turn,
                waits(!self.shell.inbox.is_empty() || is_due, 30),
            ),
            (Action::Commit, waits(!self.shell.in_flight.is_empty(), 30)),
            (Action::Act, waits(!self.shell.effects.is_empty(), 40)),
            (Action::Speak, waits(!self.workers.is_empty(), 30)),
            (Action::Time, 5),
            (Action::Trigger, waits(arrives, 6)),
            (Action::Fault, waits(!self.calm, 15)),
            (Action::Help, waits(self.calm, 4)),
        ];
        let total = weights.iter().map(|(_, weight)| weight).sum();
        let mut left = self.draw.below(total);
        for (action, weight) in weights {
            if left < weight {
                return action;
            }
            left -= weight;
        }
        Action::Time
    }

    /// A message reaches the inbox, at its end or, where the network reorders, anywhere.
    pub(crate) fn deliver(&mut self, message: Message) {
        let length = self.shell.inbox.len();
        let reorders = !self.calm && self.draw.rarely(self.world.faults.reorder);
        let place = if reorders {
            self.draw.below(length + 1)
        } else {
            length
        };
        self.shell.inbox.insert(place, message);
    }

    /// The clock goes on: a little, to the next timer, or just short of it.
    fn pass_time(&mut self) {
        let timer = self.shell.next_timer().map(|(at, _)| at.max(self.now));
        let short = SignedDuration::from_millis(-1);
        self.now = match (self.draw.below(6), timer) {
            (0 | 1, Some(at)) => at,
            (2, Some(at)) => after(at, short).max(self.now),
            (3, _) => after(
                self.now,
                SignedDuration::from_secs(self.draw.between(1, 900)),
            ),
            _ => after(
                self.now,
                SignedDuration::from_millis(self.draw.between(1, 2_000)),
            ),
        };
        if self.calm
            && let Some(at) = timer
        {
            self.now = self.now.max(at);
        }
    }

    fn fault(&mut self) -> Checked<()> {
        let faults = &self.world.faults;
        let (crash, jump, stale) = (faults.crash, faults.clock_jump, faults.stale);
        let (cancel, pool, change) = (faults.cancel, faults.pool_change, faults.change);
        let setting = faults.setting;
        // A shell that cannot commit is started again some time.
        if self.draw.rarely(crash) || (self.shell.failed && self.draw.chance(30)) {
            return self.crash();
        }
        if self.draw.rarely(jump) {
            let by = SignedDuration::from_secs(self.draw.between(-7_200, 7_200));
            self.now = after(self.now, by).max(epoch());
            self.trace.say(|| format!("the clock jumps by {by:#}"));
        }
        if self.draw.rarely(stale) {
            self.forge();
        }
        if self.draw.rarely(cancel) {
            let run = RunKey(self.draw.count(0, self.arrived));
            self.deliver(Message::Cancel(run));
        }
        if self.draw.rarely(change) {
            self.somebody_changes_a_run();
        }
        if self.draw.rarely(pool)
            && let Ok(name) = pool_name(self.draw.one_of(&["default_pool", "gpu", "free"], "gpu"))
        {
            let slots = Slots::Limited(self.draw.count(0, 6));
            let include_deferred = self.draw.chance(40);
            self.set_pool(name, slots, include_deferred);
        }
        if self.draw.rarely(setting) {
            self.somebody_changes_a_setting();
        }
        Ok(())
    }

    /// Somebody stores a pool's size and tells the shell.
    fn set_pool(&mut self, name: PoolName, slots: Slots, include_deferred: bool) {
        let size = PoolSize {
            slots,
            include_deferred,
        };
        self.settings.pools.insert(name.clone(), size);
        self.deliver(Message::SetPool(name, size));
    }

    pub(crate) fn serve(&mut self, queues: BTreeSet<String>) {
        self.settings.queues.clone_from(&queues);
        self.deliver(Message::Serve(queues));
    }

    /// Somebody speaks for an attempt that may never have been.
    fn forge(&mut self) {
        let run = RunKey(self.draw.count(0, self.arrived));
        let Some(model) = self.world.model(run) else {
            return;
        };
        let tasks = u32::try_from(model.dag.tasks.len()).unwrap_or(0);
        let task = TaskIndex(self.draw.count(0, tasks));
        let map_index = i32::try_from(self.draw.below(4)).unwrap_or(0) - 1;
        let ti = TaskInstanceKey { task, map_index };
        let owner = u64::from(self.draw.count(0, 3));
        let fence = Fence {
            attempt: self.draw.count(0, 4),
            owner,
        };
        let outcome = workers::outcome(&mut self.draw, model, task, self.now, false);
        self.deliver(Message::Finish {
            run,
            ti,
            fence,
            outcome,
        });
    }
}
