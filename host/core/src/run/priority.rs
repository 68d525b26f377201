//! Effective priority weights: which task instance takes a scarce slot first. Pure functions of the DAG.

use super::plan::indexes;
use crate::dag::spec::{Dag, WeightRule};
use crate::ids::TaskIndex;

/// The effective weight of every task, by `TaskIndex`: its own plus, by its weight rule, that of all transitive
/// downstream or upstream tasks; cut to 32 bits, as Airflow does.
pub fn effective_weights(dag: &Dag) -> Vec<i32> {
    let upstream: Vec<_> = dag
        .tasks
        .iter()
        .map(|task| task.depends_on.clone())
        .collect();
    let mut downstream = vec![Vec::new(); upstream.len()];
    for (task, above) in indexes(dag).zip(&upstream) {
        for index in above {
            if let Some(below) = downstream.get_mut(index.get()) {
                below.push(task);
            }
        }
    }
    // One mark per task and walk, so that a walk costs only what it reaches.
    let mut marks = vec![u32::MAX; upstream.len()];
    indexes(dag)
        .zip(&dag.tasks)
        .map(|(index, task)| {
            let sum = match task.weight_rule {
                WeightRule::Absolute => i64::from(task.priority_weight),
                WeightRule::Downstream => reached_weight(dag, &downstream, index, &mut marks),
                WeightRule::Upstream => reached_weight(dag, &upstream, index, &mut marks),
            };
            let clamped = sum.clamp(i64::from(i32::MIN), i64::from(i32::MAX));
            i32::try_from(clamped).unwrap_or(task.priority_weight)
        })
        .collect()
}

/// The sum over `start` and everything its edges reach.
fn reached_weight(dag: &Dag, edges: &[Vec<TaskIndex>], start: TaskIndex, marks: &mut [u32]) -> i64 {
    let mut sum = 0;
    let mut open = vec![start];
    while let Some(task) = open.pop() {
        match marks.get_mut(task.get()) {
            Some(mark) if *mark != start.0 => *mark = start.0,
            _ => continue,
        }
        sum += dag
            .task(task)
            .map_or(0, |task| i64::from(task.priority_weight));
        open.extend(edges.get(task.get()).into_iter().flatten());
    }
    sum
}
