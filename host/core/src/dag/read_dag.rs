//! The DAG's own keys, and the whole of it: reads every part, then has `validate` join the tasks.
//! It refuses to stop at the first error: a part that cannot be read leaves its default behind and the rest goes on.

use super::diagnostic::{Sink, Span, quoted};
use super::read::{Fields, Texts, members, unknown_key, wrong_type};
use super::read_task::{self, Draft};
use super::spec::{AssetExpression, Dag, MAX_ACTIVE_DEFAULT, Schedule, TimetableKind};
use super::suggest;
use super::yaml::{Entry, Kind, Node};
use super::{TASKS_MAX, params, validate, when};
use crate::ids::DagId;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The keys of a DAG.
pub(super) const KEYS: [&str; 22] = [
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
    let default_args = default_args(fields, sink);
    let mut dag = header(fields, sink)?;
    let drafts = tasks(fields, default_args, sink);
    validate::dag(&dag, fields, sink);
    dag.tasks = validate::tasks(&dag, fields, drafts, text, sink);
    Some(dag)
}

fn key_hint(key: &str) -> Option<String> {
    let other = match key {
        "schedule_interval" | "cron" => "schedule",
        "concurrency" => "max_active_tasks",
        "sla_miss_callback" => "on_sla_miss",
        "fail_stop" => "fail_fast",
        "doc_md" => "description",
        "id" | "name" => "dag_id",
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
    let schedule = schedule(fields, sink);
    let one_run = matches!(schedule, Schedule::Continuous);
    let runs = if one_run { 1 } else { MAX_ACTIVE_DEFAULT };
    Some(Dag {
        // A missing or invalid id is an error already; the stand-in lets the other checks go on.
        dag_id: dag_id.or_else(|| DagId::parse("invalid").ok())?,
        dag_display_name: None,
        description: fields.get("description", sink),
        doc_md: None,
        owner_links: std::collections::BTreeMap::new(),
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
        max_consecutive_failed_dag_runs: 0,
        is_paused_upon_creation: fields.or("is_paused_upon_creation", false, sink),
        tags: fields.or("tags", Texts(Vec::new()), sink).0,
        params: params::read(fields, sink),
        grants: fields.get("grants", sink).unwrap_or_default(),
        on_sla_miss: fields.get("on_sla_miss", sink).into_iter().collect(),
        on_failure: fields
            .get("on_failure_callback", sink)
            .into_iter()
            .collect(),
        on_success: fields
            .get("on_success_callback", sink)
            .into_iter()
            .collect(),
        deadlines: Vec::new(),
        task_groups: Vec::new(),
        schedule,
        timezone,
        tasks: Vec::new(),
    })
}

fn timezone(fields: Fields<'_, '_>, sink: &mut Sink) -> (String, TimeZone) {
    let utc = || ("UTC".to_owned(), TimeZone::UTC);
    let Some(name) = fields.get::<String>("timezone", sink) else {
        return utc();
    };
    if let Some(zone) = when::zone(&name) {
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

fn date(fields: Fields<'_, '_>, key: &str, zone: &TimeZone, sink: &mut Sink) -> Option<Timestamp> {
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

fn schedule(fields: Fields<'_, '_>, sink: &mut Sink) -> Schedule {
    let Some(node) = fields.node("schedule") else {
        return Schedule::None;
    };
    match &node.kind {
        Kind::String(text) => schedule_text(node, text.trim(), sink),
        Kind::Mapping(_) => schedule_mapping(node, sink).unwrap_or(Schedule::None),
        _ => {
            wrong_type(
                node,
                "schedule",
                "a cron expression, a preset, {every: 15m}, {assets: [...]} or null",
                sink,
            );
            Schedule::None
        }
    }
}

fn schedule_text(node: &Node<'_>, text: &str, sink: &mut Sink) -> Schedule {
    match text {
        "@none" | "None" => return Schedule::None,
        "@once" => return Schedule::Once,
        "@continuous" => return Schedule::Continuous,
        _ => {}
    }
    if let Some(fields) = when::preset(text) {
        return Schedule::Cron(fields.to_owned());
    }
    if text.starts_with('@') {
        let message = format!("{} is not a preset", quoted(text));
        let hint = suggest::hint(text, when::PRESETS, || {
            Some(format!("one of {}", when::PRESETS.join(", ")))
        });
        sink.error_hint(node.span, "unknown-preset", message, hint);
        return Schedule::None;
    }
    if let Err(reason) = when::check_cron(text) {
        let message = format!("{} is not a cron expression: {reason}", quoted(text));
        let hint = if super::quantity::duration(text).is_some() {
            format!("for a fixed distance write {{every: {text}}}")
        } else {
            "for example \"0 2 * * 1\" is Monday at 02:00".to_owned()
        };
        sink.error_hint(node.span, "invalid-cron", message, hint);
    }
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    Schedule::Cron(fields.join(" "))
}

fn schedule_mapping(node: &Node<'_>, sink: &mut Sink) -> Option<Schedule> {
    let fields = members(node, "schedule", &["every", "assets"], sink)?;
    let every = fields.positive("every", sink).map(Schedule::Every);
    let assets = fields.get::<Texts>("assets", sink).map(|list| list.0);
    let one_key = fields.own.len() == 1;
    match (every, assets) {
        (every @ Some(Schedule::Every(_)), None) if one_key => every,
        (None, Some(assets)) if one_key && !assets.is_empty() => Some(Schedule::Assets(
            AssetExpression::All(assets.into_iter().map(AssetExpression::Asset).collect()),
        )),
        _ => {
            let known = |key| fields.node(key).is_some();
            if fields.own.is_empty() || known("assets") || known("every") && !one_key {
                sink.error_hint(
                    node.span,
                    "invalid-schedule",
                    "the schedule names no distance and no asset, or more than one kind".to_owned(),
                    "write {every: 15m} or {assets: [\"s3://data/features\"]}".to_owned(),
                );
            }
            None
        }
    }
}

/// The defaults of all tasks. A key that no task knows is an error here, once.
fn default_args<'n, 't>(fields: Fields<'n, 't>, sink: &mut Sink) -> &'n [Entry<'t>] {
    let Some(node) = fields.node("default_args") else {
        return &[];
    };
    let Some(entries) = node.as_mapping() else {
        wrong_type(node, "default_args", "a mapping of task keys", sink);
        return &[];
    };
    for entry in entries {
        if read_task::NO_DEFAULT.contains(&&*entry.key) {
            sink.error_hint(
                entry.key_span,
                "not-a-default",
                format!(
                    "{} belongs to one task and cannot be a default",
                    quoted(&entry.key)
                ),
                "move it into the task".to_owned(),
            );
        } else if !read_task::KEYS.contains(&&*entry.key) {
            let hint = read_task::key_hint(&entry.key);
            unknown_key(&entry.key, entry.key_span, "default_args", hint, sink);
        }
    }
    entries
}

fn tasks<'n, 't>(
    fields: Fields<'n, 't>,
    default_args: &'n [Entry<'t>],
    sink: &mut Sink,
) -> Vec<Draft<'n, 't>> {
    let (span, items) = match fields.own_entry("tasks") {
        Some(entry) => match &entry.value.kind {
            Kind::Sequence(items) => (entry.key_span, items.as_slice()),
            Kind::Null => (entry.key_span, &[][..]),
            _ => {
                wrong_type(&entry.value, "tasks", "a list of tasks", sink);
                return Vec::new();
            }
        },
        None => (Span::START, &[][..]),
    };
    if items.is_empty() {
        let hint = "add at least one: - {task_id: hello, operator: probe}".to_owned();
        sink.error_hint(span, "no-tasks", "the DAG has no tasks".to_owned(), hint);
    }
    if items.len() > TASKS_MAX {
        let message = format!(
            "the DAG has {} tasks; at most {TASKS_MAX} are allowed",
            items.len()
        );
        let hint = "split it, or let a task expand over a list".to_owned();
        sink.error_hint(span, "too-many-tasks", message, hint);
        return Vec::new();
    }
    let read = |node| read_task::read(node, default_args, sink);
    items.iter().filter_map(read).collect()
}
