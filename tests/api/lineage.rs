//! Lineage events, as a consumer of `OpenLineage` gets them.

use crate::traces::collector;
use crate::{Client, token};
use airlock_tests::Airlock;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

/// No answer takes longer, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

fn dag() -> Value {
    json!({
        "dag_id": "pipeline", "description": "from raw to features",
        "tasks": [
            {"task_id": "read", "operator": "probe", "inlets": ["s3://lake/raw"], "outlets": ["s3://lake/clean"]},
            {"task_id": "write", "operator": "probe", "depends_on": ["read"], "outlets": ["file:///data/features"],
                "config": {"result": "{{ params.result }}"}},
        ],
        "params": {"result": {"type": "string", "default": "success"}},
    })
}

/// What a consumer needs of an event, checked as the schema says it.
fn told(event: &Value) -> (String, String, Value, Value) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    assert!(text(&event["eventTime"]).ends_with('Z'));
    assert!(text(&event["producer"]).starts_with("urn:airlock:"));
    assert_eq!(
        event["schemaURL"],
        "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
    );
    assert_eq!(event["job"]["namespace"], "airlock");
    assert_eq!(event["job"]["name"], "pipeline");
    for facets in [&event["run"]["facets"], &event["job"]["facets"]] {
        for facet in facets.as_object().unwrap().values() {
            assert!(
                facet["_producer"].is_string() && facet["_schemaURL"].is_string(),
                "{facet}"
            );
        }
    }
    let run_id = text(&event["run"]["runId"]);
    assert_eq!(run_id.len(), 36);
    (
        text(&event["eventType"]),
        run_id,
        event["inputs"].clone(),
        event["outputs"].clone(),
    )
}

#[test]
fn i43_a_run_tells_when_it_starts_and_how_it_ends() {
    let airlock = Airlock::new();
    airlock.dag_file(&dag());
    let (url, bodies) = collector();
    airlock.file("airlock.toml", &format!("openlineage_url = {url:?}"));
    let _service = airlock.serve_with(&["--listen", "127.0.0.1:0"]);
    let client = Client::of(&airlock).with_token(&token(&airlock, "driver", "operator"));
    let trigger = |body: &Value| {
        client.ok("POST", "/api/v2/dags/pipeline/dagRuns", body);
        [(); 2].map(|()| bodies.recv_timeout(PATIENCE).unwrap())
    };
    let [(head, start), (_, end)] =
        trigger(&json!({"dag_run_id": "first", "logical_date": "2026-01-05T02:00:00Z"}));
    assert!(head.starts_with("POST /api/v1/lineage HTTP/1.1"), "{head}");
    let (start, end) = (told(&start), (told(&end), end));
    let raw = json!([{"namespace": "s3://lake", "name": "raw"}]);
    let clean = json!({"namespace": "s3://lake", "name": "clean"});
    let features = json!({"namespace": "file", "name": "/data/features"});
    assert_eq!(
        (start.0.as_str(), &start.2, &start.3),
        ("START", &raw, &json!([features, clean]))
    );
    let (end, event) = end;
    assert_eq!(
        (end.0.as_str(), &end.1, &end.2, &end.3),
        ("COMPLETE", &start.1, &raw, &json!([features, clean]))
    );
    assert_eq!(
        event["run"]["facets"]["nominalTime"]["nominalStartTime"],
        "2026-01-05T02:00:00Z"
    );
    assert_eq!(event["job"]["facets"]["jobType"]["jobType"], "DAG");
    // What a failed task says that it writes was not written.
    let [_, (_, failed)] = trigger(&json!({"dag_run_id": "second", "conf": {"result": "fail"}}));
    let event = told(&failed);
    assert_eq!((event.0.as_str(), &event.3), ("FAIL", &json!([clean])));
    assert_eq!(
        failed["run"]["facets"]["errorMessage"]["message"],
        "task_failure"
    );
    assert_ne!(event.1, start.1);
}

#[test]
fn a_consumer_that_fails_is_asked_again_and_holds_nothing_up() {
    let airlock = Airlock::new();
    airlock.dag_file(&dag());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let environment = [("OPENLINEAGE_URL", url.as_str())];
    let service = airlock.serve_in(&environment, &["--listen", "off"]);
    airlock.until(&["dags", "list"], |dags| {
        dags.as_array().is_some_and(|dags| !dags.is_empty())
    });
    // Nobody has answered yet, and the run ends.
    airlock.ok(&["dags", "trigger", "pipeline"]);
    let mut seen = Vec::new();
    for answer in ["503 Service Unavailable", "200 OK", "200 OK"] {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (mut bytes, mut part) = (Vec::new(), vec![0; 65_536]);
        let kind = loop {
            let count = stream.read(&mut part).unwrap();
            bytes.extend_from_slice(&part[..count]);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
            if let Some(Ok(event)) = body.map(|body| serde_json::from_str::<Value>(&body)) {
                break event["eventType"].clone();
            }
        };
        seen.push(kind);
        let head = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
    }
    assert_eq!(seen, [json!("START"), json!("START"), json!("COMPLETE")]);
    assert!(service.stop().success());
    let wrong = airlock
        .command(&["serve", "--listen", "off"])
        .env("OPENLINEAGE_URL", "marquez")
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}
