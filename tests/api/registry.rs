//! Registered models, their versions, and logged models.

use crate::{Client, service};
use airlock_tests::Airlock;
use serde_json::{Value, json};

fn at(noun: &str) -> String {
    format!("/api/2.0/mlflow/{noun}")
}

fn version(client: &Client, source: &str) -> Value {
    let asked = json!({"name": "churn", "source": source});
    client.ok("POST", &at("model-versions/create"), &asked)["model_version"].clone()
}

#[test]
fn stages_and_aliases_move_as_mlflow_moves_them() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    client.ok(
        "POST",
        &at("registered-models/create"),
        &json!({"name": "churn", "description": "d"}),
    );
    let twice = client.post(&at("registered-models/create"), &json!({"name": "churn"}));
    assert_eq!(twice.error(), (400, "RESOURCE_ALREADY_EXISTS".to_owned()));
    let first = version(&client, "s3://bucket/1");
    assert_eq!(
        (&first["version"], &first["current_stage"], &first["status"]),
        (&json!("1"), &json!("None"), &json!("READY"))
    );
    version(&client, "s3://bucket/2");
    let moving = |version: &str, archive: bool| json!({"name": "churn", "version": version, "stage": "production", "archive_existing_versions": archive});
    client.ok(
        "POST",
        &at("model-versions/transition-stage"),
        &moving("1", false),
    );
    client.ok(
        "POST",
        &at("model-versions/transition-stage"),
        &moving("2", true),
    );
    let latest = client.ok(
        "POST",
        &at("registered-models/get-latest-versions"),
        &json!({"name": "churn"}),
    );
    let stages: Vec<(&Value, &Value)> = latest["model_versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["version"], &one["current_stage"]))
        .collect();
    assert_eq!(
        stages,
        [
            (&json!("2"), &json!("Production")),
            (&json!("1"), &json!("Archived"))
        ]
    );
    client.ok(
        "POST",
        &at("registered-models/alias"),
        &json!({"name": "churn", "alias": "champion", "version": "2"}),
    );
    let by_alias = client.ok(
        "GET",
        &at("registered-models/alias?name=churn&alias=champion"),
        &Value::Null,
    );
    assert_eq!(by_alias["model_version"]["aliases"], json!(["champion"]));
    let missing = client.get(&at("registered-models/alias?name=churn&alias=nobody"));
    assert_eq!(missing.error(), (400, "INVALID_PARAMETER_VALUE".to_owned()));
    assert_eq!(
        missing.message(),
        "Registered model alias nobody not found."
    );
    let found = client.ok(
        "GET",
        &at("model-versions/search?filter=name%20%3D%20%27churn%27&order_by=version_number%20ASC"),
        &Value::Null,
    );
    assert_eq!(found["model_versions"].as_array().unwrap().len(), 2);
    let uri = client.ok(
        "GET",
        &at("model-versions/get-download-uri?name=churn&version=2"),
        &Value::Null,
    );
    assert_eq!(uri, json!({"artifact_uri": "s3://bucket/2"}));
    client.ok(
        "DELETE",
        &at("registered-models/alias"),
        &json!({"name": "churn", "alias": "champion"}),
    );
    let got = client.ok("GET", &at("registered-models/get?name=churn"), &Value::Null);
    assert_eq!(got["registered_model"]["aliases"], json!([]));
}

#[test]
fn what_is_wrong_with_a_version_is_told() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    client.ok(
        "POST",
        &at("registered-models/create"),
        &json!({"name": "churn"}),
    );
    for source in [
        "/etc/passwd",
        "file:///etc/passwd",
        "FILE:/etc",
        "../model",
        "C:\\model",
        "model",
        ":",
    ] {
        let answer = client.post(
            &at("model-versions/create"),
            &json!({"name": "churn", "source": source}),
        );
        assert_eq!(
            answer.error(),
            (400, "INVALID_PARAMETER_VALUE".to_owned()),
            "{source}"
        );
        assert!(
            answer
                .message()
                .starts_with("Invalid model version source: "),
            "{}",
            answer.message()
        );
    }
    version(&client, "s3://bucket/1");
    let gone = client.get(&at("model-versions/get?name=churn&version=9"));
    assert_eq!(gone.error(), (404, "RESOURCE_DOES_NOT_EXIST".to_owned()));
    for version in ["x", "-1", "1.5", "99999999999"] {
        let answer = client.get(&at(&format!(
            "model-versions/get?name=churn&version={version}"
        )));
        assert_eq!(
            answer.error(),
            (400, "INVALID_PARAMETER_VALUE".to_owned()),
            "{version}"
        );
    }
    let stage = json!({"name": "churn", "version": "1", "stage": "Live", "archive_existing_versions": false});
    assert_eq!(
        client
            .post(&at("model-versions/transition-stage"), &stage)
            .message(),
        "Invalid Model Version stage: Live. Value must be one of None, Staging, Production, Archived."
    );
    let silent = json!({"name": "churn", "version": "1", "stage": "Staging"});
    assert!(
        client
            .post(&at("model-versions/transition-stage"), &silent)
            .message()
            .contains("'archive_existing_versions'")
    );
}

#[test]
fn a_logged_model_is_made_filled_registered_and_found() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let run = client.ok("POST", &at("runs/create"), &json!({"experiment_id": "0"}));
    let run_id = run["run"]["info"]["run_id"].clone();
    let asked = json!({"experiment_id": "0", "name": "model", "source_run_id": run_id, "params": [{"key": "depth", "value": "6"}]});
    let made = client.ok("POST", &at("logged-models"), &asked);
    let info = &made["model"]["info"];
    assert_eq!(info["status"], "LOGGED_MODEL_PENDING");
    let id = info["model_id"].as_str().unwrap();
    let root = info["artifact_uri"]
        .as_str()
        .unwrap()
        .strip_prefix("mlflow-artifacts:/")
        .unwrap();
    let place = format!("/api/2.0/mlflow-artifacts/artifacts/{root}/MLmodel");
    assert_eq!(client.send("PUT", &place, b"flavors: {}").status, 200);
    let ready = client.ok(
        "PATCH",
        &at(&format!("logged-models/{id}")),
        &json!({"model_id": id, "status": "LOGGED_MODEL_READY"}),
    );
    assert_eq!(ready["model"]["info"]["status"], "LOGGED_MODEL_READY");
    let wrong = client.json(
        "PATCH",
        &at(&format!("logged-models/{id}")),
        &json!({"status": "DONE"}),
    );
    assert_eq!(wrong.error(), (400, "INVALID_PARAMETER_VALUE".to_owned()));
    client.ok(
        "PATCH",
        &at(&format!("logged-models/{id}/tags")),
        &json!({"tags": [{"key": "a", "value": "b"}]}),
    );
    client.ok(
        "POST",
        &at("runs/outputs"),
        &json!({"run_id": run_id, "models": [{"model_id": id, "step": 3}]}),
    );
    let metric = json!({"run_id": run_id, "key": "auc", "value": 0.5, "timestamp": 1, "model_id": id, "dataset_name": "rows", "dataset_digest": "d"});
    client.ok("POST", &at("runs/log-metric"), &metric);
    let search = |filter: &str| {
        let order = json!([{"field_name": "creation_timestamp", "ascending": false}]);
        client.ok(
            "POST",
            &at("logged-models/search"),
            &json!({"experiment_ids": ["0"], "filter": filter, "order_by": order}),
        )
    };
    assert_eq!(search("name = 'other'"), json!({"models": []}));
    let found = search("name = 'model' AND params.depth = '6'");
    assert_eq!(
        found["models"][0]["info"]["tags"],
        json!([{"key": "a", "value": "b"}])
    );
    let measured = &found["models"][0]["data"]["metrics"][0];
    assert_eq!(
        (
            &measured["value"],
            &measured["dataset_name"],
            &measured["run_id"]
        ),
        (&json!(0.5), &json!("rows"), &run_id)
    );
    let listed = client.ok(
        "GET",
        &at(&format!("logged-models/{id}/artifacts/directories")),
        &Value::Null,
    );
    assert_eq!(
        listed["files"],
        json!([{"path": "MLmodel", "is_dir": false, "file_size": 11}])
    );
    client.ok(
        "POST",
        &at("registered-models/create"),
        &json!({"name": "churn"}),
    );
    version(&client, &format!("models:/{id}"));
    let uri = client.ok(
        "GET",
        &at("model-versions/get-download-uri?name=churn&version=1"),
        &Value::Null,
    );
    assert_eq!(uri["artifact_uri"], info["artifact_uri"]);
    let outputs = client.ok(
        "GET",
        &at(&format!("runs/get?run_id={}", run_id.as_str().unwrap())),
        &Value::Null,
    );
    assert_eq!(
        outputs["run"]["outputs"]["model_outputs"],
        json!([{"model_id": id, "step": 3}])
    );
}
