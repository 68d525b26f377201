//! A run ends, and is run again, on the components that it began with; what they may do is what is agreed to now.

use super::{all_grants, component, ok, place};
use airlock_tests::{Airlock, GUESTS};
use serde_json::{Value, json};

/// `tool` means `noop`, whose one operator goes by the plugin's name; `old` has several and none of that name.
fn with_tool() -> Airlock {
    let airlock = place();
    component(&airlock, "tool.wasm", &GUESTS.noop);
    ok(
        &airlock,
        &["plugins", "add", "tool.wasm", "--as", "tool", "--yes"],
    );
    let dag = json!({"dag_id": "d", "grants": all_grants(), "tasks": [{"task_id": "t", "operator": "tool"}]});
    airlock.file("d.yaml", &dag.to_string());
    airlock
}

fn trigger(airlock: &Airlock, dag: &str, run_id: &str) -> i32 {
    let done = airlock.run(&["dags", "trigger", dag, "--run-id", run_id, "-q"]);
    done.code
}

fn run(airlock: &Airlock, run_id: &str) -> Value {
    ok(airlock, &["runs", "show", "d", run_id, "--json"]).json()
}

/// Runs it again, in a process that never saw the plugin as it was.
fn again(airlock: &Airlock, run_id: &str, more: &[&str]) -> Value {
    let clear = ["runs", "clear", "d", run_id, "--yes"];
    ok(airlock, &[&clear[..], more].concat());
    airlock.run(&["runs", "resume", "--json"]);
    run(airlock, run_id)
}

fn update(airlock: &Airlock) {
    component(airlock, "tool.wasm", &GUESTS.since_0_1_0);
    ok(airlock, &["plugins", "update", "tool", "--yes"]);
}

#[test]
fn m5_a_run_that_is_run_again_takes_the_component_that_it_began_with() {
    let airlock = with_tool();
    assert_eq!(trigger(&airlock, "d.yaml", "one"), 0);
    let before = run(&airlock, "one")["dag_version"].clone();
    update(&airlock);
    let one = again(&airlock, "one", &[]);
    assert_eq!(
        (&one["state"], &one["dag_version"]),
        (&json!("success"), &before)
    );
    // A new run of the same DAG, by its id, takes the new component, which has no such operator.
    assert_eq!(trigger(&airlock, "d", "two"), 10);
    assert_ne!(run(&airlock, "two")["dag_version"], before);
    assert_eq!(again(&airlock, "one", &[])["state"], "success");
    let latest = again(&airlock, "one", &["--latest-version"]);
    assert_eq!(latest["state"], "failed", "{latest}");
}

#[test]
fn m5_a_plugin_that_was_removed_runs_no_more() {
    let airlock = with_tool();
    assert_eq!(trigger(&airlock, "d.yaml", "one"), 0);
    update(&airlock);
    ok(&airlock, &["plugins", "remove", "tool"]);
    assert_eq!(again(&airlock, "one", &[])["state"], "failed");
    let log = ok(&airlock, &["tasks", "show", "d", "one", "t"]).stdout;
    assert!(log.contains("no plugin is called \"tool\""), "{log}");
}

#[test]
fn m5_what_was_revoked_is_revoked_for_runs_that_began_before() {
    let airlock = place();
    let add = ["plugins", "add", "old.wasm", "--as", "tool", "--yes"];
    ok(&airlock, &add);
    let dag = json!({"dag_id": "d", "grants": all_grants(), "tasks": [{"task_id": "t", "operator": "tool.work"}]});
    airlock.file("d.yaml", &dag.to_string());
    assert_eq!(trigger(&airlock, "d.yaml", "one"), 0);
    // The same with a byte more.
    let mut changed = GUESTS.since_0_1_0.clone();
    changed.extend([0, 2, 1, b'x']);
    component(&airlock, "old.wasm", &changed);
    ok(&airlock, &["plugins", "update", "tool", "--yes"]);
    assert_eq!(again(&airlock, "one", &[])["state"], "success");
    ok(&airlock, &["plugins", "revoke", "tool", "models"]);
    assert_eq!(again(&airlock, "one", &[])["state"], "failed");
}

#[test]
fn m5_a_service_takes_up_a_component_that_is_saved_in_a_folder() {
    let airlock = place();
    let folder = airlock.folder().join("more");
    std::fs::create_dir(&folder).unwrap();
    let save = |bytes: &[u8]| {
        let half = folder.join("tool.half");
        std::fs::write(&half, bytes).unwrap();
        std::fs::rename(half, folder.join("tool.wasm")).unwrap();
    };
    save(&GUESTS.noop);
    airlock.dag_file(&json!({"dag_id": "d", "grants": all_grants(), "tasks": [{"task_id": "t", "operator": "tool"}]}));
    let _service = airlock.serve_with(&["--plugins", folder.to_str().unwrap()]);
    assert_eq!(trigger(&airlock, "d", "one"), 0);
    let before = ok(&airlock, &["dags", "list", "--json"]).json()[0]["dag_version"].clone();
    save(&GUESTS.since_0_1_0);
    airlock.until(&["dags", "list"], |dags| dags[0]["dag_version"] != before);
    assert_eq!(trigger(&airlock, "d", "two"), 10);
    let one = run(&airlock, "one");
    assert_eq!(
        (&one["state"], &one["dag_version"]),
        (&json!("success"), &before)
    );
}
