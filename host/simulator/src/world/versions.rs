//! A newer version of a DAG: the same tasks, some with other rules and limits, and more tasks behind them.

use super::family::Family;
use super::{DagModel, Habit, tasks};
use crate::draw::Draw;
use airlock_core::dag::spec::{Dag, Task};
use airlock_core::ids::TaskIndex;
use std::sync::Arc;

/// The most tasks that a version adds.
const ADDED_MAX: usize = 2;

pub(super) fn newer(
    draw: &mut Draw,
    model: &DagModel,
    template: &Task,
) -> Result<DagModel, String> {
    let mut list = model.dag.tasks.clone();
    let mut habits = model.habits.clone();
    for task in &mut list {
        tasks::change(draw, task);
    }
    // What a branch decided about a task that it did not know is another question.
    let may_be_above: Vec<TaskIndex> = (0..)
        .map(TaskIndex)
        .zip(&habits)
        .filter(|(_, habit)| !matches!(habit, Habit::Branch | Habit::ShortCircuit))
        .map(|(task, _)| task)
        .collect();
    for _ in 0..draw.below(ADDED_MAX + 1) {
        let upstream: Vec<TaskIndex> = draw.pick(&may_be_above).into_iter().collect();
        let (task, habit) = tasks::generate(draw, template, &upstream, list.len(), &habits)?;
        list.push(Task { sla: None, ..task });
        habits.push(habit);
    }
    let dag = Dag {
        tasks: list,
        max_active_tasks: draw.one_of(&[1, 4, 16], 16),
        ..(*model.dag).clone()
    };
    Ok(DagModel {
        family: Family::new(&dag),
        dag: Arc::new(dag),
        habits,
        failures: model.failures,
    })
}
