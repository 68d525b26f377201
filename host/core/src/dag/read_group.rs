//! The outline of a DAG file: its task groups, and every task with the group and the defaults that it is under.
//! It refuses mapped groups in mapped groups; names of other tasks stay texts with their places.

use super::diagnostic::{Sink, Span, quoted};
use super::read::{Fields, FromNode, texts_with_spans, unknown_key, wrong_type};
use super::read_task::{self, Reference};
use super::spec::TaskGroup;
use super::suggest;
use super::yaml::{Entry, Kind, Node};
use super::{GROUPS_MAX, read_expand};
use crate::ids::{GroupIndex, TaskId};

/// The keys of a group.
pub(super) const KEYS: [&str; 8] = [
    "group_id",
    "tooltip",
    "default_args",
    "depends_on",
    "expand",
    "expand_kwargs",
    "tasks",
    "task_groups",
];

/// A group whose references are not resolved yet.
pub(super) struct GroupDraft<'n, 't> {
    pub(super) group: TaskGroup,
    /// The full id as written, also if it is not valid.
    pub(super) id_text: String,
    pub(super) span: Span,
    pub(super) fields: Fields<'n, 't>,
    /// What its tasks take where they say nothing: its own defaults, then those round it.
    pub(super) defaults: Vec<&'n Entry<'t>>,
    /// Whether it, or a group that it is in, is mapped.
    pub(super) is_mapped: bool,
    /// What its first tasks wait for.
    pub(super) upstream: Vec<Reference>,
}

/// Everything under `tasks` and `task_groups`, in the order of the file; a group's tasks stand together.
#[derive(Default)]
pub(super) struct Outline<'n, 't> {
    pub(super) groups: Vec<GroupDraft<'n, 't>>,
    pub(super) tasks: Vec<(&'n Node<'t>, Option<GroupIndex>)>,
    /// The DAG's defaults.
    pub(super) defaults: Vec<&'n Entry<'t>>,
}

impl<'n, 't> Outline<'n, 't> {
    pub(super) fn read(fields: Fields<'n, 't>, sink: &mut Sink) -> Self {
        let mut outline = Self {
            defaults: default_args(fields, &[], sink),
            ..Self::default()
        };
        outline.members(fields.own, None, sink);
        if outline.groups.len() > GROUPS_MAX {
            let span = fields.own_entry("task_groups").map(|one| one.key_span);
            let count = outline.groups.len();
            sink.error_hint(
                span.unwrap_or(Span::START),
                "too-many-groups",
                format!("the DAG has {count} task groups; at most {GROUPS_MAX} are allowed"),
                "split the DAG, or let one group expand over a list".to_owned(),
            );
            outline.groups.clear();
            outline.tasks.clear();
        }
        outline
    }

    /// Recursion is bounded by the parser's depth limit.
    fn members(&mut self, own: &'n [Entry<'t>], parent: Option<GroupIndex>, sink: &mut Sink) {
        for entry in own {
            let what = &*entry.key;
            if !matches!(what, "tasks" | "task_groups") || entry.value.is_null() {
                continue;
            }
            let Kind::Sequence(items) = &entry.value.kind else {
                wrong_type(&entry.value, what, "a list", sink);
                continue;
            };
            for item in items {
                if what == "tasks" {
                    self.tasks.push((item, parent));
                } else {
                    self.group(item, parent, sink);
                }
            }
        }
    }

    fn group(&mut self, node: &'n Node<'t>, parent: Option<GroupIndex>, sink: &mut Sink) {
        let Some(own) = node.as_mapping() else {
            let expected = "a list of mappings, one for each group";
            wrong_type(node, "task_groups", expected, sink);
            return;
        };
        check_keys(own, sink);
        let fields = Fields { own, defaults: &[] };
        let outer = parent.and_then(|parent| self.groups.get(parent.get()));
        let defaults = outer.map_or(&self.defaults, |outer| &outer.defaults);
        let defaults = default_args(fields, defaults, sink);
        let prefix = outer.map(|outer| outer.id_text.as_str());
        let (group_id, id_text, span) = id(node, fields, prefix, sink);
        let expand = read_expand::expand(fields, sink);
        let in_mapped = outer.is_some_and(|outer| outer.is_mapped);
        if in_mapped && expand.is_some() {
            nested(fields, "a group", "group", sink);
        }
        let Some(group_id) = group_id.or_else(|| TaskId::parse("invalid").ok()) else {
            return;
        };
        let before = self.tasks.len();
        let index = GroupIndex(u32::try_from(self.groups.len()).unwrap_or(u32::MAX));
        self.groups.push(GroupDraft {
            is_mapped: in_mapped || expand.is_some(),
            group: TaskGroup {
                group_id,
                parent,
                tooltip: fields.or("tooltip", String::new(), sink),
                expand: expand.filter(|_| !in_mapped),
            },
            id_text,
            span,
            fields,
            defaults,
            upstream: depends_on(fields, sink),
        });
        self.members(own, Some(index), sink);
        if self.tasks.len() == before {
            let message = "the group has no tasks".to_owned();
            let hint = "add `tasks: [{task_id: hello, operator: probe}]`, or remove it".to_owned();
            sink.error_hint(span, "empty-group", message, hint);
        }
    }
}

/// Says that `what` may not be mapped where it stands.
pub(super) fn nested(fields: Fields<'_, '_>, what: &str, noun: &str, sink: &mut Sink) {
    let keys = ["expand", "expand_kwargs"];
    for entry in keys.iter().filter_map(|key| fields.own_entry(key)) {
        sink.error_hint(
            entry.key_span,
            "nested-mapping",
            format!("{what} inside a mapped group cannot be mapped itself"),
            format!(
                "move the {noun} out of the mapped group, or let the group expand over the pairs"
            ),
        );
    }
}

fn check_keys(own: &[Entry<'_>], sink: &mut Sink) {
    for entry in own.iter().filter(|entry| !KEYS.contains(&&*entry.key)) {
        let hint = match &*entry.key {
            "id" | "name" | "task_group" => Some("did you mean `group_id`?".to_owned()),
            "description" | "doc_md" => Some("did you mean `tooltip`?".to_owned()),
            key => suggest::hint(key, KEYS, || {
                read_task::KEYS.contains(&key).then(|| {
                    format!("`{key}` is a key of a task: write it there, or in `default_args`")
                })
            }),
        };
        unknown_key(&entry.key, entry.key_span, "task_groups", hint, sink);
    }
}

/// The full id as a value, as text, and its place.
fn id(
    node: &Node<'_>,
    fields: Fields<'_, '_>,
    prefix: Option<&str>,
    sink: &mut Sink,
) -> (Option<TaskId>, String, Span) {
    let Some(place) = read_task::required(node, fields.own, "group_id", sink) else {
        return (None, String::new(), node.span);
    };
    let text = place.as_str().unwrap_or_default();
    let short = TaskId::from_node(place, "group_id", sink);
    if short.is_some() && text.contains('.') {
        let message = format!("the group_id {} holds a dot", quoted(text));
        let hint = "dots stand between a group and its tasks: write `_`, or nest two groups";
        sink.error_hint(place.span, "invalid-id", message, hint.to_owned());
    }
    let full = read_task::full_id(prefix, text);
    let id = short.and_then(|_| read_task::checked_id(&full, place.span, sink));
    (id, full, place.span)
}

fn depends_on(fields: Fields<'_, '_>, sink: &mut Sink) -> Vec<Reference> {
    let list = fields
        .node("depends_on")
        .and_then(|node| texts_with_spans(node, "depends_on", sink));
    let reference = |(task_id, span)| Reference {
        task_id,
        span,
        key: "depends_on",
    };
    list.unwrap_or_default()
        .into_iter()
        .map(reference)
        .collect()
}

/// `default_args` laid over the `outer` ones. A key that no task knows is an error here, once.
fn default_args<'n, 't>(
    fields: Fields<'n, 't>,
    outer: &[&'n Entry<'t>],
    sink: &mut Sink,
) -> Vec<&'n Entry<'t>> {
    let Some(node) = fields.node("default_args") else {
        return outer.to_vec();
    };
    let Some(entries) = node.as_mapping() else {
        wrong_type(node, "default_args", "a mapping of task keys", sink);
        return outer.to_vec();
    };
    let mut merged: Vec<&'n Entry<'t>> = Vec::new();
    for entry in entries {
        if read_task::NO_DEFAULT.contains(&&*entry.key) {
            let key = quoted(&entry.key);
            let message = format!("{key} belongs to one task and cannot be a default");
            let hint = "move it into the task".to_owned();
            sink.error_hint(entry.key_span, "not-a-default", message, hint);
        } else if !read_task::KEYS.contains(&&*entry.key) {
            let hint = read_task::key_hint(&entry.key);
            unknown_key(&entry.key, entry.key_span, "default_args", hint, sink);
        } else if merged.iter().all(|other| other.key != entry.key) {
            merged.push(entry);
        }
    }
    for entry in outer {
        if merged.iter().all(|other| other.key != entry.key) {
            merged.push(entry);
        }
    }
    merged
}
