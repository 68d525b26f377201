//! Experiments and runs as MLflow's clients ask for them.

use crate::{Client, service};
use airlock_tests::Airlock;
use serde_json::{Value, json};

fn experiment(client: &Client, name: &str) -> String {
    let made = client.ok(
        "POST",
        "/api/2.0/mlflow/experiments/create",
        &json!({"name": name}),
    );
    made["experiment_id"].as_str().unwrap().to_owned()
}

fn run(client: &Client, experiment_id: &str) -> Value {
    let asked = json!({"experiment_id": experiment_id, "start_time": 1_700_000_000_000_i64, "tags": [{"key": "a b", "value": "c"}]});
    client.ok("POST", "/api/2.0/mlflow/runs/create", &asked)["run"].clone()
}

#[test]
fn an_experiment_is_answered_as_mlflow_answers_it() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let id = experiment(&client, "churn");
    let got = client.ok(
        "GET",
        &format!("/api/2.0/mlflow/experiments/get?experiment_id={id}"),
        &Value::Null,
    );
    let shown = &got["experiment"];
    assert_eq!(shown["name"], "churn");
    assert_eq!(shown["lifecycle_stage"], "active");
    assert_eq!(
        shown["artifact_location"],
        format!("mlflow-artifacts:/{id}")
    );
    // Clients read 64-bit integers as numbers and texts; MLflow writes numbers.
    assert!(shown["creation_time"].is_i64());
    let by_name = client.ok(
        "GET",
        "/api/2.0/mlflow/experiments/get-by-name?experiment_name=churn",
        &Value::Null,
    );
    assert_eq!(by_name, got);
    let missing = client.get("/api/2.0/mlflow/experiments/get-by-name?experiment_name=nowhere");
    assert_eq!(missing.error(), (404, "RESOURCE_DOES_NOT_EXIST".to_owned()));
    assert_eq!(
        missing.message(),
        "Could not find experiment with name 'nowhere'"
    );
    let twice = client.post(
        "/api/2.0/mlflow/experiments/create",
        &json!({"name": "churn"}),
    );
    assert_eq!(twice.error(), (400, "RESOURCE_ALREADY_EXISTS".to_owned()));
    let elsewhere = json!({"name": "x", "artifact_location": "file:///etc"});
    assert_eq!(
        client
            .post("/api/2.0/mlflow/experiments/create", &elsewhere)
            .status,
        400
    );
    let unknown = client.get("/api/2.0/mlflow/experiments/get?experiment_id=77");
    assert_eq!(unknown.error(), (404, "RESOURCE_DOES_NOT_EXIST".to_owned()));
    for view in ["ACTIVE_ONLY", "1", "ALL", "3"] {
        let found = client.ok(
            "POST",
            "/api/2.0/mlflow/experiments/search",
            &json!({"view_type": view, "max_results": 10}),
        );
        assert_eq!(found["experiments"].as_array().unwrap().len(), 2, "{view}");
    }
    let wrong = client.post(
        "/api/2.0/mlflow/experiments/search",
        &json!({"view_type": "SOME"}),
    );
    assert_eq!(
        wrong.message(),
        "Invalid value SOME for parameter 'view_type' supplied: it must be ACTIVE_ONLY, DELETED_ONLY or ALL."
    );
    let none = client.post(
        "/api/2.0/mlflow/experiments/search",
        &json!({"max_results": 0}),
    );
    assert_eq!(
        none.message(),
        "Invalid value 0 for parameter 'max_results': it must be from 1 to 50000."
    );
}

#[test]
fn numbers_that_json_has_none_for_come_back_as_they_went() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let run = run(&client, "0");
    let id = run["info"]["run_id"].clone();
    assert_eq!(run["info"]["run_uuid"], id);
    assert_eq!(run["info"]["status"], "RUNNING");
    assert_eq!(run["info"]["start_time"], 1_700_000_000_000_i64);
    let values = [
        json!("NaN"),
        json!("Infinity"),
        json!("-Infinity"),
        json!(0.300_000_000_000_000_04),
        json!(5e-324),
        json!("1e300"),
    ];
    let point = |(step, value): (usize, &Value)| json!({"key": "m", "value": value, "timestamp": "9007199254740993", "step": step.to_string()});
    let metrics: Vec<Value> = values.iter().enumerate().map(point).collect();
    client.ok(
        "POST",
        "/api/2.0/mlflow/runs/log-batch",
        &json!({"run_id": id, "metrics": metrics, "unheard_of": [1]}),
    );
    let path = format!(
        "/api/2.0/mlflow/metrics/get-history?run_id={}&metric_key=m",
        id.as_str().unwrap()
    );
    let history = client.ok("GET", &path, &Value::Null);
    let back: Vec<&Value> = history["metrics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|point| &point["value"])
        .collect();
    let expected = [
        json!("NaN"),
        json!("Infinity"),
        json!("-Infinity"),
        json!(0.300_000_000_000_000_04),
        json!(5e-324),
        json!(1e300),
    ];
    assert_eq!(back, expected.iter().collect::<Vec<_>>());
    assert_eq!(
        history["metrics"][0]["timestamp"],
        9_007_199_254_740_993_i64
    );
    let first = client.ok("GET", &format!("{path}&max_results=4"), &Value::Null);
    let token = first["next_page_token"].as_str().unwrap();
    let rest = client.ok(
        "GET",
        &format!("{path}&max_results=4&page_token={token}"),
        &Value::Null,
    );
    assert_eq!(rest["metrics"].as_array().unwrap().len(), 2);
}

#[test]
fn what_a_run_lacks_is_named() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let id = run(&client, "0")["info"]["run_id"].clone();
    let missing = |name: &str| {
        format!(
            "Missing value for required parameter '{name}'. See the API docs for more information about request parameters."
        )
    };
    for (path, body, name) in [
        (
            "log-metric",
            json!({"run_id": id, "value": 1.0, "timestamp": 1}),
            "key",
        ),
        (
            "log-metric",
            json!({"run_id": id, "key": "a", "timestamp": 1}),
            "value",
        ),
        (
            "log-metric",
            json!({"run_id": id, "key": "a", "value": 1.0}),
            "timestamp",
        ),
        (
            "log-metric",
            json!({"key": "a", "value": 1.0, "timestamp": 1}),
            "run_id",
        ),
        ("log-parameter", json!({"run_id": id, "key": "a"}), "value"),
        ("set-tag", json!({"run_id": id, "value": "a"}), "key"),
        (
            "log-batch",
            json!({"run_id": id, "metrics": [{"key": "a", "value": 1}]}),
            "timestamp",
        ),
        (
            "log-inputs",
            json!({"run_id": id, "datasets": [{"tags": []}]}),
            "dataset",
        ),
    ] {
        let answer = client.post(&format!("/api/2.0/mlflow/runs/{path}"), &body);
        assert_eq!(
            answer.error(),
            (400, "INVALID_PARAMETER_VALUE".to_owned()),
            "{path}"
        );
        assert_eq!(answer.message(), missing(name), "{path} {body}");
    }
    let absent = json!({"run_id": "0".repeat(32), "key": "a", "value": "b"});
    assert_eq!(
        client.post("/api/2.0/mlflow/runs/set-tag", &absent).error(),
        (404, "RESOURCE_DOES_NOT_EXIST".to_owned())
    );
}

#[test]
fn what_a_run_is_told_wrongly_changes_nothing() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let id = run(&client, "0")["info"]["run_id"].clone();
    let pair = |value: &str| json!({"run_id": id, "key": "depth", "value": value});
    client.ok("POST", "/api/2.0/mlflow/runs/log-parameter", &pair("6"));
    client.ok("POST", "/api/2.0/mlflow/runs/log-parameter", &pair("6"));
    let changed = client.post("/api/2.0/mlflow/runs/log-parameter", &pair("7"));
    assert_eq!(changed.error(), (400, "INVALID_PARAMETER_VALUE".to_owned()));
    let status = client.post(
        "/api/2.0/mlflow/runs/update",
        &json!({"run_id": id, "status": "DONE"}),
    );
    assert_eq!(
        status.message(),
        "Invalid value DONE for parameter 'status' supplied: it must be RUNNING, SCHEDULED, FINISHED, FAILED or KILLED."
    );
    for number in [i64::MIN, -1, 0, 6, i64::MAX] {
        let wrong = client.post(
            "/api/2.0/mlflow/runs/update",
            &json!({"run_id": id, "status": number}),
        );
        assert_eq!(
            wrong.error(),
            (400, "INVALID_PARAMETER_VALUE".to_owned()),
            "{number}"
        );
    }
    let ended = client.ok(
        "POST",
        "/api/2.0/mlflow/runs/update",
        &json!({"run_id": id, "status": 3, "end_time": 1_800_000_000_000_i64}),
    );
    assert_eq!(
        (&ended["run_info"]["status"], &ended["run_info"]["end_time"]),
        (&json!("FINISHED"), &json!(1_800_000_000_000_i64))
    );
}

#[test]
fn a_filter_that_is_none_says_where_and_runs_are_found_by_one_that_is() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let id = run(&client, "0")["info"]["run_id"].clone();
    client.ok(
        "POST",
        "/api/2.0/mlflow/runs/log-metric",
        &json!({"run_id": id, "key": "auc", "value": 0.75, "timestamp": 5}),
    );
    let search = |filter: &str| {
        client.post(
            "/api/2.0/mlflow/runs/search",
            &json!({"experiment_ids": ["0"], "filter": filter}),
        )
    };
    let found = search("metrics.auc >= 0.75 AND tags.\"a b\" = 'c'").json();
    assert_eq!(found["runs"][0]["info"]["run_id"], id);
    assert_eq!(found["runs"][0]["data"]["metrics"][0]["value"], 0.75);
    assert_eq!(search("metrics.auc > 0.75").json(), json!({"runs": []}));
    let wrong = search("metrics.auc >> 0.75");
    assert_eq!(wrong.error(), (400, "INVALID_PARAMETER_VALUE".to_owned()));
    assert!(
        wrong.message().contains("at character"),
        "{}",
        wrong.message()
    );
    client.ok(
        "POST",
        "/api/2.0/mlflow/runs/delete",
        &json!({"run_id": id}),
    );
    assert_eq!(search("").json(), json!({"runs": []}));
}

#[test]
fn models_that_older_clients_log_are_listed_in_their_tag() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let id = run(&client, "0")["info"]["run_id"].clone();
    for name in ["one", "two"] {
        let model = json!({"artifact_path": name}).to_string();
        client.ok(
            "POST",
            "/api/2.0/mlflow/runs/log-model",
            &json!({"run_id": id, "model_json": model}),
        );
    }
    let got = client.ok(
        "GET",
        &format!("/api/2.0/mlflow/runs/get?run_id={}", id.as_str().unwrap()),
        &Value::Null,
    );
    let tags = got["run"]["data"]["tags"].as_array().unwrap();
    let tag = tags
        .iter()
        .find(|tag| tag["key"] == "mlflow.log-model.history")
        .unwrap();
    let listed: Value = serde_json::from_str(tag["value"].as_str().unwrap()).unwrap();
    assert_eq!(
        listed,
        json!([{"artifact_path": "one"}, {"artifact_path": "two"}])
    );
}

#[test]
fn experiments_runs_and_models_are_listed_in_airlocks_style_too() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let id = experiment(&client, "churn");
    let ids: Vec<String> = (0..3)
        .map(|number| {
            let made = run(&client, &id);
            let run_id = made["info"]["run_id"].as_str().unwrap().to_owned();
            let metric = json!({"run_id": run_id, "key": "auc", "value": 0.7 + 0.1 * f64::from(number), "timestamp": 1});
            client.ok("POST", "/api/2.0/mlflow/runs/log-metric", &metric);
            run_id
        })
        .collect();
    let named = json!({"name": "churn_prediction"});
    client.ok("POST", "/api/2.0/mlflow/registered-models/create", &named);
    let get = |path: &str| client.ok("GET", &format!("/api/v2/airlock/{path}"), &Value::Null);
    let listed = get("experiments?filter=name%20%3D%20'churn'");
    assert_eq!(listed["total_entries"], 1);
    assert_eq!(listed["experiments"][0]["experiment_id"], id);
    let search = format!(
        "experiments/{id}/runs?limit=1&order_by=metrics.auc%20DESC&filter=metrics.auc%20%3E%200.75"
    );
    let first = get(&search);
    assert_eq!(first["runs"][0]["run_id"], ids[2]);
    let token = first["next_page_token"].as_str().unwrap();
    let second = get(&format!("{search}&page_token={token}"));
    assert_eq!(second["runs"][0]["run_id"], ids[1]);
    assert_eq!(second["next_page_token"], Value::Null);
    assert_eq!(
        get(&format!("trackingRuns/{}", ids[0]))["run"]["run_id"],
        ids[0]
    );
    assert_eq!(get("models")["models"][0]["name"], "churn_prediction");
    assert_eq!(get("models/churn_prediction")["versions"], json!([]));
    for missing in ["experiments/77/runs", "trackingRuns/77", "models/none"] {
        let answer = client.get(&format!("/api/v2/airlock/{missing}"));
        assert_eq!(answer.status, 404, "{missing}");
    }
}
