//! `kill -9` of the service: the next one goes on, and nothing is done twice.

use super::{asks, begin, count, gate, instance, open_gate, probe, until_run};
use airlock_tests::Airlock;
use serde_json::json;

#[test]
fn a_service_killed_in_the_middle_of_runs_goes_on_with_them() {
    let airlock = Airlock::new();
    let mut held = gate("g");
    held["depends_on"] = json!(["before"]);
    airlock.dag_file(&json!({"dag_id": "killed", "max_active_runs": 1, "tasks": [
        probe("before", &json!({}), &[]), held,
        probe("sleeps", &json!({"sleep": "1s"}), &[]),
        probe("after", &json!({}), &["g", "sleeps"]),
    ]}));
    let service = airlock.serve();
    begin(&airlock, "killed", "one", &[]);
    begin(&airlock, "killed", "two", &[]);
    asks(&airlock, "killed", "one", "g");
    service.kill();
    let service = airlock.serve();
    open_gate(&airlock, "killed", "one", "g");
    service.kill();
    let _service = airlock.serve();
    let run = until_run(&airlock, "killed", "one", "success");
    for task_id in ["before", "g", "sleeps", "after"] {
        assert_eq!(
            instance(&run, task_id)["try_number"],
            1,
            "a kill costs no try: {run}"
        );
    }
    open_gate(&airlock, "killed", "two", "g");
    until_run(&airlock, "killed", "two", "success");
}

#[test]
fn a_service_killed_in_the_middle_of_a_backfill_makes_no_date_twice_and_forgets_none() {
    let airlock = Airlock::new();
    airlock.dag_file(&json!({
        "dag_id": "daily", "schedule": "@daily", "start_date": "2024-01-01", "end_date": "2024-01-31",
        "catchup": false, "tasks": [gate("g")],
    }));
    let mut service = airlock.serve();
    airlock.ok(&[
        "backfill",
        "create",
        "--dag-id",
        "daily",
        "--from-date",
        "2024-01-10",
        "--to-date",
        "2024-01-13",
        "--max-active-runs",
        "1",
    ]);
    for day in 10..14 {
        let run_id = format!("backfill__2024-01-{day}T00:00:00+00:00");
        asks(&airlock, "daily", &run_id, "g");
        service.kill();
        service = airlock.serve();
        open_gate(&airlock, "daily", &run_id, "g");
    }
    let listed = airlock.until(&["backfill", "list"], |rows| {
        rows[0]["state"] == "completed"
    });
    assert_eq!(listed[0]["counts"]["created"], 4, "{listed}");
    assert_eq!(listed[0]["counts"]["success"], 4, "{listed}");
    let runs = airlock.ok(&["runs", "list", "daily", "--json"]).json();
    assert_eq!(count(&runs, "run_type", "backfill"), 4);
}

#[test]
fn a_backfill_whose_run_ended_while_no_service_was_there_goes_on() {
    let airlock = Airlock::new();
    airlock.dag_file(&json!({
        "dag_id": "daily", "schedule": "@daily", "start_date": "2024-01-01", "end_date": "2024-01-31",
        "catchup": false, "tasks": [gate("g")],
    }));
    let service = airlock.serve();
    let create = [
        "backfill",
        "create",
        "--dag-id",
        "daily",
        "--max-active-runs",
        "1",
    ];
    let dates = ["--from-date", "2024-01-10", "--to-date", "2024-01-11"];
    airlock.ok(&[&create[..], &dates].concat());
    let [first, second] = [10, 11].map(|day| format!("backfill__2024-01-{day}T00:00:00+00:00"));
    asks(&airlock, "daily", &first, "g");
    service.kill();
    airlock.ok(&["tasks", "answer", "daily", &first, "g", "--approve"]);
    airlock.ok(&["runs", "resume", "-q"]);
    let run = airlock
        .ok(&["runs", "show", "daily", &first, "--json"])
        .json();
    assert_eq!(run["state"], "success");
    let _service = airlock.serve();
    open_gate(&airlock, "daily", &second, "g");
    let listed = airlock.until(&["backfill", "list"], |rows| {
        rows[0]["state"] == "completed"
    });
    assert_eq!(listed[0]["counts"]["success"], 2, "{listed}");
}

#[test]
fn a_service_killed_while_it_catches_up_makes_each_tick_once() {
    let airlock = Airlock::new();
    airlock.dag_file(&json!({
        "dag_id": "missed", "schedule": "@daily", "catchup": true, "max_active_runs": 2,
        "start_date": "2024-01-01", "end_date": "2024-01-12", "tasks": [probe("a", &json!({}), &[])],
    }));
    for made in [1, 4, 8] {
        let service = airlock.serve();
        airlock.until(&["runs", "list", "missed"], |runs| {
            count(runs, "state", "success") >= made
        });
        service.kill();
    }
    let _service = airlock.serve();
    let runs = airlock.until(&["runs", "list", "missed"], |runs| {
        count(runs, "state", "success") >= 12
    });
    assert_eq!(runs.as_array().unwrap().len(), 12, "{runs}");
}
