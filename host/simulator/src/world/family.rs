//! Who is above and below whom in a DAG, worked out the slow and obvious way: a table of every pair. The core works it out
//! another way, which is the point.

use airlock_core::dag::spec::{Dag, Expand, ExpandSource, Task, WeightRule};
use airlock_core::ids::{GroupIndex, TaskIndex};

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
    /// The mapped group that each task is in.
    group_of: Vec<Option<GroupIndex>>,
    /// What each group waits for before it is expanded.
    group_upstream: Vec<Vec<TaskIndex>>,
}

pub(crate) fn indexes(dag: &Dag) -> impl Iterator<Item = TaskIndex> + use<> {
    (0..u32::try_from(dag.tasks.len()).unwrap_or(u32::MAX)).map(TaskIndex)
}

/// The mapped group that a task is in, directly or through groups inside it.
fn mapped_group(dag: &Dag, task: &Task) -> Option<GroupIndex> {
    let mut at = task.task_group;
    while let Some(here) = at {
        let group = dag.group(here)?;
        if group.expand.is_some() {
            return Some(here);
        }
        at = group.parent;
    }
    None
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
            group_of: dag
                .tasks
                .iter()
                .map(|task| mapped_group(dag, task))
                .collect(),
            group_upstream: Vec::new(),
        };
        family.find_guards(dag);
        let groups = (0..).map(GroupIndex).take(dag.task_groups.len());
        family.group_upstream = groups
            .map(|group| family.find_group_upstream(dag, group))
            .collect();
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

    pub(crate) fn group_of(&self, task: TaskIndex) -> Option<GroupIndex> {
        self.group_of.get(task.get()).copied().flatten()
    }

    /// Whether two tasks are expanded together: each instance of one sees the instance of the other with its map index.
    pub(crate) fn are_beside(&self, one: TaskIndex, other: TaskIndex) -> bool {
        let group = self.group_of(one);
        group.is_some() && group == self.group_of(other)
    }

    pub(crate) fn members(&self, group: GroupIndex) -> impl Iterator<Item = TaskIndex> {
        let tasks = (0..).map(TaskIndex).zip(&self.group_of);
        tasks
            .filter(move |(_, of)| **of == Some(group))
            .map(|(task, _)| task)
    }

    pub(crate) fn group_upstream(&self, group: GroupIndex) -> &[TaskIndex] {
        self.group_upstream
            .get(group.get())
            .map_or(&[], Vec::as_slice)
    }

    /// The task that the group's list is pulled from by name, or else all direct upstream outside the group; never what is
    /// itself below a task of the group.
    fn find_group_upstream(&self, dag: &Dag, group: GroupIndex) -> Vec<TaskIndex> {
        let is_below = |task: TaskIndex| self.members(group).any(|one| self.is_above(task, one));
        let is_outside = |task: &TaskIndex| self.group_of(*task) != Some(group) && !is_below(*task);
        let mut outside: Vec<TaskIndex> = self
            .members(group)
            .filter_map(|task| dag.task(task))
            .flat_map(|task| task.depends_on.iter().copied())
            .filter(is_outside)
            .collect();
        outside.sort_unstable();
        outside.dedup();
        let template = match dag.group(group).and_then(|group| group.expand.as_ref()) {
            Some(Expand::Product(keys)) => keys.iter().find_map(|(_, source)| match source {
                ExpandSource::Template(text) => Some(text.as_str()),
                ExpandSource::Literal(_) => None,
            }),
            _ => None,
        };
        let pulls = |task: &TaskIndex| {
            let name = dag.task(*task).map(|task| format!("'{}'", task.task_id));
            name.zip(template)
                .is_some_and(|(name, text)| text.contains(&name))
        };
        let named: Vec<TaskIndex> = outside.iter().copied().filter(pulls).collect();
        if named.is_empty() { outside } else { named }
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
