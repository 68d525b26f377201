//! What commands change is in the audit trail, whether a service carries them out or the terminal's own process.

use crate::service;
use airlock_tests::Airlock;
use serde_json::{Value, json};

const SECRET: &str = "hunter2-hunter2";

#[test]
fn i42_every_change_of_a_command_says_who_when_and_what() {
    let airlock = Airlock::new();
    let dag = r#"{"dag_id": "one", "tasks": [{"task_id": "t", "operator": "probe"}]}"#;
    let file = airlock.file("one.yaml", dag).display().to_string();
    // Without a service.
    airlock.ok(&["pools", "set", "gpu", "2"]);
    airlock.ok(&["variables", "set", "key", SECRET]);
    airlock.ok(&[
        "connections",
        "set",
        "db",
        "--conn-type",
        "http",
        "--conn-password",
        SECRET,
    ]);
    airlock.ok(&["dags", "trigger", &file, "--run-id", "first"]);
    airlock.ok(&["dags", "pause", "one"]);
    airlock.ok(&["runs", "clear", "one", "first", "--dry-run"]);
    assert_ne!(airlock.run(&["pools", "delete", "nowhere"]).code, 0);
    // A throw-away run is nobody's change.
    airlock.run_bare(&["dags", "test", &file]);
    let (_service, client) = service(&airlock);
    // With one.
    airlock.ok(&["dags", "unpause", "one"]);
    airlock.ok(&["runs", "clear", "one", "first", "--yes"]);
    airlock.until(&["runs", "show", "one", "first"], |run| {
        run["state"] == "success"
    });
    airlock.ok(&["tasks", "mark-failed", "one", "first", "t"]);
    airlock.ok(&["runs", "mark-success", "one", "first"]);
    airlock.ok(&["variables", "delete", "key"]);
    airlock.ok(&["runs", "delete", "one", "first", "--yes"]);
    let trail = client.ok("GET", "/api/v2/eventLogs?limit=1000", &Value::Null);
    let logs = trail["event_logs"].as_array().unwrap();
    let told: Vec<_> = logs
        .iter()
        .map(|log| {
            (
                log["event"].as_str().unwrap(),
                log["owner"].as_str().unwrap(),
            )
        })
        .collect();
    let mine = "cli:tester";
    assert_eq!(
        told,
        [
            ("post_pool", mine),
            ("post_variable", mine),
            ("post_connection", mine),
            ("trigger_dag_run", mine),
            ("patch_dag", mine),
            ("delete_pool", mine),
            ("delete_pool.refused", mine),
            ("token.create", mine),
            ("patch_dag", mine),
            ("clear_dag_run", mine),
            ("patch_task_instance", mine),
            ("patch_dag_run", mine),
            ("delete_variable", mine),
            ("delete_dag_run", mine),
        ]
    );
    assert!(!trail.to_string().contains(SECRET), "{trail}");
    let cleared = &logs[9];
    assert_eq!(
        (&cleared["dag_id"], &cleared["run_id"]),
        (&json!("one"), &json!("first"))
    );
}
