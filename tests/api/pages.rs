//! The pages without a browser: sessions, forms and the stream of changes, asked by a client that mends nothing.

use crate::client::{Answer, Client};
use crate::{service, token};
use airlock_tests::Airlock;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// A request with these headers besides Host.
fn send(client: &Client, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let headers: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let headers = headers.concat();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        client.address,
        body.len()
    );
    client.raw(format!("{head}{body}").as_bytes())
}

/// The value of a cookie that an answer sets.
fn cookie(answer: &Answer, name: &str) -> Option<String> {
    answer.head.lines().find_map(|line| {
        let (header, value) = line.split_once(": ")?;
        let value = value.strip_prefix(&format!("{name}="))?;
        header
            .eq_ignore_ascii_case("set-cookie")
            .then(|| value.split(';').next().unwrap_or_default().to_owned())
    })
}

/// Logs in as a browser does; yields the session's cookie and CSRF token.
fn log_in(client: &Client, token: &str) -> (String, String) {
    let form = client.get("/login");
    assert_eq!(form.status, 200);
    let login = cookie(&form, "airlock_login").unwrap();
    let body = format!("csrf={login}&next=%2Fdags&token={token}");
    let entered = send(
        client,
        "POST",
        "/login",
        &[("Cookie", &format!("airlock_login={login}"))],
        &body,
    );
    assert_eq!(
        (entered.status, entered.header("location")),
        (303, Some("/dags")),
        "{}",
        entered.text()
    );
    let set = entered
        .head
        .lines()
        .find(|line| line.contains("airlock_session="))
        .unwrap();
    for word in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(set.contains(word), "{set}");
    }
    let session = format!(
        "airlock_session={}",
        cookie(&entered, "airlock_session").unwrap()
    );
    let page = send(client, "GET", "/dags", &[("Cookie", &session)], "");
    assert_eq!(page.status, 200);
    let text = page.text();
    let csrf = text
        .split("data-csrf=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    (session, csrf)
}

#[test]
fn a_browser_without_a_session_is_sent_to_the_login_and_a_program_is_told() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let nobody = client.without_token();
    for path in ["/", "/dags", "/dags/x/runs/y?a=1", "/nothing", "/events"] {
        let answer = send(&nobody, "GET", path, &[("Accept", "text/html")], "");
        assert_eq!(answer.status, 303, "{path}");
        assert!(
            answer
                .header("location")
                .unwrap()
                .starts_with("/login?next=%2F"),
            "{path}"
        );
        assert_eq!(nobody.get(path).status, 401, "{path}");
    }
}

#[test]
fn every_answer_forbids_inline_script_and_foreign_origins() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    for path in [
        "/",
        "/login",
        "/nothing",
        "/health",
        "/api/2.0/mlflow/experiments/get",
    ] {
        let answer = client.get(path);
        let policy = answer.header("content-security-policy").unwrap();
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "frame-ancestors 'none'",
            "form-action 'self'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
    }
}

#[test]
fn what_pages_load_is_kept_for_ever_under_a_name_of_its_own() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let nobody = client.without_token();
    let login = nobody.get("/login").text();
    let paths: Vec<&str> = login
        .split('"')
        .filter(|part| part.starts_with("/assets/"))
        .collect();
    assert!(paths.len() >= 3);
    for path in paths {
        let answer = nobody.get(path);
        assert_eq!(answer.status, 200, "{path}");
        assert!(
            answer
                .header("cache-control")
                .unwrap()
                .contains("immutable"),
            "{path}"
        );
        assert!(answer.body.len() < 60 << 10, "{path}");
    }
    assert_eq!(nobody.get("/assets/app.js").status, 401);
}

#[test]
fn a_form_needs_the_word_of_its_own_session() {
    let airlock = Airlock::new();
    airlock.dag_file(&json!({"dag_id": "a", "tasks": [{"task_id": "t", "operator": "probe"}]}));
    let (_service, client) = service(&airlock);
    let nobody = client.without_token();
    let (session, csrf) = log_in(&nobody, &token(&airlock, "ana", "operator"));
    let (_, other) = log_in(&nobody, &token(&airlock, "bob", "operator"));
    let pause = |fields: &str| {
        send(
            &nobody,
            "POST",
            "/dags/a/pause",
            &[("Cookie", &session)],
            fields,
        )
        .status
    };
    assert_eq!(pause("is_paused=true"), 403);
    assert_eq!(pause(&format!("is_paused=true&csrf={other}")), 403);
    let is_paused = || airlock.ok(&["dags", "list", "--json"]).json()[0]["is_paused"].clone();
    assert_eq!(is_paused(), json!(false));
    assert_eq!(pause(&format!("is_paused=true&csrf={csrf}")), 303);
    assert_eq!(is_paused(), json!(true));
}

#[test]
fn a_cookie_alone_changes_nothing_by_the_api() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let nobody = client.without_token();
    let (session, csrf) = log_in(&nobody, &token(&airlock, "ana", "operator"));
    let path = "/api/2.0/mlflow/experiments/create";
    let body = r#"{"name": "x"}"#;
    let refused = send(&nobody, "POST", path, &[("Cookie", &session)], body);
    assert_eq!(refused.status, 401);
    let made = send(
        &nobody,
        "POST",
        path,
        &[("Cookie", &session), ("X-CSRF-Token", &csrf)],
        body,
    );
    assert_eq!(made.status, 200, "{}", made.text());
    let read = send(
        &nobody,
        "GET",
        "/api/2.0/mlflow/experiments/get-by-name?experiment_name=x",
        &[("Cookie", &session)],
        "",
    );
    assert_eq!(read.status, 200);
}

#[test]
fn a_session_ends_with_its_logout_and_with_its_token() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let nobody = client.without_token();
    let shown = token(&airlock, "ana", "viewer");
    let (first, csrf) = log_in(&nobody, &shown);
    let (second, _) = log_in(&nobody, &shown);
    let status = |session: &str| send(&nobody, "GET", "/dags", &[("Cookie", session)], "").status;
    let left = send(
        &nobody,
        "POST",
        "/logout",
        &[("Cookie", &first)],
        &format!("csrf={csrf}"),
    );
    assert_eq!(left.status, 303);
    assert_eq!((status(&first), status(&second)), (401, 200));
    airlock.ok(&["tokens", "revoke", "ana"]);
    assert_eq!(status(&second), 401);
}

#[test]
fn ten_failed_logins_in_a_minute_are_the_last() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let nobody = client.without_token();
    let login = cookie(&nobody.get("/login"), "airlock_login").unwrap();
    let attempt = |token: &str| {
        let body = format!("csrf={login}&token={token}");
        send(
            &nobody,
            "POST",
            "/login",
            &[("Cookie", &format!("airlock_login={login}"))],
            &body,
        )
    };
    let statuses: Vec<u16> = (0..11)
        .map(|_| attempt("alk_0123456789abcdef_00").status)
        .collect();
    assert!(
        statuses.iter().take(10).all(|status| *status == 401),
        "{statuses:?}"
    );
    // On a machine that took more than a minute for ten of them the eleventh is the first of the next minute.
    assert!([429, 401].contains(&statuses[10]), "{statuses:?}");
}

/// The cursor behind the change of this topic. Before it comes the change's line in the audit trail, and nothing else.
fn behind(mut lines: impl Iterator<Item = String>, topic: &str) -> String {
    loop {
        let mut next = |name: &str| {
            let found = lines.find_map(|line| line.strip_prefix(name).map(str::to_owned));
            found.unwrap()
        };
        let (id, data) = (next("id: "), next("data: "));
        if data.contains(topic) {
            return id;
        }
        let audited = json!({"runs": [], "dags": [], "topics": ["audit"]});
        assert_eq!(serde_json::from_str::<Value>(&data).unwrap(), audited);
    }
}

#[test]
fn the_stream_tells_what_changed_and_goes_on_from_a_cursor() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let shown = token(&airlock, "ana", "viewer");
    let follow = |more: &str| {
        let mut stream = TcpStream::connect(&client.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(90)))
            .unwrap();
        let head = format!(
            "GET /events HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {shown}\r\n{more}\r\n",
            client.address
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        assert!(lines.next().unwrap().contains("200"));
        assert!(lines.by_ref().any(|line| line.contains("hello")));
        lines
    };
    let lines = follow("");
    airlock.ok(&["variables", "set", "one", "1"]);
    let id = behind(lines, "variables");
    airlock.ok(&["pools", "set", "small", "1"]);
    behind(follow(&format!("Last-Event-ID: {id}\r\n")), "pools");
    let mut lines = follow("Last-Event-ID: 999999999\r\n");
    assert!(lines.any(|line| line == "event: reset"));
}
