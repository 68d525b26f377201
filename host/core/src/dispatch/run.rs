//! The limits of live runs, and what counts against them.

use super::lane::Demand;
use crate::dag::spec::Dag;
use crate::ids::{DagId, PoolName, TaskId, TaskIndex};
use std::collections::{BTreeMap, BTreeSet};

/// Limits of one run.
#[derive(Debug, Clone, Default)]
pub struct RunLimits {
    /// Whose run it is; `None` for one that shares nothing with other runs.
    pub dag_id: Option<DagId>,
    /// How many of its task instances may hold slots at once.
    pub max_active_tasks: u32,
    /// The same for single tasks that set `max_active_tis_per_dagrun`.
    pub per_task: BTreeMap<TaskIndex, u32>,
    /// Tasks that set `max_active_tis_per_dag`: all live runs of the DAG count together, by `task_id`, because versions of the
    /// DAG may number their tasks differently.
    pub per_dag: BTreeMap<TaskIndex, (TaskId, u32)>,
}

impl RunLimits {
    /// The limits that a DAG sets for each of its runs.
    pub fn of(dag: &Dag) -> Self {
        let tasks = || (0..).map(TaskIndex).zip(&dag.tasks);
        Self {
            dag_id: Some(dag.dag_id.clone()),
            max_active_tasks: dag.max_active_tasks,
            per_task: tasks()
                .filter_map(|(index, task)| Some((index, task.max_active_tis_per_dagrun?)))
                .collect(),
            per_dag: tasks()
                .filter_map(|(index, task)| {
                    let limit = task.max_active_tis_per_dag?;
                    Some((index, (task.task_id.clone(), limit)))
                })
                .collect(),
        }
    }
}

/// A task of a DAG over all its runs.
pub(super) type SharedTask = (DagId, TaskId);

#[derive(Debug)]
pub(super) struct Run {
    pub(super) limits: RunLimits,
    pub(super) active: u32,
    pub(super) active_of: BTreeMap<TaskIndex, u32>,
    /// Groups that left their pool's order because the run is full or its DAG paused: pool and what they take.
    pub(super) parked: BTreeSet<(PoolName, Demand)>,
}

impl Run {
    pub(super) fn new(limits: RunLimits) -> Self {
        Self {
            limits,
            active: 0,
            active_of: BTreeMap::new(),
            parked: BTreeSet::new(),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.active >= self.limits.max_active_tasks
    }

    pub(super) fn active_of(&self, task: TaskIndex) -> u32 {
        self.active_of.get(&task).copied().unwrap_or(0)
    }

    pub(super) fn is_full_for(&self, task: TaskIndex) -> bool {
        let limit = self.limits.per_task.get(&task);
        limit.is_some_and(|limit| self.active_of(task) >= *limit)
    }

    /// The task and its limit over all runs, if it has one.
    pub(super) fn shared(&self, task: TaskIndex) -> Option<(SharedTask, u32)> {
        let dag_id = self.limits.dag_id.clone()?;
        let (task_id, limit) = self.limits.per_dag.get(&task)?;
        Some(((dag_id, task_id.clone()), *limit))
    }
}
