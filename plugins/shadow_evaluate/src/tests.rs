//! Against the fake host.

use super::*;
use airlock_sdk::dataset::{ColumnData, ColumnKind, column};
use airlock_sdk::testing::Host;

const URI: &str = "file://./data/shadow.parquet";

/// Ten days of one positive and one negative row; the run's interval ends at 2026-01-05T02:00:00Z.
fn table(host: &Host, uri: &str) {
    let day = |back: i64| {
        "2026-01-05T00:00:00Z"
            .parse::<Timestamp>()
            .unwrap()
            .as_micros()
            - back * 86_400_000_000
    };
    let times = (0..20).map(|row| Some(day(row / 2))).collect();
    let labels = (0..20).map(|row| Some(row % 2)).collect();
    let values = (0..20).map(|row| Some(f64::from(row))).collect();
    host.put_table(
        uri,
        vec![
            (
                column("a", ColumnKind::Float64),
                ColumnData::Float64s(values),
            ),
            (
                column("churned", ColumnKind::Int64),
                ColumnData::Int64s(labels),
            ),
            (
                column("at", ColumnKind::Timestamp),
                ColumnData::Timestamps(times),
            ),
        ],
    );
}

/// A version whose model scores each row as `scorer` says, by the name of its artifact.
fn version(host: &Host, stage: Stage, name: &str) -> u32 {
    let run_id = host.put_run("weekly", name, "val_auc", 0.8);
    let run = Run { id: run_id.clone() };
    run.params([("feature_columns", "a"), ("label", "churned")])
        .unwrap();
    host.put_version("churn", stage, &run_id)
}

fn house() -> Host {
    let host = Host::new();
    table(&host, URI);
    // The first run knows everything, the second nothing, the third the opposite.
    host.on_score(|artifact, rows| {
        let score = |row: u64| match artifact {
            "artifact of run-1" => f32::from((row % 2) as u8),
            "artifact of run-2" => 0.5,
            _ => f32::from(((row + 1) % 2) as u8),
        };
        (0..rows).map(score).collect()
    });
    host
}

fn run(host: &Host, more: Value) -> Result<Value, TaskError> {
    let mut config = json!({"model_name": "churn", "features": URI, "min_rows": 4});
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    host.run::<shadow_evaluate>(config)
        .map(|ended| match ended {
            Outcome::Success(value) => value,
            other => panic!("expected a value, got {other:?}"),
        })
}

fn metric(host: &Host, run_id: &str, key: &str) -> Option<f64> {
    let runs = host.runs();
    let run = runs.iter().find(|run| run.run_id == run_id)?;
    run.metrics
        .iter()
        .find(|there| there.key == key)
        .map(|there| there.value)
}

#[test]
fn m9_the_figures_go_to_the_run_that_made_the_challenger() {
    let host = house();
    version(&host, Stage::Staging, "knows");
    let result = run(&host, json!({})).unwrap();
    assert_eq!(result["shadow_auc"], 1.0);
    assert_eq!(result["shadow_average_precision"], 1.0);
    assert_eq!(result["reason"], "no_champion_exists");
    assert_eq!(
        (&result["rows"], &result["version"]),
        (&json!(20), &json!(1))
    );
    assert_eq!(metric(&host, "run-1", "shadow_auc"), Some(1.0));
    assert_eq!(
        metric(&host, "run-1", "shadow_average_precision"),
        Some(1.0)
    );
    assert_eq!(host.runs().len(), 1, "no second run");
    assert_eq!(host.pushed("evaluation"), Some(result));
}

#[test]
fn m9_the_champion_is_scored_on_the_same_rows_and_the_margin_decides() {
    let host = house();
    let knows = version(&host, Stage::Production, "knows");
    let guesses = version(&host, Stage::Staging, "guesses");
    let worse = run(&host, json!({})).unwrap();
    assert_eq!(worse["passed"], false);
    assert_eq!(worse["reason"], "shadow_improvement_below_threshold");
    assert_eq!(
        (&worse["shadow_auc"], &worse["champion_shadow_auc"]),
        (&json!(0.5), &json!(1.0))
    );
    assert_eq!(worse["champion_version"], knows);
    let allowed = run(&host, json!({"margin": -0.5})).unwrap();
    assert_eq!(allowed["passed"], true);
    let floor = run(&host, json!({"margin": -0.5, "min_auc": 0.6})).unwrap();
    assert_eq!(floor["reason"], "shadow_auc_below_threshold");
    let floor = run(&host, json!({"margin": -0.5, "min_average_precision": 0.6})).unwrap();
    assert_eq!(floor["reason"], "shadow_average_precision_below_threshold");
    let itself = run(&host, json!({"version": knows, "min_auc": 1.0})).unwrap();
    assert_eq!(
        (&itself["passed"], &itself["reason"]),
        (&json!(true), &json!("already_in_production"))
    );
    assert_ne!(guesses, knows);
}

#[test]
fn m9_only_the_last_days_count() {
    let host = house();
    version(&host, Stage::Staging, "knows");
    let last = |days: u32| {
        run(
            &host,
            json!({"timestamp_column": "at", "last_days": days, "min_rows": 0}),
        )
    };
    assert_eq!(last(7).unwrap()["rows"], 14);
    assert_eq!(last(1).unwrap()["rows"], 2);
    let earlier = json!({"timestamp_column": "at", "last_days": 2, "as_of": "2026-01-02"});
    assert_eq!(run(&host, earlier).unwrap()["rows"], 4);
    let few = run(&host, json!({"timestamp_column": "at", "last_days": 1}));
    assert!(matches!(few, Err(TaskError::Permanent(text)) if text.contains("2 rows")));
}

#[test]
fn m9_rows_of_several_tables_count_together() {
    let host = house();
    version(&host, Stage::Staging, "knows");
    table(&host, "file://./data/other.parquet");
    let both = run(
        &host,
        json!({"features": [URI, "file://./data/other.parquet"]}),
    )
    .unwrap();
    assert_eq!(both["rows"], 40);
}

#[test]
fn what_cannot_be_scored_says_why() {
    let host = house();
    let nobody = run(&host, json!({}));
    assert!(matches!(nobody, Err(TaskError::Permanent(text)) if text.contains("Staging")));
    version(&host, Stage::Staging, "knows");
    for (more, told) in [
        (json!({"version": 9}), "no version 9"),
        (json!({"label": "left"}), "no column `left`"),
        (json!({"timestamp_column": "a"}), "no timestamps"),
        (json!({"features": []}), "1 to 400 tables"),
        (
            json!({"timestamp_column": "at", "as_of": "2025-01-01", "min_rows": 0}),
            "same label",
        ),
    ] {
        let error = run(&host, more.clone()).unwrap_err().to_string();
        assert!(error.contains(told), "{more}: {error}");
    }
}
