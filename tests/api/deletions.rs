//! What is deleted is gone with all that is its own, and nothing that goes on is lost.

use crate::{Client, service, token};
use airlock_tests::Airlock;
use serde_json::{Value, json};

const RUN: &str = "/api/v2/dags/pipeline/dagRuns/first";

fn dag() -> Value {
    json!({
        "dag_id": "pipeline",
        "tasks": [{"task_id": "wait", "operator": "probe", "config": {"sleep": "1h"}}],
    })
}

/// Asks until the answer is as wanted: nothing waits for a fixed time.
fn until(client: &Client, path: &str, wanted: impl Fn(u16, &Value) -> bool) {
    let begun = std::time::Instant::now();
    loop {
        let answer = client.get(path);
        if wanted(answer.status, &answer.json()) {
            return;
        }
        assert!(begun.elapsed().as_secs() < 90, "{path}: {}", answer.text());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// A run that goes on for ever.
fn running(airlock: &Airlock, client: &Client) {
    airlock.dag_file(&dag());
    until(client, "/api/v2/dags/pipeline", |status, _| status == 200);
    let body = json!({"dag_run_id": "first", "logical_date": "2026-01-05T02:00:00Z"});
    client.ok("POST", "/api/v2/dags/pipeline/dagRuns", &body);
    until(client, RUN, |_, run| run["state"] == "running");
}

fn end(client: &Client) {
    client.ok("PATCH", RUN, &json!({"state": "failed"}));
    until(client, RUN, |_, run| run["state"] == "failed");
}

/// Who did what to which run or DAG, from the trail.
fn trail(client: &Client) -> Vec<(String, String)> {
    let logs = client.ok("GET", "/api/v2/eventLogs?limit=1000", &json!(null));
    let text = |log: &Value, name: &str| log[name].as_str().unwrap().to_owned();
    let logs = logs["event_logs"].as_array().unwrap().iter();
    logs.map(|log| (text(log, "event"), text(log, "owner")))
        .collect()
}

#[test]
fn i41_a_run_is_deleted_once_it_has_ended_and_stays_deleted() {
    let airlock = Airlock::new();
    let (service, client) = service(&airlock);
    running(&airlock, &client);
    let refused = client.send("DELETE", RUN, b"");
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert_eq!(
        refused.json()["detail"],
        "run first of dag pipeline is running"
    );
    assert_eq!(
        refused.json()["hint"],
        "`airlock runs cancel pipeline first` stops it"
    );
    end(&client);
    // Without a person to ask it is not deleted by accident.
    let asked = airlock.run(&["runs", "delete", "pipeline", "first"]);
    assert_eq!(asked.code, 2, "{}", asked.stderr);
    let gone = client.send("DELETE", RUN, b"");
    assert_eq!((gone.status, gone.body.len()), (204, 0), "{}", gone.text());
    assert_eq!(client.get(RUN).status, 404);
    assert_eq!(client.send("DELETE", RUN, b"").status, 404);
    let admin = |event: &str| (event.to_owned(), "admin".to_owned());
    let trail = trail(&client);
    assert!(trail.contains(&admin("delete_dag_run")), "{trail:?}");
    assert!(
        trail.contains(&admin("delete_dag_run.refused")),
        "{trail:?}"
    );
    // What was acknowledged stays so.
    service.kill();
    let _service = airlock.serve_with(&["--listen", "127.0.0.1:0"]);
    let client = Client::of(&airlock).with_token(&token(&airlock, "again", "admin"));
    assert_eq!(client.get(RUN).status, 404);
    // Its id and its date are free.
    let body = json!({"dag_run_id": "first", "logical_date": "2026-01-05T02:00:00Z"});
    client.ok("POST", "/api/v2/dags/pipeline/dagRuns", &body);
    until(&client, RUN, |_, run| run["state"] == "running");
    end(&client);
    airlock.ok(&["runs", "delete", "pipeline", "first", "--yes"]);
    assert_eq!(client.get(RUN).status, 404);
}

#[test]
fn i41_a_dag_is_deleted_with_its_runs_when_neither_a_file_nor_a_run_holds_it() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let path = "/api/v2/dags/pipeline";
    assert_eq!(client.send("DELETE", path, b"").status, 404);
    running(&airlock, &client);
    let held = client.send("DELETE", path, b"");
    assert_eq!(held.status, 409, "{}", held.text());
    assert!(
        held.text().contains("which this service follows"),
        "{}",
        held.text()
    );
    std::fs::remove_file(airlock.folder().join("dags/pipeline.yaml")).unwrap();
    until(&client, path, |_, dag| dag["is_stale"] == json!(true));
    let live = client.send("DELETE", path, b"");
    assert_eq!(live.status, 409, "{}", live.text());
    assert!(
        live.text().contains("airlock runs cancel"),
        "{}",
        live.text()
    );
    end(&client);
    let gone = client.send("DELETE", path, b"");
    assert_eq!(gone.status, 204, "{}", gone.text());
    assert_eq!(
        (client.get(path).status, client.get(RUN).status),
        (404, 404)
    );
    // Its file makes it anew, and it remembers nothing.
    airlock.dag_file(&dag());
    until(&client, path, |status, _| status == 200);
    let runs = client.ok("GET", &format!("{path}/dagRuns"), &json!(null));
    assert_eq!(runs["total_entries"], 0);
    let versions = client.ok("GET", &format!("{path}/dagVersions"), &json!(null));
    assert_eq!(versions["total_entries"], 1);
}

#[test]
fn without_a_service_a_dag_is_deleted_and_its_file_is_named() {
    let airlock = Airlock::new();
    let file = airlock.file(
        "one.yaml",
        r#"{"dag_id": "one", "tasks": [{"task_id": "t", "operator": "probe"}]}"#,
    );
    airlock.ok(&["dags", "trigger", &file.display().to_string()]);
    let deleted = airlock.ok(&["dags", "delete", "one", "--yes"]);
    assert_eq!(deleted.stdout, "dag one: deleted, with 1 runs\n");
    assert!(
        deleted.stderr.contains("one.yaml still holds it"),
        "{}",
        deleted.stderr
    );
    assert_eq!(airlock.run(&["runs", "show", "one", "latest"]).code, 3);
    let again = airlock.run(&["dags", "delete", "one", "--yes"]);
    assert_eq!(again.code, 3, "{}", again.stderr);
}

#[test]
fn a_note_can_be_written_later_and_taken_back() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    running(&airlock, &client);
    let noted = client.ok("PATCH", RUN, &json!({"note": "looked at"}));
    assert_eq!(
        (&noted["note"], &noted["state"]),
        (&json!("looked at"), &json!("running"))
    );
    end(&client);
    assert_eq!(client.get(RUN).json()["note"], "looked at");
    let long = client.json("PATCH", RUN, &json!({"note": "x".repeat(1_001)}));
    assert_eq!(long.status, 400, "{}", long.text());
    assert_eq!(
        client.ok("PATCH", RUN, &json!({"note": ""}))["note"],
        json!(null)
    );
}
