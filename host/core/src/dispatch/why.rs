//! Why a task instance that wants slots has none. For people: it may look at everything, and is asked rarely.

use super::lane::{Demand, Place};
use super::{Dispatcher, RunNumber, Slots};
use crate::gpu::GpuWish;
use crate::ids::{PoolName, TaskInstanceKey};

/// The holders of a full pool that are named at most.
pub const HOLDERS_MAX: usize = 10;

/// One thing that keeps a task instance from its slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocked {
    /// No pool has this name.
    PoolMissing {
        /// The name.
        pool: PoolName,
    },
    /// It asks for more than the pool will ever have.
    PoolTooSmall {
        /// Which pool.
        pool: PoolName,
        /// What it asks for.
        pool_slots: u32,
        /// What the pool has.
        slots: u32,
    },
    /// Others hold the slots.
    PoolFull {
        /// Which pool.
        pool: PoolName,
        /// What it asks for.
        pool_slots: u32,
        /// What the pool has.
        slots: u32,
        /// What is taken.
        taken: u64,
        /// Who holds them, at most [`HOLDERS_MAX`].
        holders: Vec<(RunNumber, TaskInstanceKey)>,
    },
    /// The run has as many active task instances as it may.
    MaxActiveTasks {
        /// The limit.
        limit: u32,
    },
    /// The task has as many active instances in the run as it may.
    MaxActiveTisPerDagrun {
        /// The limit.
        limit: u32,
    },
    /// The task has as many active instances over all runs as it may.
    MaxActiveTisPerDag {
        /// The limit.
        limit: u32,
    },
    /// This host does not serve its queue.
    QueueNotServed {
        /// Which queue.
        queue: String,
    },
    /// As many task instances are active as this host runs at once.
    Parallelism {
        /// The limit.
        limit: u32,
    },
    /// It wants GPUs in a pool that gives out none.
    PoolWithoutGpus {
        /// Which pool.
        pool: PoolName,
        /// What it asks for.
        wish: GpuWish,
    },
    /// No card of the pool will ever do.
    NoSuchGpu {
        /// Which pool.
        pool: PoolName,
        /// What it asks for.
        wish: GpuWish,
        /// What the pool has.
        there: String,
    },
    /// Others hold the cards.
    GpusTaken {
        /// Which pool.
        pool: PoolName,
        /// What it asks for.
        wish: GpuWish,
        /// Who holds cards of the pool, at most [`HOLDERS_MAX`].
        holders: Vec<(RunNumber, TaskInstanceKey)>,
    },
    /// Nothing but the order: others go first.
    NotItsTurn,
}

impl Dispatcher {
    /// Everything that keeps a task instance from its slots; nothing for one that does not want any.
    pub fn why_not(&self, run: RunNumber, ti: TaskInstanceKey) -> Vec<Blocked> {
        let lane = self.lanes.get(&(run, ti.task));
        let Some(lane) = lane.filter(|lane| lane.contains(ti.map_index)) else {
            return Vec::new();
        };
        let mut blocked = Vec::new();
        if lane.place == Place::NotServed {
            let queue = lane.queue.clone().unwrap_or_default();
            blocked.push(Blocked::QueueNotServed { queue });
        }
        blocked.extend(self.pool_not(&lane.pool, lane.demand.slots));
        blocked.extend(self.gpus_not(&lane.pool, &lane.demand));
        blocked.extend(self.limits_not(run, ti));
        if self.active >= self.parallelism {
            let limit = self.parallelism;
            blocked.push(Blocked::Parallelism { limit });
        }
        if blocked.is_empty() {
            blocked.push(Blocked::NotItsTurn);
        }
        blocked
    }

    fn pool_not(&self, name: &PoolName, pool_slots: u32) -> Option<Blocked> {
        let found = self.pools.get(name);
        let Some((pool, size)) = found.and_then(|pool| Some((pool, pool.slots?))) else {
            return Some(Blocked::PoolMissing { pool: name.clone() });
        };
        let Slots::Limited(slots) = size else {
            return None;
        };
        if pool_slots > slots {
            return Some(Blocked::PoolTooSmall {
                pool: name.clone(),
                pool_slots,
                slots,
            });
        }
        if pool.free() >= u64::from(pool_slots) {
            return None;
        }
        let deferred = self.deferred.iter().filter(|_| pool.include_deferred);
        let deferred = deferred.map(|(key, (pool, _))| (key, pool));
        let active = self.held.iter().map(|(key, held)| (key, &held.pool));
        let holders = active.chain(deferred);
        Some(Blocked::PoolFull {
            pool: name.clone(),
            pool_slots,
            slots,
            taken: pool.taken(),
            holders: holders
                .filter(|(_, held)| *held == name)
                .map(|(key, _)| *key)
                .take(HOLDERS_MAX)
                .collect(),
        })
    }

    fn gpus_not(&self, name: &PoolName, demand: &Demand) -> Option<Blocked> {
        let pool = self.pools.get(name)?;
        let (pool_name, wish) = (name.clone(), pool.wish(demand)?);
        let Some(filter) = &pool.gpus else {
            let pool = pool_name;
            return Some(Blocked::PoolWithoutGpus { pool, wish });
        };
        if !self.gpus.could_ever(&wish, filter) {
            return Some(Blocked::NoSuchGpu {
                pool: pool_name,
                wish,
                there: self.gpus.describe(filter),
            });
        }
        if self.gpus.fits(&wish, filter) {
            return None;
        }
        let holders = self.held.iter().filter(|(_, held)| held.gpus.is_some());
        Some(Blocked::GpusTaken {
            pool: pool_name,
            wish,
            holders: holders.map(|(key, _)| *key).take(HOLDERS_MAX).collect(),
        })
    }

    fn limits_not(&self, number: RunNumber, ti: TaskInstanceKey) -> Vec<Blocked> {
        let Some(run) = self.runs.get(&number) else {
            return Vec::new();
        };
        let mut blocked = Vec::new();
        if run.is_full() {
            let limit = run.limits.max_active_tasks;
            blocked.push(Blocked::MaxActiveTasks { limit });
        }
        if let Some(limit) = run.limits.per_task.get(&ti.task).copied()
            && run.is_full_for(ti.task)
        {
            blocked.push(Blocked::MaxActiveTisPerDagrun { limit });
        }
        if let Some((task, limit)) = run.shared(ti.task) {
            let active = self.shared.get(&task).map_or(0, |shared| shared.active);
            if active >= limit {
                blocked.push(Blocked::MaxActiveTisPerDag { limit });
            }
        }
        blocked
    }
}
