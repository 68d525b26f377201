//! One pool: its slots, and the groups that wait for them in order.
//! A group is the lanes of one run that need the same number of slots and the same of the GPUs. Only its best lane stands in the pool's order, so a
//! run that is full leaves the order, and comes back, as one.

use super::RunNumber;
use super::lane::{Demand, Order};
use crate::gpu::{GpuFilter, GpuWish, Gpus};
use std::collections::{BTreeMap, BTreeSet};

/// A pool's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slots {
    /// So many.
    Limited(u32),
    /// As many as asked for (Airflow's -1).
    Unlimited,
}

#[derive(Debug, Default)]
struct Group {
    lanes: BTreeSet<Order>,
    /// Its run is full, or its DAG is paused: it is not in the order.
    is_parked: bool,
}

/// The groups that need the same.
#[derive(Debug, Default)]
struct Class {
    groups: BTreeMap<RunNumber, Group>,
    /// The best lane of each group that is not parked.
    heads: BTreeSet<Order>,
}

impl Class {
    /// Changes a group and keeps `heads` right.
    fn change(&mut self, run: RunNumber, change: impl FnOnce(&mut Group)) {
        let group = self.groups.entry(run).or_default();
        let head = |group: &Group| group.lanes.first().copied().filter(|_| !group.is_parked);
        if let Some(before) = head(group) {
            self.heads.remove(&before);
        }
        change(group);
        if let Some(after) = head(group) {
            self.heads.insert(after);
        }
        if group.lanes.is_empty() {
            self.groups.remove(&run);
        }
    }
}

#[derive(Debug)]
pub(super) struct Pool {
    /// `None`: somebody waits for it, and it was not created.
    pub(super) slots: Option<Slots>,
    /// A pool of kind gpu, and the cards that it gives out.
    pub(super) gpus: Option<GpuFilter>,
    /// Whether deferred task instances keep their slots.
    pub(super) include_deferred: bool,
    /// By task instances that are queued or running.
    pub(super) used: u64,
    /// Those that deferred ones had.
    pub(super) deferred: u64,
    classes: BTreeMap<Demand, Class>,
}

impl Pool {
    pub(super) fn new() -> Self {
        Self {
            slots: None,
            gpus: None,
            include_deferred: false,
            used: 0,
            deferred: 0,
            classes: BTreeMap::new(),
        }
    }

    /// What counts against its size.
    pub(super) fn taken(&self) -> u64 {
        if self.include_deferred {
            self.used + self.deferred
        } else {
            self.used
        }
    }

    pub(super) fn free(&self) -> u64 {
        match self.slots {
            None => 0,
            Some(Slots::Unlimited) => u64::MAX,
            Some(Slots::Limited(slots)) => u64::from(slots).saturating_sub(self.taken()),
        }
    }

    pub(super) fn insert(&mut self, demand: &Demand, order: Order) {
        let class = self.classes.entry(demand.clone()).or_default();
        class.change(order.run, |group| {
            group.lanes.insert(order);
        });
    }

    pub(super) fn remove(&mut self, demand: &Demand, order: &Order) {
        let Some(class) = self.classes.get_mut(demand) else {
            return;
        };
        class.change(order.run, |group| {
            group.lanes.remove(order);
        });
        if class.groups.is_empty() {
            self.classes.remove(demand);
        }
    }

    pub(super) fn park(&mut self, demand: &Demand, run: RunNumber, is_parked: bool) {
        if let Some(class) = self.classes.get_mut(demand) {
            class.change(run, |group| group.is_parked = is_parked);
        }
    }

    /// The best lane that fits into what is free: those that do not are passed over (Airflow's critical section does the same).
    pub(super) fn best(&self, gpus: &Gpus) -> Option<Order> {
        let free = self.free();
        let classes = self.classes.iter();
        classes
            .take_while(|(demand, _)| u64::from(demand.slots) <= free)
            .filter_map(|(demand, class)| Some((demand, class.heads.first()?)))
            .filter(|(demand, _)| self.has_gpus(demand, gpus))
            .map(|(_, order)| *order)
            .min()
    }

    /// What a task instance gets of the cards: in a pool of kind gpu always some of them.
    pub(super) fn wish(&self, demand: &Demand) -> Option<GpuWish> {
        match (&self.gpus, &demand.gpu) {
            (Some(_), None) => Some(GpuWish::default()),
            (_, wish) => wish.clone(),
        }
    }

    /// Without a pool of kind gpu a wish is never met.
    fn has_gpus(&self, demand: &Demand, gpus: &Gpus) -> bool {
        match (self.wish(demand), &self.gpus) {
            (None, _) => true,
            (Some(wish), Some(filter)) => gpus.fits(&wish, filter),
            (Some(_), None) => false,
        }
    }
}
