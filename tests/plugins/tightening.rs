use super::{all_grants, lock, ok, place, refused, test_task};
use airlock_tests::{Airlock, Done};
use serde_json::{Value, json};

/// Runs the task on the data folder, where what it uses is counted.
fn run_task(airlock: &Airlock, grants: &Value) -> Done {
    let dag = json!({"dag_id": "d", "grants": grants, "tasks": [{"task_id": "t", "operator": "old.work"}]});
    airlock.file("d.yaml", &dag.to_string());
    airlock.run(&["dags", "trigger", "d.yaml", "--json", "-q"])
}

const TIGHTEN: [&str; 3] = ["plugins", "tighten", "old"];

#[test]
fn tightening_leaves_what_was_used_and_the_plugin_works_as_before() {
    let airlock = place();
    ok(&airlock, &["plugins", "add", "old.wasm", "--yes"]);
    let before = lock(&airlock);
    refused(
        &airlock,
        &[&TIGHTEN[..], &["--yes"]].concat(),
        7,
        "did not run in the last 30 days",
    );
    let done = run_task(&airlock, &all_grants());
    assert_eq!(done.code, 0, "{}", done.stderr);
    let shown = ok(&airlock, &[&TIGHTEN[..], &["--dry-run"]].concat());
    insta::assert_snapshot!(shown.stdout, @r"
    plugin old: 1 attempts in the last 30 days, 1 denials; it used
      storage file://./old/
      storage_read file://./old/
      tracking old
      models old
    it
    - may read and write the objects that a DAG grants
    - may log to the experiments that a DAG grants
    - may change the registered models that a DAG grants
    - may read the run states of the DAGs that a DAG grants
      may not read run states, though it asks for it
      may read and write file://./old/
      may log to experiment old
      may change model old
    ");
    assert_eq!(lock(&airlock), before, "a look changes nothing");
    refused(&airlock, &TIGHTEN, 2, "add --yes, or look with --dry-run");
    ok(&airlock, &[&TIGHTEN[..], &["--yes"]].concat());
    assert!(
        lock(&airlock).contains("file://./old/"),
        "{}",
        lock(&airlock)
    );
    assert_eq!(run_task(&airlock, &all_grants()).code, 0);
    let again = ok(&airlock, &[&TIGHTEN[..], &["--yes"]].concat());
    assert!(
        again.stderr.contains("nothing was changed"),
        "{}",
        again.stderr
    );
    // What it did not use, no DAG can give it any more.
    let wider = json!({"storage": ["file://./"], "tracking": ["*"], "models": ["other"]});
    let done = test_task(&airlock, "old.work", &wider);
    assert_eq!(done.code, 10, "{}", done.stderr);
    assert!(done.stdout.contains("Denied"), "{}", done.stdout);
}

#[test]
fn a_plugin_that_no_lock_file_names_cannot_be_tightened() {
    let airlock = place();
    ok(&airlock, &["plugins", "add", "noop.wasm", "--yes"]);
    refused(
        &airlock,
        &[&TIGHTEN[..], &["--yes"]].concat(),
        3,
        "airlock.lock names no plugin",
    );
}
