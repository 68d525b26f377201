//! `kill -9` at any moment: what was acknowledged is there, and the run ends as it would have.

use airlock_tests::Airlock;
use serde_json::{Value, json};
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

/// Kills by default; `AIRLOCK_CRASH_LOOPS` raises them.
const LOOPS: u64 = 20;

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
fn trigger_and_kill(airlock: &Airlock, path: &str, run_id: &str, moment: Duration) {
    let mut child = airlock
        .command(&["dags", "trigger", path, "--run-id", run_id])
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
fn killed_at_random_moments_a_run_still_ends_as_it_would_have() {
    let loops = std::env::var("AIRLOCK_CRASH_LOOPS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(LOOPS);
    let random = RandomState::new();
    let airlock = Airlock::new();
    let path = airlock.file("crash.yaml", &dag().to_string());
    for number in 0..loops {
        let run_id = format!("run_{number}");
        let moment = Duration::from_millis(random.hash_one(number) % 1_500);
        trigger_and_kill(&airlock, path.to_str().unwrap(), &run_id, moment);
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
