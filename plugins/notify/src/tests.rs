//! Against the fake host.

use super::*;
use airlock_sdk::http::Response;
use airlock_sdk::testing::Host;
use std::time::Duration;

fn host(status: u16) -> Host {
    let host = Host::new();
    host.put_secret("slack_webhook");
    host.on_http(move |_| {
        Ok(Response {
            status,
            headers: Vec::new(),
            body: b"said so".to_vec(),
        })
    });
    host
}

#[test]
fn slack_posts_to_the_placeholder() {
    let host = host(200);
    host.run::<slack>(json!({"text": "hi"})).unwrap();
    let requests = host.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(
        requests[0].url,
        "https://hooks.slack.com/services/placeholder-of-slack_webhook"
    );
    assert_eq!(requests[0].body, br#"{"text":"hi"}"#);
}

#[test]
fn the_status_decides_about_retries() {
    let run =
        |status| host(status).run::<webhook>(json!({"url": "http://127.0.0.1:9/", "payload": [1]}));
    assert!(run(204).is_ok());
    for status in [429, 500, 503] {
        let ended = run(status);
        assert!(matches!(ended, Err(TaskError::Transient(_))), "{status}");
    }
    for status in [301, 400, 404] {
        let ended = run(status);
        assert!(
            matches!(&ended, Err(TaskError::Permanent(text)) if text.contains("said so")),
            "{status}"
        );
    }
}

#[test]
fn headers_take_secrets_and_unknown_ones_fail() {
    let host = host(200);
    let run = |value: &str| {
        host.run::<webhook>(json!({
            "url": "https://example.com/hook", "method": "PUT", "payload": {},
            "headers": {"authorization": value},
        }))
    };
    run("Bearer {secret:slack_webhook}").unwrap();
    let header = (
        "authorization".to_owned(),
        "Bearer placeholder-of-slack_webhook".to_owned(),
    );
    assert!(host.requests()[0].headers.contains(&header));
    assert_eq!(host.requests()[0].method, "PUT");
    assert!(matches!(
        run("{secret:nobody}"),
        Err(TaskError::Permanent(_))
    ));
    assert!(matches!(
        run("{secret:x"),
        Err(TaskError::InvalidInput { .. })
    ));
    assert_eq!(host.requests().len(), 1);
}

#[test]
fn the_log_gets_each_line() {
    let host = Host::new();
    let ended = host.run::<log>(json!({"message": "a\nb"}));
    assert_eq!(ended, Ok(Outcome::Success(json!("a\nb"))));
    assert_eq!(host.lines(), ["a", "b"]);
}

/// Answers 429 with `Retry-After` so often, then 202.
fn busy(times: u32, retry_after: &str) -> Host {
    let host = Host::new();
    host.put_secret("pagerduty_routing_key");
    let (mut left, retry_after) = (times, retry_after.to_owned());
    host.on_http(move |_| {
        let status = if left > 0 { 429 } else { 202 };
        left = left.saturating_sub(1);
        Ok(Response {
            status,
            headers: vec![("Retry-After".to_owned(), retry_after.clone())],
            body: b"slow down".to_vec(),
        })
    });
    host
}

#[test]
fn m18_a_receiver_that_asks_for_a_short_pause_gets_it() {
    let run = |host: &Host| {
        host.run::<webhook>(json!({"url": "https://example.com/hook", "payload": {}}))
    };
    let host = busy(2, "7");
    assert!(run(&host).is_ok());
    assert_eq!(host.requests().len(), 3);
    assert_eq!(host.slept(), Duration::from_secs(14));
    // Too long, too often, and a date: the task's retries take over.
    for (times, retry_after, sent) in [
        (1, "31", 1),
        (9, "1", 4),
        (1, "Fri, 31 Dec 2027 23:59:59 GMT", 1),
    ] {
        let host = busy(times, retry_after);
        let ended = run(&host);
        assert!(
            matches!(&ended, Err(TaskError::Transient(text)) if text.contains("slow down")),
            "{ended:?}"
        );
        assert_eq!(host.requests().len(), sent, "{retry_after}");
    }
}

#[test]
fn m18_an_incident_has_the_key_of_its_run_and_task() {
    let host = busy(0, "");
    let event = |host: &Host| -> Value {
        serde_json::from_slice(&host.requests().last().unwrap().body).unwrap()
    };
    let ended = host.run::<pagerduty>(json!({"summary": "x".repeat(2_000), "component": "gpu"}));
    let key = "dag/scheduled__2026-01-05T02:00:00+00:00/task";
    assert!(matches!(ended, Ok(Outcome::Success(value)) if value["dedup_key"] == key));
    let sent = event(&host);
    assert_eq!(
        host.requests()[0].url,
        "https://events.pagerduty.com/v2/enqueue"
    );
    assert_eq!(sent["routing_key"], "placeholder-of-pagerduty_routing_key");
    assert_eq!(
        (&sent["event_action"], &sent["dedup_key"]),
        (&json!("trigger"), &json!(key))
    );
    let payload = &sent["payload"];
    assert_eq!(
        (&payload["severity"], &payload["source"]),
        (&json!("error"), &json!("dag"))
    );
    assert_eq!(
        (&payload["component"], &payload["group"]),
        (&json!("gpu"), &Value::Null)
    );
    assert_eq!(payload["summary"].as_str().unwrap().len(), 1_024);
    let resolve = json!({"summary": "over", "event_action": "resolve", "dedup_key": "mine"});
    host.run::<pagerduty>(resolve).unwrap();
    assert_eq!(
        (&event(&host)["event_action"], &event(&host)["dedup_key"]),
        (&json!("resolve"), &json!("mine"))
    );
    let long = host.run::<pagerduty>(json!({"summary": "s", "dedup_key": "k".repeat(256)}));
    assert!(matches!(long, Err(TaskError::InvalidInput { field, .. }) if field == "dedup_key"));
}

#[test]
fn m18_a_mail_goes_to_each_address_once_however_they_are_written() {
    for to in [json!(["a@b.c", " d@e.f "]), json!("a@b.c; d@e.f")] {
        let host = Host::new();
        host.run::<email>(json!({"to": to, "subject": "weekly", "body": "all well"}))
            .unwrap();
        let mails = host.mails();
        assert_eq!(mails.len(), 1);
        assert_eq!(mails[0].to, ["a@b.c", "d@e.f"]);
        assert_eq!(
            (mails[0].subject.as_str(), mails[0].body.as_str()),
            ("weekly", "all well")
        );
    }
}

#[test]
fn a_mail_to_nobody_names_the_member_that_is_wrong() {
    let host = Host::new();
    let ended = host.run::<email>(json!({"to": " ; ", "subject": "s"}));
    assert!(matches!(ended, Err(TaskError::InvalidInput { field, .. }) if field == "to"));
    assert!(host.mails().is_empty());
}
