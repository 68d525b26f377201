//! The DAG's own keys, and the whole of it: reads every part, then has `validate` join the tasks.
//! It refuses to stop at the first error: a part that cannot be read leaves its default behind and the rest goes on.

use super::diagnostic::{Sink, Span, quoted};
use super::read::{Fields, FromNode, Texts, unknown_key, wrong_type};
use super::read_callback::{Callbacks, callbacks, either};
use super::read_group::Outline;
use super::read_task::{self, Draft, Place};
use super::spec::{Dag, MAX_ACTIVE_DEFAULT, Schedule, TimetableKind};
use super::suggest;
use super::yaml::Node;
use super::{TASKS_MAX, params, read_deadline, read_schedule, validate, when};
use crate::ids::{DagId, GroupIndex};
use crate::timetable;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, HashSet};

/// The keys of a DAG.
pub(super) const KEYS: [&str; 30] = [
    "dag_id",
    "description",
    "schedule",
    "timezone",
    "timetable",
    "start_date",
    "end_date",
    "catchup",
    "max_active_runs",
    "max_active_tasks",
    "dagrun_timeout",
    "fail_fast",
    "is_paused_upon_creation",
    "tags",
    "params",
    "default_args",
    "on_sla_miss",
    "on_failure_callback",
    "on_success_callback",
    "grants",
    "tasks",
    "task_groups",
    "dag_display_name",
    "doc_md",
    "owner_links",
    "max_consecutive_failed_dag_runs",
    "sla_miss_callback",
    "deadlines",
    "full_ids",
    "$schema",
];
const TIMETABLES: [(&str, TimetableKind); 2] = [
    ("trigger", TimetableKind::Trigger),
    ("interval", TimetableKind::Interval),
];

/// The DAG in `root`; whether it may be used is for the caller to say, by the errors in `sink`.
pub(super) fn read(root: &Node<'_>, text: &str, sink: &mut Sink) -> Option<Dag> {
    let Some(own) = root.as_mapping() else {
        wrong_type(
            root,
            "the file",
            "a mapping with `dag_id` and `tasks`",
            sink,
        );
        return None;
    };
    for entry in own.iter().filter(|entry| !KEYS.contains(&&*entry.key)) {
        unknown_key(
            &entry.key,
            entry.key_span,
            "dag",
            key_hint(&entry.key),
            sink,
        );
    }
    let fields = Fields { own, defaults: &[] };
    let outline = Outline::read(fields, sink);
    let mut dag = header(fields, sink)?;
    let drafts = tasks(fields, &outline, sink);
    validate::dag(&dag, fields, sink);
    (dag.task_groups, dag.tasks) =
        validate::join(&dag, fields, &outline.groups, drafts, text, sink);
    Some(dag)
}

fn key_hint(key: &str) -> Option<String> {
    let other = match key {
        "schedule_interval" | "cron" => "schedule",
        "concurrency" => "max_active_tasks",
        "fail_stop" => "fail_fast",
        "id" => "dag_id",
        "name" => "dag_display_name",
        "groups" => "task_groups",
        "steps" | "jobs" => "tasks",
        _ => {
            return suggest::hint(key, KEYS, || {
                suggest::nearest(key, read_task::KEYS).map(|near| {
                    format!("`{near}` is a key of a task: write it there, or in `default_args`")
                })
            });
        }
    };
    Some(format!("did you mean `{other}`?"))
}

fn header(fields: Fields<'_, '_>, sink: &mut Sink) -> Option<Dag> {
    let dag_id = if fields.node("dag_id").is_some() {
        fields.get::<DagId>("dag_id", sink)
    } else {
        let message = "the DAG has no `dag_id`".to_owned();
        sink.error_hint(
            Span::START,
            "missing-key",
            message,
            "add `dag_id: my_dag`".to_owned(),
        );
        None
    };
    let (timezone, zone) = timezone(fields, sink);
    let schedule = read_schedule::read(fields, sink);
    let one_run = matches!(schedule, Schedule::Continuous);
    let runs = if one_run { 1 } else { MAX_ACTIVE_DEFAULT };
    Some(Dag {
        // A missing or invalid id is an error already; the stand-in lets the other checks go on.
        dag_id: dag_id.or_else(|| DagId::parse("invalid").ok())?,
        dag_display_name: fields.get("dag_display_name", sink),
        description: fields.get("description", sink),
        doc_md: fields.get("doc_md", sink),
        owner_links: read_deadline::owner_links(fields, sink),
        timetable: fields.choice("timetable", &TIMETABLES, TimetableKind::Trigger, sink),
        start_date: date(fields, "start_date", &zone, sink),
        end_date: date(fields, "end_date", &zone, sink),
        catchup: fields.or("catchup", false, sink),
        max_active_runs: fields.at_least_one("max_active_runs", sink).unwrap_or(runs),
        max_active_tasks: fields
            .at_least_one("max_active_tasks", sink)
            .unwrap_or(MAX_ACTIVE_DEFAULT),
        dagrun_timeout: fields.positive("dagrun_timeout", sink),
        fail_fast: fields.or("fail_fast", false, sink),
        max_consecutive_failed_dag_runs: fields.or("max_consecutive_failed_dag_runs", 0, sink),
        is_paused_upon_creation: fields.or("is_paused_upon_creation", false, sink),
        tags: tags(fields, sink),
        params: params::read(fields, sink),
        grants: fields.get("grants", sink).unwrap_or_default(),
        on_sla_miss: either(fields, "on_sla_miss", "sla_miss_callback", sink)
            .and_then(|node| Callbacks::from_node(node, "on_sla_miss", sink))
            .map_or_else(Vec::new, |list| list.0),
        on_failure: callbacks(fields, "on_failure_callback", sink),
        on_success: callbacks(fields, "on_success_callback", sink),
        deadlines: read_deadline::read(fields, &zone, sink),
        component: None,
        pins: BTreeMap::new(),
        task_groups: Vec::new(),
        schedule,
        timezone,
        tasks: Vec::new(),
    })
}

/// A set, in the order of the file.
fn tags(fields: Fields<'_, '_>, sink: &mut Sink) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut tags = fields.or("tags", Texts(Vec::new()), sink).0;
    tags.retain(|tag| seen.insert(tag.clone()));
    tags
}

fn timezone(fields: Fields<'_, '_>, sink: &mut Sink) -> (String, TimeZone) {
    let utc = || ("UTC".to_owned(), TimeZone::UTC);
    let Some(name) = fields.get::<String>("timezone", sink) else {
        return utc();
    };
    if let Ok(zone) = timetable::zone(&name) {
        return (name, zone);
    }
    if let Some(node) = fields.node("timezone") {
        let message = format!("{} is not a time zone", quoted(&name));
        sink.error_hint(
            node.span,
            "unknown-timezone",
            message,
            when::zone_hint(&name),
        );
    }
    utc()
}

/// A date under `key`; without an offset it is on the wall clock of `zone`.
pub(super) fn date(
    fields: Fields<'_, '_>,
    key: &str,
    zone: &TimeZone,
    sink: &mut Sink,
) -> Option<Timestamp> {
    let node = fields.node(key)?;
    let hint =
        "write 2024-01-31, 2024-01-31T02:00:00 (in the DAG's timezone) or 2024-01-31T02:00:00Z";
    let Some(text) = node.as_str() else {
        wrong_type(node, key, "a date", sink);
        return None;
    };
    match when::instant(text.trim(), zone) {
        Ok(instant) => Some(instant),
        Err(message) => {
            sink.error_hint(node.span, "invalid-date", message, hint.to_owned());
            None
        }
    }
}

/// Every task of the outline, in the group and with the defaults that it is under.
fn tasks<'n, 't>(
    fields: Fields<'n, 't>,
    outline: &'n Outline<'n, 't>,
    sink: &mut Sink,
) -> Vec<Draft<'n, 't>> {
    let span = fields
        .own_entry("tasks")
        .map_or(Span::START, |entry| entry.key_span);
    let count = outline.tasks.len();
    if count == 0 && outline.groups.is_empty() {
        let hint = "add at least one: - {task_id: hello, operator: probe}".to_owned();
        sink.error_hint(span, "no-tasks", "the DAG has no tasks".to_owned(), hint);
    }
    if count > TASKS_MAX {
        let message = format!("the DAG has {count} tasks; at most {TASKS_MAX} are allowed");
        let hint = "split it, or let a task expand over a list".to_owned();
        sink.error_hint(span, "too-many-tasks", message, hint);
        return Vec::new();
    }
    let read = |&(node, group): &(&'n Node<'t>, Option<GroupIndex>)| {
        let group = group.and_then(|index| Some((index, outline.groups.get(index.get())?)));
        let defaults = group.map_or(&outline.defaults, |(_, group)| &group.defaults);
        read_task::read(node, Place { group, defaults }, sink)
    };
    outline.tasks.iter().filter_map(read).collect()
}
