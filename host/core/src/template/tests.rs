use super::*;
use proptest::prelude::*;
use serde_json::json;
use std::sync::Arc;

struct Pushed;

impl XComSource for Pushed {
    fn pull(&self, task_id: &str, key: &str, map_index: Option<i32>) -> Option<Value> {
        match (task_id, key, map_index) {
            ("build_features", "feature_path", None) => Some(json!("s3://data/f.parquet")),
            ("get_configs", "return_value", None) => Some(json!([{"lr": 0.1}, {"lr": 0.01}])),
            ("mapped", "return_value", None) => Some(json!([10, 20, 30])),
            ("mapped", "return_value", Some(index)) => Some(json!((index + 1) * 10)),
            ("train", "return_value", _) => Some(json!("own")),
            ("huge", "return_value", _) => Some(json!("x".repeat(1_000_000))),
            ("big", "return_value", _) => Some(json!(u64::MAX)),
            _ => None,
        }
    }
}

fn at(text: &str) -> jiff::Timestamp {
    text.parse().unwrap()
}

fn run() -> RunValues {
    RunValues {
        run_id: "scheduled__2025-06-16T02:00:00+00:00".into(),
        run_type: "scheduled".into(),
        logical_date: Some(at("2025-06-16T02:00:00Z")),
        data_interval_start: Some(at("2025-06-09T02:00:00Z")),
        data_interval_end: Some(at("2025-06-16T02:00:00Z")),
        run_after: at("2025-06-16T02:00:00Z"),
        conf: json!({"reason": "drift"}),
        params: json!({"min_improvement": 0.005, "model": {"name": "churn"}, "flags": [true, null]}),
        ..RunValues::default()
    }
}

pub(super) fn context() -> Context {
    let dag = DagValues {
        dag_id: "churn".into(),
        description: None,
        tags: vec!["ml".into()],
    };
    let task = TaskValues {
        task_id: "train".into(),
        operator: "train.gbdt".into(),
        map_index: -1,
        try_number: 2,
        retries: 3,
        outlets: vec!["s3://models/churn".into()],
        ..TaskValues::default()
    };
    Context::new(dag, run(), Some(task), Arc::new(Pushed)).with_lookup(Arc::new(Kept))
}

/// A run with one before it, which ended in success.
struct OneBefore;

impl RunHistory for OneBefore {
    fn previous_success(&self) -> Result<Option<PreviousRun>, String> {
        Ok(Some(PreviousRun {
            data_interval_start: Some(at("2025-06-02T02:00:00Z")),
            data_interval_end: Some(at("2025-06-09T02:00:00Z")),
            start_date: Some(at("2025-06-09T02:00:01Z")),
            end_date: Some(at("2025-06-09T03:00:00Z")),
        }))
    }

    fn previous_logical_date(&self) -> Result<Option<jiff::Timestamp>, String> {
        Ok(Some(at("2025-06-09T02:00:00Z")))
    }

    fn next_logical_date(&self) -> Result<Option<jiff::Timestamp>, String> {
        Err("the store does not answer".into())
    }
}

#[test]
fn names_of_other_runs_are_read_where_they_are_asked_for() {
    let context = context().with_history(Arc::new(OneBefore));
    for (template, expected) in [
        ("prev_ds", "2025-06-09"),
        ("prev_ds_nodash", "20250609"),
        ("prev_logical_date | ts", "2025-06-09T02:00:00+00:00"),
        ("prev_data_interval_start_success | ds", "2025-06-02"),
        ("prev_data_interval_end_success | ds", "2025-06-09"),
        ("prev_start_date_success | ts_nodash", "20250609T020001"),
        ("prev_end_date_success.hour ~ ''", "3"),
        // What is not asked for does not fail.
        ("ds", "2025-06-16"),
    ] {
        let value = evaluate(&format!("{{{{ {template} }}}}"), &context);
        assert_eq!(value.unwrap(), json!(expected), "{template}");
    }
    let error = evaluate("{{ next_ds }}", &context).unwrap_err().to_string();
    assert!(error.contains("the store does not answer"), "{error}");
}

struct Kept;

impl Lookup for Kept {
    fn variable(&self, key: &str) -> Result<Option<String>, String> {
        Ok(match key {
            "bucket" => Some("data".into()),
            "config" => Some(r#"{"depth": 6}"#.into()),
            "broken" => Some("{".into()),
            "unreadable" => return Err("the secrets folder cannot be read".into()),
            _ => None,
        })
    }

    fn connection(&self, conn_id: &str) -> Result<Option<Connection>, String> {
        Ok((conn_id == "mlflow").then(|| Connection {
            conn_type: "http".into(),
            host: Some("mlflow.internal".into()),
            port: Some(5000),
            login: Some("robot".into()),
            ..Connection::default()
        }))
    }

    fn password(&self, _: &str) -> Result<Option<String>, String> {
        Err("no grant covers it".into())
    }

    fn variable_keys(&self) -> Vec<String> {
        vec!["bucket".into(), "config".into()]
    }

    fn connection_ids(&self) -> Vec<String> {
        vec!["mlflow".into()]
    }
}

pub(super) fn text_of(template: &str) -> Value {
    evaluate(template, &context()).unwrap_or_else(|error| panic!("{template}: {error}"))
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn airflows_variables_have_airflows_formats() {
    for (template, expected) in [
        ("ds", json!("2025-06-16")),
        ("ds_nodash", json!("20250616")),
        ("ts", json!("2025-06-16T02:00:00+00:00")),
        ("ts_nodash", json!("20250616T020000")),
        ("ts_nodash_with_tz", json!("20250616T020000+0000")),
        ("logical_date", json!("2025-06-16T02:00:00+00:00")),
        ("data_interval_start", json!("2025-06-09T02:00:00+00:00")),
        ("data_interval_end | ds_nodash", json!("20250616")),
        ("data_interval_start | ts_nodash", json!("20250609T020000")),
        (
            "'2025-06-16T02:00:00+02:00' | ts",
            json!("2025-06-16T00:00:00+00:00"),
        ),
        ("'2025-06-16' | ds_nodash", json!("20250616")),
        ("prev_ds", json!(null)),
        ("next_ds", json!(null)),
        ("prev_data_interval_start_success", json!(null)),
        ("prev_data_interval_end_success | ds", json!(null)),
        ("logical_date.year", json!(2025)),
        (
            "logical_date.strftime('%Y/%m/%d %H:%M:%S.%f')",
            json!("2025/06/16 02:00:00.000000"),
        ),
        (
            "logical_date.isoformat()",
            json!("2025-06-16T02:00:00+00:00"),
        ),
        ("logical_date.weekday()", json!(0)),
        ("logical_date.subtract(days=1) | ds", json!("2025-06-15")),
        (
            "logical_date.add(months=1, hours=3) | ts",
            json!("2025-07-16T05:00:00+00:00"),
        ),
        (
            "logical_date.in_timezone('Europe/London')",
            json!("2025-06-16T03:00:00+01:00"),
        ),
        ("logical_date.timestamp()", json!(1_750_039_200.0)),
        ("data_interval_start < data_interval_end", json!(true)),
        ("macros.ds_add(ds, -7)", json!("2025-06-09")),
        ("macros.ds_add('2024-02-28', 1)", json!("2024-02-29")),
        (
            "macros.ds_format(ds, '%Y-%m-%d', '%d.%m.%y')",
            json!("16.06.25"),
        ),
        (
            "macros.datetime(2025, 1, 2, 3)",
            json!("2025-01-02T03:00:00+00:00"),
        ),
        ("dag.dag_id", json!("churn")),
        ("dag.tags", json!(["ml"])),
        ("run_id", json!("scheduled__2025-06-16T02:00:00+00:00")),
        ("dag_run.run_type", json!("scheduled")),
        ("dag_run.conf['reason']", json!("drift")),
        ("dag_run.conf.get('absent', 7)", json!(7)),
        ("dag_run.conf.get('absent')", json!(null)),
        ("dag_run.logical_date | ds", json!("2025-06-16")),
        ("task.task_id", json!("train")),
        ("ti.task_id ~ '/' ~ ti.try_number", json!("train/2")),
        ("task_instance.map_index", json!(-1)),
        ("task_instance_key_str", json!("churn__train__20250616")),
        ("params.min_improvement", json!(0.005)),
        ("params.model", json!({"name": "churn"})),
        ("params.flags", json!([true, null])),
        ("var.value.bucket", json!("data")),
        ("var.value.get('absent', 'x')", json!("x")),
        ("var.json.config.depth", json!(6)),
        (
            "conn.mlflow.host ~ ':' ~ conn.mlflow.port",
            json!("mlflow.internal:5000"),
        ),
        (
            "params | tojson",
            json!(
                r#"{"flags": [true, null], "min_improvement": 0.005, "model": {"name": "churn"}}"#
            ),
        ),
        ("'a,b'.split(',')", json!(["a", "b"])),
        ("ds.replace('-', '/')", json!("2025/06/16")),
        ("run_id.startswith('scheduled')", json!(true)),
        ("' X '.strip().lower()", json!("x")),
        ("'7'.zfill(3)", json!("007")),
        ("','.join(['a', 'b'])", json!("a,b")),
        ("params.model.items() | list", json!([["name", "churn"]])),
        ("params.model.keys()", json!(["name"])),
    ] {
        assert_eq!(
            text_of(&format!("{{{{ {template} }}}}")),
            expected,
            "{template}"
        );
    }
}

#[test]
fn a_run_without_logical_date_has_dates_all_the_same() {
    let values = RunValues {
        logical_date: None,
        data_interval_start: None,
        data_interval_end: None,
        run_after: at("2025-06-18T13:37:11.5Z"),
        ..run()
    };
    let context = Context::new(DagValues::default(), values, None, Arc::new(Pushed));
    let get = |template| evaluate(template, &context).unwrap();
    assert_eq!(get("{{ ds }}"), json!("2025-06-18"));
    assert_eq!(get("{{ ts }}"), json!("2025-06-18T13:37:11.500000+00:00"));
    assert_eq!(get("{{ data_interval_start | ds }}"), json!("2025-06-18"));
    assert_eq!(get("{{ dag_run.logical_date }}"), json!(null));
}

#[test]
fn xcom_pull_has_airflows_arguments() {
    for (call, expected) in [
        (
            "xcom_pull('build_features', key='feature_path')",
            json!("s3://data/f.parquet"),
        ),
        (
            "ti.xcom_pull(task_ids='build_features', key='feature_path')",
            json!("s3://data/f.parquet"),
        ),
        ("task_instance.xcom_pull('get_configs')[1].lr", json!(0.01)),
        ("ti.xcom_pull('mapped')", json!([10, 20, 30])),
        ("ti.xcom_pull('mapped', map_indexes=1)", json!(20)),
        (
            "ti.xcom_pull('mapped', map_indexes=[0, 2])",
            json!([10, 30]),
        ),
        (
            "ti.xcom_pull(['mapped', 'absent'])",
            json!([[10, 20, 30], null]),
        ),
        ("ti.xcom_pull('absent')", json!(null)),
        ("ti.xcom_pull('absent', default=3)", json!(3)),
        ("xcom_pull()", json!("own")),
        ("xcom_pull('big')", json!(u64::MAX)),
        ("xcom_pull('get_configs') | length", json!(2)),
    ] {
        assert_eq!(text_of(&format!("{{{{ {call} }}}}")), expected, "{call}");
    }
    let error = evaluate("{{ xcom_pull('a', keyy='b') }}", &context()).unwrap_err();
    assert!(error.to_string().contains("keyy"), "{error}");
}

#[test]
fn g4_one_expression_keeps_its_type_and_more_become_text() {
    for (template, expected) in [
        ("{{ params.min_improvement }}", json!(0.005)),
        ("  {{- params.flags -}}  ", json!([true, null])),
        ("{{ params.flags }}!", json!("[True, None]!")),
        (
            "{{ params.model }} {{ ti.try_number }}",
            json!("{'name': 'churn'} 2"),
        ),
        ("{{ ti.xcom_pull('absent') }}!", json!("None!")),
        ("{{ '}} {{' }}", json!("}} {{")),
        ("{{ 1 }}{{ 2 }}", json!("12")),
        ("{{ 'a' }} and {{ 'b' }}", json!("a and b")),
        (
            "{% if params.flags[0] %}yes{% else %}no{% endif %}",
            json!("yes"),
        ),
        (
            "{% for c in xcom_pull('mapped') %}{{ c }},{% endfor %}",
            json!("10,20,30,"),
        ),
        ("a{# note #}b", json!("ab")),
        ("plain", json!("plain")),
        ("{ not } a { template }", json!("{ not } a { template }")),
        ("<b>&'{{ ds }}'", json!("<b>&'2025-06-16'")),
    ] {
        assert_eq!(text_of(template), expected, "{template}");
    }
}

#[test]
fn rendering_goes_through_lists_and_objects() {
    let config = json!({
        "out": "s3://data/{{ ds }}/", "n": 3, "{{ ds }}": null,
        "deep": [{"lr": "{{ params.min_improvement }}"}, ["{{ ts_nodash }}"], true],
    });
    let rendered = render(&config, &context()).unwrap();
    assert_eq!(
        rendered,
        json!({
            "out": "s3://data/2025-06-16/", "n": 3, "{{ ds }}": null,
            "deep": [{"lr": 0.005}, ["20250616T020000"], true],
        })
    );
    assert!(!is_plain(&config));
    assert!(is_plain(&json!({"a": [1, "b", null], "{{ key }}": "c"})));
}

fn failure(config: &Value) -> String {
    render(config, &context()).unwrap_err().to_string()
}

#[test]
fn an_unknown_name_is_told_with_its_place_and_near_names() {
    let config = json!({"params": [1, 2, {"uri": "s3://{{ dss }}/x"}]});
    let message = failure(&config);
    for part in [
        "config.params[2].uri",
        "s3://{{ dss }}/x",
        "\"dss\"",
        "did you mean \"ds\"?",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
    for (template, part) in [
        ("{{ params.min_improvment }}", "\"params.min_improvment\""),
        ("{{ params.min_improvment }}", "\"min_improvement\""),
        (
            "{{ params.zzzzzzz }}",
            "known names are flags, min_improvement, model",
        ),
        ("{{ var.value.buckte }}", "\"bucket\""),
        ("{{ var.json.broken }}", "\"broken\" is no JSON"),
        ("{{ conn.mlfow.host }}", "\"mlflow\""),
        ("{{ conn.mlflow.password }}", "no grant covers it"),
        ("{{ macro.ds_add(ds, 1) }}", "\"macros\""),
        ("{{ xcom_pul('a') }}", "\"xcom_pull\""),
        ("a {{ dag_run.conf.absent }}", "dag_run.conf.absent"),
        ("{{ ti.tasks_id }}", "\"task_id\""),
    ] {
        let message = failure(&json!([template]));
        assert!(message.contains("config[0]"), "{message}");
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[test]
fn an_unknown_name_is_told_with_its_line_and_column() {
    for (template, place) in [
        ("{{ dss }}", "line 1, column 4"),
        ("a: {{ ds }}\nb: {{ params.lr }}", "line 2, column 7"),
        ("ä {{ params['x'] ~ dss }}", "line 1, column 20"),
    ] {
        let message = failure(&json!([template]));
        assert!(message.contains(place), "{message}");
    }
}

#[test]
fn a_wrong_template_is_an_error_and_says_so() {
    for template in [
        "{{ ds",
        "{{ }}",
        "{% if %}",
        "{% for x in %}{% endfor %}",
        "{{ ds | nosuchfilter }}",
        "{{ 1 / 0 }}",
        "{{ ds() }}",
        "{{ macros.ds_add('x', 1) }}",
        "{{ macros.nosuch() }}",
        "{{ macros.ds_add(ds, 99999999999) }}",
        "{{ logical_date.strftime('%!') }}",
        "{{ logical_date.add(eons=1) }}",
        "{{ 'x' | ds }}",
        "{% include 'x' %}",
        "{% extends 'x' %}",
        "{{ 'a'.format() }}",
        "{{ logical_date.in_timezone('Mars') }}",
    ] {
        let message = failure(&json!({"a": template}));
        assert!(message.starts_with("config.a: "), "{message}");
    }
}

#[test]
fn hostile_templates_are_stopped() {
    let deep = "(".repeat(5000);
    let nested = format!("{{{{ {deep}1{} }}}}", ")".repeat(5000));
    for template in [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{{ 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' }}{% endfor %}",
        "x{{ 'a' * 2000000 }}",
        "{{ 'a' * 2000000 }}",
        "{{ 'a' * 99999999999 }}",
        "{{ 'a' * 1000000 ~ 'b' * 1000000 }}",
        "{{ [1] * 9999999 }}",
        "{{ [range(99999) | list, range(99999) | list] }}",
        "{{ ('a' * 1000000) | replace('a', 'bbbbbbbb') }}",
        "{{ range(99999) | join('aaaaaaaaaaaaaaaaaaaaaaaa') }}",
        "x{{ ['aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'] * 99999 }}",
        "{{ ('a' * 1000000).replace('a', 'bbbbbbbb') }}",
        "{{ 'x'.join(range(99999)) * 99 }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x | length }}",
        "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x | length }}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x | length }}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x == 1 }}",
        "{% set ns = namespace(x={}) %}{% for i in range(60) %}{% set ns.x = {'a': ns.x, 'b': ns.x} %}{% endfor %}{{ ns.x | tojson | length }}",
        "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set ns.x = ns.x * 2 %}{% endfor %}{{ ns.x | length }}",
        "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}{% endfor %}{{ ns.x | length }}",
        "{{ ((['a' * 100000]) * 10000) | map('upper') | list | length }}",
        "{{ (['a' * 100000] * 10000) | map('string') | map('replace', 'a', 'b') | list | length }}",
        "{% set l = namespace(x=[]) %}{% set s = 'a' * 1000000 %}{% for i in range(9999) %}{% set l.x = l.x + [s[1:]] %}{% endfor %}{{ l.x | length }}",
        "{% set l = namespace(x=[]) %}{% for i in range(9999) %}{% set l.x = l.x + [xcom_pull('huge')] %}{% endfor %}{{ l.x | length }}",
        "{{ 'x' | center(1) }}",
        "{{ 'aaaaaaaaaaaaaaaa' * 1000000 | length }}",
        "{{ logical_date.strftime('%Y' * 1000) }}",
        "{{ debug() }}",
        &nested,
    ] {
        assert!(evaluate(template, &context()).is_err(), "{template:.80}");
    }
    let long = format!("{}{{{{ ds }}}}", "a".repeat(TEMPLATE_BYTES_MAX));
    assert!(evaluate(&long, &context()).is_err());
    let mut config = json!("{{ ds }}");
    for _ in 0..=DEPTH_MAX {
        config = json!([config]);
    }
    assert!(matches!(
        render(&config, &context()),
        Err(TemplateError::TooDeep { .. })
    ));
}

#[test]
fn a_callback_may_hand_in_more_names_but_not_replace_airflows() {
    let context = context()
        .with("slow_tasks", json!(["train"]))
        .with("ds", json!("forged"));
    assert_eq!(
        evaluate("{{ slow_tasks }}", &context).unwrap(),
        json!(["train"])
    );
    assert_eq!(evaluate("{{ ds }}", &context).unwrap(), json!("2025-06-16"));
}

#[test]
fn g2_every_variable_of_airflow_that_a_task_has_is_there() {
    for (template, expected) in [
        ("task_instance_key_str", json!("churn__train__20250616")),
        ("prev_start_date_success", json!(null)),
        ("prev_end_date_success", json!(null)),
        ("test_mode", json!(false)),
        ("partition_key", json!(null)),
        ("inlets", json!([])),
        ("outlets", json!(["s3://models/churn"])),
        ("map_index_template", json!(null)),
        ("task_reschedule_count", json!(0)),
        ("triggering_asset_events", json!({})),
    ] {
        assert_eq!(
            text_of(&format!("{{{{ {template} }}}}")),
            expected,
            "{template}"
        );
    }
    let run = RunValues {
        asset_events: vec![crate::run::event::AssetEvent {
            uri: "s3://data/users".into(),
            at: at("2025-06-15T00:00:00Z"),
            source: "features/run_1/build/-1".into(),
            extra: r#"{"rows": 7}"#.into(),
        }],
        ..run()
    };
    let context = Context::new(DagValues::default(), run, None, Arc::new(Pushed));
    let shown = |template| evaluate(template, &context).unwrap();
    let events = "{% for uri, events in triggering_asset_events.items() %}{{ uri }} {{ events[0].extra.rows }} {{ events[0].timestamp | ds }}{% endfor %}";
    assert_eq!(shown(events), json!("s3://data/users 7 2025-06-15"));
    assert!(
        evaluate("{{ outlets }}", &context).is_err(),
        "a callback has no task"
    );
}

#[test]
fn g3_timedeltas_move_dates_and_print_as_pythons() {
    for (template, expected) in [
        (
            "logical_date.subtract(macros.timedelta(days=1)) | ds",
            json!("2025-06-15"),
        ),
        (
            "logical_date.add(macros.timedelta(1, 3600)) | ts",
            json!("2025-06-17T03:00:00+00:00"),
        ),
        ("macros.timedelta(days=1) ~ ''", json!("1 day, 0:00:00")),
        ("macros.timedelta(hours=-1) ~ ''", json!("-1 day, 23:00:00")),
        (
            "macros.timedelta(weeks=1, minutes=5, milliseconds=1) ~ ''",
            json!("7 days, 0:05:00.001000"),
        ),
        ("macros.timedelta(hours=36).days", json!(1)),
        (
            "macros.timedelta(hours=36).total_seconds()",
            json!(129_600.0),
        ),
        (
            "macros.timedelta(days=1) > macros.timedelta(hours=23)",
            json!(true),
        ),
    ] {
        assert_eq!(
            text_of(&format!("{{{{ {template} }}}}")),
            expected,
            "{template}"
        );
    }
    let error = failure(&json!({"a": "{{ macros.uuid() }}"}));
    assert!(error.contains("left out"), "{error}");
}

#[test]
fn i15_a_missing_variable_or_connection_says_how_to_set_it() {
    for (template, sentence) in [
        (
            "{{ var.value.nowhere }}",
            "variable \"nowhere\" is not set; set it with `airlock variables set nowhere VALUE`",
        ),
        (
            "x{{ var.json.nowhere.depth }}",
            "variable \"nowhere\" is not set",
        ),
        ("{{ var.json.broken }}", "variable \"broken\" is no JSON"),
        (
            "{{ var.value.unreadable }}",
            "the secrets folder cannot be read",
        ),
        (
            "{{ conn.nowhere.host }}",
            "`airlock connections set nowhere --conn-uri URI`",
        ),
        ("{{ conn.mlflow.password }}", "no grant covers it"),
    ] {
        let error = failure(&json!({ "a": template }));
        assert!(
            error.starts_with("config.a: ") && error.contains(sentence),
            "{template}: {error}"
        );
    }
    for (template, expected) in [
        ("{{ var.value.get('nowhere', 'other') }}", json!("other")),
        ("{{ var.value.get('bucket', 'other') }}", json!("data")),
        ("{{ var.json.get('config').depth }}", json!(6)),
        ("{{ conn.get('mlflow').host }}", json!("mlflow.internal")),
        (
            "{{ conn.mlflow.conn_id }}:{{ conn.mlflow.port }}",
            json!("mlflow:5000"),
        ),
        ("{{ var.value['bucket'] }}", json!("data")),
    ] {
        assert_eq!(text_of(template), expected, "{template}");
    }
}

#[test]
fn only_what_a_template_asks_for_is_looked_up() {
    struct Counting(std::sync::atomic::AtomicU32);
    impl Lookup for Counting {
        fn variable(&self, _: &str) -> Result<Option<String>, String> {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(Some("1".into()))
        }
        fn connection(&self, _: &str) -> Result<Option<Connection>, String> {
            Ok(Some(Connection::default()))
        }
        fn password(&self, _: &str) -> Result<Option<String>, String> {
            panic!("nobody asked for a password")
        }
    }
    let counting = Arc::new(Counting(0.into()));
    let context = context().with_lookup(counting.clone());
    evaluate("{{ ds }}{{ conn.a.host }}", &context).unwrap();
    assert_eq!(counting.0.load(std::sync::atomic::Ordering::Relaxed), 0);
    evaluate("{{ var.value.a }}", &context).unwrap();
    assert_eq!(counting.0.load(std::sync::atomic::Ordering::Relaxed), 1);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9_f64).prop_map(Value::from),
        "[a-z'\"\\\\\n{ ]{0,8}".prop_map(|text| Value::from(text.replace("{{", "{"))),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,6}", inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_whole_value_template_returns_any_json_unchanged(value in any_json()) {
        let context = context().with("given", value.clone());
        prop_assert_eq!(evaluate("{{ given }}", &context).unwrap(), value.clone());
        prop_assert_eq!(render(&value, &context).unwrap(), value);
    }

    #[test]
    fn no_template_panics(text in "(\\{\\{|\\}\\}|\\{%|%\\}|[a-z0-9 .|()'\\[\\]*~-]){0,40}") {
        let _ = evaluate(&text, &context());
    }
}
