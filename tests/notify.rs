//! Outgoing HTTP through the whole program: a guest posts over `wasi:http` to a server of the test's own.

use airlock_tests::{Airlock, Done};
use serde_json::{Value, json};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

/// No run may take longer.
const RUN_SECONDS_MAX: u32 = 60;
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
const SECRET: &str = "t0p-s3cret-value";

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Gives one answer to each connection, in order. What was sent comes before its answer goes out.
fn serve(listener: &TcpListener, answers: Vec<String>) -> Receiver<String> {
    let listener = listener.try_clone().unwrap();
    let (sent, received) = channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            sent.send(read_request(&mut stream)).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    received
}

fn read_request(stream: &mut TcpStream) -> String {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut buffer).unwrap();
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse::<usize>().unwrap())
            });
            body.len() >= length.unwrap_or(0)
        });
        if whole || count == 0 {
            return text;
        }
    }
}

/// Whether nobody knocked.
fn is_untouched(listener: &TcpListener) -> bool {
    listener.set_nonblocking(true).unwrap();
    let knocked = listener.accept();
    matches!(knocked, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// A DAG of one webhook task; `more` are further keys of the task.
fn dag(url: &str, headers: &Value, grants: &Value, more: &Value) -> Value {
    let config = json!({"url": url, "payload": {"text": "hällo", "n": [1, 2]}, "headers": headers});
    let mut task = json!({"task_id": "post", "operator": "notify.webhook", "config": config});
    for (key, value) in more.as_object().unwrap() {
        task[key] = value.clone();
    }
    json!({"dag_id": "tells", "grants": grants, "tasks": [task]})
}

/// Runs the DAG in the data folder; the run is `run_1`.
fn trigger(airlock: &Airlock, dag: &Value) -> (Done, Value) {
    airlock.file("tells.yaml", &dag.to_string());
    let arguments = ["dags", "trigger", "tells.yaml", "--run-id", "run_1"];
    let more = ["--data", "data", "--json"];
    let done = airlock.run_within(RUN_SECONDS_MAX, &[&arguments[..], &more].concat());
    let row = done.json()["task_instances"][0].clone();
    assert!(row.is_object(), "{}{}", done.stdout, done.stderr);
    (done, row)
}

fn granted(address: SocketAddr) -> Value {
    json!({"http": [address.to_string()]})
}

#[test]
fn a_webhook_arrives_with_its_body() {
    let (listener, address) = listen();
    let received = serve(&listener, vec![OK.into()]);
    let airlock = Airlock::new();
    let url = format!("http://{address}/hooks/a?b=c");
    let headers = json!({"x-source": "airlock"});
    let (done, row) = trigger(
        &airlock,
        &dag(&url, &headers, &granted(address), &json!({})),
    );
    assert_eq!((done.code, &row["state"]), (0, &json!("success")), "{row}");
    let request = received.try_recv().unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("post /hooks/a?b=c http/1.1\r\n"), "{head}");
    for line in [
        "x-source: airlock",
        "content-type: application/json",
        &format!("host: {address}"),
    ] {
        assert!(head.lines().any(|other| other == line), "{line} in {head}");
    }
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body, json!({"text": "hällo", "n": [1, 2]}));
}

#[test]
fn a_large_body_arrives_whole() {
    let (listener, address) = listen();
    let received = serve(&listener, vec![OK.into()]);
    let airlock = Airlock::new();
    let mut dag = dag(
        &format!("http://{address}/"),
        &json!({}),
        &granted(address),
        &json!({}),
    );
    // More than one chunk of the guest's stream, and more than the host's buffer.
    let payload: Vec<u32> = (0..40_000).collect();
    dag["tasks"][0]["config"]["payload"] = json!(payload);
    let (done, row) = trigger(&airlock, &dag);
    assert_eq!((done.code, &row["state"]), (0, &json!("success")), "{row}");
    let request = received.try_recv().unwrap();
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(serde_json::from_str::<Vec<u32>>(body).unwrap(), payload);
}

#[test]
fn without_a_grant_nothing_leaves_and_the_grant_is_named() {
    let (listener, address) = listen();
    let url = format!("http://{address}/");
    let elsewhere = json!({"http": ["hooks.example.com"]});
    // No `http` grant at all, one for another host, and a name that leads to the same private address.
    let by_name = format!("http://localhost:{}/", address.port());
    let name_only = json!({"http": [format!("localhost:{}", address.port())]});
    for (url, grants, told) in [
        (&url, &json!({}), "needs the grant `http`".to_owned()),
        (
            &url,
            &elsewhere,
            format!("it needs `http` with \"{address}\""),
        ),
        (
            &by_name,
            &name_only,
            "`http` must name that address".to_owned(),
        ),
    ] {
        let airlock = Airlock::new();
        let (done, row) = trigger(&airlock, &dag(url, &json!({}), grants, &json!({})));
        assert_eq!((done.code, &row["state"]), (10, &json!("failed")), "{row}");
        let error = row["error"].as_str().unwrap();
        assert!(error.contains("denied") && error.contains(&told), "{error}");
    }
    assert!(is_untouched(&listener));
}

#[test]
fn a_server_that_stumbles_is_asked_again_and_one_that_refuses_is_not() {
    let stumble = "HTTP/1.1 500 Oh\r\ncontent-length: 4\r\nconnection: close\r\n\r\noops";
    let (listener, address) = listen();
    let received = serve(&listener, vec![stumble.into(), OK.into()]);
    let airlock = Airlock::new();
    let url = format!("http://{address}/");
    let again = json!({"retries": 1, "retry_delay": 1});
    let asks = dag(&url, &json!({}), &granted(address), &again);
    let (done, row) = trigger(&airlock, &asks);
    assert_eq!((done.code, &row["try_number"]), (0, &json!(2)), "{row}");
    let (first, second) = (received.try_recv().unwrap(), received.try_recv().unwrap());
    assert_eq!(first.split_once("\r\n\r\n"), second.split_once("\r\n\r\n"));
    // 404 will not change by asking again.
    let refusal = stumble.replace("500 Oh", "404 No");
    let (listener, address) = listen();
    let received = serve(&listener, vec![refusal]);
    let url = format!("http://{address}/");
    let airlock = Airlock::new();
    let asks = dag(&url, &json!({}), &granted(address), &again);
    let (done, row) = trigger(&airlock, &asks);
    assert_eq!((done.code, &row["try_number"]), (10, &json!(1)), "{row}");
    let error = row["error"].as_str().unwrap();
    assert!(error.contains("404") && error.contains("oops"), "{error}");
    assert_eq!(received.try_iter().count(), 1);
    assert!(is_untouched(&listener));
}

#[test]
fn a_redirect_is_not_followed() {
    let (inner, inner_address) = listen();
    let (listener, address) = listen();
    let answer = format!(
        "HTTP/1.1 302 Found\r\nlocation: http://{inner_address}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    let received = serve(&listener, vec![answer]);
    let airlock = Airlock::new();
    // Even where the target is granted too: who redirects does not decide where the body goes.
    let both = json!({"http": [address.to_string(), inner_address.to_string()]});
    let url = format!("http://{address}/");
    let (done, row) = trigger(&airlock, &dag(&url, &json!({}), &both, &json!({})));
    assert_eq!((done.code, &row["state"]), (10, &json!("failed")), "{row}");
    assert!(row["error"].as_str().unwrap().contains("302"), "{row}");
    assert_eq!(received.try_iter().count(), 1);
    assert!(is_untouched(&inner));
}

/// Every file below a folder that holds the text.
fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            let holds = bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes());
            found.extend(holds.then(|| path.display().to_string()));
        }
    }
    found
}

fn trigger_with_secret(airlock: &Airlock, dag: &Value) -> (Done, Value) {
    airlock.file("tells.yaml", &dag.to_string());
    let done: Done = airlock
        .command(&["dags", "trigger", "tells.yaml", "--json"])
        .env("AIRLOCK_SECRET_hook_token", SECRET)
        .output()
        .unwrap()
        .into();
    let row = done.json()["task_instances"][0].clone();
    assert!(row.is_object(), "{}{}", done.stdout, done.stderr);
    (done, row)
}

#[test]
fn a_secret_reaches_its_host_and_nothing_else() {
    // The server tells everything it was sent, which goes into the task's error and log.
    let (listener, address) = listen();
    let echo = format!("you said {SECRET}");
    let answer = format!(
        "HTTP/1.1 403 No\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{echo}",
        echo.len()
    );
    let received = serve(&listener, vec![answer]);
    let airlock = Airlock::new();
    let grants =
        json!({"http": [address.to_string()], "secrets": {"hook_token": [address.to_string()]}});
    let headers = json!({"authorization": "Bearer {secret:hook_token}"});
    let url = format!("http://{address}/");
    let (done, row) = trigger_with_secret(&airlock, &dag(&url, &headers, &grants, &json!({})));
    let sent = received.try_recv().unwrap();
    assert!(
        sent.contains(&format!("authorization: Bearer {SECRET}\r\n")),
        "{sent}"
    );
    assert_eq!(row["state"], "failed");
    assert!(row["error"].as_str().unwrap().contains("you said"), "{row}");
    assert!(!done.stdout.contains(SECRET) && !done.stderr.contains(SECRET));
    assert_eq!(files_with(&airlock.data(), SECRET), [""; 0]);
    // The search finds what is there.
    assert!(!files_with(&airlock.data(), "you said").is_empty());
}

#[test]
fn a_secret_never_goes_to_a_host_that_its_grant_does_not_name() {
    let (listener, address) = listen();
    let headers = json!({"authorization": "Bearer {secret:hook_token}"});
    let url = format!("http://{address}/");
    let http = [address.to_string()];
    let no_such = "no grant covers secret \"hook_token\"";
    for (grants, told) in [
        (
            json!({"http": http, "secrets": {"hook_token": ["api.example.com"]}}),
            "its grant in `secrets` names other hosts",
        ),
        (
            json!({"http": http, "secrets": {"another": [address.to_string()]}}),
            no_such,
        ),
        (json!({"http": http}), "needs the grant `secrets`"),
    ] {
        let airlock = Airlock::new();
        let (done, row) = trigger_with_secret(&airlock, &dag(&url, &headers, &grants, &json!({})));
        assert_eq!((done.code, &row["state"]), (10, &json!("failed")), "{row}");
        let error = row["error"].as_str().unwrap();
        assert!(error.contains("denied") && error.contains(told), "{error}");
        assert!(!done.stdout.contains(SECRET) && !done.stderr.contains(SECRET));
        assert_eq!(files_with(&airlock.data(), SECRET), [""; 0]);
    }
    assert!(is_untouched(&listener));
}

#[test]
fn a_placeholder_that_is_written_in_two_pieces_is_filled_in_too() {
    /// What the guest's stream takes at once.
    const PIECE: usize = 4_096;
    let (listener, address) = listen();
    let received = serve(&listener, vec![OK.into(); 3]);
    let airlock = Airlock::new();
    let uri = format!("http://ana:{SECRET}@{address}");
    let connected = airlock.run(&["connections", "set", "hook", "--conn-uri", &uri]);
    assert_eq!(connected.code, 0, "{}", connected.stderr);
    let grants = json!({"http": [address.to_string()], "secrets": {"hook": [address.to_string()]}});
    // However long what comes before is, one of these lies across the border.
    for before in [PIECE - 60, PIECE - 40, PIECE - 20] {
        let mut dag = dag(
            &format!("http://{address}/"),
            &json!({}),
            &grants,
            &json!({}),
        );
        let text = format!("{}{{{{ conn.hook.password }}}}", "x".repeat(before));
        dag["tasks"][0]["config"]["payload"] = json!({ "text": text });
        let (done, row) = trigger_with_secret(&airlock, &dag);
        assert_eq!((done.code, &row["state"]), (0, &json!("success")), "{row}");
        let sent = received.try_recv().unwrap();
        assert!(sent.ends_with(&format!("x{SECRET}\"}}")), "{sent}");
    }
    assert_eq!(files_with(&airlock.data(), SECRET), [""; 0]);
}
