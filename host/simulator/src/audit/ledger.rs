//! Who wants slots and who holds them, over all runs, counted from events and commands.

use super::book::Book;
use crate::shell::PoolSize;
use crate::world::RunKey;
use airlock_core::ids::{PoolName, TaskIndex, TaskInstanceKey};
use airlock_core::run::event::{Command, Event};
use airlock_core::task_instance::state::TaskInstanceState;
use std::collections::{BTreeMap, BTreeSet};

/// What a task instance holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) pool: PoolName,
    /// 0 for what a dead host held: the slots are free, the instance is not told yet.
    pub(super) slots: u32,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) pools: BTreeMap<PoolName, PoolSize>,
    /// The queues that the host serves.
    pub(crate) queues: BTreeSet<String>,
    /// The DAGs that are paused, by their place in the world.
    pub(crate) paused: BTreeSet<usize>,
    /// What deferred task instances had: it counts where their pool includes them.
    pub(super) deferred: BTreeMap<RunKey, BTreeMap<TaskInstanceKey, Held>>,
    /// What was deferred and is not any more: its slots are given back, or taken again.
    was_deferred: BTreeSet<(RunKey, TaskInstanceKey)>,
    pub(super) wants: BTreeMap<RunKey, BTreeSet<TaskInstanceKey>>,
    pub(super) held: BTreeMap<RunKey, BTreeMap<TaskInstanceKey, Held>>,
}

fn range(task: TaskIndex, from: i32, to: i32) -> impl Iterator<Item = TaskInstanceKey> {
    (from..to).map(move |map_index| TaskInstanceKey { task, map_index })
}

impl Ledger {
    pub(super) fn wants_of(&self, run: RunKey, ti: TaskInstanceKey) -> bool {
        self.wants
            .get(&run)
            .is_some_and(|wants| wants.contains(&ti))
    }

    pub(super) fn held_by(&self, run: RunKey, ti: TaskInstanceKey) -> Option<&Held> {
        self.held.get(&run)?.get(&ti)
    }

    /// Task instances that hold slots now, with their run.
    pub(super) fn holders(&self) -> impl Iterator<Item = (RunKey, TaskInstanceKey, &Held)> {
        let all = self
            .held
            .iter()
            .flat_map(|(run, held)| held.iter().map(move |(ti, held)| (*run, *ti, held)));
        all.filter(|(_, _, held)| held.slots > 0)
    }

    pub(super) fn used(&self, pool: &PoolName) -> u64 {
        let includes = self
            .pools
            .get(pool)
            .is_some_and(|pool| pool.include_deferred);
        let deferred = self.deferred.values().flat_map(BTreeMap::values);
        let holders = self.holders().map(|(_, _, held)| held);
        holders
            .chain(deferred.filter(|_| includes))
            .filter(|held| held.pool == *pool)
            .map(|held| u64::from(held.slots))
            .sum()
    }

    pub(super) fn forget(&mut self, run: RunKey) {
        self.wants.remove(&run);
        self.held.remove(&run);
        self.deferred.remove(&run);
    }

    /// After a restart: what runs by the books held its slots in the dead host.
    pub(super) fn inherit(&mut self, run: RunKey, book: &Book) {
        if book.finished.is_some() {
            return;
        }
        self.recount_deferred(run, book);
        let dag = book.shadow.dag().clone();
        for (ti, instance) in book.shadow.all_instances() {
            let pool = dag.task(ti.task).map(|task| task.pool.clone());
            let holds = instance.state() == TaskInstanceState::Running
                || book.past_of(ti).is_some_and(|past| past.halting);
            if let Some(pool) = pool.filter(|_| holds) {
                self.held
                    .entry(run)
                    .or_default()
                    .insert(ti, Held { pool, slots: 0 });
            }
        }
    }

    /// Whatever is deferred now, whoever deferred it.
    fn recount_deferred(&mut self, run: RunKey, book: &Book) {
        let dag = book.shadow.dag();
        let deferred = book.shadow.all_instances().filter(|(_, instance)| {
            matches!(
                instance.state(),
                TaskInstanceState::Deferred | TaskInstanceState::AwaitingInput
            )
        });
        let held = deferred.filter_map(|(ti, _)| {
            let task = dag.task(ti.task)?;
            let held = Held {
                pool: task.pool.clone(),
                slots: task.pool_slots.max(1),
            };
            Some((ti, held))
        });
        let held = held.collect();
        self.deferred.insert(run, held);
    }

    /// An attempt that begins takes its slots, unless it has them from the poke before.
    pub(super) fn follow(&mut self, run: RunKey, book: &Book, event: &Event) {
        let before = self.deferred.get(&run).cloned().unwrap_or_default();
        let totals = book.shadow.totals();
        let is_deferred = totals.get(TaskInstanceState::Deferred)
            + totals.get(TaskInstanceState::AwaitingInput)
            > 0;
        if is_deferred {
            self.recount_deferred(run, book);
        } else {
            self.deferred.remove(&run);
        }
        let now = self.deferred.get(&run);
        let left = before
            .into_keys()
            .filter(|ti| now.is_none_or(|now| !now.contains_key(ti)));
        self.was_deferred.extend(left.map(|ti| (run, ti)));
        let dag = book.shadow.dag();
        let Event::AttemptStarted { ti, .. } = event else {
            return;
        };
        if let Some(wants) = self.wants.get_mut(&run) {
            wants.remove(ti);
        }
        self.was_deferred.remove(&(run, *ti));
        if let Some(task) = dag.task(ti.task) {
            let held = Held {
                pool: task.pool.clone(),
                slots: task.pool_slots.max(1),
            };
            self.held.entry(run).or_default().entry(*ti).or_insert(held);
        }
    }

    /// False if the command makes no sense: wanted twice, not wanted, nothing to release.
    pub(super) fn obey(&mut self, run: RunKey, command: &Command) -> bool {
        let wants = self.wants.entry(run).or_default();
        match command {
            Command::Want { task, from, to } => range(*task, *from, *to).all(|ti| wants.insert(ti)),
            Command::Unwant { task, from, to } => {
                range(*task, *from, *to).all(|ti| wants.remove(&ti))
            }
            Command::Release { ti } => {
                let held = self.held.get_mut(&run);
                let had = held.is_some_and(|held| held.remove(ti).is_some());
                had || self.was_deferred.remove(&(run, *ti))
            }
            _ => true,
        }
    }

    /// How many instances of a run, and of one of its tasks, hold slots.
    pub(super) fn active(&self, run: RunKey, task: TaskIndex) -> (u32, u32) {
        let Some(held) = self.held.get(&run) else {
            return (0, 0);
        };
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let of_task = held.keys().filter(|ti| ti.task == task).count();
        (count(held.len()), count(of_task))
    }
}
