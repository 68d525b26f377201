//! One task of the file, with its defaults applied; names of other tasks stay texts with their places.
//! It refuses keys that no task has, and leaves whatever needs the other tasks to `validate`.

use super::MAP_LENGTH_MAX;
use super::diagnostic::{Sink, Span, quoted};
use super::read::{Fields, FromNode, choice, members, texts_with_spans, unknown_key, wrong_type};
use super::read_dag;
use super::spec::{
    DEFAULT_POOL, DEFAULT_QUEUE, Expand, ExpandSource, POKE_INTERVAL_DEFAULT, RETRY_DELAY_DEFAULT,
    SENSOR_TIMEOUT_DEFAULT, SensorMode, SensorSpec, Task, TriggerRule, WeightRule,
};
use super::suggest;
use super::yaml::{Entry, Kind, Node, to_map};
use crate::ids::{OperatorName, PoolName, TaskId};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The keys of a task.
pub(super) const KEYS: [&str; 43] = [
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
];
/// Keys that name one task or its edges and so cannot be a default.
pub(super) const NO_DEFAULT: [&str; 8] = [
    "task_id",
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
}

/// Reads one element of `tasks`; `None` comes with an error.
pub(super) fn read<'n, 't>(
    node: &'n Node<'t>,
    defaults: &'n [Entry<'t>],
    sink: &mut Sink,
) -> Option<Draft<'n, 't>> {
    let Some(own) = node.as_mapping() else {
        wrong_type(node, "tasks", "a list of mappings, one for each task", sink);
        return None;
    };
    check_keys(own, sink);
    let fields = Fields { own, defaults };
    let id_node = required(node, own, "task_id", sink);
    let task_id = id_node.and_then(|node| TaskId::from_node(node, "task_id", sink));
    if fields.node("operator").is_none() {
        required(node, own, "operator", sink);
    }
    let operator = fields.get::<OperatorName>("operator", sink);
    let (mut upstream, inputs) = references(fields, sink);
    let is_teardown = teardown(fields, &mut upstream, sink);
    let task = build(fields, task_id, operator, is_teardown, sink)?;
    Some(Draft {
        id_text: id_node
            .and_then(Node::as_str)
            .map_or_else(String::new, str::to_owned),
        span: id_node.map_or(node.span, |id| id.span),
        task,
        fields,
        upstream,
        inputs,
    })
}

fn required<'n, 't>(
    owner: &Node<'t>,
    own: &'n [Entry<'t>],
    key: &str,
    sink: &mut Sink,
) -> Option<&'n Node<'t>> {
    let found = own.iter().find(|entry| entry.key == key);
    if found.is_none() {
        let example = if key == "operator" {
            "probe"
        } else {
            "train_model"
        };
        let message = format!("the task has no `{key}`");
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
        "id" | "name" => "task_id",
        "type" | "uses" => "operator",
        "op_kwargs" | "op_args" | "with" | "params" | "args" | "parameters" => "config",
        "task_concurrency" => "max_active_tis_per_dag",
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
    let expand = expand(fields, sink);
    Some(Task {
        // An invalid id or operator is an error already; the stand-in lets the other checks go on.
        task_id: task_id.or_else(|| TaskId::parse("invalid").ok())?,
        task_group: None,
        operator: operator.or_else(|| OperatorName::parse("invalid").ok())?,
        config: config(fields, expand.as_ref(), sink),
        depends_on: Vec::new(),
        inputs: BTreeMap::new(),
        expand,
        trigger_rule: trigger_rule(fields, is_teardown, sink),
        retries: fields.or("retries", 0, sink),
        retry_delay: fields.or("retry_delay", RETRY_DELAY_DEFAULT, sink),
        retry_exponential_backoff: backoff(fields, sink),
        max_retry_delay: fields.positive("max_retry_delay", sink),
        execution_timeout: fields.positive("execution_timeout", sink),
        sla: fields.positive("sla", sink),
        retry_policy: Vec::new(),
        queue: DEFAULT_QUEUE.to_owned(),
        pool: match fields.get("pool", sink) {
            Some(pool) => pool,
            None => PoolName::parse(DEFAULT_POOL).ok()?,
        },
        pool_slots: fields.at_least_one("pool_slots", sink).unwrap_or(1),
        priority_weight: fields.or("priority_weight", 1, sink),
        weight_rule: fields.choice("weight_rule", &WEIGHT_RULES, WeightRule::Downstream, sink),
        depends_on_past: depends_on_past || wait_for_downstream,
        ignore_first_depends_on_past: false,
        wait_for_past_depends_before_skipping: false,
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
        inlets: Vec::new(),
        outlets: Vec::new(),
        doc_md: None,
        map_index_template: None,
        task_display_name: fields.get("task_display_name", sink),
        owner: fields.get("owner", sink),
        email: emails(fields, sink),
        // Airflow's defaults: silent only where no address is given.
        email_on_failure: fields.or("email_on_failure", true, sink),
        email_on_retry: fields.or("email_on_retry", true, sink),
        on_execute: Vec::new(),
        on_failure: fields
            .get("on_failure_callback", sink)
            .into_iter()
            .collect(),
        on_success: fields
            .get("on_success_callback", sink)
            .into_iter()
            .collect(),
        on_retry: fields.get("on_retry_callback", sink).into_iter().collect(),
        on_skipped: Vec::new(),
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
    SensorSpec {
        mode: fields.choice("mode", &MODES, SensorMode::Poke, sink),
        poke_interval: fields
            .positive("poke_interval", sink)
            .unwrap_or(POKE_INTERVAL_DEFAULT),
        timeout: fields.or("timeout", SENSOR_TIMEOUT_DEFAULT, sink),
        soft_fail: fields.or("soft_fail", false, sink),
        never_fail: false,
        silent_fail: false,
        exponential_backoff: fields.or("exponential_backoff", false, sink),
        max_wait: fields.positive("max_wait", sink),
    }
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

/// `config` and `partial` together; what `expand` sets may not be set here as well.
fn config(fields: Fields<'_, '_>, expand: Option<&Expand>, sink: &mut Sink) -> Value {
    let mut merged = Map::new();
    for key in ["config", "partial"] {
        let Some(node) = fields.node(key) else {
            continue;
        };
        let Some(entries) = node.as_mapping() else {
            let expected = "a mapping: what the operator reads";
            wrong_type(node, key, expected, sink);
            continue;
        };
        for entry in entries {
            let expanded = match expand {
                Some(Expand::Product(keys)) => keys.iter().any(|(key, _)| *key == entry.key),
                _ => false,
            };
            let other = if expanded { "expand" } else { "config" };
            if expanded || merged.contains_key(&*entry.key) && key == "partial" {
                sink.error_hint(
                    entry.key_span,
                    "config-twice",
                    format!("{} is set here and in `{other}`", quoted(&entry.key)),
                    "keep one of them".to_owned(),
                );
            }
        }
        merged.extend(to_map(entries));
    }
    Value::Object(merged)
}

fn expand(fields: Fields<'_, '_>, sink: &mut Sink) -> Option<Expand> {
    let product = fields
        .own_entry("expand")
        .filter(|entry| !entry.value.is_null());
    let kwargs = fields
        .own_entry("expand_kwargs")
        .filter(|entry| !entry.value.is_null());
    match (product, kwargs) {
        (Some(_), Some(second)) => {
            sink.error_hint(
                second.key_span,
                "expand-twice",
                "the task has both `expand` and `expand_kwargs`".to_owned(),
                "`expand` makes the cross product of its keys, `expand_kwargs` takes one mapping for each instance: keep one".to_owned(),
            );
            None
        }
        (Some(product), None) => expand_product(&product.value, sink),
        (None, Some(kwargs)) => expand_kwargs(&kwargs.value, sink),
        (None, None) => None,
    }
}

fn expand_product(node: &Node<'_>, sink: &mut Sink) -> Option<Expand> {
    let Some(entries) = node.as_mapping() else {
        wrong_type(
            node,
            "expand",
            "a mapping from config keys to lists or templates",
            sink,
        );
        return None;
    };
    if entries.is_empty() {
        let message = "`expand` names no key".to_owned();
        let hint = "write expand: {key: [a, b]}, or remove it".to_owned();
        sink.error_hint(node.span, "empty-expand", message, hint);
        return None;
    }
    let mut keys = Vec::with_capacity(entries.len());
    let mut length: usize = 1;
    for entry in entries {
        let Some(source) = source(&entry.value, &entry.key, sink) else {
            continue;
        };
        if let ExpandSource::Literal(items) = &source {
            length = length.saturating_mul(items.len());
        }
        keys.push((entry.key.clone().into_owned(), source));
    }
    check_length(node, length, sink);
    Some(Expand::Product(keys))
}

fn expand_kwargs(node: &Node<'_>, sink: &mut Sink) -> Option<Expand> {
    let source = source(node, "expand_kwargs", sink)?;
    if let (ExpandSource::Literal(items), Kind::Sequence(nodes)) = (&source, &node.kind) {
        check_length(node, items.len(), sink);
        for node in nodes.iter().filter(|node| node.as_mapping().is_none()) {
            wrong_type(node, "expand_kwargs", "a list of mappings", sink);
        }
    } else if node.as_mapping().is_some() {
        wrong_type(
            node,
            "expand_kwargs",
            "a list of mappings or a template",
            sink,
        );
    }
    Some(Expand::Kwargs(source))
}

fn check_length(node: &Node<'_>, length: usize, sink: &mut Sink) {
    if length > MAP_LENGTH_MAX {
        sink.error_hint(
            node.span,
            "map-too-long",
            format!("this makes {length} task instances; at most {MAP_LENGTH_MAX} are allowed"),
            "give each instance a batch of elements".to_owned(),
        );
    }
}

/// A list, a mapping (its pairs, as in Airflow), or one template for the whole value.
fn source(node: &Node<'_>, what: &str, sink: &mut Sink) -> Option<ExpandSource> {
    match &node.kind {
        Kind::Sequence(items) => Some(ExpandSource::Literal(
            items.iter().map(Node::to_json).collect(),
        )),
        Kind::Mapping(entries) => {
            let pair = |entry: &Entry<'_>| {
                Value::from(vec![Value::from(&*entry.key), entry.value.to_json()])
            };
            Some(ExpandSource::Literal(entries.iter().map(pair).collect()))
        }
        Kind::String(text) if text.contains("{{") => {
            Some(ExpandSource::Template(text.clone().into_owned()))
        }
        _ => {
            let expected = "a list, or a template such as \"{{ xcom_pull('a') }}\"";
            wrong_type(node, what, expected, sink);
            None
        }
    }
}
