//! Who gets slots next: pools, `parallelism`, `max_active_tasks` and per-task limits over all live runs.
//! Pure bookkeeping: it is told of wants, admissions and releases and answers with the next task instance to start.
//! It refuses to know why a task instance is ready; the run state machine decides that.
//!
//! Order is Airflow's: higher priority first, then the earlier run, then the lower map index. A task that does not fit into
//! what is left of its pool is passed over, and smaller ones behind it may go first (Airflow's critical section does the same).
//!
//! Cost: an admission or a release is logarithmic in what waits. What a limit stops leaves the order (a run that is full as a
//! whole, a task that is full as one lane) and comes back when that limit has room again; nothing is looked at in between.

mod lane;
mod pool;
mod run;
#[cfg(test)]
mod tests;
mod why;

pub use lane::Want;
pub use pool::Slots;
pub use run::RunLimits;
pub use why::{Blocked, HOLDERS_MAX};

use crate::gpu::{self, GpuFilter, Gpus};
use crate::ids::{DagId, PoolName, TaskIndex, TaskInstanceKey};
use lane::{Demand, Lane, Place};
use pool::Pool;
use run::{Run, SharedTask};
use std::collections::{BTreeMap, BTreeSet};

/// A live run, by the number the shell gave it.
pub type RunNumber = u64;

/// A task instance that got its slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// Which run.
    pub run: RunNumber,
    /// Which task instance.
    pub ti: TaskInstanceKey,
}

/// A task over all live runs of its DAG.
#[derive(Debug, Default)]
struct Shared {
    active: u32,
    /// Lanes that wait for one of them to end.
    waiting: BTreeSet<LaneKey>,
}

type LaneKey = (RunNumber, TaskIndex);
type Deferred = BTreeMap<(RunNumber, TaskInstanceKey), (PoolName, u32)>;

/// What an active task instance has.
#[derive(Debug)]
struct Holding {
    pool: PoolName,
    slots: u32,
    gpus: Option<gpu::Held>,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Dispatcher {
    parallelism: u32,
    active: u32,
    /// The queues that this host serves; `None`: all.
    queues: Option<BTreeSet<String>>,
    paused: BTreeSet<DagId>,
    pools: BTreeMap<PoolName, Pool>,
    runs: BTreeMap<RunNumber, Run>,
    shared: BTreeMap<SharedTask, Shared>,
    /// Never empty lanes. One that is `Place::Ready` is in its pool, and no other is.
    lanes: BTreeMap<LaneKey, Lane>,
    /// By task instances that are queued or running.
    held: BTreeMap<(RunNumber, TaskInstanceKey), Holding>,
    /// What deferred task instances had: counted where their pool includes them.
    deferred: Deferred,
    gpus: Gpus,
}

/// Every task instance of a run, or of one task of it.
fn of_run(
    run: RunNumber,
    tasks: (u32, u32),
    indexes: (i32, i32),
) -> std::ops::RangeInclusive<(RunNumber, TaskInstanceKey)> {
    let key = |task, map_index| {
        let task = TaskIndex(task);
        (run, TaskInstanceKey { task, map_index })
    };
    key(tasks.0, indexes.0)..=key(tasks.1, indexes.1)
}

impl Dispatcher {
    /// `parallelism` bounds all task instances that hold slots, over every pool.
    pub fn new(parallelism: u32) -> Self {
        Self {
            parallelism,
            active: 0,
            queues: None,
            paused: BTreeSet::new(),
            pools: BTreeMap::new(),
            runs: BTreeMap::new(),
            shared: BTreeMap::new(),
            lanes: BTreeMap::new(),
            held: BTreeMap::new(),
            deferred: BTreeMap::new(),
            gpus: Gpus::default(),
        }
    }

    fn pool(&mut self, name: &PoolName) -> &mut Pool {
        self.pools.entry(name.clone()).or_insert_with(Pool::new)
    }

    /// Creates or resizes a pool; what waited for it to be created is in the order now. A smaller size lets what holds slots
    /// finish.
    pub fn set_pool(&mut self, name: PoolName, slots: Slots) {
        self.pools.entry(name).or_insert_with(Pool::new).slots = Some(slots);
    }

    /// Whether deferred task instances keep the slots they had in a pool.
    pub fn set_include_deferred(&mut self, name: &PoolName, include_deferred: bool) {
        self.pool(name).include_deferred = include_deferred;
    }

    /// The cards of this machine, before anything holds one.
    pub fn set_gpus(&mut self, gpus: Gpus) {
        self.gpus = gpus;
    }

    /// Makes a pool one of kind gpu, with the cards that it gives out, or an ordinary one.
    pub fn set_gpu_filter(&mut self, name: &PoolName, filter: Option<GpuFilter>) {
        self.pool(name).gpus = filter;
    }

    /// The cards of this machine, and who holds how much of each.
    pub fn gpus(&self) -> &Gpus {
        &self.gpus
    }

    /// The cards that a task instance holds, by the driver's names.
    pub fn gpus_of(&self, run: RunNumber, ti: TaskInstanceKey) -> Vec<String> {
        let holding = self.held.get(&(run, ti));
        let held = holding.and_then(|holding| holding.gpus.as_ref());
        held.map(|held| self.gpus.uuids(held)).unwrap_or_default()
    }

    /// Who holds a card.
    pub fn gpu_holders(&self, uuid: &str) -> Vec<(RunNumber, TaskInstanceKey)> {
        let holds = |holding: &Holding| {
            let cards = holding.gpus.as_ref().map(|held| self.gpus.uuids(held));
            cards.is_some_and(|cards| cards.iter().any(|card| card == uuid))
        };
        let holders = self.held.iter().filter(|(_, holding)| holds(holding));
        holders.map(|(key, _)| *key).collect()
    }

    /// A pool is gone: what waits for it waits until there is one of this name again.
    pub fn remove_pool(&mut self, name: &PoolName) {
        self.pool(name).slots = None;
    }

    /// The pools with size, slots in use and task instances that wait.
    pub fn pools(&self) -> impl Iterator<Item = (&PoolName, Slots, u64, usize)> {
        let mut waiting: BTreeMap<&PoolName, usize> = BTreeMap::new();
        for lane in self.lanes.values() {
            *waiting.entry(&lane.pool).or_default() += lane.len();
        }
        self.pools.iter().filter_map(move |(name, pool)| {
            let waits = waiting.get(name).copied().unwrap_or(0);
            Some((name, pool.slots?, pool.taken(), waits))
        })
    }

    /// Which queues this host serves: what is in another one waits.
    pub fn serve(&mut self, queues: BTreeSet<String>) {
        self.queues = Some(queues);
        let keys: Vec<LaneKey> = self.lanes.keys().copied().collect();
        for key in keys {
            self.unready(key, Place::NotServed);
            self.ready(key);
        }
    }

    fn serves(&self, queue: Option<&str>) -> bool {
        match (&self.queues, queue) {
            (Some(queues), Some(queue)) => queues.contains(queue),
            _ => true,
        }
    }

    /// Whether a DAG is paused, as far as was told.
    pub fn is_paused(&self, dag_id: &DagId) -> bool {
        self.paused.contains(dag_id)
    }

    /// Nothing of a paused DAG gets slots. What holds them goes on.
    pub fn set_paused(&mut self, dag_id: &DagId, is_paused: bool) {
        if is_paused {
            self.paused.insert(dag_id.clone());
        } else if self.paused.remove(dag_id) {
            let of_dag = |run: &Run| run.limits.dag_id.as_ref() == Some(dag_id);
            let runs = self.runs.iter().filter(|(_, run)| of_dag(run));
            let numbers: Vec<RunNumber> = runs.map(|(number, _)| *number).collect();
            for number in numbers {
                self.unpark(number);
            }
        }
    }

    /// A run begins to take part.
    pub fn add_run(&mut self, run: RunNumber, limits: RunLimits) {
        self.runs.insert(run, Run::new(limits));
    }

    /// A run is over: what it still holds is released, what it still wants is forgotten.
    pub fn remove_run(&mut self, run: RunNumber) {
        let all = of_run(run, (0, u32::MAX), (i32::MIN, i32::MAX));
        let held = self.held.range(all.clone()).map(|(key, _)| key.1);
        let deferred = self.deferred.range(all).map(|(key, _)| key.1);
        let held: Vec<TaskInstanceKey> = held.chain(deferred).collect();
        for ti in held {
            self.release(run, ti);
        }
        let lanes = self
            .lanes
            .range((run, TaskIndex(0))..=(run, TaskIndex(u32::MAX)));
        let keys: Vec<LaneKey> = lanes.map(|(key, _)| *key).collect();
        for key in keys {
            self.drop_lane(key);
        }
        self.runs.remove(&run);
    }

    /// Task instances wait for slots of `pool`. False if there is no such pool: they wait until it is created.
    /// Deferred ones among them do not keep what they had.
    pub fn want(&mut self, pool: &PoolName, want: Want) -> bool {
        let (run, task) = (want.order.run, want.order.task);
        if self.runs.contains_key(&run) && want.from < want.to {
            self.undefer(run, task, (want.from, want.to));
            self.wait(pool, want);
        }
        let pool = self.pools.get(pool);
        pool.is_some_and(|pool| pool.slots.is_some())
    }

    fn wait(&mut self, pool: &PoolName, want: Want) {
        let key = (want.order.run, want.order.task);
        if let Some(lane) = self.lanes.get_mut(&key)
            && lane.fits(pool, &want)
        {
            return lane.add(want.from, want.to);
        }
        // Another version of the DAG may have changed what the task asks for.
        let (from, to) = (want.from, want.to);
        let mut lane = match self.drop_lane(key) {
            Some(lane) => lane.changed(pool.clone(), want),
            None => Lane::new(pool.clone(), want),
        };
        lane.add(from, to);
        lane.place = Place::NotServed;
        self.lanes.insert(key, lane);
        self.ready(key);
    }

    /// Task instances do not want slots any more.
    pub fn unwant(&mut self, run: RunNumber, task: TaskIndex, range: (i32, i32)) {
        let key = (run, task);
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.remove(range.0, range.1);
            self.drop_if_empty(key);
        }
    }

    /// Gives back what a task instance holds, live or deferred; giving back nothing is harmless.
    pub fn release(&mut self, run: RunNumber, ti: TaskInstanceKey) {
        self.give_back(run, ti);
        self.undefer(run, ti.task, (ti.map_index, ti.map_index.saturating_add(1)));
    }

    /// A task instance is deferred: it is not active any more, and keeps its slots where its pool includes deferred ones, until
    /// it is released or wants slots again.
    pub fn defer(&mut self, run: RunNumber, ti: TaskInstanceKey) {
        if let Some((pool, slots)) = self.give_back(run, ti) {
            self.hold_deferred(run, ti, &pool, slots);
        }
    }

    /// The same for one that was deferred before the host was started.
    pub fn hold_deferred(
        &mut self,
        run: RunNumber,
        ti: TaskInstanceKey,
        pool: &PoolName,
        slots: u32,
    ) {
        if self.runs.contains_key(&run) {
            let had = self.deferred.insert((run, ti), (pool.clone(), slots));
            self.pool(pool).deferred += u64::from(slots);
            if let Some((pool, slots)) = had {
                self.forget_deferred(&pool, slots);
            }
        }
    }

    fn undefer(&mut self, run: RunNumber, task: TaskIndex, (from, to): (i32, i32)) {
        let range = of_run(run, (task.0, task.0), (from, to.saturating_sub(1)));
        if from >= to {
            return;
        }
        let keys: Vec<_> = self.deferred.range(range).map(|(key, _)| *key).collect();
        for key in keys {
            if let Some((pool, slots)) = self.deferred.remove(&key) {
                self.forget_deferred(&pool, slots);
            }
        }
    }

    fn forget_deferred(&mut self, pool: &PoolName, slots: u32) {
        let pool = self.pool(pool);
        pool.deferred = pool.deferred.saturating_sub(u64::from(slots));
    }

    /// What it held. Whatever its limits stopped may be tried again.
    fn give_back(&mut self, run: RunNumber, ti: TaskInstanceKey) -> Option<(PoolName, u32)> {
        let Holding { pool, slots, gpus } = self.held.remove(&(run, ti))?;
        if let Some(gpus) = &gpus {
            self.gpus.give_back(gpus);
        }
        self.active = self.active.saturating_sub(1);
        let held = self.pool(&pool);
        held.used = held.used.saturating_sub(u64::from(slots));
        let mut shared = None;
        if let Some(run) = self.runs.get_mut(&run) {
            run.active = run.active.saturating_sub(1);
            if let Some(active) = run.active_of.get_mut(&ti.task) {
                *active = active.saturating_sub(1);
            }
            shared = run.shared(ti.task);
        }
        self.unpark(run);
        self.ready_after((run, ti.task), Place::TaskFull);
        if let Some((task, _)) = shared {
            self.give_back_shared(&task);
        }
        Some((pool, slots))
    }

    /// Every run of the DAG may go for the place: as many lanes as the DAG has live runs at most.
    fn give_back_shared(&mut self, task: &SharedTask) {
        let Some(shared) = self.shared.get_mut(task) else {
            return;
        };
        shared.active = shared.active.saturating_sub(1);
        let waiting = std::mem::take(&mut shared.waiting);
        if shared.active == 0 {
            self.shared.remove(task);
        }
        for key in waiting {
            self.ready_after(key, Place::TaskFull);
        }
    }

    /// The next task instance that fits everywhere; it holds its slots from now on.
    pub fn admit_next(&mut self) -> Option<Admission> {
        while self.active < self.parallelism {
            // Among the pools' candidates the best one goes first, so that pools do not starve each other of `parallelism`.
            let candidates = self.pools.values();
            let candidates = candidates.filter_map(|pool| pool.best(&self.gpus));
            let order = candidates.min()?;
            // A candidate that may not go has left the order, so this ends.
            if let Some(admission) = self.try_lane((order.run, order.task)) {
                return Some(admission);
            }
        }
        None
    }

    fn try_lane(&mut self, key: LaneKey) -> Option<Admission> {
        let ti = self.first(key)?;
        let (number, task) = key;
        let (Some(run), Some(lane)) = (self.runs.get_mut(&number), self.lanes.get(&key)) else {
            self.drop_lane(key);
            return None;
        };
        let is_paused = run
            .limits
            .dag_id
            .as_ref()
            .is_some_and(|dag| self.paused.contains(dag));
        if run.is_full() || is_paused {
            run.parked.insert((lane.pool.clone(), lane.demand.clone()));
            if let Some(pool) = self.pools.get_mut(&lane.pool) {
                pool.park(&lane.demand, number, true);
            }
            return None;
        }
        let shared = run.shared(task);
        if run.is_full_for(task) {
            self.unready(key, Place::TaskFull);
            return None;
        }
        if let Some((task, limit)) = shared {
            let shared = self.shared.entry(task).or_default();
            if shared.active >= limit {
                shared.waiting.insert(key);
                self.unready(key, Place::TaskFull);
                return None;
            }
            shared.active += 1;
        }
        self.admit(key, ti)
    }

    /// The lane's first instance that holds nothing: a want said twice gets slots once.
    fn first(&mut self, key: LaneKey) -> Option<TaskInstanceKey> {
        let lane = self.lanes.get_mut(&key)?;
        while let Some(ti) = lane.first() {
            if !self.held.contains_key(&(key.0, ti)) {
                return Some(ti);
            }
            lane.remove(ti.map_index, ti.map_index.saturating_add(1));
        }
        self.drop_lane(key);
        None
    }

    fn admit(&mut self, key: LaneKey, ti: TaskInstanceKey) -> Option<Admission> {
        let (run, task) = key;
        let lane = self.lanes.get_mut(&key)?;
        lane.remove(ti.map_index, ti.map_index.saturating_add(1));
        let (pool, demand) = (lane.pool.clone(), lane.demand.clone());
        self.active += 1;
        if let Some(run) = self.runs.get_mut(&run) {
            run.active += 1;
            *run.active_of.entry(task).or_default() += 1;
        }
        let slots = demand.slots;
        self.pool(&pool).used += u64::from(slots);
        let gpus = self.take_gpus(&pool, &demand);
        self.held.insert((run, ti), Holding { pool, slots, gpus });
        self.drop_if_empty(key);
        Some(Admission { run, ti })
    }

    fn take_gpus(&mut self, pool: &PoolName, demand: &Demand) -> Option<gpu::Held> {
        let pool = self.pools.get(pool)?;
        self.gpus.take(&pool.wish(demand)?, pool.gpus.as_ref()?)
    }

    /// Puts a lane into its pool's order, if this host serves its queue.
    fn ready(&mut self, key: LaneKey) {
        let Some(lane) = self.lanes.get(&key) else {
            return;
        };
        if lane.place == Place::Ready || !self.serves(lane.queue.as_deref()) {
            return;
        }
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.place = Place::Ready;
            let pool = self
                .pools
                .entry(lane.pool.clone())
                .or_insert_with(Pool::new);
            pool.insert(&lane.demand, lane.order);
        }
    }

    fn ready_after(&mut self, key: LaneKey, place: Place) {
        if self.lanes.get(&key).is_some_and(|lane| lane.place == place) {
            self.ready(key);
        }
    }

    /// Takes a lane out of its pool's order.
    fn unready(&mut self, key: LaneKey, place: Place) {
        if let Some(lane) = self.lanes.get_mut(&key) {
            if lane.place == Place::Ready
                && let Some(pool) = self.pools.get_mut(&lane.pool)
            {
                pool.remove(&lane.demand, &lane.order);
            }
            lane.place = place;
        }
    }

    /// A run is not full any more, or its DAG not paused: its groups are in their pools' orders again.
    fn unpark(&mut self, number: RunNumber) {
        let Some(run) = self.runs.get_mut(&number) else {
            return;
        };
        let is_paused = run
            .limits
            .dag_id
            .as_ref()
            .is_some_and(|dag| self.paused.contains(dag));
        if run.is_full() || is_paused {
            return;
        }
        for (pool, demand) in std::mem::take(&mut run.parked) {
            if let Some(pool) = self.pools.get_mut(&pool) {
                pool.park(&demand, number, false);
            }
        }
    }

    fn drop_if_empty(&mut self, key: LaneKey) {
        if self
            .lanes
            .get(&key)
            .is_some_and(|lane| lane.first().is_none())
        {
            self.drop_lane(key);
        }
    }

    fn drop_lane(&mut self, key: LaneKey) -> Option<Lane> {
        self.unready(key, Place::NotServed);
        let lane = self.lanes.remove(&key)?;
        if let Some((task, _)) = self.runs.get(&key.0).and_then(|run| run.shared(key.1))
            && let Some(shared) = self.shared.get_mut(&task)
        {
            shared.waiting.remove(&key);
        }
        Some(lane)
    }
}
