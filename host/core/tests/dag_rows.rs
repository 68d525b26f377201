//! What Airflow lets a DAG say, row by row of its semantics: each row written in a file and read back.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer")]

use airlock_core::dag::spec::{
    AssetExpression, Dag, DeadlineReference, Expand, ExpandSource, RetryAction, Schedule,
    SensorMode, TriggerRule,
};
use airlock_core::dag::{EDGES_MAX, MAP_LENGTH_MAX, Parsed, Severity, check_params, parse, render};
use airlock_core::ids::TaskIndex;
use airlock_core::run::event::AttemptErrorKind;
use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::json;
use std::fmt::Write as _;

const EVERYTHING: &str = include_str!("dag/everything.yaml");
const MORE_MISTAKES: &str = include_str!("dag/more_mistakes.yaml");

fn dag(text: &str) -> Dag {
    let parsed = parse(text);
    let shown = render(&parsed.diagnostics, "dag.yaml", text, false);
    assert_eq!(parsed.diagnostics, vec![], "{shown}");
    parsed.dag.unwrap()
}

fn codes(text: &str) -> Vec<&'static str> {
    parse(text).diagnostics.iter().map(|one| one.code).collect()
}

/// A DAG of one task with `lines` in it (indented by four), under `head`.
fn one_task(head: &str, lines: &str) -> String {
    format!("dag_id: d\n{head}\ntasks:\n  - task_id: a\n    operator: probe\n{lines}\n")
}

fn schedule(written: &str) -> Schedule {
    dag(&one_task(&format!("schedule: {written}"), "")).schedule
}

/// The ids that a task waits for directly.
fn upstream<'d>(dag: &'d Dag, task_id: &str) -> Vec<&'d str> {
    let task = dag.task(dag.find(task_id).unwrap()).unwrap();
    let id = |index: &TaskIndex| dag.task(*index).unwrap().task_id.as_str();
    task.depends_on.iter().map(id).collect()
}

#[test]
fn a_file_with_every_key_is_read_without_a_word() {
    let dag = dag(EVERYTHING);
    assert_eq!(dag.max_consecutive_failed_dag_runs, 3);
    let operators = |list: &[airlock_core::dag::spec::Callback]| -> Vec<String> {
        list.iter().map(|one| one.operator.to_string()).collect()
    };
    assert_eq!(operators(&dag.on_failure), ["notify.slack", "notify.pager"]);
    assert_eq!(operators(&dag.on_success), ["notify.slack"]);
    assert_eq!(operators(&dag.on_sla_miss), ["notify.slack"]);
    let references: Vec<_> = dag.deadlines.iter().map(|one| one.reference).collect();
    let fixed = "2024-02-01T00:00:00Z".parse().unwrap();
    assert_eq!(
        references,
        [
            DeadlineReference::LogicalDate,
            DeadlineReference::QueuedAt,
            DeadlineReference::Fixed(fixed),
            DeadlineReference::AverageRuntime(10)
        ]
    );
    let intervals: Vec<_> = dag
        .deadlines
        .iter()
        .map(|one| one.interval.as_secs())
        .collect();
    assert_eq!(intervals, [7200, 90, -1800, 3600]);
    let wait = &dag.tasks[1];
    assert_eq!(wait.sensor.mode, SensorMode::Reschedule);
    assert!(wait.sensor.never_fail && wait.sensor.silent_fail && !wait.sensor.soft_fail);
    assert!(wait.ignore_first_depends_on_past && wait.wait_for_past_depends_before_skipping);
    assert_eq!(wait.queue, "cpu");
    assert_eq!(operators(&wait.on_execute), ["notify.slack"]);
    assert_eq!(
        operators(&wait.on_skipped),
        ["notify.slack", "notify.pager"]
    );
    let again: Dag = serde_json::from_value(serde_json::to_value(&dag).unwrap()).unwrap();
    assert_eq!(again, dag);
}

#[test]
fn more_mistakes_are_told_all_at_once() {
    let parsed = parse(MORE_MISTAKES);
    assert_eq!(parsed.dag, None);
    insta::assert_snapshot!(render(
        &parsed.diagnostics,
        "more_mistakes.yaml",
        MORE_MISTAKES,
        false
    ));
}

#[test]
fn a1_an_id_is_ascii_and_unique_and_the_graph_has_no_cycle() {
    assert_eq!(dag(&one_task("", "")).dag_id.as_str(), "d");
    for bad in ["dag_id: a b", "dag_id: ä", "dag_id: a/b", "dag_id: \"\""] {
        let text = format!("{bad}\ntasks: [{{task_id: a, operator: probe}}]");
        assert_eq!(codes(&text), ["invalid-id"], "{bad}");
    }
    let twice = one_task("", "  - {task_id: a, operator: probe}");
    assert_eq!(codes(&twice), ["duplicate-task"]);
    let circle = one_task(
        "",
        "    depends_on: b\n  - {task_id: b, operator: probe, depends_on: a}",
    );
    assert_eq!(codes(&circle), ["cycle"]);
}

#[test]
fn a2_description_and_doc_md_are_kept() {
    let dag = dag(EVERYTHING);
    assert_eq!(dag.description.as_deref(), Some("Each key at least once"));
    assert_eq!(dag.doc_md.as_deref(), Some("# Everything\nLonger text.\n"));
}

#[test]
fn a3_presets_stand_for_airflows_cron_and_no_schedule_is_manual_only() {
    let presets = [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@quarterly", "0 0 1 */3 *"),
        ("@yearly", "0 0 1 1 *"),
    ];
    for (preset, cron) in presets {
        assert_eq!(
            schedule(&format!("\"{preset}\"")),
            Schedule::Cron(cron.to_owned())
        );
    }
    assert_eq!(schedule("\"@once\""), Schedule::Once);
    assert_eq!(schedule("\"@continuous\""), Schedule::Continuous);
    assert_eq!(schedule("null"), Schedule::None);
    assert_eq!(dag(&one_task("", "")).schedule, Schedule::None);
    assert_eq!(
        schedule("{every: 15m}"),
        Schedule::Every(SignedDuration::from_mins(15))
    );
    assert_eq!(
        schedule("{cron: \"@daily\"}"),
        Schedule::Cron("0 0 * * *".to_owned())
    );
}

#[test]
fn a3_assets_are_joined_by_all_and_any_and_may_go_with_a_time() {
    let asset = |uri: &str| AssetExpression::Asset(uri.to_owned());
    let all = AssetExpression::All(vec![asset("s3://a"), asset("s3://b")]);
    assert_eq!(
        schedule("[\"s3://a\", \"s3://b\"]"),
        Schedule::Assets(all.clone())
    );
    assert_eq!(
        schedule("{assets: [\"s3://a\", \"s3://b\"]}"),
        Schedule::Assets(all.clone())
    );
    assert_eq!(
        schedule("{assets: {all: [\"s3://a\", \"s3://b\"]}}"),
        Schedule::Assets(all.clone())
    );
    let nested = AssetExpression::Any(vec![asset("s3://c"), all]);
    let written = "{assets: {any: [\"s3://c\", {all: [\"s3://a\", \"s3://b\"]}]}, every: 1h}";
    let every = Schedule::Every(SignedDuration::from_hours(1));
    assert_eq!(
        schedule(written),
        Schedule::AssetsOrTime(nested, Box::new(every))
    );
    let wrong = [
        ("{assets: []}", "invalid-assets"),
        ("{assets: {any: [], all: []}}", "invalid-assets"),
        ("{assets: features}", "invalid-asset"),
        ("{assets: \"s3://a b\"}", "invalid-asset"),
        ("{assets: \"s3://ä\"}", "invalid-asset"),
        ("{assets: \"airflow://x\"}", "invalid-asset"),
        ("{assets: {one: [\"s3://a\"]}}", "unknown-key"),
        ("{all: [\"s3://a\"]}", "unknown-key"),
        ("{every: 1h, cron: \"@daily\"}", "invalid-schedule"),
        ("{assets: \"s3://a\", cron: \"@once\"}", "unknown-preset"),
        ("{}", "invalid-schedule"),
        ("0 0 30 2 *", "never-fires"),
        ("0 0 * * 9", "invalid-cron"),
    ];
    for (written, code) in wrong {
        let text = one_task(&format!("schedule: {written}"), "");
        assert!(
            codes(&text).contains(&code),
            "{written}: {:?}",
            codes(&text)
        );
    }
}

#[test]
fn a9_a_task_goes_before_its_group_the_group_before_the_outer_one_and_that_before_the_dag() {
    let dag = dag(EVERYTHING);
    let of = |id: &str| {
        let task = dag.task(dag.find(id).unwrap()).unwrap();
        (
            task.retries,
            task.pool.as_str(),
            task.owner.as_deref().unwrap(),
        )
    };
    assert_eq!(of("start"), (1, "slow", "ml-platform"));
    assert_eq!(of("features.extract"), (4, "fast", "ml-platform"));
    assert_eq!(of("features.clean"), (5, "fast", "ml-platform"));
    assert_eq!(of("features.checks.rows"), (4, "checks", "ml-platform"));
    assert_eq!(of("train.fit"), (1, "slow", "ml-platform"));
    let null = "dag_id: d\ndefault_args: {owner: x}\ntask_groups: [{group_id: g, default_args: {owner: null}, tasks: [{task_id: a, operator: probe}]}]";
    assert_eq!(self::dag(null).tasks[0].owner, None);
}

#[test]
fn a10_tags_are_a_set() {
    assert_eq!(dag(EVERYTHING).tags, ["ml", "churn"]);
}

#[test]
fn a15_params_are_checked_against_their_schemas_when_read_and_when_triggered() {
    let dag = dag(EVERYTHING);
    let merged = check_params(&dag, &json!({"threshold": 0.9})).unwrap();
    assert_eq!(merged["threshold"], json!(0.9));
    assert_eq!(
        check_params(&dag, &json!(null)).unwrap()["threshold"],
        json!(0.5)
    );
    assert!(check_params(&dag, &json!({"threshold": 2})).is_err());
    let bad = one_task("params: {n: {type: integer, enum: [1, 2], default: 3}}", "");
    assert_eq!(codes(&bad), ["param-default"]);
}

#[test]
fn a18_a_deadline_needs_a_reference_an_interval_and_a_callback() {
    let of = |deadline: &str| codes(&one_task(&format!("deadlines: [{deadline}]"), ""));
    assert_eq!(
        of("{reference: queued_at, interval: 1h, callback: c}"),
        Vec::<&str>::new()
    );
    assert_eq!(of("{interval: 1h, callback: c}"), ["missing-key"]);
    assert_eq!(
        of("{reference: queued_at, interval: 1h, callback: []}"),
        ["missing-key"]
    );
    assert_eq!(of("{reference: queued_at, interval: 1h}"), ["missing-key"]);
    assert_eq!(
        of("{reference: {average_runtime: 0}, interval: 1h, callback: c}"),
        ["out-of-range"]
    );
    assert_eq!(
        of("{reference: {fixed: soon}, interval: 1h, callback: c}"),
        ["invalid-date"]
    );
    assert_eq!(
        of("{reference: {}, interval: 1h, callback: c}"),
        ["invalid-deadline"]
    );
}

#[test]
fn a19_fail_fast_takes_no_other_trigger_rule_than_all_success() {
    assert!(
        dag(&one_task(
            "fail_fast: true",
            "    trigger_rule: all_success"
        ))
        .fail_fast
    );
    for rule in ["all_done", "one_failed", "always", "none_failed"] {
        let text = one_task("fail_fast: true", &format!("    trigger_rule: {rule}"));
        assert_eq!(codes(&text), ["fail-fast-rule"], "{rule}");
    }
}

#[test]
fn a21_owners_links_and_names_are_for_people() {
    let dag = dag(EVERYTHING);
    assert_eq!(
        dag.dag_display_name.as_deref(),
        Some("Everything a person may write")
    );
    assert_eq!(
        dag.owner_links["ml-platform"],
        "https://wiki.example.com/ml"
    );
    assert_eq!(dag.tasks[0].owner.as_deref(), Some("ml-platform"));
    let bad = one_task("owner_links: {x: \"javascript:alert(1)\"}", "");
    assert_eq!(codes(&bad), ["invalid-link"]);
}

#[test]
fn b5_a_retry_policy_is_read_in_order() {
    let dag = dag(EVERYTHING);
    let rules = &dag.tasks[1].retry_policy;
    assert_eq!(
        rules[0].kinds,
        [AttemptErrorKind::TimedOut, AttemptErrorKind::Trap]
    );
    let delay = SignedDuration::from_mins(5);
    assert_eq!(rules[0].action, RetryAction::Retry(Some(delay)));
    assert_eq!(
        (rules[1].message_contains.as_str(), rules[1].action),
        ("quota", RetryAction::Fail)
    );
    assert_eq!(
        (rules[2].kinds.len(), rules[2].action),
        (0, RetryAction::Retry(None))
    );
    let of = |rule: &str| {
        codes(&one_task(
            "",
            &format!("    retries: 1\n    retry_policy: [{rule}]"),
        ))
    };
    assert_eq!(of("{on: oops, retry: true}"), ["unknown-word"]);
    assert_eq!(of("{on: trap}"), ["retry-rule"]);
    assert_eq!(of("{retry: true, action: fail}"), ["retry-rule"]);
    assert_eq!(of("{retry: later}"), ["wrong-type"]);
}

#[test]
fn b17_values_become_xcoms_unless_told_otherwise() {
    let plain = dag(&one_task("", ""));
    assert!(plain.tasks[0].do_xcom_push && !plain.tasks[0].multiple_outputs);
    let told = dag(&one_task(
        "",
        "    do_xcom_push: false\n    multiple_outputs: true",
    ));
    assert!(!told.tasks[0].do_xcom_push && told.tasks[0].multiple_outputs);
}

#[test]
fn b18_inlets_and_outlets_are_assets() {
    let dag = dag(EVERYTHING);
    assert_eq!(dag.tasks[1].inlets, ["s3://data/a"]);
    assert_eq!(dag.tasks[1].outlets, ["s3://data/out"]);
    assert_eq!(
        codes(&one_task("", "    outlets: [features]")),
        ["invalid-asset"]
    );
}

#[test]
fn b19_resources_are_informational_and_there_is_no_user_to_run_as() {
    assert_eq!(
        codes(&one_task("", "    resources: {cpus: 4, gpus: 1}")),
        Vec::<&str>::new()
    );
    let parsed = parse(&one_task("", "    run_as_user: root"));
    assert_eq!(parsed.diagnostics[0].code, "unknown-key");
    assert!(
        parsed.diagnostics[0]
            .hint
            .as_deref()
            .unwrap()
            .contains("grants")
    );
}

#[test]
fn b21_a_task_has_a_name_to_show_a_text_and_a_template_for_its_instances() {
    let dag = dag(EVERYTHING);
    assert_eq!(dag.tasks[0].task_display_name.as_deref(), Some("The start"));
    assert_eq!(dag.tasks[0].doc_md.as_deref(), Some("Where it begins."));
    let fit = dag.task(dag.find("train.fit").unwrap()).unwrap();
    assert_eq!(fit.map_index_template.as_deref(), Some("fold {{ fold }}"));
    let twice = one_task("", "    name: A\n    task_display_name: B");
    assert_eq!(codes(&twice), ["written-twice"]);
}

#[test]
fn d5_soft_fail_and_never_fail_exclude_each_other() {
    let both = one_task("", "    soft_fail: true\n    never_fail: true");
    assert_eq!(codes(&both), ["soft-and-never-fail"]);
    assert_eq!(
        codes(&one_task("", "    deferrable: true\n    mode: poke")),
        ["deferrable-poke"]
    );
}

#[test]
fn e6_a_template_makes_no_dependency_and_says_so() {
    let text = one_task(
        "",
        "  - {task_id: b, operator: probe, config: {x: \"{{ xcom_pull('a') }}\"}}",
    );
    let Parsed { dag, diagnostics } = parse(&text);
    assert_eq!(upstream(&dag.unwrap(), "b"), Vec::<&str>::new());
    assert_eq!(diagnostics[0].severity, Severity::Warning);
    assert_eq!(
        diagnostics[0].hint.as_deref(),
        Some("add `a` to `depends_on`; a template makes no edge")
    );
}

#[test]
fn f1_inputs_make_the_dependency() {
    let dag = dag(&one_task(
        "",
        "  - {task_id: b, operator: probe, inputs: {x: a, y: {task_id: a, key: k}}}",
    ));
    assert_eq!(upstream(&dag, "b"), ["a"]);
    assert_eq!(
        (
            dag.tasks[1].inputs["x"].key.as_str(),
            dag.tasks[1].inputs["y"].key.as_str()
        ),
        ("return_value", "k")
    );
}

#[test]
fn f5_a_literal_list_longer_than_max_map_length_is_refused() {
    let list = |count: usize| vec!["1"; count].join(",");
    let task = |count: usize| one_task("", &format!("    expand: {{x: [{}]}}", list(count)));
    assert_eq!(codes(&task(MAP_LENGTH_MAX)), Vec::<&str>::new());
    assert_eq!(codes(&task(MAP_LENGTH_MAX + 1)), ["map-too-long"]);
    let product = format!("    expand: {{x: [{}], y: [{}]}}", list(33), list(32));
    assert_eq!(codes(&one_task("", &product)), ["map-too-long"]);
    let group = |count: usize| {
        let list = list(count);
        format!(
            "dag_id: d\ntask_groups: [{{group_id: g, expand: {{x: [{list}]}}, tasks: [{{task_id: a, operator: probe}}]}}]"
        )
    };
    assert_eq!(codes(&group(MAP_LENGTH_MAX)), Vec::<&str>::new());
    assert_eq!(codes(&group(MAP_LENGTH_MAX + 1)), ["map-too-long"]);
}

#[test]
fn f8_a_mapped_group_is_mapped_once() {
    let dag = dag(EVERYTHING);
    let train = dag.find("train.score").unwrap();
    let group = dag.group(dag.mapped_group(train).unwrap()).unwrap();
    assert_eq!(group.group_id.as_str(), "train");
    let template = "{{ xcom_pull('start') }}".to_owned();
    let source = vec![("fold".to_owned(), ExpandSource::Template(template))];
    assert_eq!(group.expand, Some(Expand::Product(source)));
    assert_eq!(dag.mapped_group(dag.find("features.clean").unwrap()), None);
    let nested = "dag_id: d\ntask_groups: [{group_id: g, expand: {x: [1]}, tasks: [{task_id: a, operator: probe, expand: {y: [1]}}]}]";
    assert_eq!(codes(nested), ["nested-mapping"]);
}

#[test]
fn f9_a_group_prefixes_ids_and_stands_for_its_first_and_last_tasks() {
    let dag = dag(EVERYTHING);
    let groups: Vec<_> = dag
        .task_groups
        .iter()
        .map(|one| one.group_id.as_str())
        .collect();
    assert_eq!(groups, ["features", "features.checks", "train"]);
    assert_eq!(upstream(&dag, "features.extract"), ["start"]);
    assert_eq!(upstream(&dag, "features.clean"), ["features.extract"]);
    assert_eq!(upstream(&dag, "features.checks.rows"), ["features.clean"]);
    let leaves = ["features.checks.rows", "features.checks.nulls"];
    assert_eq!(
        upstream(&dag, "train.fit"),
        [&["wait"][..], &leaves].concat()
    );
    assert_eq!(upstream(&dag, "train.score"), ["train.fit"]);
    let nulls = dag
        .task(dag.find("features.checks.nulls").unwrap())
        .unwrap();
    assert_eq!(nulls.trigger_rule, TriggerRule::Always);
}

#[test]
fn f9_inside_a_group_the_nearest_name_is_meant_and_templates_hold_the_full_one() {
    let text = "dag_id: d\ntasks: [{task_id: a, operator: probe}]\ntask_groups:\n- group_id: g\n  tasks:\n  - {task_id: a, operator: probe, depends_on: a}\n  - {task_id: b, operator: probe, depends_on: a, config: {x: \"{{ xcom_pull('a') }}\"}}\n  - {task_id: c, operator: probe, depends_on: g.b, config: {x: \"{{ xcom_pull('g.b') }}\"}}\n";
    let dag = dag(text);
    assert_eq!(upstream(&dag, "g.a"), ["a"]);
    assert_eq!(upstream(&dag, "g.b"), ["g.a"]);
    assert_eq!(upstream(&dag, "g.c"), ["g.b"]);
    assert_eq!(dag.tasks[2].config["x"], json!("{{ xcom_pull('g.a') }}"));
    assert_eq!(dag.tasks[3].config["x"], json!("{{ xcom_pull('g.b') }}"));
}

#[test]
fn f10_what_follows_a_group_waits_for_its_work_and_not_for_its_teardown() {
    let text = "dag_id: d\ntasks: [{task_id: after, operator: probe, depends_on: g}]\ntask_groups:\n- group_id: g\n  tasks:\n  - {task_id: up, operator: probe}\n  - {task_id: work, operator: probe, depends_on: up}\n  - {task_id: down, operator: probe, teardown: up, depends_on: work}\n";
    let dag = dag(text);
    assert_eq!(upstream(&dag, "after"), ["g.work"]);
    assert!(dag.task(dag.find("g.up").unwrap()).unwrap().is_setup);
}

#[test]
fn two_wide_groups_in_a_row_are_refused_with_a_way_out() {
    let mut text = "dag_id: d\ntask_groups:\n".to_owned();
    for (group, after) in [("x", ""), ("y", "depends_on: x, ")] {
        write!(text, "- {{group_id: {group}, {after}tasks: [").unwrap();
        for n in 0..(EDGES_MAX / 400) {
            write!(text, "{{task_id: t{n}, operator: p}},").unwrap();
        }
        text.push_str("]}\n");
    }
    assert_eq!(codes(&text), ["too-many-edges"]);
}

#[test]
fn a_mistake_in_the_yaml_does_not_hide_the_ones_before_it() {
    let text = "dag_id: a b\nretires: 3\ntasks:\n  - task_id: x\n    operator: probe\n    depends_on: later\n    retries: two\n  - task_id: y\n    config: \"open\n";
    let found = codes(text);
    assert_eq!(
        found,
        ["invalid-id", "unknown-key", "wrong-type", "yaml-syntax"]
    );
    let unquoted = "dag_id: d\ntasks:\n- {task_id: a, operator: probe, retries: many}\n- task_id: b\n  config: {x: {{ ds }}}\n";
    assert_eq!(codes(unquoted), ["wrong-type", "key-not-text"]);
}

#[test]
fn a_branch_to_what_is_not_directly_downstream_is_a_warning() {
    let with = |branch: &str| {
        format!(
            "dag_id: d\ntasks:\n- {{task_id: a, operator: probe, config: {{branch: [{branch}]}}}}\n- {{task_id: b, operator: probe, depends_on: a}}\n- {{task_id: c, operator: probe, depends_on: b}}\ntask_groups: [{{group_id: g, depends_on: a, tasks: [{{task_id: x, operator: probe}}]}}]\n"
        )
    };
    for good in ["b", "g", "g.x", ""] {
        assert_eq!(codes(&with(good)), Vec::<&str>::new(), "{good}");
    }
    for bad in ["c", "x", "nothing"] {
        assert_eq!(codes(&with(bad)), ["branch-target"], "{bad}");
    }
}

#[test]
fn switches_without_what_they_switch_are_warnings() {
    let found = |lines: &str| codes(&one_task("", lines));
    assert_eq!(
        found("    email_on_failure: true"),
        ["email-without-address"]
    );
    assert_eq!(
        found("    email: a@b\n    email_on_failure: true"),
        Vec::<&str>::new()
    );
    assert_eq!(
        found("    ignore_first_depends_on_past: true"),
        ["without-depends-on-past"]
    );
    assert_eq!(
        found("    retry_policy: [{retry: 5m}]"),
        ["retry-without-retries"]
    );
    assert_eq!(
        codes(&one_task("on_sla_miss: c", "")),
        ["sla-miss-without-sla"]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_damaged_file_with_groups_is_answered(at in 0..EVERYTHING.len(), with in "\\PC{0,6}", drop in 0_usize..60) {
        let end = (at + drop).min(EVERYTHING.len());
        let text = format!("{}{with}{}", &EVERYTHING[..at], &EVERYTHING[end..]);
        let parsed = parse(&text);
        prop_assert_eq!(parsed.dag.is_none(), parsed.diagnostics.iter().any(|one| one.severity == Severity::Error));
        render(&parsed.diagnostics, "x", &text, false);
    }
}
