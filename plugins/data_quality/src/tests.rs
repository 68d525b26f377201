//! The whole operator over the fake host: every kind of check, the history, the decision, the report.

use super::*;
use airlock_sdk::dataset::{ColumnData, ColumnKind, column};
use airlock_sdk::testing::{Columns, Host};
use airlock_sdk::time::Timestamp;

const URI: &str = "file://./data/features.parquet";
const HISTORY: &str = "file://./data/quality/";
const HALT: Outcome = Outcome::ShortCircuit {
    ignore_downstream_trigger_rules: true,
};
const PASS: Outcome = Outcome::Success(Value::Bool(true));

fn table(rows: usize, nulls: usize, positives: usize) -> Columns {
    let value = (0..rows).map(|row| (row >= nulls).then_some(1.0)).collect();
    let label = (0..rows)
        .map(|row| Some(i64::from(row < positives)))
        .collect();
    vec![
        (
            column("value", ColumnKind::Float64),
            ColumnData::Float64s(value),
        ),
        (
            column("churned", ColumnKind::Int64),
            ColumnData::Int64s(label),
        ),
    ]
}

fn host(rows: usize, nulls: usize, positives: usize) -> Host {
    let host = Host::new();
    host.put_table(URI, table(rows, nulls, positives));
    host
}

fn run(host: &Host, mode: &str) -> Result<Outcome, TaskError> {
    host.run::<data_quality>(json!({"uri": URI, "min_rows": 100, "label": "churned", "mode": mode}))
}

/// Runs with these members besides, on few rows.
fn run_with(host: &Host, more: Value) -> Result<Outcome, TaskError> {
    let mut config = json!({"uri": URI, "min_rows": 1, "max_null_rate": 1.0});
    if let (Some(config), Value::Object(more)) = (config.as_object_mut(), more) {
        config.extend(more);
    }
    host.run::<data_quality>(config)
}

#[test]
fn m1_good_data_passes_at_the_thresholds() {
    let host = host(100, 5, 3);
    assert_eq!(run(&host, "short_circuit"), Ok(PASS));
    assert_eq!(host.pushed("row_count"), Some(json!(100)));
    assert_eq!(host.pushed("path"), Some(json!(URI)));
    let quality = host.pushed("quality").unwrap();
    assert_eq!(quality["max_null_rate"], json!(0.05));
    assert_eq!(host.lines().len(), 3);
}

#[test]
fn m1_each_check_halts_after_its_metrics_are_pushed() {
    for (host, named) in [
        (host(99, 0, 50), "row_count"),
        (host(100, 6, 50), "max_null_rate"),
        (host(100, 0, 2), "positive_label_rate"),
    ] {
        assert_eq!(run(&host, "short_circuit"), Ok(HALT), "{named}");
        let reason = host.pushed("reason").unwrap();
        assert!(reason.as_str().unwrap().contains(named));
        assert!(host.pushed("quality").is_some());
        assert!(host.pushed("row_count").is_some());
    }
}

#[test]
fn m1_a_missing_or_empty_table_halts() {
    let missing = Host::new();
    assert_eq!(run(&missing, "short_circuit"), Ok(HALT));
    assert!(missing.pushed("reason").is_some());
    assert_eq!(run(&host(0, 0, 0), "short_circuit"), Ok(HALT));
}

#[test]
fn m1_mode_fail_is_permanent() {
    let ended = run(&host(1, 0, 0), "fail");
    assert!(matches!(ended, Err(TaskError::Permanent(_))), "{ended:?}");
}

#[test]
fn m1_a_denied_table_is_no_quality_problem() {
    let host = host(100, 0, 50);
    host.deny("storage");
    let ended = run(&host, "short_circuit");
    assert!(matches!(ended, Err(TaskError::Permanent(_))));
}

#[test]
fn m1_a_column_that_is_not_there_names_the_field() {
    for (field, more) in [
        ("label", json!({"label": "x"})),
        ("null_rates", json!({"null_rates": {"x": 0}})),
        ("ranges", json!({"ranges": {"x": {"min": 0}}})),
        ("unique", json!({"unique": ["x"]})),
        ("allowed_values", json!({"allowed_values": {"x": []}})),
        (
            "freshness.column",
            json!({"freshness": {"column": "x", "max_age": "1d"}}),
        ),
        (
            "drift.columns",
            json!({"drift": {"history": HISTORY, "columns": ["x"]}}),
        ),
        (
            "drift.min_dates",
            json!({"drift": {"history": HISTORY, "min_dates": 0}}),
        ),
    ] {
        let ended = run_with(&host(100, 0, 50), more);
        assert!(
            matches!(&ended, Err(TaskError::InvalidInput { field: named, .. }) if named == field),
            "{field}: {ended:?}"
        );
    }
}

/// Every check of a table by itself, once at its bound and once beyond it.
#[test]
fn m1_ranges_keys_values_ages_and_single_null_rates_are_checked() {
    let at = |text: &str| Some(text.parse::<Timestamp>().unwrap().as_micros());
    let host = Host::new();
    let columns = vec![
        (
            column("id", ColumnKind::Int64),
            ColumnData::Int64s(vec![Some(1), Some(2), Some(2)]),
        ),
        (
            column("plan", ColumnKind::Text),
            ColumnData::Texts(vec![Some("a".into()), Some("b".into()), None]),
        ),
        (
            column("seen", ColumnKind::Timestamp),
            ColumnData::Timestamps(vec![
                at("2026-01-01T00:00:00Z"),
                at("2026-01-04T02:00:00Z"),
                None,
            ]),
        ),
    ];
    host.put_table(URI, columns);
    for (good, bad, metric, actual) in [
        (
            json!({"null_rates": {"plan": 0.34}}),
            json!({"null_rates": {"plan": 0.33}}),
            "",
            0.0,
        ),
        (
            json!({"ranges": {"id": {"min": 1, "max": 2}}}),
            json!({"ranges": {"id": {"max": 1.5}}}),
            "",
            0.0,
        ),
        (
            json!({"unique": [["id", "plan"]]}),
            json!({"unique": ["id"]}),
            "repeated_rows",
            1.0,
        ),
        (
            json!({"allowed_values": {"plan": ["a", "b"], "id": [1, 2.0]}}),
            json!({"allowed_values": {"plan": ["a"]}}),
            "other_values",
            1.0,
        ),
        (
            // The run's data interval ends on 2026-01-05 at 02:00.
            json!({"freshness": {"column": "seen", "max_age": "1d"}}),
            json!({"freshness": {"column": "seen", "max_age": "23h"}}),
            "",
            0.0,
        ),
        (
            json!({"max_rows": 3}),
            json!({"max_rows": 2}),
            "row_count",
            3.0,
        ),
    ] {
        assert_eq!(run_with(&host, good.clone()), Ok(PASS), "{good}");
        assert_eq!(run_with(&host, bad.clone()), Ok(HALT), "{bad}");
        let quality = host.pushed("quality").unwrap();
        if !metric.is_empty() {
            assert_eq!(quality[metric], json!(actual), "{bad}");
        }
    }
}

#[test]
fn m1_each_kind_of_check_may_do_something_else() {
    let bad = json!({"min_rows": 1_000, "max_rows": 1, "ranges": {"value": {"min": 2}}});
    let with = |modes: Value| {
        let mut more = bad.clone();
        more["modes"] = modes;
        let host = host(100, 0, 50);
        let ended = run_with(&host, more);
        assert_eq!(
            host.pushed("failed_checks")
                .unwrap()
                .as_array()
                .unwrap()
                .len(),
            3
        );
        (ended, host.pushed("reason").unwrap())
    };
    let (ended, reason) = with(json!({"row_count": "warn"}));
    assert_eq!(ended, Ok(HALT));
    assert!(
        reason.as_str().unwrap().starts_with("[min of \"value\"]"),
        "{reason}"
    );
    assert_eq!(
        with(json!({"row_count": "warn", "range": "warn"})).0,
        Ok(PASS)
    );
    let (ended, _) = with(json!({"row_count": "fail"}));
    assert!(matches!(ended, Err(TaskError::Permanent(_))), "{ended:?}");
}

/// A table of a date whose column `x` lies round `centre`.
fn dated(host: &mut Host, date: &str, centre: i32, plan: &str) {
    let x = (0..400).map(|row| Some(f64::from(row % 20 + centre)));
    let columns = vec![
        (
            column("x", ColumnKind::Float64),
            ColumnData::Float64s(x.collect()),
        ),
        (
            column("plan", ColumnKind::Text),
            ColumnData::Texts(
                (0..400)
                    .map(|row| {
                        Some(if row % 4 == 0 {
                            "b".into()
                        } else {
                            plan.into()
                        })
                    })
                    .collect(),
            ),
        ),
    ];
    host.put_table(URI, columns);
    host.task.logical_date = date.parse().ok();
}

fn drift(host: &mut Host, date: &str, centre: i32) -> (Result<Outcome, TaskError>, Value) {
    dated(host, date, centre, "a");
    let drift = json!({
        "history": HISTORY, "categories": ["plan"], "min_dates": 2, "reference_dates": 3, "max_ks": 0.5, "min_chi_square_p": 0.01,
    });
    let ended = run_with(host, json!({"drift": drift}));
    (ended, host.pushed("drift").unwrap())
}

fn entries(host: &Host) -> Vec<String> {
    let names = [
        "2026-01-01",
        "2026-01-02",
        "2026-01-03",
        "2026-01-04",
        "2026-01-05",
    ];
    let there = names.into_iter().filter_map(|date| {
        let uri = format!("{HISTORY}{date}T000000.000000Z.json");
        host.object(&uri)
            .map(|bytes| String::from_utf8(bytes).unwrap())
    });
    there.collect()
}

#[test]
fn m2_a_shift_against_earlier_dates_halts_and_too_little_history_is_said() {
    let mut host = Host::new();
    for (date, known) in [("2026-01-01", 0), ("2026-01-02", 1)] {
        let (ended, told) = drift(&mut host, date, 0);
        assert_eq!(ended, Ok(PASS));
        assert_eq!(told, json!({"judged": false, "reference_dates": known}));
    }
    let (ended, told) = drift(&mut host, "2026-01-03", 1);
    assert_eq!((ended, told["judged"].clone()), (Ok(PASS), json!(true)));
    // Numbers 0 to 19 have a deviation of 5.8.
    let (ended, _) = drift(&mut host, "2026-01-04", 30);
    assert_eq!(ended, Ok(HALT));
    let quality = host.pushed("quality").unwrap();
    let shift = quality["max_mean_shift"].as_f64().unwrap();
    assert!((4.5..5.5).contains(&shift), "{quality}");
    assert_eq!(quality["max_ks"], json!(1.0));
    assert!(quality["max_psi"].as_f64().unwrap() > 1.0);
    assert_eq!(quality["min_chi_square_p"], json!(1.0));
    // What was refused is kept, and is no part of a reference.
    let (ended, told) = drift(&mut host, "2026-01-05", 0);
    assert_eq!(
        (ended, told["reference_dates"].clone()),
        (Ok(PASS), json!(3))
    );
    assert_eq!(entries(&host).len(), 5);
}

#[test]
fn m2_a_rerun_replaces_its_own_entry_and_later_dates_do_not_count() {
    let mut host = Host::new();
    for date in ["2026-01-05", "2026-01-04", "2026-01-03"] {
        let (_, told) = drift(&mut host, date, 0);
        assert_eq!(told["reference_dates"], json!(0), "backfilled from the end");
    }
    let before = entries(&host);
    let (_, told) = drift(&mut host, "2026-01-05", 0);
    assert_eq!(told, json!({"judged": true, "reference_dates": 2}));
    assert_eq!(entries(&host), before, "the same table is the same entry");
    drift(&mut host, "2026-01-03", 1).0.unwrap();
    assert_eq!(entries(&host).len(), 3);
    assert_ne!(entries(&host), before);
}

#[test]
fn m2_categories_that_change_are_drift() {
    let mut host = Host::new();
    for date in ["2026-01-01", "2026-01-02"] {
        drift(&mut host, date, 0).0.unwrap();
    }
    dated(&mut host, "2026-01-03", 0, "never seen");
    let config = |more: Value| {
        let mut drift =
            json!({"history": HISTORY, "columns": [], "categories": ["plan"], "min_dates": 2});
        if let (Some(drift), Value::Object(more)) = (drift.as_object_mut(), more) {
            drift.extend(more);
        }
        json!({"drift": drift})
    };
    assert_eq!(run_with(&host, config(json!({}))), Ok(HALT));
    let by_test = config(json!({"max_psi": null, "min_chi_square_p": 0.001}));
    assert_eq!(run_with(&host, by_test), Ok(HALT));
    assert_eq!(run_with(&host, config(json!({"max_psi": null}))), Ok(PASS));
}

#[test]
fn m2_what_is_no_entry_does_not_count_and_fails_nothing() {
    let mut host = Host::new();
    for date in ["2026-01-02", "2026-01-03"] {
        drift(&mut host, date, 0).0.unwrap();
    }
    for name in [
        "2026-01-01T000000.000000Z.json",
        "2026-01-01x.json",
        "readme.txt",
    ] {
        host.put_object(&format!("{HISTORY}{name}"), b"{\"format\": 9");
    }
    let (ended, told) = drift(&mut host, "2026-01-04", 0);
    assert_eq!(
        (ended, told["reference_dates"].clone()),
        (Ok(PASS), json!(2))
    );
}

#[test]
fn m2_without_a_date_there_is_no_history() {
    let mut host = host(100, 0, 50);
    host.task.logical_date = None;
    let ended = run_with(&host, json!({"drift": {"history": HISTORY}}));
    assert!(matches!(&ended, Err(TaskError::InvalidInput { field, .. }) if field == "drift.date"));
    let named = json!({"drift": {"history": HISTORY, "date": "2026-01-01"}});
    assert_eq!(run_with(&host, named), Ok(PASS));
    assert_eq!(entries(&host).len(), 1);
}

#[test]
fn m1_a_report_holds_no_markup_of_the_data() {
    let hostile = "<script>alert('x')</script>\"&\u{202e}\u{7}";
    let mut host = Host::new();
    let reported = |host: &Host| {
        let drift =
            json!({"history": HISTORY, "min_dates": 1, "categories": [format!("{hostile}2")]});
        let more = json!({
            "report": "file://./report.html", "drift": drift, "unique": [hostile],
            "allowed_values": {hostile: []}, "modes": {"unique": "warn", "allowed_values": "warn"},
        });
        run_with(host, more).unwrap();
        String::from_utf8(host.object("file://./report.html").unwrap()).unwrap()
    };
    host.task.dag_id = hostile.into();
    host.put_table(
        URI,
        vec![
            (
                column(hostile, ColumnKind::Float64),
                ColumnData::Float64s(vec![Some(1.0), Some(2.0), None]),
            ),
            (
                column(&format!("{hostile}2"), ColumnKind::Text),
                ColumnData::Texts(vec![Some(hostile.into()); 3]),
            ),
        ],
    );
    reported(&host);
    host.task.logical_date = "2026-02-01".parse().ok();
    let page = reported(&host);
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;"));
    assert!(page.contains("<path class=\"then\""), "there is a picture");
    for never in [
        "<script",
        "alert('",
        "\u{202e}",
        "\u{7}",
        "http://",
        "https://",
        "javascript:",
    ] {
        assert!(!page.contains(never), "{never}");
    }
    assert!(page.contains("prefers-color-scheme:dark"));
    // Every tag that opens an element of ours closes again.
    for tag in ["svg", "table", "figure", "div", "body", "html"] {
        let opened = page.matches(&format!("<{tag}")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn m1_metrics_go_to_a_tracking_run_too() {
    let host = host(100, 0, 50);
    let more = json!({"tracking": {"experiment": "quality"}, "null_rates": {"value": 0.5}, "min_rows": 1_000});
    assert_eq!(run_with(&host, more), Ok(HALT));
    let runs = host.runs();
    let metrics = runs[0].metrics.iter();
    let found: Vec<(&str, f64)> = metrics
        .map(|metric| (metric.key.as_str(), metric.value))
        .collect();
    assert_eq!(
        found,
        [
            ("row_count", 100.0),
            ("max_null_rate", 0.0),
            ("null_rate.value", 0.0)
        ]
    );
    assert_eq!(runs[0].name, "dag.task_2026-01-05T02:00:00Z");
}
