//! Mapped task groups: which tasks are expanded together, what one instance sees of the tasks beside it, and the fold of
//! `GroupExpanded`. It decides nothing: that is [`super::group_turn`].

use super::error::IllegalEvent;
use super::expand::{self, Elements};
use super::plan::{indexes, list, reachable};
use super::state::RunState;
use super::tasks::{Instance, TaskState};
use crate::dag::spec::{Dag, Expand, ExpandSource};
use crate::dag::templates::pulled_task_ids;
use crate::ids::{GroupIndex, TaskIndex, TaskInstanceKey};
use crate::task_instance::state::TaskInstanceState;
use crate::task_instance::trigger_rule::UpstreamStates;
use std::collections::BTreeSet;

/// The mapped groups of one DAG. Instance `i` of a task depends on instance `i` alone of the tasks in its own mapped group.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Groups {
    /// The mapped group of each task.
    of: Vec<Option<GroupIndex>>,
    /// By `GroupIndex`: its tasks, in the order of the DAG.
    members: Vec<Vec<TaskIndex>>,
    /// By `GroupIndex`: what has to have ended before its elements are evaluated.
    upstream: Vec<Vec<TaskIndex>>,
    /// By `TaskIndex`: the direct upstream in the same mapped group.
    beside: Vec<Vec<TaskIndex>>,
}

impl Groups {
    pub(super) fn new(dag: &Dag, downstream: &[Vec<TaskIndex>]) -> Self {
        let of: Vec<_> = indexes(dag).map(|task| dag.mapped_group(task)).collect();
        let mut members = vec![Vec::new(); dag.task_groups.len()];
        for (task, group) in indexes(dag).zip(&of) {
            if let Some(list) = group.and_then(|group| members.get_mut(group.get())) {
                list.push(task);
            }
        }
        let group_of = |task: &TaskIndex| of.get(task.get()).copied().flatten();
        let beside = dag.tasks.iter().zip(&of).map(|(task, group)| {
            let is_beside = |above: &&TaskIndex| group.is_some() && group_of(above) == *group;
            task.depends_on.iter().filter(is_beside).copied().collect()
        });
        let beside = beside.collect();
        let upstream = (0..).map(GroupIndex).zip(&members);
        let upstream = upstream
            .map(|(group, members)| group_upstream(dag, downstream, group, members))
            .collect();
        Self {
            of,
            members,
            upstream,
            beside,
        }
    }

    pub(super) fn of(&self, task: TaskIndex) -> Option<GroupIndex> {
        self.of.get(task.get()).copied().flatten()
    }

    /// Whether two tasks are expanded together.
    pub(super) fn same(&self, one: TaskIndex, other: TaskIndex) -> bool {
        self.of(one)
            .is_some_and(|group| self.of(other) == Some(group))
    }

    pub(super) fn members(&self, group: GroupIndex) -> &[TaskIndex] {
        self.members.get(group.get()).map_or(&[], Vec::as_slice)
    }

    pub(super) fn upstream(&self, group: GroupIndex) -> &[TaskIndex] {
        self.upstream.get(group.get()).map_or(&[], Vec::as_slice)
    }

    fn beside(&self, task: TaskIndex) -> &[TaskIndex] {
        list(&self.beside, task)
    }
}

/// The tasks that the group's templates name, if the group is below them; else all upstream outside the group. What is
/// itself below a task of the group can give nothing and is not waited for, or the two would wait for each other.
fn group_upstream(
    dag: &Dag,
    downstream: &[Vec<TaskIndex>],
    group: GroupIndex,
    members: &[TaskIndex],
) -> Vec<TaskIndex> {
    let Some(expand) = dag.group(group).and_then(|group| group.expand.as_ref()) else {
        return Vec::new();
    };
    let below: BTreeSet<_> = members
        .iter()
        .flat_map(|task| reachable(downstream, *task))
        .collect();
    let tasks = members.iter().filter_map(|task| dag.task(*task));
    let outside: BTreeSet<_> = tasks
        .flat_map(|task| task.depends_on.iter().copied())
        .filter(|task| !members.contains(task) && !below.contains(task))
        .collect();
    let named: Vec<_> = templates(expand)
        .flat_map(pulled_task_ids)
        .filter_map(|id| dag.find(id))
        .filter(|task| outside.contains(task))
        .collect();
    if named.is_empty() {
        outside.into_iter().collect()
    } else {
        named
    }
}

fn templates(expand: &Expand) -> impl Iterator<Item = &str> {
    expand::sources(expand)
        .into_iter()
        .filter_map(|(_, source)| match source {
            ExpandSource::Template(template) => Some(template.as_str()),
            ExpandSource::Literal(_) => None,
        })
}

/// What a branch means by `id`: one of the tasks `direct`ly below it, or all root tasks of a task group. Empty: nothing.
pub(super) fn branch_targets(dag: &Dag, direct: &[TaskIndex], id: &str) -> Vec<TaskIndex> {
    let is_meant = |index: &&TaskIndex| {
        dag.task(**index)
            .is_some_and(|task| task.task_id.as_str() == id)
    };
    if let Some(task) = direct.iter().find(is_meant) {
        return vec![*task];
    }
    let mut groups = (0..).map(GroupIndex).zip(&dag.task_groups);
    let Some((group, _)) = groups.find(|(_, group)| group.group_id.as_str() == id) else {
        return Vec::new();
    };
    let is_root = |task: &TaskIndex| {
        let above = dag.task(*task).map_or(&[][..], |task| &task.depends_on);
        is_in(dag, *task, group) && !above.iter().any(|above| is_in(dag, *above, group))
    };
    indexes(dag).filter(is_root).collect()
}

/// Whether a task is in a group or in a group inside it.
fn is_in(dag: &Dag, task: TaskIndex, group: GroupIndex) -> bool {
    let mut at = dag.task(task).and_then(|task| task.task_group);
    while let Some(here) = at {
        if here == group {
            return true;
        }
        at = dag.group(here).and_then(|group| group.parent);
    }
    false
}

/// What a decision can see of its upstream outside the group: as long as this stays the same, so does every decision.
/// It changes a few times only, so that 100,000 ends outside do not each look at 100,000 instances inside.
pub(super) type Outline = [bool; 11];

impl RunState {
    /// The outline that each task below `task`, in another mapped group than its own, has now.
    pub(super) fn outlines_below(&self, task: TaskIndex) -> Vec<(TaskIndex, Outline)> {
        if self.dag.task_groups.is_empty() {
            return Vec::new();
        }
        let below = self.plan.downstream(task).iter();
        below
            .chain(self.plan.guarded(task))
            .filter(|below| self.plan.groups.of(**below).is_some())
            .filter(|below| !self.plan.groups.same(task, **below))
            .map(|below| (*below, self.outline(task, *below)))
            .collect()
    }

    /// What `below` sees of `task` and of its other upstream.
    pub(super) fn outline(&self, task: TaskIndex, below: TaskIndex) -> Outline {
        let counts = self.counts(task);
        let upstream = self.task_state(below).map(|state| state.upstream);
        let up = upstream.unwrap_or_default();
        [
            up.all_done(),
            up.success > 0,
            up.skipped > 0,
            up.failed > 0,
            up.upstream_failed > 0,
            up.removed > 0,
            up.setup_success > 0,
            up.setup_skipped >= up.setup_total,
            counts.unfinished() > 0,
            counts.get(TaskInstanceState::Failed) + counts.get(TaskInstanceState::UpstreamFailed)
                > 0,
            counts.get(TaskInstanceState::Skipped) > 0,
        ]
    }

    /// What an instance in a mapped group sees of a task in the same group: the one with its map index. A task that was
    /// decided before the group was expanded has one instance for all.
    pub(super) fn beside(&self, task: TaskIndex, map_index: i32) -> Option<&Instance> {
        self.instance(TaskInstanceKey { task, map_index })
            .or_else(|| {
                self.instance(TaskInstanceKey {
                    task,
                    map_index: -1,
                })
            })
    }

    /// The upstream of one instance in a mapped group, and whether a part of it is gone.
    pub(super) fn upstream_of(&self, ti: TaskInstanceKey) -> (UpstreamStates, bool) {
        let outside = self.task_state(ti.task).map(|state| state.upstream);
        let mut upstream = outside.unwrap_or_default();
        let mut gone = false;
        for above in self.plan.groups.beside(ti.task) {
            let Some(instance) = self.beside(*above, ti.map_index) else {
                continue;
            };
            let is_setup = self.dag.task(*above).is_some_and(|task| task.is_setup);
            upstream.add(instance.state, is_setup);
            gone |= instance.state == TaskInstanceState::Removed;
        }
        (upstream, gone)
    }

    /// Whether all that a group's elements may come from has ended.
    pub(super) fn group_upstream_ended(&self, group: GroupIndex) -> bool {
        let mut upstream = self.plan.groups.upstream(group).iter();
        upstream.all(|task| self.counts(*task).unfinished() == 0)
    }

    pub(super) fn expand_literal_groups(&mut self) {
        let dag = self.dag.clone();
        for (group, spec) in (0..).map(GroupIndex).zip(&dag.task_groups) {
            let elements = spec.expand.as_ref().and_then(expand::literal_elements);
            if let Some(elements) = elements.filter(|elements| elements.length > 0) {
                self.expand_group(group, elements);
            }
        }
    }

    pub(super) fn apply_group_expanded(
        &mut self,
        group: GroupIndex,
        json: &str,
    ) -> Result<(), IllegalEvent> {
        let illegal = |reason: String| IllegalEvent::GroupElements { group, reason };
        let spec = self.dag.group(group);
        let Some(expand) = spec.and_then(|spec| spec.expand.as_ref()) else {
            return Err(illegal("it is not mapped".to_owned()));
        };
        let elements = expand::parse(expand, json).map_err(illegal)?;
        if elements.length == 0 {
            return Err(illegal("it has no elements".to_owned()));
        }
        if self.group_revises(group) {
            self.revise_members(group, elements);
            return Ok(());
        }
        if self.groups.get(&group).is_some_and(|old| *old != elements) {
            return Err(illegal("it has other elements already".to_owned()));
        }
        let members = self.plan.groups.members(group);
        if !members.iter().any(|task| self.can_expand(*task)) {
            return Err(illegal(
                "all its tasks are expanded or decided already".to_owned(),
            ));
        }
        self.expand_group(group, elements);
        Ok(())
    }

    fn can_expand(&self, task: TaskIndex) -> bool {
        self.task_state(task).is_ok_and(|state| {
            !state.is_expanded() && state.counts.get(TaskInstanceState::None) > 0
        })
    }

    fn revise_members(&mut self, group: GroupIndex, elements: Elements) {
        let plan = self.plan.clone();
        for task in plan.groups.members(group) {
            if self.task_state(*task).is_ok_and(TaskState::is_expanded) {
                self.resize(*task, elements.length);
            }
        }
        self.expand_group(group, elements);
    }

    fn expand_group(&mut self, group: GroupIndex, elements: Elements) {
        let plan = self.plan.clone();
        for task in plan.groups.members(group) {
            if self.can_expand(*task) {
                self.grow(*task, elements.length);
            }
        }
        self.groups.insert(group, elements);
    }
}
