//! Who gets slots next: pools, `parallelism`, `max_active_tasks` and per-task limits over all live runs.
//! Pure bookkeeping: it is told of wants, admissions and releases and answers with the next task instance to start.
//! It refuses to know why a task instance is ready; the run state machine decides that.
//!
//! Order is Airflow's: higher priority first, then the earlier run, then the lower map index. A task that does not fit into
//! what is left of its pool is passed over, and smaller ones behind it may go first (Airflow's critical section does the same).

use crate::ids::{PoolName, TaskIndex, TaskInstanceKey};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// A live run, by the number the shell gave it.
pub type RunNumber = u64;

/// A pool's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slots {
    /// So many.
    Limited(u32),
    /// As many as asked for (Airflow's -1).
    Unlimited,
}

/// A range of instances of one task that wait for slots.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Want {
    /// Effective priority, negated so that the derived order puts higher priority first.
    order: Reverse<i32>,
    /// The run's fire time in milliseconds since the epoch: earlier runs first.
    run_after_ms: i64,
    run: RunNumber,
    task: TaskIndex,
    /// The next instance and the end of the range; -1..0 for an unmapped task.
    from: i32,
    to: i32,
    /// Slots that each instance takes.
    slots: u32,
}

impl Want {
    /// Instances `from..to` of a task; `slots` is at least 1.
    pub fn new(
        run: RunNumber,
        run_after_ms: i64,
        priority: i32,
        task: TaskIndex,
        range: (i32, i32),
        slots: u32,
    ) -> Self {
        Self {
            order: Reverse(priority),
            run_after_ms,
            run,
            task,
            from: range.0,
            to: range.1,
            slots: slots.max(1),
        }
    }

    fn first(&self) -> TaskInstanceKey {
        TaskInstanceKey {
            task: self.task,
            map_index: self.from,
        }
    }
}

/// Limits inside one run.
#[derive(Debug, Clone, Default)]
pub struct RunLimits {
    /// How many of its task instances may hold slots at once.
    pub max_active_tasks: u32,
    /// The same for single tasks that set `max_active_tis_per_dagrun`.
    pub per_task: BTreeMap<TaskIndex, u32>,
}

#[derive(Debug)]
struct Run {
    limits: RunLimits,
    active: u32,
    active_of: BTreeMap<TaskIndex, u32>,
    /// Wants that met a limit of the run; they go back to their pool when the run releases something.
    parked: Vec<(PoolName, Want)>,
}

impl Run {
    fn is_full_for(&self, task: TaskIndex) -> bool {
        let active_of = self.active_of.get(&task).copied().unwrap_or(0);
        self.active >= self.limits.max_active_tasks
            || self
                .limits
                .per_task
                .get(&task)
                .is_some_and(|limit| active_of >= *limit)
    }
}

#[derive(Debug)]
struct Pool {
    slots: Slots,
    used: u64,
    waiting: BinaryHeap<Reverse<Want>>,
}

impl Pool {
    fn fits(&self, slots: u32) -> bool {
        match self.slots {
            Slots::Unlimited => true,
            Slots::Limited(limit) => self.used + u64::from(slots) <= u64::from(limit),
        }
    }
}

/// A task instance that got its slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// Which run.
    pub run: RunNumber,
    /// Which task instance.
    pub ti: TaskInstanceKey,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Dispatcher {
    parallelism: u32,
    active: u32,
    pools: BTreeMap<PoolName, Pool>,
    runs: BTreeMap<RunNumber, Run>,
    held: BTreeMap<(RunNumber, TaskInstanceKey), (PoolName, u32)>,
}

impl Dispatcher {
    /// `parallelism` bounds all task instances that hold slots, over every pool.
    pub fn new(parallelism: u32) -> Self {
        Self {
            parallelism,
            active: 0,
            pools: BTreeMap::new(),
            runs: BTreeMap::new(),
            held: BTreeMap::new(),
        }
    }

    /// Creates or resizes a pool. A smaller size lets what holds slots finish.
    pub fn set_pool(&mut self, name: PoolName, slots: Slots) {
        self.pools
            .entry(name)
            .or_insert_with(|| Pool {
                slots,
                used: 0,
                waiting: BinaryHeap::new(),
            })
            .slots = slots;
    }

    /// The pools with size, slots in use and task instances that wait.
    pub fn pools(&self) -> impl Iterator<Item = (&PoolName, Slots, u64, usize)> {
        self.pools.iter().map(|(name, pool)| {
            let waiting = pool
                .waiting
                .iter()
                .map(|Reverse(want)| usize::try_from(want.to - want.from).unwrap_or(0))
                .sum();
            (name, pool.slots, pool.used, waiting)
        })
    }

    /// A run begins to take part.
    pub fn add_run(&mut self, run: RunNumber, limits: RunLimits) {
        self.runs.insert(
            run,
            Run {
                limits,
                active: 0,
                active_of: BTreeMap::new(),
                parked: Vec::new(),
            },
        );
    }

    /// A run is over: what it still holds is released, what it still wants is forgotten.
    pub fn remove_run(&mut self, run: RunNumber) {
        let range = (
            run,
            TaskInstanceKey {
                task: TaskIndex(0),
                map_index: i32::MIN,
            },
        )
            ..=(
                run,
                TaskInstanceKey {
                    task: TaskIndex(u32::MAX),
                    map_index: i32::MAX,
                },
            );
        let held: Vec<_> = self.held.range(range).map(|(key, _)| key.1).collect();
        for ti in held {
            self.release(run, ti);
        }
        self.runs.remove(&run);
    }

    /// Task instances wait for slots of `pool`. False if there is no such pool: they wait until it is created.
    pub fn want(&mut self, pool: &PoolName, want: Want) -> bool {
        if let Some(pool) = self.pools.get_mut(pool) {
            pool.waiting.push(Reverse(want));
            return true;
        }
        if let Some(run) = self.runs.get_mut(&want.run) {
            run.parked.push((pool.clone(), want));
        }
        false
    }

    /// Gives back what a task instance holds; giving back nothing is harmless.
    pub fn release(&mut self, run: RunNumber, ti: TaskInstanceKey) {
        let Some((pool, slots)) = self.held.remove(&(run, ti)) else {
            return;
        };
        self.active = self.active.saturating_sub(1);
        if let Some(pool) = self.pools.get_mut(&pool) {
            pool.used = pool.used.saturating_sub(u64::from(slots));
        }
        let Some(run) = self.runs.get_mut(&run) else {
            return;
        };
        run.active = run.active.saturating_sub(1);
        if let Some(active) = run.active_of.get_mut(&ti.task) {
            *active = active.saturating_sub(1);
        }
        for (pool, want) in std::mem::take(&mut run.parked) {
            match self.pools.get_mut(&pool) {
                Some(pool) => pool.waiting.push(Reverse(want)),
                None => run.parked.push((pool, want)),
            }
        }
    }

    /// Tries again what waited for a pool that did not exist.
    pub fn unpark_all(&mut self) {
        for run in self.runs.values_mut() {
            for (pool, want) in std::mem::take(&mut run.parked) {
                match self.pools.get_mut(&pool) {
                    Some(pool) => pool.waiting.push(Reverse(want)),
                    None => run.parked.push((pool, want)),
                }
            }
        }
    }

    /// The next task instance that fits everywhere; it holds its slots from now on.
    pub fn admit_next(&mut self) -> Option<Admission> {
        if self.active >= self.parallelism {
            return None;
        }
        // Among the pools' candidates the best one goes first, so that pools do not starve each other of `parallelism`.
        let names: Vec<PoolName> = self
            .pools
            .iter()
            .filter(|(_, pool)| !pool.waiting.is_empty())
            .map(|(name, _)| name.clone())
            .collect();
        let mut best: Option<(PoolName, Want)> = None;
        for name in names {
            let Some(candidate) = self.candidate(&name) else {
                continue;
            };
            let loser = match &best {
                Some((_, want)) if *want <= candidate => Some((name, candidate)),
                _ => best.replace((name, candidate)),
            };
            if let Some((pool, want)) = loser {
                self.put_back(&pool, want);
            }
        }
        let (pool, want) = best?;
        Some(self.admit(pool, want))
    }

    fn put_back(&mut self, name: &PoolName, want: Want) {
        if let Some(pool) = self.pools.get_mut(name) {
            pool.waiting.push(Reverse(want));
        }
    }

    /// Takes the best want of one pool that no limit stops; parks what its run is too full for.
    fn candidate(&mut self, name: &PoolName) -> Option<Want> {
        let pool = self.pools.get_mut(name)?;
        let mut passed_over = Vec::new();
        let mut found = None;
        while let Some(Reverse(mut want)) = pool.waiting.pop() {
            let Some(run) = self.runs.get_mut(&want.run) else {
                continue;
            };
            // A want said twice gets slots once.
            while want.from < want.to && self.held.contains_key(&(want.run, want.first())) {
                want.from += 1;
            }
            if want.from >= want.to {
                continue;
            }
            if run.is_full_for(want.task) {
                run.parked.push((name.clone(), want));
            } else if pool.fits(want.slots) {
                found = Some(want);
                break;
            } else {
                passed_over.push(Reverse(want));
                if passed_over.len() >= PASSED_OVER_MAX {
                    break;
                }
            }
        }
        pool.waiting.extend(passed_over);
        found
    }

    fn admit(&mut self, pool: PoolName, mut want: Want) -> Admission {
        let ti = want.first();
        let admission = Admission { run: want.run, ti };
        self.active += 1;
        if let Some(run) = self.runs.get_mut(&want.run) {
            run.active += 1;
            *run.active_of.entry(want.task).or_default() += 1;
        }
        let slots = want.slots;
        if let Some(pool) = self.pools.get_mut(&pool) {
            pool.used += u64::from(slots);
            want.from += 1;
            if want.from < want.to {
                pool.waiting.push(Reverse(want));
            }
        }
        self.held.insert((admission.run, ti), (pool, slots));
        admission
    }
}

/// How many wants that do not fit are looked past for a smaller one, per pool and turn.
const PASSED_OVER_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(name: &str) -> PoolName {
        PoolName::parse(name).unwrap()
    }

    fn dispatcher(parallelism: u32, slots: Slots) -> Dispatcher {
        let mut dispatcher = Dispatcher::new(parallelism);
        dispatcher.set_pool(pool("default_pool"), slots);
        dispatcher
    }

    fn limits(max_active_tasks: u32) -> RunLimits {
        RunLimits {
            max_active_tasks,
            per_task: BTreeMap::new(),
        }
    }

    fn drain(dispatcher: &mut Dispatcher) -> Vec<(RunNumber, u32, i32)> {
        std::iter::from_fn(|| dispatcher.admit_next())
            .map(|a| (a.run, a.ti.task.0, a.ti.map_index))
            .collect()
    }

    #[test]
    fn higher_priority_goes_first_then_the_earlier_run_then_the_lower_map_index() {
        let mut dispatcher = dispatcher(100, Slots::Unlimited);
        dispatcher.add_run(1, limits(100));
        dispatcher.add_run(2, limits(100));
        let name = pool("default_pool");
        assert!(dispatcher.want(&name, Want::new(2, 20, 1, TaskIndex(0), (0, 2), 1)));
        assert!(dispatcher.want(&name, Want::new(1, 10, 1, TaskIndex(0), (0, 2), 1)));
        assert!(dispatcher.want(&name, Want::new(2, 20, 5, TaskIndex(7), (-1, 0), 1)));
        assert_eq!(
            drain(&mut dispatcher),
            [(2, 7, -1), (1, 0, 0), (1, 0, 1), (2, 0, 0), (2, 0, 1)]
        );
    }

    #[test]
    fn a_pool_is_never_over_full_and_smaller_tasks_pass_a_large_one() {
        let mut dispatcher = dispatcher(100, Slots::Limited(3));
        dispatcher.add_run(1, limits(100));
        let name = pool("default_pool");
        dispatcher.want(&name, Want::new(1, 0, 9, TaskIndex(0), (-1, 0), 2));
        dispatcher.want(&name, Want::new(1, 0, 8, TaskIndex(1), (-1, 0), 2));
        dispatcher.want(&name, Want::new(1, 0, 7, TaskIndex(2), (-1, 0), 1));
        assert_eq!(drain(&mut dispatcher), [(1, 0, -1), (1, 2, -1)]);
        dispatcher.release(
            1,
            TaskInstanceKey {
                task: TaskIndex(0),
                map_index: -1,
            },
        );
        assert_eq!(drain(&mut dispatcher), [(1, 1, -1)]);
    }

    #[test]
    fn max_active_tasks_parks_the_rest_of_a_run_until_something_is_released() {
        let mut dispatcher = dispatcher(100, Slots::Unlimited);
        dispatcher.add_run(1, limits(2));
        dispatcher.add_run(2, limits(2));
        let name = pool("default_pool");
        dispatcher.want(&name, Want::new(1, 0, 1, TaskIndex(0), (0, 4), 1));
        dispatcher.want(&name, Want::new(2, 1, 1, TaskIndex(0), (-1, 0), 1));
        assert_eq!(drain(&mut dispatcher), [(1, 0, 0), (1, 0, 1), (2, 0, -1)]);
        dispatcher.release(
            1,
            TaskInstanceKey {
                task: TaskIndex(0),
                map_index: 1,
            },
        );
        assert_eq!(drain(&mut dispatcher), [(1, 0, 2)]);
    }

    #[test]
    fn one_task_may_have_a_limit_of_its_own() {
        let mut dispatcher = dispatcher(100, Slots::Unlimited);
        let per_task = BTreeMap::from([(TaskIndex(0), 1)]);
        dispatcher.add_run(
            1,
            RunLimits {
                max_active_tasks: 10,
                per_task,
            },
        );
        let name = pool("default_pool");
        dispatcher.want(&name, Want::new(1, 0, 1, TaskIndex(0), (0, 3), 1));
        dispatcher.want(&name, Want::new(1, 0, 1, TaskIndex(1), (-1, 0), 1));
        assert_eq!(drain(&mut dispatcher), [(1, 0, 0), (1, 1, -1)]);
    }

    #[test]
    fn a_run_that_ends_gives_back_what_it_holds_and_wants_nothing_more() {
        let mut dispatcher = dispatcher(2, Slots::Limited(2));
        dispatcher.add_run(1, limits(10));
        dispatcher.add_run(2, limits(10));
        let name = pool("default_pool");
        dispatcher.want(&name, Want::new(1, 0, 1, TaskIndex(0), (0, 5), 1));
        assert_eq!(drain(&mut dispatcher).len(), 2);
        dispatcher.remove_run(1);
        dispatcher.want(&name, Want::new(2, 0, 1, TaskIndex(0), (-1, 0), 1));
        assert_eq!(drain(&mut dispatcher), [(2, 0, -1)]);
    }

    #[test]
    fn a_want_said_twice_gets_slots_once() {
        let mut dispatcher = dispatcher(100, Slots::Limited(4));
        dispatcher.add_run(1, limits(100));
        let name = pool("default_pool");
        dispatcher.want(&name, Want::new(1, 0, 1, TaskIndex(0), (0, 2), 1));
        dispatcher.want(&name, Want::new(1, 0, 1, TaskIndex(0), (0, 3), 1));
        assert_eq!(drain(&mut dispatcher), [(1, 0, 0), (1, 0, 1), (1, 0, 2)]);
        assert_eq!(dispatcher.pools().next().unwrap().2, 3);
    }

    #[test]
    fn a_want_for_a_pool_that_does_not_exist_waits_until_it_is_created() {
        let mut dispatcher = dispatcher(2, Slots::Unlimited);
        dispatcher.add_run(1, limits(10));
        assert!(!dispatcher.want(&pool("gpu"), Want::new(1, 0, 1, TaskIndex(0), (-1, 0), 1)));
        assert_eq!(drain(&mut dispatcher), []);
        dispatcher.set_pool(pool("gpu"), Slots::Limited(1));
        dispatcher.unpark_all();
        assert_eq!(drain(&mut dispatcher), [(1, 0, -1)]);
    }
}
