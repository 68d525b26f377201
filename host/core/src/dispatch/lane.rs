//! What waits for slots: lanes, one for each task of a run, each with the map indexes that wait.
//! All that decides order and limits is the same within a lane, so a fan-out of any size is one thing to order.

use super::RunNumber;
use crate::gpu::GpuWish;
use crate::ids::{PoolName, TaskIndex, TaskInstanceKey};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A range of instances of one task that wait for slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    pub(super) order: Order,
    /// The first instance and the end of the range; -1..0 for an unmapped task.
    pub(super) from: i32,
    pub(super) to: i32,
    /// Slots that each instance takes.
    pub(super) slots: u32,
    /// What each instance must have of the machine's GPUs.
    pub(super) gpu: Option<GpuWish>,
    /// The queue of its task; `None` is served everywhere.
    pub(super) queue: Option<String>,
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
            order: Order {
                priority: Reverse(priority),
                run_after_ms,
                run,
                task,
            },
            from: range.0,
            to: range.1,
            slots: slots.max(1),
            gpu: None,
            queue: None,
        }
    }

    /// The same, each instance with so much of the machine's GPUs.
    #[must_use]
    pub fn with_gpu(mut self, wish: Option<GpuWish>) -> Self {
        self.gpu = wish;
        self
    }

    /// The same for a host that serves `queue`.
    #[must_use]
    pub fn in_queue(mut self, queue: &str) -> Self {
        self.queue = Some(queue.to_owned());
        self
    }
}

/// What one instance takes out of its pool. Those that take fewer slots come first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Demand {
    pub(super) slots: u32,
    pub(super) gpu: Option<GpuWish>,
}

/// Airflow's order: higher priority, then the earlier run. The smallest goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Order {
    pub(super) priority: Reverse<i32>,
    /// The run's fire time in milliseconds since the epoch.
    pub(super) run_after_ms: i64,
    pub(super) run: RunNumber,
    pub(super) task: TaskIndex,
}

/// Where a lane stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In its group: it goes when its turn comes.
    Ready,
    /// Its task has as many instances as it may have, in the run or over all runs.
    TaskFull,
    /// No host here serves its queue.
    NotServed,
}

/// The instances of one task of one run that wait.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    pub(super) order: Order,
    pub(super) pool: PoolName,
    pub(super) demand: Demand,
    pub(super) queue: Option<String>,
    pub(super) place: Place,
    waiting: Ranges,
}

impl Lane {
    pub(super) fn new(pool: PoolName, want: Want) -> Self {
        Self {
            order: want.order,
            pool,
            demand: Demand {
                slots: want.slots,
                gpu: want.gpu,
            },
            queue: want.queue,
            place: Place::Ready,
            waiting: Ranges::default(),
        }
    }

    /// Whether a want differs only in its instances.
    pub(super) fn fits(&self, pool: &PoolName, want: &Want) -> bool {
        self.order == want.order
            && self.demand.slots == want.slots
            && self.demand.gpu == want.gpu
            && self.pool == *pool
            && self.queue == want.queue
    }

    /// The lane with everything that a want says, and its own instances.
    pub(super) fn changed(self, pool: PoolName, want: Want) -> Self {
        Self {
            waiting: self.waiting,
            ..Self::new(pool, want)
        }
    }

    pub(super) fn add(&mut self, from: i32, to: i32) {
        self.waiting.insert(from, to);
    }

    pub(super) fn remove(&mut self, from: i32, to: i32) {
        self.waiting.remove(from, to);
    }

    pub(super) fn contains(&self, map_index: i32) -> bool {
        self.waiting.contains(map_index)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The instance with the lowest map index.
    pub(super) fn first(&self) -> Option<TaskInstanceKey> {
        Some(TaskInstanceKey {
            task: self.order.task,
            map_index: self.waiting.first()?,
        })
    }
}

/// A set of numbers as ranges that neither overlap nor touch: start to end, the end not included.
#[derive(Debug, Clone, Default)]
struct Ranges(BTreeMap<i32, i32>);

impl Ranges {
    fn first(&self) -> Option<i32> {
        self.0.keys().next().copied()
    }

    fn len(&self) -> usize {
        let lengths = self.0.iter().map(|(from, to)| to.abs_diff(*from));
        lengths.map(|length| length as usize).sum()
    }

    fn contains(&self, one: i32) -> bool {
        let before = self.0.range(..=one).next_back();
        before.is_some_and(|(_, to)| one < *to)
    }

    fn insert(&mut self, mut from: i32, mut to: i32) {
        if from >= to {
            return;
        }
        while let Some((start, end)) = self.0.range(..=to).next_back().map(|(a, b)| (*a, *b)) {
            if end < from {
                break;
            }
            self.0.remove(&start);
            from = from.min(start);
            to = to.max(end);
        }
        self.0.insert(from, to);
    }

    fn remove(&mut self, from: i32, to: i32) {
        if from >= to {
            return;
        }
        while let Some((start, end)) = self.0.range(..to).next_back().map(|(a, b)| (*a, *b)) {
            if end <= from {
                break;
            }
            self.0.remove(&start);
            if end > to {
                self.0.insert(to, end);
            }
            if start < from {
                self.0.insert(start, from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn ranges_are_a_set(steps in prop::collection::vec((any::<bool>(), -3_i32..20, 0_i32..8), 0..30)) {
            let (mut ranges, mut model) = (Ranges::default(), BTreeSet::new());
            for (adds, from, length) in steps {
                let to = from + length;
                if adds {
                    ranges.insert(from, to);
                    model.extend(from..to);
                } else {
                    ranges.remove(from, to);
                    model.retain(|one| !(from..to).contains(one));
                }
                prop_assert_eq!(ranges.len(), model.len());
                prop_assert_eq!(ranges.first(), model.first().copied());
                for one in -5..30 {
                    prop_assert_eq!(ranges.contains(one), model.contains(&one));
                }
            }
        }
    }
}
