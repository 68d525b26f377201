//! DAG files from the outside: what good ones become, what bad ones say, and what hostile ones cost.

use airlock_core::dag::spec::{Expand, ExpandSource, Schedule, SensorMode, TriggerRule};
use airlock_core::dag::{
    FILE_SCHEMA, NODES_MAX, Severity, TEXT_BYTES_MAX, check_params, digest, graph::Graph, parse,
    render,
};
use airlock_core::ids::TaskIndex;
use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::json;
use std::fmt::Write as _;

const CHURN: &str = include_str!("dag/churn.yaml");

fn codes(text: &str) -> Vec<&'static str> {
    parse(text).diagnostics.iter().map(|one| one.code).collect()
}

/// A DAG of one task with `lines` in it (indented by four), under `head`.
fn one_task(head: &str, lines: &str) -> String {
    format!("dag_id: d\n{head}\ntasks:\n  - task_id: a\n    operator: probe\n{lines}\n")
}

#[test]
fn the_churn_pipeline_becomes_the_dag_that_it_describes() {
    let parsed = parse(CHURN);
    assert_eq!(parsed.diagnostics, vec![]);
    let dag = parsed.dag.unwrap();
    assert_eq!(dag.schedule, Schedule::Cron("0 2 * * 1".to_owned()));
    assert_eq!(dag.start_date.unwrap().to_string(), "2024-01-01T00:00:00Z");
    assert_eq!(dag.max_active_runs, 1);
    assert_eq!(
        dag.params["min_improvement"].schema,
        json!({"type": "number"})
    );
    assert_eq!(dag.grants.storage, ["s3://data/", "file://./data/"]);
    assert_eq!(dag.tasks.len(), 5);
    let wait = &dag.tasks[0];
    assert_eq!(wait.sensor.mode, SensorMode::Reschedule);
    assert_eq!(wait.sensor.timeout, SignedDuration::from_hours(4));
    assert_eq!(
        (wait.retries, wait.owner.as_deref()),
        (2, Some("ml-platform"))
    );
    let train = &dag.tasks[2];
    assert_eq!((train.retries, train.pool.as_str()), (1, "gpu"));
    assert_eq!(train.retry_delay, SignedDuration::from_mins(10));
    assert_eq!(train.config["n_estimators"], json!(300));
    assert_eq!(train.depends_on, [TaskIndex(1)]);
    let source = ExpandSource::Template("{{ xcom_pull('build_features') }}".to_owned());
    let expand = Expand::Product(vec![("params".to_owned(), source)]);
    assert_eq!(dag.tasks[3].expand, Some(expand));
    let notify = &dag.tasks[4];
    assert_eq!(notify.depends_on, [TaskIndex(2), TaskIndex(3)]);
    assert_eq!(notify.inputs["auc"].key, "auc");
    assert_eq!(notify.trigger_rule, TriggerRule::NoneFailedMinOneSuccess);
    let graph = Graph::new(&dag).unwrap();
    assert_eq!(graph.leaves().collect::<Vec<_>>(), [TaskIndex(4)]);
}

#[test]
fn ten_mistakes_are_ten_errors() {
    let text = include_str!("dag/ten_mistakes.yaml");
    let parsed = parse(text);
    assert_eq!(parsed.dag, None);
    assert!(
        parsed
            .diagnostics
            .iter()
            .all(|one| one.severity == Severity::Error)
    );
    insta::assert_snapshot!(render(
        &parsed.diagnostics,
        "ten_mistakes.yaml",
        text,
        false
    ));
}

/// Lines of the DAG, lines of its task, and the codes that they cause.
const MISTAKES: &[(&str, &str, &[&str])] = &[
    ("dag_id: e", "", &["duplicate-key"]),
    ("schedule: \"@dayly\"", "", &["unknown-preset"]),
    ("schedule: 0 2 * * 1 2024", "", &["invalid-cron"]),
    ("schedule: {every: 0s}", "", &["out-of-range"]),
    (
        "schedule: {every: 15m, cron: \"@daily\"}",
        "",
        &["invalid-schedule"],
    ),
    (
        "start_date: 2024-02-01\nend_date: 2024-01-01",
        "",
        &["end-before-start"],
    ),
    ("catchup: true", "", &["catchup-without-start"]),
    ("catchup: yes", "", &["wrong-type"]),
    (
        "schedule: \"@continuous\"\nmax_active_runs: 2",
        "",
        &["continuous-runs"],
    ),
    (
        "params: {n: {type: integer, default: x}}",
        "",
        &["param-default"],
    ),
    ("params: {n: {type: intger}}", "", &["param-schema"]),
    (
        "params: {n: {type: object, properties: {x: {$ref: \"#\"}}}}",
        "",
        &["param-schema"],
    ),
    ("default_args: {task_id: x}", "", &["not-a-default"]),
    (
        "default_args: {start_date: 2024-01-01}",
        "",
        &["unknown-key"],
    ),
    (
        "grants: {storage: [\"s3://data\"]}",
        "",
        &["storage-prefix"],
    ),
    ("grants: {limits: {memory: 2Gi}}", "", &["wrong-type"]),
    (
        "fail_fast: true",
        "    trigger_rule: all_done",
        &["fail-fast-rule"],
    ),
    ("", "    depends_on: a", &["self-dependency"]),
    ("", "    expand: {}", &["empty-expand"]),
    (
        "",
        "    expand: {x: [1]}\n    expand_kwargs: [{x: 1}]",
        &["expand-twice"],
    ),
    (
        "",
        "    config: {x: 1}\n    expand: {x: [1]}",
        &["config-twice"],
    ),
    (
        "",
        "    config: {x: 1}\n    partial: {x: 1}",
        &["config-twice"],
    ),
    ("", "    execution_timeout: soon", &["wrong-type"]),
    ("", "    email: nobody", &["invalid-email"]),
    (
        "",
        "    teardown: true\n    trigger_rule: all_done",
        &["teardown-rule"],
    ),
    (
        "",
        "    setup: true\n    teardown: true",
        &["setup-and-teardown"],
    ),
    (
        "",
        "    config: {x: \"{{ xcom_pull('b') }}\"}",
        &["unknown-task"],
    ),
    ("", "  - {task_id: a, operator: probe}", &["duplicate-task"]),
    ("", "  - {task_id: b}", &["missing-key"]),
    (
        "",
        "    on_failure_callback: {config: {}}",
        &["missing-key"],
    ),
    ("", "    config: !custom {}", &["yaml-tag"]),
    ("", "    config: {x: .nan}", &["not-json"]),
    (
        "",
        "  - {task_id: b, operator: probe, config: {x: \"{{ xcom_pull('a') }}\"}}",
        &["not-upstream"],
    ),
];

#[test]
fn each_mistake_has_its_code() {
    for (head, lines, expected) in MISTAKES {
        let text = one_task(head, lines);
        assert_eq!(codes(&text), *expected, "{text}");
    }
    assert_eq!(codes(""), ["empty-file"]);
    assert_eq!(codes("- a"), ["wrong-type"]);
    assert_eq!(codes("dag_id: d"), ["no-tasks"]);
    assert_eq!(codes("a: 1\n---\nb: 2"), ["second-document"]);
    assert_eq!(codes("dag_id: [1"), ["wrong-type", "yaml-syntax"]);
}

#[test]
fn a_default_that_is_wrong_is_reported_once() {
    let mut tasks = String::new();
    for n in 0..50 {
        writeln!(tasks, "  - {{task_id: t{n}, operator: probe}}").unwrap();
    }
    let text = format!("dag_id: d\ndefault_args: {{retries: many}}\ntasks:\n{tasks}");
    assert_eq!(codes(&text), ["wrong-type"]);
}

#[test]
fn a_cycle_is_named_whole_and_a_template_error_has_its_column() {
    let text = "dag_id: d\ntasks:\n- {task_id: a, operator: p, depends_on: c}\n- {task_id: b, operator: p, depends_on: a}\n- {task_id: c, operator: p, depends_on: b}\n";
    let one = &parse(text).diagnostics[0];
    assert_eq!(one.message, "the tasks form a cycle: a -> b -> c -> a");
    assert_eq!((one.line, one.column, one.span_len), (3, 41, 1));
    let text = one_task("", "    config: {x: \"{{ xcom_pull('zz') }}\"}");
    let one = &parse(&text).diagnostics[0];
    assert_eq!((one.line, one.column, one.span_len), (6, 32, 2));
}

#[test]
fn a_teardown_makes_its_setups_and_its_edges() {
    let text = one_task(
        "default_args: {trigger_rule: ALL_DONE}",
        "  - {task_id: z, operator: probe, teardown: [a]}",
    );
    let dag = parse(&text).dag.unwrap();
    assert!(dag.tasks[0].is_setup && dag.tasks[1].is_teardown);
    assert_eq!(dag.tasks[0].trigger_rule, TriggerRule::AllDone);
    assert_eq!(dag.tasks[1].trigger_rule, TriggerRule::AllDoneSetupSuccess);
    assert_eq!(dag.tasks[1].depends_on, [TaskIndex(0)]);
}

#[test]
fn a_date_without_a_zone_is_on_the_dags_clock() {
    let text = one_task(
        "timezone: America/New_York\nstart_date: 2024-07-01\nend_date: 2024-07-02T00:00:00Z",
        "",
    );
    let dag = parse(&text).dag.unwrap();
    assert_eq!(dag.start_date.unwrap().to_string(), "2024-07-01T04:00:00Z");
    assert_eq!(dag.end_date.unwrap().to_string(), "2024-07-02T00:00:00Z");
}

#[test]
fn conf_is_laid_over_the_defaults_and_checked() {
    let dag = parse(&one_task(
        "params: {n: {type: integer, minimum: 1}, m: 5}",
        "",
    ))
    .dag
    .unwrap();
    let merged = check_params(&dag, &json!({"n": 3, "extra": true})).unwrap();
    assert_eq!(
        serde_json::Value::Object(merged),
        json!({"n": 3, "m": 5, "extra": true})
    );
    assert_eq!(check_params(&dag, &json!({"n": 0})).unwrap_err().len(), 1);
    assert!(check_params(&dag, &json!(null)).unwrap_err()[0].contains("`n`"));
    assert!(check_params(&dag, &json!([])).is_err());
}

#[test]
fn the_digest_sees_meaning_and_not_spelling() {
    let of = |text: &str| digest(&parse(text).dag.unwrap());
    let a = of(
        "dag_id: d\ntags: [x]\ntasks: [{task_id: a, operator: p, sla: 10m, config: {x: 1, y: 2}}, {task_id: b, operator: p}]",
    );
    let b = of(
        "# the same\ntasks:\n- {config: {y: 2, x: 1}, operator: p, task_id: a, sla: 600}\n- {task_id: b, operator: p}\ntags: x\ndag_id: d",
    );
    assert_eq!(a, b);
    let swapped = of(
        "dag_id: d\ntags: [x]\ntasks: [{task_id: b, operator: p}, {task_id: a, operator: p, sla: 10m, config: {x: 1, y: 2}}]",
    );
    assert_ne!(a, swapped, "task indexes are part of a version");
    let changed = of(
        "dag_id: d\ntags: [x]\ntasks: [{task_id: a, operator: p, sla: 10m, config: {x: 1, y: 3}}, {task_id: b, operator: p}]",
    );
    assert_ne!(a, changed);
}

#[test]
fn bombs_are_refused() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for n in 1..10 {
        let all = vec![format!("*a{}", n - 1); 9].join(", ");
        writeln!(laughs, "a{n}: &a{n} [{all}]").unwrap();
    }
    assert_eq!(codes(&laughs), ["too-many-values"]);
    assert_eq!(codes(&"[".repeat(100)), ["too-deep"]);
    assert_eq!(codes(&"- ".repeat(100)), ["too-deep"]);
    // Far deeper, the YAML scanner itself refuses first.
    assert!(parse(&"[".repeat(500_000)).dag.is_none());
    assert!(parse(&"- ".repeat(500_000)).dag.is_none());
    assert_eq!(codes(&" ".repeat(TEXT_BYTES_MAX + 1)), ["file-too-large"]);
    assert_eq!(codes(&"- \n".repeat(NODES_MAX + 1)), ["too-many-values"]);
    assert_eq!(codes("a: &x [*x]"), ["alias-in-itself"]);
}

#[test]
fn the_rendered_text_cannot_steer_a_terminal() {
    let text = "dag_id: \"\\e[2Jx\"\ntasks: [{task_id: a, operator: p}]\n\u{202e}: 1\n";
    let shown = render(&parse(text).diagnostics, "a\u{1b}b", text, false);
    assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown}");
}

/// 10,000 tasks within a file's size, each waiting for the one before it.
fn chain(tasks: usize) -> String {
    let mut text = "dag_id: d\ntasks:\n- {task_id: t0, operator: p}\n".to_owned();
    for n in 1..tasks {
        let before = n - 1;
        let _ = writeln!(
            text,
            "- {{task_id: t{n}, operator: p, depends_on: t{before}}}"
        );
    }
    text
}

#[test]
fn ten_thousand_tasks_are_accepted_and_one_more_is_not() {
    let text = chain(10_000);
    let begin = std::time::Instant::now();
    let dag = parse(&text).dag.unwrap();
    println!("10,000 tasks: {:?}", begin.elapsed());
    assert_eq!(
        Graph::new(&dag)
            .unwrap()
            .all_upstream(TaskIndex(9_999))
            .len(),
        9_999
    );
    assert_eq!(codes(&chain(10_001)), ["too-many-tasks"]);
}

#[test]
fn a_file_full_of_mistakes_is_cut_short_and_says_so() {
    let mut text = "dag_id: d\ntasks:\n".to_owned();
    for n in 0..10_000 {
        writeln!(text, "- {{task_id: t{n}, operator: p, depends_on: u{n}}}").unwrap();
    }
    let begin = std::time::Instant::now();
    let diagnostics = parse(&text).diagnostics;
    println!("10,000 mistakes: {:?}", begin.elapsed());
    assert_eq!(diagnostics.len(), 501);
    assert_eq!(
        diagnostics[500].message,
        "9500 further problems are not shown"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_is_answered_alike_twice(text in "\\PC{0,200}|[-a-z:{}\\[\\]\"'&*#|> \n{%]{0,300}") {
        let first = parse(&text);
        prop_assert_eq!(first.dag.is_none(), first.diagnostics.iter().any(|one| one.severity == Severity::Error));
        prop_assert_eq!(&first, &parse(&text));
        render(&first.diagnostics, "x", &text, true);
    }

    #[test]
    fn a_damaged_file_is_answered(at in 0..CHURN.len(), with in "\\PC{0,6}", drop in 0_usize..40) {
        let end = (at + drop).min(CHURN.len());
        let text = format!("{}{with}{}", &CHURN[..at], &CHURN[end..]);
        let parsed = parse(&text);
        render(&parsed.diagnostics, "x", &text, false);
    }
}

#[test]
fn the_schema_and_the_parser_agree_on_what_a_schema_can_see() {
    let schema: serde_json::Value = serde_json::from_str(FILE_SCHEMA).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let schema_accepts = |dag: &serde_json::Value| validator.is_valid(dag);
    let good = [
        json!({"dag_id": "d", "schedule": "0 2 * * 1", "tags": ["x"], "params": {"n": {"type": "number", "default": 1}},
            "default_args": {"retries": 2, "retry_delay": "1h30m", "sla": 600, "email": "a@b"},
            "on_sla_miss": {"operator": "notify.slack", "config": {"text": "{{ dag.dag_id }}"}},
            "grants": {"http": ["x.com"], "storage": ["s3://data/"], "training": {"threads": 2, "memory": "2GiB"}, "limits": {"log": 1000}},
            "tasks": [{"task_id": "a", "operator": "p", "setup": true},
                {"task_id": "b", "operator": "p", "inputs": {"x": "a", "y": {"task_id": "a", "key": "k"}}, "expand": {"z": "{{ params.n }}"}, "trigger_rule": "ALL_DONE"},
                {"task_id": "z", "operator": "p", "teardown": ["a"], "depends_on": "b", "pool": null}]}),
        json!({"dag_id": "d", "schedule": {"every": "15m"}, "tasks": [{"task_id": "a", "operator": "p"}]}),
        json!({"dag_id": "d", "schedule": {"assets": ["s3://x"]}, "tasks": [{"task_id": "a", "operator": "p"}]}),
    ];
    for dag in good {
        assert!(schema_accepts(&dag), "{dag}");
        assert_eq!(codes(&dag.to_string()), Vec::<&str>::new(), "{dag}");
    }
    let task = |extra: serde_json::Value| {
        let mut task = json!({"task_id": "a", "operator": "p"});
        task.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        json!({"dag_id": "d", "tasks": [task]})
    };
    let bad = [
        json!([]),
        json!({"dag_id": "d"}),
        json!({"dag_id": "d", "tasks": []}),
        json!({"dag_id": "a b", "tasks": [{"task_id": "a", "operator": "p"}]}),
        json!({"dag_id": "...", "tasks": [{"task_id": "a", "operator": "p"}]}),
        json!({"dag_id": "d", "tasks": [{"operator": "p"}]}),
        json!({"dag_id": "d", "schedule": {"every": "soon"}, "tasks": [{"task_id": "a", "operator": "p"}]}),
        json!({"dag_id": "d", "default_args": {"depends_on": "a"}, "tasks": [{"task_id": "a", "operator": "p"}]}),
        json!({"dag_id": "d", "grants": {"storage": ["s3://data"]}, "tasks": [{"task_id": "a", "operator": "p"}]}),
        json!({"dag_id": "d", "grants": {"limits": {"memory": "2Gi"}}, "tasks": [{"task_id": "a", "operator": "p"}]}),
        task(json!({"retires": 2})),
        task(json!({"retries": "two"})),
        task(json!({"pool_slots": 0})),
        task(json!({"trigger_rule": "all_sucess"})),
        task(json!({"expand": {}})),
        task(json!({"expand": {"x": [1]}, "expand_kwargs": [{"x": 1}]})),
        task(json!({"config": "x"})),
        task(json!({"on_failure_callback": {"config": {}}})),
    ];
    for dag in bad {
        assert!(!schema_accepts(&dag), "the schema accepts {dag}");
        assert!(
            parse(&dag.to_string()).dag.is_none(),
            "the parser accepts {dag}"
        );
    }
}
