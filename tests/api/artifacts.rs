//! Artifacts: bytes by paths that are names.

use crate::{Client, service};
use airlock_tests::Airlock;
use serde_json::{Value, json};

const BYTES: &str = "/api/2.0/mlflow-artifacts/artifacts";

/// A run, and the path of its artifacts.
fn run(client: &Client) -> (String, String) {
    let made = client.ok(
        "POST",
        "/api/2.0/mlflow/runs/create",
        &json!({"experiment_id": "0"}),
    );
    let info = &made["run"]["info"];
    let uri = info["artifact_uri"].as_str().unwrap();
    let root = uri.strip_prefix("mlflow-artifacts:/").unwrap().to_owned();
    (info["run_id"].as_str().unwrap().to_owned(), root)
}

#[test]
fn bytes_come_back_as_they_went_and_folders_are_listed() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let (run_id, root) = run(&client);
    let bytes: Vec<u8> = (0..3_000_000_u32)
        .map(|number| (number * 31 % 251) as u8)
        .collect();
    assert_eq!(
        client
            .send("PUT", &format!("{BYTES}/{root}/model/data.bin"), &bytes)
            .status,
        200
    );
    assert_eq!(
        client
            .send("PUT", &format!("{BYTES}/{root}/a%20b%C3%A4.txt"), b"")
            .status,
        200
    );
    let back = client.get(&format!("{BYTES}/{root}/model/data.bin"));
    assert_eq!((back.status, back.body == bytes), (200, true));
    assert_eq!(
        back.header("content-type"),
        Some("application/octet-stream")
    );
    assert_eq!(back.header("content-disposition"), Some("attachment"));
    assert_eq!(
        client.get(&format!("{BYTES}/{root}/a%20b%C3%A4.txt")).body,
        b""
    );
    let listed = client.ok("GET", &format!("{BYTES}?path={root}"), &Value::Null);
    assert_eq!(
        listed,
        json!({"files": [{"path": "a bä.txt", "is_dir": false, "file_size": 0}, {"path": "model", "is_dir": true}]})
    );
    let below = client.ok("GET", &format!("{BYTES}?path={root}/model"), &Value::Null);
    assert_eq!(
        below,
        json!({"files": [{"path": "data.bin", "is_dir": false, "file_size": 3_000_000}]})
    );
    let of_run = client.ok(
        "GET",
        &format!("/api/2.0/mlflow/artifacts/list?run_id={run_id}&path=model"),
        &Value::Null,
    );
    assert_eq!(of_run["root_uri"], format!("mlflow-artifacts:/{root}"));
    assert_eq!(
        of_run["files"],
        json!([{"path": "model/data.bin", "is_dir": false, "file_size": 3_000_000}])
    );
    assert_eq!(
        client
            .send("DELETE", &format!("{BYTES}/{root}/model"), b"")
            .status,
        200
    );
    let gone = client.get(&format!("{BYTES}/{root}/model/data.bin"));
    assert_eq!(gone.error(), (404, "RESOURCE_DOES_NOT_EXIST".to_owned()));
}

#[test]
fn a_path_that_would_leave_its_place_is_refused() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let (_, root) = run(&client);
    for path in [
        "{root}/../secret",
        "{root}/a/../../b",
        "{root}/%2e%2e/secret",
        "{root}/..%2fsecret",
        "{root}/%2E%2E%2F%2E%2E%2Fsecret",
        "{root}/%252e%252e/secret",
        "{root}//etc/passwd",
        "{root}/%2fetc/passwd",
        "{root}/a%5c..%5cb",
        "{root}/.",
        "{root}/a//b",
        "{root}/a%00b",
        "{root}/a%0ab",
        "../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "/etc/passwd",
        "0/../secret",
        "x",
        "{root}",
        "{root}/%ff",
    ] {
        let path = path.replace("{root}", &root);
        for method in ["GET", "PUT", "DELETE"] {
            let answer = client.send(method, &format!("{BYTES}/{path}"), b"x");
            assert_eq!(answer.status, 400, "{method} {path}: {}", answer.text());
        }
    }
    for path in [
        "../..",
        "0/../..",
        "%2e%2e",
        "{root}/..",
        "/etc",
        "{root}/%00",
    ] {
        let path = path.replace("{root}", &root);
        let answer = client.get(&format!("{BYTES}?path={path}"));
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
    }
    assert_eq!(
        client.ok("GET", &format!("{BYTES}?path={root}"), &Value::Null),
        json!({"files": []})
    );
}

#[test]
fn a_run_is_found_in_its_own_experiment_only() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let (run_id, root) = run(&client);
    client.send("PUT", &format!("{BYTES}/{root}/a"), b"x");
    let other = client.get(&format!("{BYTES}/1/{run_id}/artifacts/a"));
    assert_eq!(other.error(), (404, "RESOURCE_DOES_NOT_EXIST".to_owned()));
    let nobody = client.get(&format!("{BYTES}/0/{}/artifacts/a", "0".repeat(32)));
    assert_eq!(nobody.error(), (404, "RESOURCE_DOES_NOT_EXIST".to_owned()));
}

#[test]
fn an_upload_that_announces_too_much_is_refused_before_it_comes() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let (_, root) = run(&client);
    let token = crate::token(&airlock, "writer", "operator");
    let head = format!(
        "PUT {BYTES}/{root}/a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: 99999999999\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(
        client.raw(head.as_bytes()).error(),
        (413, "INVALID_PARAMETER_VALUE".to_owned())
    );
}
