//! `cache: content` through the program: a result is reused while component, config, inputs and data are what they were.

use airlock_tests::Airlock;
use serde_json::{Value, json};
use std::fmt::Write as _;

const INPUT: &str = "file://./in/events.parquet";
const OUTPUT: &str = "data-out/features.parquet";

/// Raw events and the features of them; only the second task's result is kept.
fn dag(rows: u32, date: &str) -> Value {
    json!({
        "dag_id": "d",
        "grants": {"storage": ["file://./in/", "file://./data-out/"]},
        "tasks": [
            {"task_id": "events", "operator": "churn_data",
             "config": {"uri": INPUT, "date": "2026-01-05", "rows": rows}},
            {"task_id": "features", "operator": "features", "cache": "content", "depends_on": ["events"],
             "config": {"input": INPUT, "output": format!("file://./{OUTPUT}"), "date": date}},
        ],
    })
}

struct House {
    airlock: Airlock,
}

impl House {
    fn new() -> Self {
        Self {
            airlock: Airlock::new(),
        }
    }

    /// One run to its end; its id.
    fn run_id(&self, dag: &Value) -> String {
        let path = self.airlock.file("dag.yaml", &dag.to_string());
        let done = self
            .airlock
            .ok(&["dags", "test", path.to_str().unwrap(), "--json"]);
        done.json()["run_id"].as_str().unwrap().to_owned()
    }

    /// One run to its end: where the result of `task` came from, if not from its own attempt, and its XComs but that one.
    fn run(&self, dag: &Value, task: &str) -> (Option<String>, Vec<Value>) {
        let run = self.run_id(dag);
        let shown = self
            .airlock
            .ok(&["tasks", "show", "d", &run, task, "--json"]);
        let mut xcoms = shown.json()["xcoms"].as_array().unwrap().clone();
        let is_told = |xcom: &Value| xcom["key"] == "airlock.reused_from";
        let from = xcoms.iter().find(|xcom| is_told(xcom));
        let from = from.map(|xcom| xcom["value"].as_str().unwrap().to_owned());
        xcoms.retain(|xcom| !is_told(xcom));
        (from, xcoms)
    }
}

#[test]
fn the_same_content_is_not_worked_on_twice() {
    let house = House::new();
    let dag = dag(200, "2026-01-05");
    let (from, xcoms) = house.run(&dag, "features");
    assert_eq!(from, None);
    assert!(!xcoms.is_empty());
    let (from, again) = house.run(&dag, "features");
    let from = from.expect("the second run reuses");
    assert!(
        from.starts_with("d/") && from.ends_with("/features/-1/1"),
        "{from}"
    );
    assert_eq!(again, xcoms);
    // A third run names the attempt that did the work, not the one that reused it.
    assert_eq!(house.run(&dag, "features").0, Some(from));
}

#[test]
fn a_reused_result_is_shown_as_such() {
    let house = House::new();
    let dag = dag(200, "2026-01-05");
    house.run_id(&dag);
    let second = house.run_id(&dag);
    let shown = house
        .airlock
        .ok(&["tasks", "show", "d", &second, "features"]);
    assert!(
        shown.stdout.contains("reused     the result of d/"),
        "{}",
        shown.stdout
    );
    let log = house
        .airlock
        .ok(&["runs", "logs", "d", &second, "features"]);
    let words = "component, config, inputs and data are unchanged";
    assert!(log.stdout.contains(words), "{}", log.stdout);
}

#[test]
fn other_data_other_config_and_a_lost_result_are_worked_on_again() {
    let house = House::new();
    let first = dag(200, "2026-01-05");
    house.run(&first, "features");
    assert_eq!(
        house.run(&dag(201, "2026-01-05"), "features").0,
        None,
        "other data"
    );
    assert_eq!(
        house.run(&dag(201, "2026-01-06"), "features").0,
        None,
        "other config"
    );
    assert!(house.run(&dag(201, "2026-01-06"), "features").0.is_some());
    std::fs::remove_file(house.airlock.folder().join(OUTPUT)).unwrap();
    assert_eq!(
        house.run(&dag(201, "2026-01-06"), "features").0,
        None,
        "a lost result"
    );
    assert!(house.airlock.folder().join(OUTPUT).exists());
    std::fs::write(house.airlock.folder().join(OUTPUT), "damaged").unwrap();
    assert_eq!(
        house.run(&dag(201, "2026-01-06"), "features").0,
        None,
        "a damaged result"
    );
}

#[test]
fn a_value_that_another_task_pushed_is_part_of_the_content() {
    let house = House::new();
    let dag = |value: i32| {
        json!({
            "dag_id": "d",
            "tasks": [
                {"task_id": "first", "operator": "probe", "config": {"value": value}},
                {"task_id": "second", "operator": "probe", "cache": "content", "depends_on": ["first"],
                 "config": {"value": "{{ xcom_pull('first') }}"}},
            ],
        })
    };
    assert_eq!(house.run(&dag(1), "second").0, None);
    assert!(house.run(&dag(1), "second").0.is_some());
    assert_eq!(house.run(&dag(2), "second").0, None);
    let (from, xcoms) = house.run(&dag(2), "second");
    assert!(from.is_some());
    assert_eq!(xcoms[0]["value"], 2);
}

#[test]
fn old_results_go_with_old_runs() {
    let house = House::new();
    let dag = dag(200, "2026-01-05");
    house.run_id(&dag);
    let clean = |before: &str| {
        let done = house
            .airlock
            .ok(&["db", "clean", "--before", before, "--yes", "--json"]);
        done.json()["results"].clone()
    };
    assert_eq!(clean("2020-01-01T00:00:00Z"), 0);
    assert!(house.run(&dag, "features").0.is_some());
    assert_eq!(clean("2999-01-01T00:00:00Z"), 1);
    assert_eq!(house.run(&dag, "features").0, None);
}

#[test]
fn a_failure_is_never_reused() {
    let house = House::new();
    let dag = json!({
        "dag_id": "d",
        "tasks": [{"task_id": "t", "operator": "probe", "cache": "content", "config": {"result": "fail"}}],
    });
    let path = house.airlock.file("dag.yaml", &dag.to_string());
    for _ in 0..2 {
        let done = house.airlock.run(&["dags", "test", path.to_str().unwrap()]);
        assert_eq!(done.code, 10, "{}", done.stderr);
    }
}

#[test]
fn what_depends_on_the_registry_is_not_kept_and_the_log_says_so() {
    let house = House::new();
    let mut table = "user_id,a,churned\n".to_owned();
    for row in 0..200 {
        writeln!(table, "{row},{},{}", row % 17, u32::from(row % 17 > 8)).unwrap();
    }
    house.airlock.file("features.csv", &table);
    let dag = json!({
        "dag_id": "d",
        "grants": {
            "storage_read": ["file://./"], "models": ["churn"], "tracking": ["e"],
            "training": {"threads": 1, "memory": "256MiB"},
        },
        "tasks": [
            {"task_id": "train", "operator": "train.gbdt",
             "config": {"features": "file://./features.csv", "experiment": "e", "model_name": "churn", "n_estimators": 5}},
            {"task_id": "t", "operator": "evaluate", "cache": "content", "depends_on": ["train"],
             "config": {"model_name": "churn", "challenger": "{{ xcom_pull('train') }}"}},
        ],
    });
    assert_eq!(house.run(&dag, "t").0, None);
    assert_eq!(house.run(&dag, "t").0, None);
    let run = house.run_id(&dag);
    let log = house.airlock.ok(&["runs", "logs", "d", &run, "t"]);
    let words = "not kept for reuse: the attempt depended on the stages of the model registry";
    assert!(log.stdout.contains(words), "{}", log.stdout);
}

#[test]
fn a_cached_task_with_a_grant_for_the_network_is_no_valid_dag() {
    let airlock = Airlock::new();
    let dag = json!({
        "dag_id": "d",
        "grants": {"http": ["example.com"]},
        "tasks": [{"task_id": "t", "operator": "probe", "cache": "content"}],
    });
    let path = airlock.file("dag.yaml", &dag.to_string());
    let done = airlock.run(&["dags", "validate", path.to_str().unwrap()]);
    assert_eq!(done.code, 4);
    assert!(
        done.stderr.contains("does not go with the grants http"),
        "{}",
        done.stderr
    );
}
