//! The shape of a DAG: who waits for whom, in both directions, and an order in which all can run.
//! It refuses cycles and edges to tasks that do not exist; trigger rules and states are not its business.

use super::spec::Dag;
use crate::ids::TaskIndex;
use std::collections::VecDeque;

/// Why tasks make no graph. A DAG from `dag::parse` never causes one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// The tasks wait for each other, each for the one before it and the first for the last; parse the DAG file again to see where.
    #[error("the tasks at {0:?} wait for each other in a circle; remove one of these edges")]
    Cycle(Vec<TaskIndex>),
    /// An edge leads out of the list of tasks.
    #[error(
        "task {task:?} waits for {upstream:?}, which does not exist; load the DAG from its file again"
    )]
    UnknownTask {
        /// The task with the edge.
        task: TaskIndex,
        /// Where it leads.
        upstream: TaskIndex,
    },
}

/// The edges of a DAG, ready to be walked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    upstream: Vec<Vec<TaskIndex>>,
    downstream: Vec<Vec<TaskIndex>>,
    order: Vec<TaskIndex>,
}

impl Graph {
    /// The graph of `dag`'s tasks.
    pub fn new(dag: &Dag) -> Result<Self, GraphError> {
        Self::from_upstream(
            dag.tasks
                .iter()
                .map(|task| task.depends_on.clone())
                .collect(),
        )
    }

    /// The graph in which the task at each place waits for the tasks in its list.
    pub fn from_upstream(upstream: Vec<Vec<TaskIndex>>) -> Result<Self, GraphError> {
        let downstream = reverse(&upstream)?;
        let order = order(&upstream, &downstream);
        if order.len() < upstream.len() {
            let cycle = cycles(&upstream, &downstream).into_iter().next();
            return Err(GraphError::Cycle(cycle.unwrap_or_default()));
        }
        Ok(Self {
            upstream,
            downstream,
            order,
        })
    }

    /// How many tasks there are.
    pub fn len(&self) -> usize {
        self.upstream.len()
    }

    /// Whether there is no task.
    pub fn is_empty(&self) -> bool {
        self.upstream.is_empty()
    }

    /// The tasks that `task` waits for directly.
    pub fn upstream(&self, task: TaskIndex) -> &[TaskIndex] {
        self.upstream.get(task.get()).map_or(&[], Vec::as_slice)
    }

    /// The tasks that wait for `task` directly, ascending.
    pub fn downstream(&self, task: TaskIndex) -> &[TaskIndex] {
        self.downstream.get(task.get()).map_or(&[], Vec::as_slice)
    }

    /// All tasks, each after everything it waits for; of those that are free at once, the first in the file first.
    pub fn order(&self) -> &[TaskIndex] {
        &self.order
    }

    /// The tasks that wait for nothing.
    pub fn roots(&self) -> impl Iterator<Item = TaskIndex> {
        without_edges(&self.upstream)
    }

    /// The tasks that nothing waits for.
    pub fn leaves(&self) -> impl Iterator<Item = TaskIndex> {
        without_edges(&self.downstream)
    }

    /// All that `task` waits for, directly or not, ascending, without itself. Linear in the edges.
    pub fn all_upstream(&self, task: TaskIndex) -> Vec<TaskIndex> {
        reach(&self.upstream, task)
    }

    /// All that wait for `task`, directly or not, ascending, without itself. Linear in the edges.
    pub fn all_downstream(&self, task: TaskIndex) -> Vec<TaskIndex> {
        reach(&self.downstream, task)
    }

    /// For each task the set of all that it waits for: n² bits, for callers with many questions.
    pub fn upstream_sets(&self) -> UpstreamSets {
        let words = self.len().div_ceil(64);
        let mut rows: Vec<Vec<u64>> = vec![Vec::new(); self.len()];
        for &task in &self.order {
            let mut row = vec![0_u64; words];
            for &up in self.upstream(task) {
                for (word, other) in row.iter_mut().zip(rows.get(up.get()).into_iter().flatten()) {
                    *word |= other;
                }
                if let Some(word) = row.get_mut(up.get() / 64) {
                    *word |= 1 << (up.get() % 64);
                }
            }
            if let Some(place) = rows.get_mut(task.get()) {
                *place = row;
            }
        }
        UpstreamSets { rows }
    }
}

/// Answers at once whether one task waits for another.
#[derive(Debug, Clone)]
pub struct UpstreamSets {
    rows: Vec<Vec<u64>>,
}

impl UpstreamSets {
    /// Whether `task` waits for `up`, directly or not.
    pub fn contains(&self, task: TaskIndex, up: TaskIndex) -> bool {
        let word = self
            .rows
            .get(task.get())
            .and_then(|row| row.get(up.get() / 64));
        word.is_some_and(|word| word >> (up.get() % 64) & 1 == 1)
    }
}

/// Places are at most `TASKS_MAX` here, or come from a list that was indexed by `u32` before.
fn index(place: usize) -> TaskIndex {
    TaskIndex(u32::try_from(place).unwrap_or(u32::MAX))
}

fn without_edges(edges: &[Vec<TaskIndex>]) -> impl Iterator<Item = TaskIndex> {
    let free = |(place, list): (usize, &Vec<TaskIndex>)| list.is_empty().then(|| index(place));
    edges.iter().enumerate().filter_map(free)
}

fn reverse(upstream: &[Vec<TaskIndex>]) -> Result<Vec<Vec<TaskIndex>>, GraphError> {
    let mut downstream = vec![Vec::new(); upstream.len()];
    for (place, list) in upstream.iter().enumerate() {
        let task = index(place);
        for &upstream in list {
            let Some(down) = downstream.get_mut(upstream.get()) else {
                return Err(GraphError::UnknownTask { task, upstream });
            };
            down.push(task);
        }
    }
    Ok(downstream)
}

/// Kahn's algorithm; tasks on or behind a cycle are missing.
fn order(upstream: &[Vec<TaskIndex>], downstream: &[Vec<TaskIndex>]) -> Vec<TaskIndex> {
    let mut waiting: Vec<usize> = upstream.iter().map(Vec::len).collect();
    let mut ready: VecDeque<TaskIndex> = without_edges(upstream).collect();
    let mut order = Vec::with_capacity(upstream.len());
    while let Some(task) = ready.pop_front() {
        order.push(task);
        for &down in downstream.get(task.get()).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(down.get()) {
                *count -= 1;
                if *count == 0 {
                    ready.push_back(down);
                }
            }
        }
    }
    order
}

/// At least one cycle of every group of tasks that wait for each other, each in the direction of the flow,
/// beginning with its first task in the file.
pub(super) fn cycles(
    upstream: &[Vec<TaskIndex>],
    downstream: &[Vec<TaskIndex>],
) -> Vec<Vec<TaskIndex>> {
    // Without all that can be ordered from either end, only cycles and paths between cycles are left.
    let mut left = vec![true; upstream.len()];
    for task in order(upstream, downstream)
        .into_iter()
        .chain(order(downstream, upstream))
    {
        if let Some(mark) = left.get_mut(task.get()) {
            *mark = false;
        }
    }
    let mut walk_of: Vec<Option<usize>> = vec![None; upstream.len()];
    let mut found = Vec::new();
    for start in 0..upstream.len() {
        let mut path = Vec::new();
        let mut next = left
            .get(start)
            .copied()
            .unwrap_or(false)
            .then(|| index(start));
        while let Some(task) = next {
            match walk_of.get_mut(task.get()) {
                Some(walk @ None) => *walk = Some(start),
                Some(Some(walk)) if *walk == start && path.contains(&task) => {
                    found.push(cut(&path, task));
                    break;
                }
                _ => break,
            }
            path.push(task);
            let ups = upstream.get(task.get()).into_iter().flatten();
            next = ups.copied().find(|up| left.get(up.get()) == Some(&true));
        }
    }
    found
}

/// The part of `path` (walked against the flow) from `task` on, turned round and begun with its least place.
fn cut(path: &[TaskIndex], task: TaskIndex) -> Vec<TaskIndex> {
    let mut cycle: Vec<TaskIndex> = path
        .iter()
        .copied()
        .skip_while(|one| *one != task)
        .collect();
    cycle.reverse();
    let least = cycle.iter().enumerate().min_by_key(|(_, task)| **task);
    let least = least.map_or(0, |(place, _)| place);
    cycle.rotate_left(least);
    cycle
}

fn reach(edges: &[Vec<TaskIndex>], from: TaskIndex) -> Vec<TaskIndex> {
    let mut seen = vec![false; edges.len()];
    let mut stack = vec![from];
    while let Some(task) = stack.pop() {
        for &next in edges.get(task.get()).into_iter().flatten() {
            if let Some(mark @ false) = seen.get_mut(next.get()) {
                *mark = true;
                stack.push(next);
            }
        }
    }
    let marked = |(place, mark): (usize, &bool)| mark.then(|| index(place));
    seen.iter().enumerate().filter_map(marked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(list: &[u32]) -> Vec<TaskIndex> {
        list.iter().copied().map(TaskIndex).collect()
    }

    #[test]
    fn a_diamond_is_walked_both_ways() {
        let graph =
            Graph::from_upstream(vec![ids(&[1, 2]), ids(&[3]), ids(&[3]), ids(&[])]).unwrap();
        assert_eq!(graph.order(), ids(&[3, 1, 2, 0]));
        assert_eq!(graph.roots().collect::<Vec<_>>(), ids(&[3]));
        assert_eq!(graph.leaves().collect::<Vec<_>>(), ids(&[0]));
        assert_eq!(graph.all_upstream(TaskIndex(0)), ids(&[1, 2, 3]));
        assert_eq!(graph.all_downstream(TaskIndex(3)), ids(&[0, 1, 2]));
        assert_eq!(graph.downstream(TaskIndex(1)), ids(&[0]));
        let sets = graph.upstream_sets();
        assert!(sets.contains(TaskIndex(0), TaskIndex(3)));
        assert!(!sets.contains(TaskIndex(1), TaskIndex(2)));
        assert!(!sets.contains(TaskIndex(3), TaskIndex(0)));
    }

    #[test]
    fn cycles_are_named_whole_and_each_group_once() {
        // 0 -> 1 -> 2 -> 0, a tail 3 behind it, and 4 <-> 5 apart.
        let upstream = vec![
            ids(&[2]),
            ids(&[0]),
            ids(&[1]),
            ids(&[2]),
            ids(&[5]),
            ids(&[4]),
        ];
        let downstream = reverse(&upstream).unwrap();
        assert_eq!(
            cycles(&upstream, &downstream),
            vec![ids(&[0, 1, 2]), ids(&[4, 5])]
        );
        let error = Graph::from_upstream(upstream).unwrap_err();
        assert_eq!(error, GraphError::Cycle(ids(&[0, 1, 2])));
    }

    #[test]
    fn an_edge_out_of_the_list_is_an_error() {
        let error = Graph::from_upstream(vec![ids(&[7])]).unwrap_err();
        assert!(matches!(
            error,
            GraphError::UnknownTask {
                upstream: TaskIndex(7),
                ..
            }
        ));
    }
}
