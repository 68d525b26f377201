//! Who is above and below whom in a DAG, worked out the slow and obvious way: a table of every pair. The core works it out
//! another way, which is the point.

use airlock_core::dag::spec::{Dag, WeightRule};
use airlock_core::ids::TaskIndex;

/// The relations of one DAG's tasks.
#[derive(Debug)]
pub(crate) struct Family {
    /// `above[task][other]`: `other` is a transitive upstream task of `task`.
    above: Vec<Vec<bool>>,
    /// Direct downstream tasks.
    children: Vec<Vec<TaskIndex>>,
    /// Setups that guard a task without being directly above it.
    guards: Vec<Vec<TaskIndex>>,
    /// The reverse of `guards`.
    guarded: Vec<Vec<TaskIndex>>,
    priorities: Vec<i64>,
}

pub(crate) fn indexes(dag: &Dag) -> impl Iterator<Item = TaskIndex> + use<> {
    (0..u32::try_from(dag.tasks.len()).unwrap_or(u32::MAX)).map(TaskIndex)
}

impl Family {
    pub(crate) fn new(dag: &Dag) -> Self {
        let size = dag.tasks.len();
        let mut above: Vec<Vec<bool>> = Vec::with_capacity(size);
        let mut children = vec![Vec::new(); size];
        // The generator lists a task after its upstream, so one pass is enough.
        for (index, task) in indexes(dag).zip(&dag.tasks) {
            let mut row = vec![false; size];
            for parent in &task.depends_on {
                let theirs = above.get(parent.get()).cloned().unwrap_or_default();
                for (mine, their) in row.iter_mut().zip(theirs) {
                    *mine |= their;
                }
                if let Some(mine) = row.get_mut(parent.get()) {
                    *mine = true;
                }
                if let Some(list) = children.get_mut(parent.get()) {
                    list.push(index);
                }
            }
            above.push(row);
        }
        let mut family = Self {
            above,
            children,
            guards: vec![Vec::new(); size],
            guarded: vec![Vec::new(); size],
            priorities: Vec::new(),
        };
        family.find_guards(dag);
        family.priorities = indexes(dag).map(|task| family.weight(dag, task)).collect();
        family
    }

    /// Whether `other` is a transitive upstream task of `task`.
    pub(crate) fn is_above(&self, task: TaskIndex, other: TaskIndex) -> bool {
        let row = self.above.get(task.get());
        row.and_then(|row| row.get(other.get()))
            .is_some_and(|is| *is)
    }

    pub(crate) fn children(&self, task: TaskIndex) -> &[TaskIndex] {
        self.children.get(task.get()).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn guards(&self, task: TaskIndex) -> &[TaskIndex] {
        self.guards.get(task.get()).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn guarded(&self, task: TaskIndex) -> &[TaskIndex] {
        self.guarded.get(task.get()).map_or(&[], Vec::as_slice)
    }

    /// The effective priority weight of a task.
    pub(crate) fn priority(&self, task: TaskIndex) -> i64 {
        self.priorities.get(task.get()).copied().unwrap_or(0)
    }

    fn weight(&self, dag: &Dag, task: TaskIndex) -> i64 {
        let counts = |other: &TaskIndex| match dag.task(task).map(|task| task.weight_rule) {
            Some(WeightRule::Downstream) => self.is_above(*other, task),
            Some(WeightRule::Upstream) => self.is_above(task, *other),
            Some(WeightRule::Absolute) | None => false,
        };
        indexes(dag)
            .filter(|other| *other == task || counts(other))
            .filter_map(|other| dag.task(other))
            .map(|task| i64::from(task.priority_weight))
            .sum()
    }

    /// A setup above a task guards it if it has no teardown, or one below the task. Teardowns are guarded by nothing.
    fn find_guards(&mut self, dag: &Dag) {
        let is_teardown = |index: TaskIndex| dag.task(index).is_some_and(|task| task.is_teardown);
        let setups: Vec<TaskIndex> = indexes(dag)
            .filter(|index| dag.task(*index).is_some_and(|task| task.is_setup))
            .collect();
        for task in indexes(dag).filter(|task| !is_teardown(*task)) {
            let direct = dag.task(task).map_or(&[][..], |task| &task.depends_on);
            for setup in &setups {
                let teardowns: Vec<TaskIndex> = self.children(*setup).to_vec();
                let mut teardowns = teardowns
                    .into_iter()
                    .filter(|child| is_teardown(*child))
                    .peekable();
                let in_scope = teardowns.peek().is_none()
                    || teardowns.any(|teardown| self.is_above(teardown, task));
                if !self.is_above(task, *setup) || direct.contains(setup) || !in_scope {
                    continue;
                }
                if let Some(list) = self.guards.get_mut(task.get()) {
                    list.push(*setup);
                }
                if let Some(list) = self.guarded.get_mut(setup.get()) {
                    list.push(task);
                }
            }
        }
    }
}
