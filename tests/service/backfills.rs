//! Backfills.

use super::{asks, count, gate, open_gate, probe, until_run};
use airlock_tests::Airlock;
use serde_json::{Value, json};

fn daily(task: &Value) -> Value {
    json!({"dag_id": "daily", "schedule": "@daily", "start_date": "2024-01-01", "end_date": "2024-01-31",
        "is_paused_upon_creation": false, "catchup": false, "tasks": [task]})
}

const CREATE: [&str; 8] = [
    "backfill",
    "create",
    "--dag-id",
    "daily",
    "--from-date",
    "2024-01-10",
    "--to-date",
    "2024-01-12",
];

const DAYS: [&str; 3] = [
    "backfill__2024-01-10T00:00:00+00:00",
    "backfill__2024-01-11T00:00:00+00:00",
    "backfill__2024-01-12T00:00:00+00:00",
];

#[test]
fn i9_a_backfill_runs_each_date_of_the_schedule_once() {
    let airlock = Airlock::new();
    airlock.dag_file(&daily(&probe("a", &json!({"value": "{{ ds }}"}), &[])));
    let _service = airlock.serve();
    let dry = airlock
        .ok(&[&CREATE[..], &["--dry-run", "--json"]].concat())
        .json();
    assert_eq!(count(&dry, "what", "create"), 3, "{dry}");
    let made = airlock.ok(&[&CREATE[..], &["--json"]].concat()).json();
    assert_eq!(made["id"], 1);
    let listed = airlock.until(&["backfill", "list"], |rows| {
        rows[0]["state"] == "completed"
    });
    assert_eq!(listed[0]["counts"]["success"], 3, "{listed}");
    let runs = airlock.ok(&["runs", "list", "daily", "--json"]).json();
    assert_eq!(count(&runs, "run_type", "backfill"), 3);
    let again = airlock.ok(&[&CREATE[..], &["--json"]].concat()).json();
    assert_eq!(again["id"], 2, "ids are not used twice");
    let listed = airlock.until(&["backfill", "list"], |rows| {
        rows[1]["state"] == "completed"
    });
    assert_eq!(listed[1]["counts"]["already_exists"], 3, "{listed}");
    airlock.ok(&[&CREATE[..], &["--reprocess-behavior", "completed"]].concat());
    let listed = airlock.until(&["backfill", "list"], |rows| {
        rows[2]["state"] == "completed"
    });
    assert_eq!(listed[2]["counts"]["cleared"], 3, "{listed}");
    assert_eq!(listed[2]["counts"]["success"], 3, "{listed}");
}

#[test]
fn i9_a_backfill_keeps_to_its_max_active_runs_backwards_and_can_be_paused_and_cancelled() {
    let airlock = Airlock::new();
    airlock.dag_file(&daily(&gate("g")));
    let _service = airlock.serve();
    airlock.ok(&[&CREATE[..], &["--max-active-runs", "1", "--run-backwards"]].concat());
    asks(&airlock, "daily", DAYS[2], "g");
    let twice = airlock.run(&CREATE);
    assert_eq!(twice.code, 2, "{}", twice.stderr);
    assert!(twice.stderr.contains("has not ended"), "{}", twice.stderr);
    let paused = airlock.ok(&["backfill", "pause", "1", "--json"]).json();
    assert_eq!(paused["state"], "paused");
    open_gate(&airlock, "daily", DAYS[2], "g");
    until_run(&airlock, "daily", DAYS[2], "success");
    let listed = airlock.until(&["backfill", "list"], |rows| {
        rows[0]["counts"]["success"] == 1
    });
    assert_eq!(listed[0]["left"], 2, "nothing more was made: {listed}");
    airlock.ok(&["backfill", "unpause", "1"]);
    asks(&airlock, "daily", DAYS[1], "g");
    airlock.ok(&["backfill", "cancel", "1"]);
    open_gate(&airlock, "daily", DAYS[1], "g");
    until_run(&airlock, "daily", DAYS[1], "success");
    airlock.until(&["backfill", "list"], |rows| {
        rows[0]["state"] == "cancelled"
    });
    assert_eq!(
        airlock.run(&["runs", "show", "daily", DAYS[0]]).code,
        3,
        "it was never made"
    );
}

#[test]
fn i9_without_a_service_a_backfill_is_only_looked_at() {
    let airlock = Airlock::new();
    airlock.dag_file(&daily(&probe("a", &json!({}), &[])));
    airlock.serve().stop();
    let dry = airlock
        .ok(&[&CREATE[..], &["--dry-run", "--json"]].concat())
        .json();
    assert_eq!(count(&dry, "what", "create"), 3, "{dry}");
    let refused = airlock.run(&CREATE);
    assert_ne!(refused.code, 0);
    assert!(
        refused.stderr.contains("airlock serve"),
        "{}",
        refused.stderr
    );
    assert_eq!(
        airlock.ok(&["backfill", "list", "--json"]).json(),
        json!([])
    );
}
