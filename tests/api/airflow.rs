//! Airflow's REST API v2, without its own client: what a request is answered, and what a wrong one is told.

use crate::{Client, service, token};
use airlock_tests::Airlock;
use serde_json::{Value, json};

fn dag() -> Value {
    json!({
        "dag_id": "pipeline", "start_date": "2026-01-01", "params": {"rate": {"type": "number", "default": 0.5}},
        "tasks": [
            {"task_id": "load", "operator": "probe", "config": {"value": "{{ params.rate }}"}},
            {"task_id": "broken", "operator": "probe", "depends_on": ["load"], "config": {"result": "fail"}},
        ],
    })
}

/// Asks until the answer is as wanted: nothing waits for a fixed time.
fn until(client: &Client, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let begun = std::time::Instant::now();
    loop {
        let answer = client.get(path);
        if answer.status == 200 && wanted(&answer.json()) {
            return answer.json();
        }
        assert!(begun.elapsed().as_secs() < 90, "{path}: {}", answer.text());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// A run that has ended.
fn ran(airlock: &Airlock, client: &Client) {
    airlock.dag_file(&dag());
    until(client, "/api/v2/dags/pipeline", |_| true);
    let body = json!({"dag_run_id": "first", "logical_date": "2026-01-05T02:00:00Z", "conf": {"rate": 0.25}});
    let made = client.ok("POST", "/api/v2/dags/pipeline/dagRuns", &body);
    assert_eq!(
        (&made["dag_run_id"], &made["triggered_by"]),
        (&json!("first"), &json!("rest_api"))
    );
    until(client, "/api/v2/dags/pipeline/dagRuns/first", |run| {
        run["state"] == "failed"
    });
}

#[test]
fn i11_the_rest_api_triggers_reads_clears_and_marks_as_airflows_does() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    ran(&airlock, &client);
    let run = "/api/v2/dags/pipeline/dagRuns/first";
    let listed = client.ok(
        "GET",
        &format!("{run}/taskInstances?order_by=-task_id"),
        &json!(null),
    );
    let states: Vec<_> = listed["task_instances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["task_id"], &one["state"]))
        .collect();
    assert_eq!(
        states,
        [
            (&json!("load"), &json!("success")),
            (&json!("broken"), &json!("failed"))
        ]
    );
    let xcom = client.ok(
        "GET",
        &format!("{run}/taskInstances/load/xcomEntries/return_value"),
        &json!(null),
    );
    assert_eq!(xcom["value"], json!(0.25));
    let planned = client.ok(
        "POST",
        "/api/v2/dags/pipeline/clearTaskInstances",
        &json!({"dag_run_id": "first"}),
    );
    assert_eq!(
        (
            &planned["total_entries"],
            &planned["task_instances"][0]["task_id"]
        ),
        (&json!(1), &json!("broken"))
    );
    let body = json!({"dag_run_id": "first", "dry_run": false});
    client.ok("POST", "/api/v2/dags/pipeline/clearTaskInstances", &body);
    until(&client, &format!("{run}/taskInstances/broken"), |one| {
        one["try_number"] == 2 && one["state"] == "failed"
    });
    until(&client, run, |run| run["state"] == "failed");
    let marked = client.ok(
        "PATCH",
        &format!("{run}/taskInstances/broken"),
        &json!({"new_state": "success"}),
    );
    assert_eq!(marked["task_instances"][0]["state"], "success");
    assert_eq!(
        client.ok("PATCH", run, &json!({"state": "success"}))["state"],
        "success"
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
fn i12_the_trail_says_who_asked_for_what_and_each_try_is_kept() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    ran(&airlock, &client);
    let run = "/api/v2/dags/pipeline/dagRuns/first";
    let body = json!({"dag_run_id": "first", "dry_run": false});
    client.ok("POST", "/api/v2/dags/pipeline/clearTaskInstances", &body);
    until(&client, &format!("{run}/taskInstances/broken"), |one| {
        one["try_number"] == 2 && one["state"] == "failed"
    });
    let tries = client.ok(
        "GET",
        &format!("{run}/taskInstances/broken/tries"),
        &json!(null),
    );
    let numbers: Vec<_> = tries["task_instances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["try_number"], &one["state"]))
        .collect();
    assert_eq!(
        numbers,
        [(&json!(1), &json!("failed")), (&json!(2), &json!("failed"))]
    );
    for number in [1, 2] {
        let log = client.ok(
            "GET",
            &format!("{run}/taskInstances/broken/logs/{number}"),
            &json!(null),
        );
        // Nothing was logged, and that is said.
        assert_eq!(log, json!({"content": [], "continuation_token": null}));
    }
    let instance = client.ok("GET", &format!("{run}/taskInstances/load"), &json!(null));
    assert_eq!(
        instance["rendered_fields"]["value"],
        json!(0.25),
        "{instance}"
    );
    assert_eq!(instance["dag_version"]["version_number"], 1);
    client.ok(
        "PATCH",
        "/api/v2/dags/pipeline",
        &json!({"is_paused": true}),
    );
    let wrong = json!({"connection_id": "slack", "conn_type": "http", "password": "hunter2", "extra": "{\"token\": \"hunter2\"}"});
    assert_eq!(client.post("/api/v2/connections", &wrong).status, 201);
    assert_eq!(
        client
            .json("DELETE", "/api/v2/pools/default_pool", &json!(null))
            .status,
        409
    );
    let trail = client.ok("GET", "/api/v2/eventLogs?limit=1000", &json!(null));
    let lines = trail["event_logs"].as_array().unwrap();
    let line = |event: &str| {
        lines
            .iter()
            .find(|line| line["event"] == event)
            .unwrap_or_else(|| panic!("{event} is not in {trail}"))
    };
    let asked = line("trigger_dag_run");
    assert_eq!(
        (&asked["owner"], &asked["dag_id"]),
        (&json!("admin"), &json!("pipeline"))
    );
    assert!(asked["extra"].as_str().unwrap().contains("0.25"), "{asked}");
    for event in [
        "patch_dag",
        "post_clear_task_instances",
        "post_connection",
        "delete_pool",
        "delete_pool.refused",
        "token.create",
    ] {
        line(event);
    }
    assert!(
        !trail.to_string().contains("hunter2"),
        "a secret is in the trail"
    );
    // What was noted of the trail is the same after more was done.
    let noted = client.ok("GET", "/api/v2/airlock/auditDigest", &json!(null));
    client.ok(
        "PATCH",
        "/api/v2/dags/pipeline",
        &json!({"is_paused": false}),
    );
    let path = format!("/api/v2/airlock/auditDigest?through={}", noted["lines"]);
    assert_eq!(client.ok("GET", &path, &json!(null)), noted);
    assert_ne!(
        client.ok("GET", "/api/v2/airlock/auditDigest", &json!(null)),
        noted
    );
    assert_eq!(
        client
            .get("/api/v2/airlock/auditDigest?through=100000")
            .status,
        404
    );
}

#[test]
fn i20_metrics_are_counted_and_told_to_whoever_has_a_token() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    ran(&airlock, &client);
    assert_eq!(client.without_token().get("/metrics").status, 401);
    let answer = client.get("/metrics");
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .header("content-type")
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    let text = answer.text();
    for line in [
        "airlock_dag_runs_ended_total{state=\"failed\"} 1",
        "airlock_task_attempts_total{outcome=\"success\"} 1",
        "airlock_task_attempts_total{outcome=\"failed\"} 1",
        "airlock_dags 1",
        "# EOF",
    ] {
        assert!(text.lines().any(|one| one == line), "{line}\n{text}");
    }
    // No label grows with the data.
    assert!(!text.contains("pipeline"), "{text}");
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
fn what_is_wrong_is_told_as_a_problem_with_what_to_do() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    ran(&airlock, &client);
    let answer = client.get("/api/v2/dags/nowhere");
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    let problem = answer.json();
    assert_eq!(
        (&problem["status"], &problem["title"]),
        (&json!(404), &json!("Not Found"))
    );
    assert_eq!(problem["detail"], "no DAG is called \"nowhere\"");
    assert!(
        problem["hint"]
            .as_str()
            .unwrap()
            .contains("airlock dags list")
    );
    let runs = "/api/v2/dags/pipeline/dagRuns";
    for (method, path, body, status) in [
        ("GET", "/api/v2/dags?colour=red", json!(null), 400),
        ("GET", "/api/v2/dags?limit=-1", json!(null), 400),
        ("GET", "/api/v2/dags?order_by=colour", json!(null), 400),
        ("GET", "/api/v2/dags/..%2f..%2fetc", json!(null), 400),
        ("GET", "/api/v2/nowhere", json!(null), 404),
        ("PUT", "/api/v2/dags", json!(null), 405),
        ("POST", runs, json!({"dag_run_id": "first"}), 409),
        ("POST", runs, json!({"dag_run_id": "../x"}), 400),
        ("POST", runs, json!({"colour": 1}), 400),
        ("POST", runs, json!({"conf": {"rate": "fast"}}), 400),
        ("POST", runs, json!({"partition_key": "a"}), 501),
        (
            "PATCH",
            &format!("{runs}/first"),
            json!({"state": "running"}),
            400,
        ),
        (
            "PATCH",
            &format!("{runs}/first/taskInstances/load"),
            json!({"new_state": "success", "note": "later"}),
            501,
        ),
        (
            "POST",
            "/api/v2/dags/pipeline/clearTaskInstances",
            json!({"dag_run_id": "first", "task_ids": ["nowhere"]}),
            400,
        ),
        (
            "POST",
            "/api/v2/pools",
            json!({"name": "a b", "slots": 1}),
            400,
        ),
        (
            "POST",
            "/api/v2/variables",
            json!({"key": "", "value": 1}),
            400,
        ),
        (
            "GET",
            "/api/v2/dags/pipeline/dagRuns/first/taskInstances/load/logs/-1",
            json!(null),
            400,
        ),
    ] {
        let answer = client.json(method, path, &body);
        assert_eq!(
            answer.status,
            status,
            "{method} {path} {body}: {}",
            answer.text()
        );
        let problem = answer.json();
        assert_eq!(problem["status"], status, "{problem}");
        assert!(!problem["detail"].as_str().unwrap().is_empty(), "{problem}");
    }
    let near = client.get("/api/v2/dags?order_bi=dag_id").json();
    assert_eq!(near["hint"], "did you mean `order_by`?");
}

#[test]
fn a_token_for_some_dags_sees_them_alone_and_cannot_be_used_after_it_was_revoked() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    ran(&airlock, &client);
    airlock
        .dag_file(&json!({"dag_id": "other", "tasks": [{"task_id": "one", "operator": "probe"}]}));
    until(&client, "/api/v2/dags/other", |_| true);
    let made = airlock.ok(&[
        "tokens", "create", "scoped", "--role", "operator", "--dag", "oth*",
    ]);
    let scoped = client.with_token(made.stdout.trim());
    let dags = scoped.ok("GET", "/api/v2/dags", &json!(null));
    assert_eq!(
        (&dags["total_entries"], &dags["dags"][0]["dag_id"]),
        (&json!(1), &json!("other"))
    );
    assert_eq!(
        scoped.ok("GET", "/api/v2/dags/~/dagRuns", &json!(null))["total_entries"],
        0
    );
    assert_eq!(
        client.ok("GET", "/api/v2/dags/~/dagRuns", &json!(null))["total_entries"],
        1
    );
    for path in [
        "/api/v2/dags/pipeline",
        "/api/v2/dags/pipeline/dagRuns",
        "/metrics",
        "/api/v2/variables",
    ] {
        assert_eq!(
            scoped.get(path).error(),
            (403, "PERMISSION_DENIED".to_owned()),
            "{path}"
        );
    }
    assert_eq!(
        scoped.post("/api/v2/dags/other/dagRuns", &json!({})).status,
        200
    );
    airlock.ok(&["tokens", "revoke", "scoped"]);
    assert_eq!(scoped.get("/api/v2/dags").status, 401);
    let viewer = client.with_token(&token(&airlock, "reader", "viewer"));
    assert_eq!(
        viewer.post("/api/v2/dags/other/dagRuns", &json!({})).status,
        403
    );
    assert_eq!(viewer.get("/api/v2/connections").status, 403);
}

#[test]
fn secrets_go_in_and_never_come_out() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let connection = json!({
        "connection_id": "slack", "conn_type": "http", "host": "hooks.slack.com", "password": "hunter2", "extra": "{\"token\": \"hunter2\", \"channel\": \"ml\"}",
    });
    assert_eq!(client.post("/api/v2/connections", &connection).status, 201);
    assert_eq!(
        client
            .post(
                "/api/v2/variables",
                &json!({"key": "api_token", "value": "hunter2"})
            )
            .status,
        201
    );
    for path in [
        "/api/v2/connections",
        "/api/v2/connections/slack",
        "/api/v2/variables",
        "/api/v2/variables/api_token",
        "/api/v2/eventLogs",
    ] {
        let text = client.get(path).text();
        assert!(!text.contains("hunter2"), "{path}: {text}");
    }
    // A client that sends back what it was shown does not make `***` of a password.
    let body = json!({"connection_id": "slack", "conn_type": "http", "host": "b.slack.com"});
    assert_eq!(
        client
            .json("PATCH", "/api/v2/connections/slack?update_mask=host", &body)
            .status,
        200
    );
    let kept = airlock.ok(&["connections", "export", "-", "--with-secrets"]);
    assert!(kept.stdout.contains("hunter2"), "{}", kept.stdout);
}
