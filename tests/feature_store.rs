//! The example of the feature store through the program: the join, the gate with its history, what is written.

use airlock_tests::{Airlock, root};
use serde_json::Value;
use std::fs;

/// One run of the example at a date; yields exit code, the run and its task instances' states.
fn day(airlock: &Airlock, date: &str, conf: &str) -> (i32, String) {
    let example = root().join("examples/feature_store.yaml");
    let done = airlock.run(&[
        "dags",
        "test",
        example.to_str().unwrap(),
        "--logical-date",
        date,
        "--conf",
        conf,
        "--json",
    ]);
    let answer = done.json();
    let states: Vec<String> = answer["task_instances"]
        .as_array()
        .unwrap_or_else(|| panic!("{}{}", done.stdout, done.stderr))
        .iter()
        .map(|row| {
            format!(
                "{} {}",
                row["task_id"].as_str().unwrap(),
                row["state"].as_str().unwrap()
            )
        })
        .collect();
    (done.code, states.join(", "))
}

const GOOD: &str =
    "make_features success, make_events success, join success, gate success, materialize success";

#[test]
fn m17_m2_the_feature_store_joins_gates_and_remembers() {
    let airlock = Airlock::new();
    for date in ["2026-01-01", "2026-01-02", "2026-01-03"] {
        assert_eq!(day(&airlock, date, "{}"), (0, GOOD.to_owned()), "{date}");
    }
    let folder = airlock.folder().join("data/feature_store");
    let kept = |date: &str| {
        let name = format!("history/{date}T000000.000000Z.json");
        let text = fs::read_to_string(folder.join(name)).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let third = kept("2026-01-03");
    assert_eq!(
        (&third["passed"], &third["rows"]),
        (&Value::Bool(true), &Value::from(2_000))
    );
    assert!(third["numbers"]["known_support_tickets_90d"]["quantiles"].is_array());
    // Nulls halt the run without failing it; the day is kept, and is no part of a reference.
    let (code, states) = day(
        &airlock,
        "2026-01-04",
        r#"{"corrupt": "nulls", "corrupt_fraction": 0.3}"#,
    );
    assert_eq!(code, 0, "{states}");
    assert!(
        states.ends_with("gate success, materialize skipped"),
        "{states}"
    );
    assert_eq!(kept("2026-01-04")["passed"], false);

    let page = fs::read_to_string(folder.join("2026-01-04/quality.html")).unwrap();
    for part in [
        "<!doctype html>",
        "failed: ",
        "max_null_rate",
        "made of 3 earlier dates",
        "<path class=\"then\"",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<script"));
    assert!(folder.join("online.parquet").exists());
}
