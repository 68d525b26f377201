//! One task of the file, with its defaults applied; names of other tasks stay texts with their places.
//! `resources` is taken and means nothing, as in Airflow: what a task may use, its grants and its pool say.
//! It refuses keys that no task has, and leaves whatever needs the other tasks to `validate`.

use super::diagnostic::{Sink, Span, quoted};
use super::names::Name;
use super::read::{
    Fields, FromNode, choice, id, members, texts_with_spans, unknown_key, wrong_type,
};
use super::read_callback::{callbacks, either};
use super::read_group::{self, GroupDraft};
use super::spec::{
    Cache, DEFAULT_POOL, DEFAULT_QUEUE, POKE_INTERVAL_DEFAULT, RETRY_DELAY_DEFAULT,
    SENSOR_TIMEOUT_DEFAULT, SensorMode, SensorSpec, Task, TriggerRule, WeightRule,
};
use super::suggest;
use super::yaml::{Entry, Kind, Node};
use super::{read_dag, read_expand, read_gpu, read_policy, read_schedule};
use crate::ids::{GroupIndex, ID_BYTES_MAX, OperatorName, PoolName, TaskId, TaskIndex};
use std::collections::BTreeMap;

/// The keys of a task.
pub(super) const KEYS: [&str; 60] = [
    "task_id",
    "operator",
    "config",
    "partial",
    "depends_on",
    "inputs",
    "expand",
    "expand_kwargs",
    "trigger_rule",
    "retries",
    "retry_delay",
    "retry_exponential_backoff",
    "max_retry_delay",
    "execution_timeout",
    "sla",
    "pool",
    "pool_slots",
    "priority_weight",
    "weight_rule",
    "depends_on_past",
    "wait_for_downstream",
    "max_active_tis_per_dag",
    "max_active_tis_per_dagrun",
    "timeout",
    "poke_interval",
    "mode",
    "soft_fail",
    "exponential_backoff",
    "max_wait",
    "setup",
    "teardown",
    "on_failure_fail_dagrun",
    "do_xcom_push",
    "multiple_outputs",
    "grants",
    "task_display_name",
    "owner",
    "email",
    "email_on_failure",
    "email_on_retry",
    "on_failure_callback",
    "on_success_callback",
    "on_retry_callback",
    "on_execute_callback",
    "on_skipped_callback",
    "retry_policy",
    "cache",
    "queue",
    "gpu",
    "ignore_first_depends_on_past",
    "wait_for_past_depends_before_skipping",
    "never_fail",
    "silent_fail",
    "deferrable",
    "inlets",
    "outlets",
    "doc_md",
    "map_index_template",
    "name",
    "resources",
];
/// Keys that name one task or its edges and so cannot be a default.
pub(super) const NO_DEFAULT: [&str; 9] = [
    "task_id",
    "name",
    "depends_on",
    "inputs",
    "expand",
    "expand_kwargs",
    "partial",
    "setup",
    "teardown",
];

const TRIGGER_RULES: [(&str, TriggerRule); 14] = [
    ("all_success", TriggerRule::AllSuccess),
    ("all_failed", TriggerRule::AllFailed),
    ("all_done", TriggerRule::AllDone),
    (
        "all_done_min_one_success",
        TriggerRule::AllDoneMinOneSuccess,
    ),
    ("all_done_setup_success", TriggerRule::AllDoneSetupSuccess),
    ("one_success", TriggerRule::OneSuccess),
    ("one_failed", TriggerRule::OneFailed),
    ("one_done", TriggerRule::OneDone),
    ("none_failed", TriggerRule::NoneFailed),
    (
        "none_failed_min_one_success",
        TriggerRule::NoneFailedMinOneSuccess,
    ),
    ("none_skipped", TriggerRule::NoneSkipped),
    ("all_skipped", TriggerRule::AllSkipped),
    ("always", TriggerRule::Always),
    ("dummy", TriggerRule::Always),
];
const WEIGHT_RULES: [(&str, WeightRule); 3] = [
    ("downstream", WeightRule::Downstream),
    ("upstream", WeightRule::Upstream),
    ("absolute", WeightRule::Absolute),
];
const CACHES: [(&str, Cache); 2] = [("off", Cache::Off), ("content", Cache::Content)];
const MODES: [(&str, SensorMode); 2] = [
    ("poke", SensorMode::Poke),
    ("reschedule", SensorMode::Reschedule),
];

/// The name of another task, where the file writes it.
pub(super) struct Reference {
    pub(super) task_id: String,
    pub(super) span: Span,
    /// The key that holds it.
    pub(super) key: &'static str,
}

/// A task whose references are not resolved yet.
pub(super) struct Draft<'n, 't> {
    /// With no edges and no inputs.
    pub(super) task: Task,
    /// The id as written, also if it is not valid.
    pub(super) id_text: String,
    pub(super) span: Span,
    pub(super) fields: Fields<'n, 't>,
    /// What it waits for: `depends_on`, `inputs` and the setups of a teardown.
    pub(super) upstream: Vec<Reference>,
    /// The name of each input, its task's place in `upstream`, and its key.
    pub(super) inputs: Vec<(String, usize, String)>,
    /// What each of `upstream` means; filled when names are resolved.
    pub(super) found: Vec<Option<Name>>,
    /// What it waits for directly, and where the file says so; filled when names are resolved.
    pub(super) edges: Vec<(TaskIndex, Span)>,
}

/// Where a task stands: in a group or not, and the defaults there.
#[derive(Clone, Copy)]
pub(super) struct Place<'n, 't> {
    pub(super) group: Option<(GroupIndex, &'n GroupDraft<'n, 't>)>,
    pub(super) defaults: &'n [&'n Entry<'t>],
}

/// Reads one element of `tasks`; `None` comes with an error.
pub(super) fn read<'n, 't>(
    node: &'n Node<'t>,
    place: Place<'n, 't>,
    sink: &mut Sink,
) -> Option<Draft<'n, 't>> {
    let Some(own) = node.as_mapping() else {
        wrong_type(node, "tasks", "a list of mappings, one for each task", sink);
        return None;
    };
    check_keys(own, sink);
    let fields = Fields {
        own,
        defaults: place.defaults,
    };
    let id_node = required(node, own, "task_id", sink);
    let short = id_node.and_then(|node| TaskId::from_node(node, "task_id", sink));
    let prefix = place.group.map(|(_, group)| group.id_text.as_str());
    let id_text = full_id(prefix, id_node.and_then(Node::as_str).unwrap_or_default());
    let span = id_node.map_or(node.span, |id| id.span);
    let task_id = short.and_then(|_| checked_id(&id_text, span, sink));
    if fields.node("operator").is_none() {
        required(node, own, "operator", sink);
    }
    let operator = fields.get::<OperatorName>("operator", sink);
    let (mut upstream, inputs) = references(fields, sink);
    let is_teardown = teardown(fields, &mut upstream, sink);
    let mut task = build(fields, task_id, operator, is_teardown, sink)?;
    task.task_group = place.group.map(|(index, _)| index);
    if task.expand.is_some() && place.group.is_some_and(|(_, group)| group.is_mapped) {
        read_group::nested(fields, "a task", "task", sink);
        task.expand = None;
    }
    Some(Draft {
        id_text,
        span,
        task,
        fields,
        upstream,
        inputs,
        found: Vec::new(),
        edges: Vec::new(),
    })
}

/// A task's or group's id with that of the group round it before it. Without an id of its own it stays empty.
pub(super) fn full_id(prefix: Option<&str>, short: &str) -> String {
    match prefix {
        Some(prefix) if !short.is_empty() => format!("{prefix}.{short}"),
        _ => short.to_owned(),
    }
}

/// The full id as a value. Its parts are checked by themselves: only its length can be wrong.
pub(super) fn checked_id(full: &str, span: Span, sink: &mut Sink) -> Option<TaskId> {
    let id = TaskId::parse(full);
    if full.len() > ID_BYTES_MAX {
        let message = format!(
            "the full id {} has {} bytes; at most {ID_BYTES_MAX} are allowed",
            quoted(full),
            full.len()
        );
        let hint = "shorten it, or the ids of the groups that it is in".to_owned();
        sink.error_hint(span, "invalid-id", message, hint);
    }
    id.ok()
}

pub(super) fn required<'n, 't>(
    owner: &Node<'t>,
    own: &'n [Entry<'t>],
    key: &str,
    sink: &mut Sink,
) -> Option<&'n Node<'t>> {
    let found = own.iter().find(|entry| entry.key == key);
    if found.is_none() {
        let (noun, example) = match key {
            "operator" => ("task", "probe"),
            "group_id" => ("group", "features"),
            _ => ("task", "train_model"),
        };
        let message = format!("the {noun} has no `{key}`");
        sink.error_hint(
            owner.span,
            "missing-key",
            message,
            format!("add `{key}: {example}`"),
        );
    }
    found.map(|entry| &entry.value)
}

fn check_keys(own: &[Entry<'_>], sink: &mut Sink) {
    for entry in own {
        if !KEYS.contains(&&*entry.key) {
            unknown_key(
                &entry.key,
                entry.key_span,
                "task",
                key_hint(&entry.key),
                sink,
            );
        }
    }
}

/// What a person who writes `key` in a task probably means.
pub(super) fn key_hint(key: &str) -> Option<String> {
    let other = match key {
        "upstream" | "dependencies" | "needs" | "upstream_task_ids" => "depends_on",
        "id" => "task_id",
        "type" | "uses" => "operator",
        "op_kwargs" | "op_args" | "with" | "params" | "args" | "parameters" => "config",
        "task_concurrency" => "max_active_tis_per_dag",
        "doc" | "doc_json" | "doc_rst" | "doc_yaml" => "doc_md",
        "executor" | "executor_config" => "queue",
        "run_as_user" => {
            return Some(
                "a sandboxed operator has no user: `grants` say what it may do".to_owned(),
            );
        }
        "task_group" => {
            return Some(
                "write the task under the `tasks` of an element of `task_groups`".to_owned(),
            );
        }
        _ => {
            return suggest::hint(key, KEYS, || {
                let dag = read_dag::KEYS.contains(&key);
                dag.then(|| format!("`{key}` is a key of the DAG: move it to the top level"))
                    .or_else(|| Some("what the operator reads belongs under `config`".to_owned()))
            });
        }
    };
    Some(format!("did you mean `{other}`?"))
}

/// `depends_on` and `inputs`.
fn references(
    fields: Fields<'_, '_>,
    sink: &mut Sink,
) -> (Vec<Reference>, Vec<(String, usize, String)>) {
    let mut upstream = Vec::new();
    if let Some(node) = fields.node("depends_on") {
        for (task_id, span) in texts_with_spans(node, "depends_on", sink).unwrap_or_default() {
            upstream.push(Reference {
                task_id,
                span,
                key: "depends_on",
            });
        }
    }
    let mut inputs = Vec::new();
    let Some(node) = fields.node("inputs") else {
        return (upstream, inputs);
    };
    let Some(entries) = node.as_mapping() else {
        wrong_type(node, "inputs", "a mapping from names to tasks", sink);
        return (upstream, inputs);
    };
    for entry in entries {
        if let Some((reference, key)) = input(&entry.value, sink) {
            inputs.push((entry.key.clone().into_owned(), upstream.len(), key));
            upstream.push(reference);
        }
    }
    (upstream, inputs)
}

/// `task_id` or `{task_id, key}`.
fn input(node: &Node<'_>, sink: &mut Sink) -> Option<(Reference, String)> {
    let (place, key) = if node.as_str().is_some() {
        (node, None)
    } else {
        let fields = members(node, "inputs", &["task_id", "key"], sink)?;
        let key = fields.get::<String>("key", sink);
        let Some(place) = fields.node("task_id") else {
            let message = "the input names no task".to_owned();
            let hint = "write {task_id: some_task, key: some_key}".to_owned();
            sink.error_hint(node.span, "missing-key", message, hint);
            return None;
        };
        (place, key)
    };
    let reference = Reference {
        task_id: String::from_node(place, "task_id", sink)?,
        span: place.span,
        key: "inputs",
    };
    Some((reference, key.unwrap_or_else(|| "return_value".to_owned())))
}

/// `teardown: true`, or the setups that it tears down, which are edges too.
fn teardown(fields: Fields<'_, '_>, upstream: &mut Vec<Reference>, sink: &mut Sink) -> bool {
    let Some(node) = fields.node("teardown") else {
        return false;
    };
    if let Kind::Bool(value) = node.kind {
        return value;
    }
    if !matches!(node.kind, Kind::Sequence(_) | Kind::String(_)) {
        wrong_type(
            node,
            "teardown",
            "true, false or a list of setup tasks",
            sink,
        );
        return false;
    }
    for (task_id, span) in texts_with_spans(node, "teardown", sink).unwrap_or_default() {
        upstream.push(Reference {
            task_id,
            span,
            key: "teardown",
        });
    }
    true
}

fn build(
    fields: Fields<'_, '_>,
    task_id: Option<TaskId>,
    operator: Option<OperatorName>,
    is_teardown: bool,
    sink: &mut Sink,
) -> Option<Task> {
    let wait_for_downstream = fields.or("wait_for_downstream", false, sink);
    let depends_on_past = fields.or("depends_on_past", false, sink);
    let expand = read_expand::expand(fields, sink);
    let retries = fields.or("retries", 0, sink);
    Some(Task {
        // An invalid id or operator is an error already; the stand-in lets the other checks go on.
        task_id: task_id.or_else(|| TaskId::parse("invalid").ok())?,
        task_group: None,
        operator: operator.or_else(|| OperatorName::parse("invalid").ok())?,
        config: read_expand::config(fields, expand.as_ref(), sink),
        depends_on: Vec::new(),
        inputs: BTreeMap::new(),
        expand,
        trigger_rule: trigger_rule(fields, is_teardown, sink),
        retries,
        retry_delay: fields.or("retry_delay", RETRY_DELAY_DEFAULT, sink),
        retry_exponential_backoff: backoff(fields, sink),
        max_retry_delay: fields.positive("max_retry_delay", sink),
        execution_timeout: fields.positive("execution_timeout", sink),
        sla: fields.positive("sla", sink),
        retry_policy: read_policy::read(fields, retries, sink),
        cache: fields.choice("cache", &CACHES, Cache::Off, sink),
        queue: queue(fields, sink),
        gpu: read_gpu::read(fields, sink),
        pool: match fields.get("pool", sink) {
            Some(pool) => pool,
            None => PoolName::parse(DEFAULT_POOL).ok()?,
        },
        pool_slots: fields.at_least_one("pool_slots", sink).unwrap_or(1),
        priority_weight: fields.or("priority_weight", 1, sink),
        weight_rule: fields.choice("weight_rule", &WEIGHT_RULES, WeightRule::Downstream, sink),
        depends_on_past: depends_on_past || wait_for_downstream,
        ignore_first_depends_on_past: fields.or("ignore_first_depends_on_past", false, sink),
        wait_for_past_depends_before_skipping: fields.or(
            "wait_for_past_depends_before_skipping",
            false,
            sink,
        ),
        wait_for_downstream,
        max_active_tis_per_dag: fields.at_least_one("max_active_tis_per_dag", sink),
        max_active_tis_per_dagrun: fields.at_least_one("max_active_tis_per_dagrun", sink),
        sensor: sensor(fields, sink),
        is_setup: fields.or("setup", false, sink),
        is_teardown,
        on_failure_fail_dagrun: fields.or("on_failure_fail_dagrun", false, sink),
        do_xcom_push: fields.or("do_xcom_push", true, sink),
        multiple_outputs: fields.or("multiple_outputs", false, sink),
        grants: fields.get("grants", sink),
        inlets: read_schedule::uris(fields, "inlets", sink),
        outlets: read_schedule::uris(fields, "outlets", sink),
        doc_md: fields.get("doc_md", sink),
        map_index_template: fields.get("map_index_template", sink),
        task_display_name: either(fields, "task_display_name", "name", sink)
            .and_then(|node| String::from_node(node, "task_display_name", sink)),
        owner: fields.get("owner", sink),
        email: emails(fields, sink),
        // Airflow's defaults: silent only where no address is given.
        email_on_failure: fields.or("email_on_failure", true, sink),
        email_on_retry: fields.or("email_on_retry", true, sink),
        on_execute: callbacks(fields, "on_execute_callback", sink),
        on_failure: callbacks(fields, "on_failure_callback", sink),
        on_success: callbacks(fields, "on_success_callback", sink),
        on_retry: callbacks(fields, "on_retry_callback", sink),
        on_skipped: callbacks(fields, "on_skipped_callback", sink),
    })
}

/// Of a teardown only its own key counts: a default meant for work would keep it from running.
fn trigger_rule(fields: Fields<'_, '_>, is_teardown: bool, sink: &mut Sink) -> TriggerRule {
    if !is_teardown {
        return fields.choice(
            "trigger_rule",
            &TRIGGER_RULES,
            TriggerRule::AllSuccess,
            sink,
        );
    }
    let implied = TriggerRule::AllDoneSetupSuccess;
    let Some(entry) = fields.own_entry("trigger_rule") else {
        return implied;
    };
    let rule = choice(&entry.value, "trigger_rule", &TRIGGER_RULES, sink);
    if rule.is_some_and(|rule| rule != implied) {
        sink.error_hint(
            entry.value.span,
            "teardown-rule",
            "the trigger rule of a teardown is always all_done_setup_success".to_owned(),
            "remove `trigger_rule`".to_owned(),
        );
    }
    implied
}

/// A factor; `true` is 2, `false` is a constant delay.
fn backoff(fields: Fields<'_, '_>, sink: &mut Sink) -> f64 {
    let key = "retry_exponential_backoff";
    let Some(node) = fields.node(key) else {
        return 0.0;
    };
    let factor = match &node.kind {
        Kind::Bool(true) => Some(2.0),
        Kind::Bool(false) => Some(0.0),
        Kind::Number(number) => number
            .as_f64()
            .filter(|factor| (0.0..=100.0).contains(factor)),
        _ => None,
    };
    if factor.is_none() {
        wrong_type(node, key, "true, false or a number from 0 to 100", sink);
    }
    factor.unwrap_or(0.0)
}

fn sensor(fields: Fields<'_, '_>, sink: &mut Sink) -> SensorSpec {
    let soft_fail = fields.or("soft_fail", false, sink);
    let never_fail = fields.or("never_fail", false, sink);
    if let (true, true, Some(entry)) = (soft_fail, never_fail, fields.entry("never_fail")) {
        let message = "`soft_fail` and `never_fail` exclude each other".to_owned();
        let hint =
            "never_fail skips on any error of a poke, soft_fail only at the timeout: keep one";
        sink.error_hint(
            entry.key_span,
            "soft-and-never-fail",
            message,
            hint.to_owned(),
        );
    }
    SensorSpec {
        mode: mode(fields, sink),
        poke_interval: fields
            .positive("poke_interval", sink)
            .unwrap_or(POKE_INTERVAL_DEFAULT),
        timeout: fields.or("timeout", SENSOR_TIMEOUT_DEFAULT, sink),
        soft_fail,
        never_fail,
        silent_fail: fields.or("silent_fail", false, sink),
        exponential_backoff: fields.or("exponential_backoff", false, sink),
        max_wait: fields.positive("max_wait", sink),
    }
}

/// `deferrable` means what the mode reschedule does: nothing is held while waiting. A task's own word goes before
/// a default's.
fn mode(fields: Fields<'_, '_>, sink: &mut Sink) -> SensorMode {
    let mode = fields.choice("mode", &MODES, SensorMode::Poke, sink);
    if !fields.or("deferrable", false, sink) {
        return mode;
    }
    let own = |key| fields.own_entry(key);
    match (own("mode"), own("deferrable")) {
        (Some(entry), Some(_)) if mode == SensorMode::Poke && !entry.value.is_null() => {
            let message = "`deferrable` and the mode poke exclude each other".to_owned();
            let hint = "remove `mode`: nothing is held while a deferrable sensor waits".to_owned();
            sink.error_hint(entry.key_span, "deferrable-poke", message, hint);
            mode
        }
        (Some(_), None) => mode,
        _ => SensorMode::Reschedule,
    }
}

/// The hosts' settings name queues too, so that only what an id may hold is allowed.
fn queue(fields: Fields<'_, '_>, sink: &mut Sink) -> String {
    let id = fields
        .node("queue")
        .and_then(|node| id(node, "queue", TaskId::parse, sink));
    id.map_or_else(|| DEFAULT_QUEUE.to_owned(), String::from)
}

/// A list, or a text with `,` or `;` between the addresses.
fn emails(fields: Fields<'_, '_>, sink: &mut Sink) -> Vec<String> {
    let Some(node) = fields.node("email") else {
        return Vec::new();
    };
    let mut out = Vec::new();
    for (text, span) in texts_with_spans(node, "email", sink).unwrap_or_default() {
        for address in text.split([',', ';']).map(str::trim) {
            let valid = address.split_once('@').is_some_and(|(name, host)| {
                !name.is_empty() && !host.is_empty() && !address.contains(char::is_whitespace)
            });
            if valid {
                out.push(address.to_owned());
            } else if !address.is_empty() {
                let message = format!("{} is no mail address", quoted(address));
                sink.error_hint(span, "invalid-email", message, "write name@host".to_owned());
            }
        }
    }
    out
}
