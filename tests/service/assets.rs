//! Assets: a success updates them, and what waits for them runs.

use super::{count, probe, until_run};
use airlock_tests::Airlock;
use serde_json::{Value, json};

const URI: &str = "s3://lake/features";

fn pair(airlock: &Airlock) {
    let mut makes = probe("makes", &json!({"result": "{{ params.result }}"}), &[]);
    makes["outlets"] = json!([URI]);
    airlock.dag_file(&json!({
        "dag_id": "producer", "params": {"result": {"type": "string", "default": "success"}}, "tasks": [makes],
    }));
    airlock.dag_file(&json!({
        "dag_id": "consumer", "schedule": {"assets": [URI]}, "tasks": [probe("a", &json!({}), &[])],
    }));
}

fn until_consumed(airlock: &Airlock, times: usize) -> Value {
    let runs = airlock.until(&["runs", "list", "consumer"], |runs| {
        count(runs, "state", "success") == times
    });
    assert_eq!(count(&runs, "run_type", "asset_triggered"), times, "{runs}");
    runs
}

#[test]
fn i16_a_success_updates_its_assets_and_what_waits_for_them_runs() {
    let airlock = Airlock::new();
    pair(&airlock);
    let _service = airlock.serve();
    let failed = [
        "dags",
        "trigger",
        "producer",
        "--conf",
        r#"{"result": "fail"}"#,
        "-q",
    ];
    assert_eq!(airlock.run(&failed).code, 10);
    assert_eq!(
        airlock.ok(&["assets", "events", "--json"]).json(),
        json!([])
    );
    airlock.ok(&["dags", "trigger", "producer", "--run-id", "one", "-q"]);
    until_consumed(&airlock, 1);
    let events = airlock.ok(&["assets", "events", URI, "--json"]).json();
    assert_eq!(events[0]["source"], "producer/one/makes/-1");
    let listed = airlock.ok(&["assets", "list", "--json"]).json();
    assert_eq!(listed[0]["producing_dags"], json!(["producer"]));
    assert_eq!(listed[0]["scheduled_dags"], json!(["consumer"]));
}

#[test]
fn i16_what_was_updated_without_a_service_is_consumed_when_one_starts() {
    let airlock = Airlock::new();
    pair(&airlock);
    airlock.serve().stop();
    airlock.ok(&["dags", "trigger", "producer", "--run-id", "alone", "-q"]);
    let runs = airlock.ok(&["runs", "list", "consumer", "--json"]).json();
    assert_eq!(runs, json!([]), "nobody makes runs");
    let service = airlock.serve();
    until_consumed(&airlock, 1);
    service.kill();
    let _service = airlock.serve();
    airlock.ok(&["dags", "trigger", "producer", "--run-id", "served", "-q"]);
    until_consumed(&airlock, 2);
}

#[test]
fn i16_people_report_updates_and_materialize_assets() {
    let airlock = Airlock::new();
    pair(&airlock);
    let service = airlock.serve();
    airlock.ok(&["assets", "create-event", URI, "--extra", r#"{"rows": 3}"#]);
    until_consumed(&airlock, 1);
    let events = airlock.ok(&["assets", "events", URI, "--json"]).json();
    assert_eq!(events[0]["extra"]["rows"], 3);
    assert_eq!(events[0]["source"], "tester");
    let made = airlock.ok(&["assets", "materialize", URI, "--json"]).json();
    assert_eq!(made["dag_id"], "producer");
    until_run(
        &airlock,
        "producer",
        made["run_id"].as_str().unwrap(),
        "success",
    );
    until_consumed(&airlock, 2);
    assert_eq!(
        airlock
            .run(&["assets", "materialize", "s3://no/where"])
            .code,
        3
    );
    service.stop();
    let refused = airlock.run(&["assets", "create-event", URI]);
    assert!(
        refused.stderr.contains("airlock serve"),
        "{}",
        refused.stderr
    );
}
