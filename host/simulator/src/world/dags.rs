//! Random DAGs: their size, their edges, their limits. What single tasks are like is drawn in `tasks`.

use super::family::Family;
use super::{DagModel, Habit, groups, tasks};
use crate::draw::Draw;
use airlock_core::dag;
use airlock_core::dag::spec::{Dag, Task};
use airlock_core::ids::{DagId, TaskIndex};
use jiff::SignedDuration;
use std::sync::Arc;

/// The most tasks of one DAG.
pub(crate) const TASKS_MAX: usize = 200;
/// The most direct upstream tasks that are drawn for one task, but for the last, which may join all.
const UPSTREAM_MAX: usize = 4;
/// What every drawn DAG begins as: the parser gives all that is not drawn its default.
const TEMPLATE: &str = "dag_id: d\ntasks:\n  - task_id: t\n    operator: probe\n";

/// A DAG of at most `largest` tasks.
pub(super) fn generate(draw: &mut Draw, place: usize, largest: usize) -> Result<DagModel, String> {
    let base = dag::parse(TEMPLATE)
        .dag
        .ok_or("the simulator's template of a DAG does not parse")?;
    let template = base
        .tasks
        .first()
        .cloned()
        .ok_or("the simulator's template of a DAG has no task")?;
    let size = draw.size(largest.min(TASKS_MAX));
    let shape = Shape::draw(draw);
    let asks_past = draw.chance(25);
    let mut list: Vec<Task> = Vec::with_capacity(size);
    let mut habits: Vec<Habit> = Vec::with_capacity(size);
    for index in 0..size {
        let upstream = shape.upstream(draw, index, size);
        let (mut task, habit) = tasks::generate(draw, &template, &upstream, index, &habits)?;
        if asks_past {
            tasks::past(draw, &mut task);
        }
        list.push(task);
        habits.push(habit);
    }
    let task_groups = groups::generate(draw, &mut list, &habits)?;
    let dag_id = DagId::parse(&format!("d{place}")).map_err(|error| error.to_string())?;
    let dag = limits(
        draw,
        Dag {
            dag_id,
            tasks: list,
            task_groups,
            ..base
        },
    );
    Ok(DagModel {
        family: Family::new(&dag),
        dag: Arc::new(dag),
        habits,
        failures: draw.one_of(&[0, 5, 20, 50], 5),
    })
}

fn limits(draw: &mut Draw, dag: Dag) -> Dag {
    let timeout = [60, 600, 7_200];
    Dag {
        max_active_runs: draw.one_of(&[1, 2, 16], 16),
        max_active_tasks: draw.one_of(&[1, 2, 4, 16], 16),
        fail_fast: draw.chance(12),
        catchup: draw.chance(50),
        dagrun_timeout: draw
            .chance(15)
            .then(|| SignedDuration::from_secs(draw.one_of(&timeout, 600))),
        ..dag
    }
}

/// How the edges of a DAG lie.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Chain,
    Fan,
    Random,
    Layers(usize),
}

impl Shape {
    fn draw(draw: &mut Draw) -> Self {
        match draw.below(6) {
            0 => Self::Chain,
            1 => Self::Fan,
            2 => Self::Layers(draw.below(6) + 2),
            _ => Self::Random,
        }
    }

    /// The direct upstream tasks of the task at `index`: sorted, without repeats, all before it.
    fn upstream(self, draw: &mut Draw, index: usize, size: usize) -> Vec<TaskIndex> {
        if index == 0 {
            return Vec::new();
        }
        let mut chosen: Vec<usize> = match self {
            Self::Chain => vec![index - 1],
            Self::Fan if index + 1 == size => (1..index).collect(),
            Self::Fan => vec![0],
            Self::Layers(width) => {
                let start = (index / width * width).saturating_sub(width);
                let end = (index / width * width).min(index);
                (start..end).filter(|_| draw.chance(60)).collect()
            }
            Self::Random => (0..draw.below(UPSTREAM_MAX + 1))
                .map(|_| draw.below(index))
                .collect(),
        };
        chosen.sort_unstable();
        chosen.dedup();
        chosen
            .into_iter()
            .filter_map(|place| u32::try_from(place).ok().map(TaskIndex))
            .collect()
    }
}
