//! Templates against the graph: what they pull must exist and be upstream; short ids become full ones.
//! It refuses to make edges: in Airflow, too, a template alone makes none.

use super::diagnostic::{Sink, quoted};
use super::graph::{Graph, UpstreamSets};
use super::names::{Name, Names};
use super::read::Fields;
use super::read_group::GroupDraft;
use super::read_task::Draft;
use super::spec::{Callback, Expand, ExpandSource, Task, TaskGroup};
use super::templates::{Pull, Templates, qualify, qualify_text};

use crate::ids::{GroupIndex, TaskIndex};

/// What a task hands to its operator.
const WORK: [&str; 5] = [
    "config",
    "partial",
    "expand",
    "expand_kwargs",
    "map_index_template",
];
/// What is called when something happened to a task.
const TASK_CALLBACKS: [&str; 5] = [
    "on_execute_callback",
    "on_failure_callback",
    "on_success_callback",
    "on_retry_callback",
    "on_skipped_callback",
];
const DAG_CALLBACKS: [&str; 5] = [
    "on_sla_miss",
    "sla_miss_callback",
    "on_failure_callback",
    "on_success_callback",
    "deadlines",
];

/// The templates of one DAG.
pub(super) struct Check<'a, 'n, 't> {
    templates: Templates<'a>,
    names: &'a Names,
    drafts: &'a [Draft<'n, 't>],
    graph: Option<&'a Graph>,
    /// Built at most once, and only for DAGs that pull from further away.
    sets: Option<UpstreamSets>,
}

impl<'a, 'n, 't> Check<'a, 'n, 't> {
    pub(super) fn new(
        names: &'a Names,
        drafts: &'a [Draft<'n, 't>],
        graph: Option<&'a Graph>,
        text: &'a str,
    ) -> Self {
        Self {
            templates: Templates::new(text),
            names,
            drafts,
            graph,
            sets: None,
        }
    }

    /// What the DAG's callbacks pull must exist.
    pub(super) fn dag(&self, fields: Fields<'_, '_>, sink: &mut Sink) {
        for pull in self.pulls(fields, &DAG_CALLBACKS, sink) {
            self.target(&pull, None, sink);
        }
    }

    /// What a mapped group expands over must come before it.
    pub(super) fn groups(&mut self, groups: &[GroupDraft<'_, '_>], sink: &mut Sink) {
        for (group, draft) in (0_u32..).map(GroupIndex).zip(groups) {
            for pull in self.pulls(draft.fields, &["expand", "expand_kwargs"], sink) {
                let Some(target) = self.target(&pull, draft.group.parent, sink) else {
                    continue;
                };
                if self.is_inside(target, group) {
                    let name = quoted(&pull.task_id);
                    let message = format!("the group expands over {name}, which is inside it");
                    let hint = format!("move {name} out of the group");
                    sink.error_hint(pull.span, "expand-from-inside", message, hint);
                    continue;
                }
                let place =
                    |(place, _): (TaskIndex, _)| self.is_inside(place, group).then_some(place);
                let all = (0_u32..).map(TaskIndex).zip(self.drafts);
                let members: Vec<TaskIndex> = all.filter_map(place).collect();
                if members.iter().any(|task| !self.waits(*task, target)) {
                    not_upstream(&pull, &draft.id_text, sink);
                }
            }
        }
    }

    /// What a task's operator pulls must be upstream; what its callbacks pull must exist.
    pub(super) fn tasks(&mut self, sink: &mut Sink) {
        for (task, draft) in (0_u32..).map(TaskIndex).zip(self.drafts) {
            let scope = draft.task.task_group;
            for pull in self.pulls(draft.fields, &WORK, sink) {
                if let Some(target) = self.target(&pull, scope, sink)
                    && !self.waits(task, target)
                {
                    not_upstream(&pull, &draft.id_text, sink);
                }
            }
            for pull in self.pulls(draft.fields, &TASK_CALLBACKS, sink) {
                self.target(&pull, scope, sink);
            }
        }
    }

    fn pulls(&self, fields: Fields<'_, '_>, keys: &[&str], sink: &mut Sink) -> Vec<Pull> {
        let mut pulls = Vec::new();
        for node in keys.iter().filter_map(|key| fields.node(key)) {
            self.templates.check(node, &mut pulls, sink);
        }
        pulls
    }

    fn target(&self, pull: &Pull, scope: Option<GroupIndex>, sink: &mut Sink) -> Option<TaskIndex> {
        let name = quoted(&pull.task_id);
        match self.names.find(&pull.task_id, scope, None) {
            Some(Name::Task(task)) => return Some(task),
            Some(Name::Group(_)) => {
                let message = format!("`xcom_pull` names {name}, which is a group");
                let hint = "name one of its tasks".to_owned();
                sink.error_hint(pull.span, "not-a-task", message, hint);
            }
            None => {
                let message = format!("`xcom_pull` names {name}, which is no task of this DAG");
                let hint = self.names.hint(&pull.task_id, scope, sink);
                sink.error_hint(pull.span, "unknown-task", message, hint);
            }
        }
        None
    }

    /// Whether `task` waits for `target`; in a DAG with a cycle the question has no answer.
    fn waits(&mut self, task: TaskIndex, target: TaskIndex) -> bool {
        let Some(graph) = self.graph else {
            return true;
        };
        if graph.upstream(task).binary_search(&target).is_ok() {
            return true;
        }
        let sets = self.sets.get_or_insert_with(|| graph.upstream_sets());
        sets.contains(task, target)
    }

    fn is_inside(&self, task: TaskIndex, group: GroupIndex) -> bool {
        let scope = self
            .drafts
            .get(task.get())
            .and_then(|one| one.task.task_group);
        self.names.enclosing(scope).any(|outer| outer == group)
    }
}

/// A template makes no edge: what it pulls must be upstream by another way, or may not be there yet.
fn not_upstream(pull: &Pull, owner: &str, sink: &mut Sink) {
    let name = quoted(&pull.task_id);
    let message = format!(
        "{name} is not upstream of {}: its XCom may not exist yet",
        quoted(owner)
    );
    let hint = format!("add {name} to `depends_on`; a template makes no edge");
    sink.warning(pull.span, "not-upstream", message, hint);
}

/// Writes the full id wherever a template inside a group pulls by the short one, so that nobody after the parser
/// needs to know groups to read a template. The groups are returned, the tasks changed in place.
pub(super) fn full_ids(
    names: &Names,
    groups: &[GroupDraft<'_, '_>],
    drafts: &mut [Draft<'_, '_>],
) -> Vec<TaskGroup> {
    let ids: Vec<String> = drafts.iter().map(|one| one.id_text.clone()).collect();
    let full = |scope: Option<GroupIndex>, id: &str| match names.find(id, scope, None) {
        Some(Name::Task(task)) => ids.get(task.get()).filter(|full| *full != id).cloned(),
        _ => None,
    };
    for draft in drafts {
        let scope = draft.task.task_group;
        if scope.is_some() {
            full_ids_of_task(&mut draft.task, &|id| full(scope, id));
        }
    }
    let mut out = Vec::with_capacity(groups.len());
    for draft in groups {
        let mut group = draft.group.clone();
        let scope = group.parent;
        if let Some(expand) = group.expand.as_mut().filter(|_| scope.is_some()) {
            full_ids_of_expand(expand, &|id| full(scope, id));
        }
        out.push(group);
    }
    out
}

fn full_ids_of_task(task: &mut Task, full: &dyn Fn(&str) -> Option<String>) {
    qualify(&mut task.config, full);
    if let Some(expand) = &mut task.expand {
        full_ids_of_expand(expand, full);
    }
    if let Some(template) = &mut task.map_index_template {
        qualify_text(template, full);
    }
    let lists: [&mut Vec<Callback>; 5] = [
        &mut task.on_execute,
        &mut task.on_failure,
        &mut task.on_success,
        &mut task.on_retry,
        &mut task.on_skipped,
    ];
    for callback in lists.into_iter().flatten() {
        qualify(&mut callback.config, full);
    }
}

fn full_ids_of_expand(expand: &mut Expand, full: &dyn Fn(&str) -> Option<String>) {
    let one = |source: &mut ExpandSource| match source {
        ExpandSource::Literal(items) => items.iter_mut().for_each(|item| qualify(item, full)),
        ExpandSource::Template(template) => qualify_text(template, full),
    };
    match expand {
        Expand::Product(keys) => keys.iter_mut().for_each(|(_, source)| one(source)),
        Expand::Kwargs(source) => one(source),
    }
}
