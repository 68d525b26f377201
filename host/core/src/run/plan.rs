//! What follows from a DAG's edges alone, computed once per run: downstream lists, leaves, guarding setups.
//! It refuses to know about run state.

use super::group::Groups;
use crate::dag::spec::Dag;
use crate::ids::TaskIndex;
use std::collections::BTreeSet;

/// The derived edges of one DAG, by `TaskIndex`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    /// Direct downstream tasks, sorted.
    downstream: Vec<Vec<TaskIndex>>,
    /// Setups above a task, not directly, whose scope it is in.
    setups: Vec<Vec<TaskIndex>>,
    /// The reverse of `setups`.
    guarded: Vec<Vec<TaskIndex>>,
    /// The tasks that decide the run's state.
    pub(super) leaves: Vec<TaskIndex>,
    /// The mapped task groups.
    pub(super) groups: Groups,
}

pub(super) fn list(lists: &[Vec<TaskIndex>], task: TaskIndex) -> &[TaskIndex] {
    lists.get(task.get()).map_or(&[], Vec::as_slice)
}

fn reverse(lists: &[Vec<TaskIndex>]) -> Vec<Vec<TaskIndex>> {
    let mut reversed = vec![Vec::new(); lists.len()];
    for (task, targets) in (0..).map(TaskIndex).zip(lists) {
        for target in targets {
            if let Some(back) = reversed.get_mut(target.get()) {
                back.push(task);
            }
        }
    }
    reversed
}

impl Plan {
    pub(super) fn new(dag: &Dag) -> Self {
        let upstream: Vec<_> = dag
            .tasks
            .iter()
            .map(|task| task.depends_on.clone())
            .collect();
        let downstream = reverse(&upstream);
        let setups: Vec<_> = indexes(dag)
            .map(|task| indirect_setups(dag, &upstream, &downstream, task))
            .collect();
        let guarded = reverse(&setups);
        let leaves = leaves(dag, &downstream);
        let groups = Groups::new(dag, &downstream);
        Self {
            downstream,
            setups,
            guarded,
            leaves,
            groups,
        }
    }

    pub(super) fn downstream(&self, task: TaskIndex) -> &[TaskIndex] {
        list(&self.downstream, task)
    }

    /// Direct downstream tasks that see all instances: those in the same mapped group see one each.
    pub(super) fn outside(&self, task: TaskIndex) -> impl Iterator<Item = TaskIndex> {
        let below = self.downstream(task).iter().copied();
        below.filter(move |below| !self.groups.same(task, *below))
    }

    pub(super) fn setups(&self, task: TaskIndex) -> &[TaskIndex] {
        list(&self.setups, task)
    }

    pub(super) fn guarded(&self, task: TaskIndex) -> &[TaskIndex] {
        list(&self.guarded, task)
    }

    /// All transitive downstream tasks, without `task` itself.
    pub(super) fn descendants(&self, task: TaskIndex) -> BTreeSet<TaskIndex> {
        reachable(&self.downstream, task)
    }
}

/// All transitive upstream tasks, without `task` itself.
pub(super) fn ancestors(dag: &Dag, task: TaskIndex) -> BTreeSet<TaskIndex> {
    let mut seen = BTreeSet::new();
    let mut open = vec![task];
    while let Some(task) = open.pop() {
        for above in dag.task(task).map_or(&[][..], |task| &task.depends_on) {
            if seen.insert(*above) {
                open.push(*above);
            }
        }
    }
    seen
}

pub(super) fn indexes(dag: &Dag) -> impl Iterator<Item = TaskIndex> + use<> {
    (0..u32::try_from(dag.tasks.len()).unwrap_or(u32::MAX)).map(TaskIndex)
}

pub(super) fn reachable(edges: &[Vec<TaskIndex>], start: TaskIndex) -> BTreeSet<TaskIndex> {
    let mut seen = BTreeSet::new();
    let mut open = vec![start];
    while let Some(task) = open.pop() {
        for next in list(edges, task) {
            if seen.insert(*next) {
                open.push(*next);
            }
        }
    }
    seen
}

/// Airflow's "relevant" setups (`get_upstreams_only_setups`): above the task, with no teardown at all or with one below
/// the task; without those directly above it, which its trigger rule sees. Teardowns go by their own rule alone.
fn indirect_setups(
    dag: &Dag,
    upstream: &[Vec<TaskIndex>],
    downstream: &[Vec<TaskIndex>],
    task: TaskIndex,
) -> Vec<TaskIndex> {
    let is_teardown = |index: &TaskIndex| dag.task(*index).is_some_and(|task| task.is_teardown);
    let has_setups = dag.tasks.iter().any(|task| task.is_setup);
    if !has_setups || is_teardown(&task) {
        return Vec::new();
    }
    let below = reachable(downstream, task);
    let direct = list(upstream, task);
    reachable(upstream, task)
        .into_iter()
        .filter(|index| dag.task(*index).is_some_and(|task| task.is_setup))
        .filter(|setup| {
            let mut teardowns = list(downstream, *setup)
                .iter()
                .filter(|index| is_teardown(index))
                .peekable();
            teardowns.peek().is_none() || teardowns.any(|teardown| below.contains(teardown))
        })
        .filter(|setup| !direct.contains(setup))
        .collect()
}

/// Airflow's effective leaves (`_tis_for_dagrun_state`): teardowns count only with `on_failure_fail_dagrun`, and a task
/// above nothing but such teardowns is a leaf. A DAG of teardowns alone goes by its last ones.
fn leaves(dag: &Dag, downstream: &[Vec<TaskIndex>]) -> Vec<TaskIndex> {
    let counts = |index: &TaskIndex| {
        dag.task(*index)
            .is_some_and(|task| !task.is_teardown || task.on_failure_fail_dagrun)
    };
    let leaves: Vec<_> = indexes(dag)
        .filter(|task| counts(task) && !list(downstream, *task).iter().any(counts))
        .collect();
    if leaves.is_empty() {
        indexes(dag)
            .filter(|task| list(downstream, *task).is_empty())
            .collect()
    } else {
        leaves
    }
}
