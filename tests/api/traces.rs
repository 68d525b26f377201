//! Traces, as a collector gets them.

use crate::{Client, token};
use airlock_tests::Airlock;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// No answer takes longer, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A collector, and the bodies that it was sent.
pub(crate) fn collector() -> (String, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (send, bodies) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let mut bytes = Vec::new();
            let mut part = vec![0; 65_536];
            let (head, body) = loop {
                let count = stream.read(&mut part).unwrap();
                bytes.extend_from_slice(&part[..count]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else {
                    continue;
                };
                let length = head.lines().find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length: ")
                        .map(str::to_owned)
                });
                if body.len() >= length.unwrap().parse().unwrap() {
                    break (head.to_owned(), serde_json::from_str(body).unwrap());
                }
            };
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
                .unwrap();
            if send.send((head, body)).is_err() {
                return;
            }
        }
    });
    (url, bodies)
}

fn value<'a>(span: &'a Value, key: &str) -> &'a Value {
    let attributes = span["attributes"].as_array().unwrap();
    let found = attributes
        .iter()
        .find(|one| one["key"] == key)
        .unwrap_or_else(|| panic!("{key}: {span}"));
    let value = &found["value"];
    value.get("stringValue").or(value.get("intValue")).unwrap()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
fn i20_a_run_is_a_trace_and_each_attempt_a_span_of_it() {
    let airlock = Airlock::new();
    airlock.dag_file(&json!({
        "dag_id": "traced",
        "tasks": [
            {"task_id": "flaky", "operator": "probe", "retries": 1, "retry_delay": "0s", "config": {"succeed_on_try": 2}},
            {"task_id": "last", "operator": "probe", "depends_on": ["flaky"]},
        ],
    }));
    let (url, bodies) = collector();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=secret"),
        ("OTEL_SERVICE_NAME", "trainer"),
    ];
    let _service = airlock.serve_in(&environment, &["--listen", "127.0.0.1:0"]);
    let client = Client::of(&airlock).with_token(&token(&airlock, "driver", "operator"));
    client.ok(
        "POST",
        "/api/v2/dags/traced/dagRuns",
        &json!({"dag_run_id": "first"}),
    );
    let (head, body) = bodies.recv_timeout(PATIENCE).unwrap();
    assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
    assert!(
        head.to_ascii_lowercase().contains("x-key: secret"),
        "{head}"
    );
    let resource = &body["resourceSpans"][0];
    assert_eq!(value(&resource["resource"], "service.name"), "trainer");
    let spans = resource["scopeSpans"][0]["spans"].as_array().unwrap();
    let root = &spans[0];
    assert_eq!(
        (
            &root["name"],
            value(root, "airlock.run_id"),
            &root["status"]["code"]
        ),
        (&json!("dag_run traced"), &json!("first"), &json!(1))
    );
    let attempts: Vec<_> = spans[1..]
        .iter()
        .map(|span| {
            (
                value(span, "airlock.task_id"),
                value(span, "airlock.try_number"),
                value(span, "airlock.outcome"),
                &span["status"]["code"],
            )
        })
        .collect();
    let (one, two) = (json!("1"), json!("2"));
    let (flaky, last, failed, success) = (
        json!("flaky"),
        json!("last"),
        json!("failed"),
        json!("success"),
    );
    assert_eq!(
        attempts,
        [
            (&flaky, &one, &failed, &json!(2)),
            (&flaky, &two, &success, &json!(1)),
            (&last, &one, &success, &json!(1))
        ]
    );
    for span in &spans[1..] {
        assert_eq!(
            (&span["traceId"], &span["parentSpanId"]),
            (&root["traceId"], &root["spanId"])
        );
        let nanos = |span: &Value, name: &str| span[name].as_str().unwrap().parse::<u64>().unwrap();
        assert!(nanos(span, "startTimeUnixNano") >= nanos(root, "startTimeUnixNano"));
        assert!(nanos(span, "endTimeUnixNano") <= nanos(root, "endTimeUnixNano"));
    }
    // A run that runs again is a trace of its own.
    client.ok(
        "POST",
        "/api/v2/dags/traced/dagRuns/first/clear",
        &json!({"dry_run": false}),
    );
    let (_, again) = bodies.recv_timeout(PATIENCE).unwrap();
    let second = &again["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
    assert_ne!(second["traceId"], root["traceId"]);
}

#[test]
fn i43_a_run_is_a_part_of_the_trace_of_whoever_asked_and_says_so_to_whom_its_tasks_ask() {
    let airlock = Airlock::new();
    let (hook, asked) = collector();
    let address = hook.strip_prefix("http://").unwrap();
    airlock.dag_file(&json!({
        "dag_id": "traced", "grants": {"http": [address]},
        "tasks": [{"task_id": "tell", "operator": "notify.webhook", "config": {"url": hook, "payload": {"a": 1}}}],
    }));
    let (url, bodies) = collector();
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str())];
    let _service = airlock.serve_in(&environment, &["--listen", "127.0.0.1:0"]);
    let client = Client::of(&airlock).with_token(&token(&airlock, "driver", "operator"));
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let trigger = |parent: &str, run_id: &str| {
        let lines = format!("Host: {}\r\ntraceparent: {parent}\r\n", client.address);
        let body = json!({"dag_run_id": run_id}).to_string();
        let path = "/api/v2/dags/traced/dagRuns";
        let answer = client.send_with(&lines, "POST", path, body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    let header = |head: &str| {
        let line = head.to_ascii_lowercase();
        let mut lines = line
            .lines()
            .filter_map(|line| line.strip_prefix("traceparent: "));
        lines.next().unwrap().to_owned()
    };
    let spans = |body: &Value| body["resourceSpans"][0]["scopeSpans"][0]["spans"].clone();
    trigger(&format!("00-{trace}-00f067aa0ba902b7-01"), "first");
    let (head, _) = asked.recv_timeout(PATIENCE).unwrap();
    let (_, body) = bodies.recv_timeout(PATIENCE).unwrap();
    let sent = spans(&body);
    assert_eq!(
        (
            &sent[0]["traceId"],
            &sent[0]["parentSpanId"],
            &sent[1]["traceId"]
        ),
        (&json!(trace), &json!("00f067aa0ba902b7"), &json!(trace))
    );
    let own = sent[1]["spanId"].as_str().unwrap();
    assert_eq!(header(&head), format!("00-{trace}-{own}-01"));
    // One that is not as W3C says is as if it were not there.
    trigger("00-wrong", "second");
    let (head, _) = asked.recv_timeout(PATIENCE).unwrap();
    let (_, body) = bodies.recv_timeout(PATIENCE).unwrap();
    let sent = spans(&body);
    assert!(sent[0]["parentSpanId"].is_null());
    let (trace, own) = (&sent[1]["traceId"], &sent[1]["spanId"]);
    let text = |id: &Value| id.as_str().unwrap().to_owned();
    assert_eq!(
        header(&head),
        format!("00-{}-{}-01", text(trace), text(own))
    );
}

#[test]
fn a_collector_that_is_not_there_holds_nothing_up() {
    let airlock = Airlock::new();
    airlock
        .dag_file(&json!({"dag_id": "traced", "tasks": [{"task_id": "one", "operator": "probe"}]}));
    // Nobody listens at a port that was just given back.
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{closed}");
    let service = airlock.serve_in(
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)],
        &["--listen", "off"],
    );
    airlock.until(&["dags", "list"], |dags| {
        dags.as_array().is_some_and(|dags| !dags.is_empty())
    });
    airlock.ok(&["dags", "trigger", "traced"]);
    airlock.until(&["runs", "list", "traced"], |runs| {
        runs[0]["state"] == "success"
    });
    assert!(service.stop().success());
    let wrong = airlock
        .command(&["serve", "--listen", "off"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "collector")
        .output()
        .unwrap();
    assert_eq!(
        wrong.status.code(),
        Some(2),
        "{}",
        String::from_utf8_lossy(&wrong.stderr)
    );
}
