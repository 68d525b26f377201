//! `airlock db clean` as a person uses it, and killed in the middle of it: a run is there whole or not at all.

use airlock_tests::Airlock;
use serde_json::Value;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::process::Stdio;
use std::time::Duration;

const DAGS: usize = 5;
const RUNS: usize = 1_000;
/// Kills; `AIRLOCK_CRASH_LOOPS` raises them.
const LOOPS: u64 = 8;

/// A data folder with finished runs of some cron DAGs.
fn filled() -> Airlock {
    let airlock = Airlock::new();
    let (dags, runs) = (DAGS.to_string(), RUNS.to_string());
    let data = airlock.data();
    let arguments = [
        "bench", "--size", "--dags", &dags, "--runs", &runs, "--store",
    ];
    let done = airlock.run_bare(&[&arguments[..], &[data.to_str().unwrap()]].concat());
    assert_eq!(done.code, 0, "{}", done.stderr);
    airlock
}

fn runs(airlock: &Airlock) -> BTreeSet<(String, String)> {
    let listed = airlock.run(&["runs", "list", "--json"]);
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let rows = listed.json();
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| (text(&row["dag_id"]), text(&row["run_id"])))
        .filter(|(dag_id, _)| dag_id != "size_start")
        .collect()
}

fn assert_whole(airlock: &Airlock) {
    let check = airlock.run(&["db", "check"]);
    assert_eq!(check.code, 0, "{}", check.stderr);
    let runs = runs(airlock);
    for (dag_id, run_id) in runs.iter().step_by(runs.len() / 4 + 1) {
        let run = airlock.run(&["runs", "show", dag_id, run_id, "--json"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(run.json()["task_instances"].as_array().unwrap().len(), 5);
    }
}

#[test]
fn killed_while_it_cleans_nothing_is_half_gone() {
    let airlock = filled();
    assert_eq!(runs(&airlock).len(), RUNS);
    let random = RandomState::new();
    let loops = std::env::var("AIRLOCK_CRASH_LOOPS").ok();
    let loops = loops.and_then(|text| text.parse().ok()).unwrap_or(LOOPS);
    for number in 0..loops {
        let keep = (RUNS / DAGS * usize::try_from(loops - number).unwrap()
            / usize::try_from(loops + 1).unwrap())
        .to_string();
        let mut child = airlock
            .command(&["db", "clean", "--keep", &keep, "--yes"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(random.hash_one(number) % 600));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_whole(&airlock);
    }
    let done = airlock.run(&["db", "clean", "--keep", "1", "--yes", "--json"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(done.json()["unreadable"], 0);
    assert_eq!(runs(&airlock).len(), DAGS);
    assert_whole(&airlock);
}

#[test]
fn cleaning_asks_before_it_removes_and_says_what_would_go() {
    let airlock = filled();
    let unsaid = airlock.run(&["db", "clean", "--yes"]);
    assert_eq!(unsaid.code, 2, "{}", unsaid.stderr);
    assert!(
        unsaid.stderr.contains("retention_days"),
        "{}",
        unsaid.stderr
    );
    let asked = airlock.run(&["db", "clean", "--keep", "10"]);
    assert_eq!(asked.code, 2);
    assert!(asked.stderr.contains("--yes"), "{}", asked.stderr);
    let dry = airlock.run(&["db", "clean", "--keep", "10", "--dry-run", "--json"]);
    assert_eq!(dry.code, 0, "{}", dry.stderr);
    assert_eq!(runs(&airlock).len(), RUNS);
    let done = airlock.run(&["db", "clean", "--keep", "10", "--yes", "--json"]);
    assert_eq!(done.json()["runs"], dry.json()["runs"], "{}", done.stderr);
    assert_eq!(runs(&airlock).len(), DAGS * 10);
    std::fs::write(
        airlock.folder().join("airlock.toml"),
        "retention_runs = 3\n",
    )
    .unwrap();
    assert_eq!(airlock.run(&["db", "clean", "--yes"]).code, 0);
    assert_eq!(runs(&airlock).len(), DAGS * 3);
}
