//! `kill -9` at any moment: what was acknowledged is there, and the run ends as it would have.

use airlock_tests::{Airlock, root};
use serde_json::{Value, json};
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

/// Kills by default; `AIRLOCK_CRASH_LOOPS` raises them.
const LOOPS: u64 = 20;

fn loops(default: u64) -> u64 {
    let wanted = std::env::var("AIRLOCK_CRASH_LOOPS");
    wanted
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// Retries, a branch, a mapped task and a join: every kind of event.
fn dag() -> Value {
    json!({
        "dag_id": "crash", "max_active_tasks": 8,
        "tasks": [
            {"task_id": "first", "operator": "probe", "config": {"value": [1, 2, 3]}},
            {"task_id": "again", "operator": "probe", "config": {"succeed_on_try": 2}, "retries": 2, "retry_delay": 1, "depends_on": "first"},
            {"task_id": "mapped", "operator": "probe", "expand": {"sleep": ["20ms", "30ms", "40ms", "50ms", "60ms", "70ms"]}, "depends_on": "first"},
            {"task_id": "choose", "operator": "probe", "config": {"branch": ["left"]}, "depends_on": "mapped"},
            {"task_id": "left", "operator": "probe", "config": {"sleep": "100ms"}, "depends_on": "choose"},
            {"task_id": "right", "operator": "probe", "depends_on": "choose"},
            {"task_id": "join", "operator": "probe", "depends_on": ["left", "right", "again"], "trigger_rule": "none_failed_min_one_success"},
        ],
    })
}

/// Waits until the run is acknowledged (the program says so), then for a random moment, then kills.
fn trigger_and_kill(airlock: &Airlock, arguments: &[&str], moment: Duration) {
    let mut child = airlock
        .command(&[&["dags", "trigger"], arguments].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let acknowledged = lines
        .by_ref()
        .map_while(Result::ok)
        .any(|line| line.contains("recorded"));
    assert!(acknowledged, "the run was never acknowledged");
    std::thread::sleep(moment);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn i2_killed_at_random_moments_a_run_still_ends_as_it_would_have() {
    let loops = loops(LOOPS);
    let random = RandomState::new();
    let airlock = Airlock::new();
    let path = airlock.file("crash.yaml", &dag().to_string());
    for number in 0..loops {
        let run_id = format!("run_{number}");
        let moment = Duration::from_millis(random.hash_one(number) % 1_500);
        let arguments = [path.to_str().unwrap(), "--run-id", &run_id];
        trigger_and_kill(&airlock, &arguments, moment);
        let resumed = airlock.run(&["runs", "resume", "--json"]);
        assert_eq!(resumed.code, 0, "after {moment:?}: {}", resumed.stderr);
        let run = airlock
            .run(&["runs", "show", "crash", &run_id, "--json"])
            .json();
        assert_eq!(run["state"], "success", "after {moment:?}: {run}");
        for row in run["task_instances"].as_array().unwrap() {
            let expected = if row["task_id"] == "right" {
                "skipped"
            } else {
                "success"
            };
            assert_eq!(row["state"], expected, "after {moment:?}: {row}");
            if row["task_id"] == "again" {
                assert_eq!(row["try_number"], 2, "a crash costs no try: {row}");
            }
        }
    }
    let check = airlock.run(&["db", "check"]);
    assert_eq!(check.code, 0, "{}", check.stderr);
    assert_eq!(
        airlock
            .run(&["runs", "list", "--json"])
            .json()
            .as_array()
            .unwrap()
            .len(),
        usize::try_from(loops).unwrap()
    );
}

/// Weeks of the churn pipeline by default, each killed once.
const WEEKS: u64 = 5;

#[test]
fn c8_the_churn_pipeline_killed_at_random_moments_trains_and_decides_once_a_week() {
    let random = RandomState::new();
    let airlock = Airlock::new();
    let example = |name: &str| {
        root()
            .join("examples/churn")
            .join(name)
            .display()
            .to_string()
    };
    let daily = example("daily_feature_engineering.yaml");
    let weekly = example("weekly_churn_model_training.yaml");
    let quiet = |arguments: &[&str]| {
        let done = airlock.run(&[arguments, &["-q"]].concat());
        assert_eq!(done.code, 0, "{}", done.stderr);
    };
    quiet(&["pools", "set", "gpu", "1"]);
    let weeks = loops(WEEKS);
    for week in 0..weeks {
        let date = format!("2024-{:02}-{:02}T02:00:00Z", week / 28 + 1, week % 28 + 1);
        quiet(&[
            "dags",
            "trigger",
            &daily,
            "--logical-date",
            &date,
            "--conf",
            r#"{"rows": 12000}"#,
        ]);
        let moment = Duration::from_millis(random.hash_one(week) % 1_200);
        trigger_and_kill(&airlock, &[&weekly, "--logical-date", &date], moment);
        let resumed = airlock.run(&["runs", "resume", "--json"]);
        assert_eq!(resumed.code, 0, "after {moment:?}: {}", resumed.stderr);
        let run = airlock
            .run(&[
                "runs",
                "show",
                "weekly_churn_model_training",
                "latest",
                "--json",
            ])
            .json();
        assert_eq!(run["state"], "success", "after {moment:?}: {run}");
    }
    let model = airlock
        .run(&["models", "show", "churn_prediction", "--json"])
        .json();
    let versions = model["versions"].as_array().unwrap();
    let numbers: Vec<u64> = versions
        .iter()
        .map(|row| row["version"]["version"].as_u64().unwrap())
        .collect();
    assert_eq!(
        numbers,
        (1..=weeks).collect::<Vec<_>>(),
        "a version a week, none twice"
    );
    let in_production = versions
        .iter()
        .filter(|row| row["version"]["stage"] == "Production")
        .count();
    assert_eq!(in_production, 1);
    assert_eq!(airlock.run(&["db", "check"]).code, 0);
}
