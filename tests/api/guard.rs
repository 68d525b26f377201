//! Who is let in.

use crate::{service, token};
use airlock_tests::Airlock;
use serde_json::json;

const SEARCH: &str = "/api/2.0/mlflow/experiments/search";

#[test]
fn without_a_token_only_the_open_paths_answer() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let nobody = client.without_token();
    for path in ["/health", "/healthz", "/readyz"] {
        let answer = nobody.get(path);
        assert_eq!((answer.status, answer.text().as_str()), (200, "OK"));
    }
    assert_eq!(nobody.get("/version").text(), env!("CARGO_PKG_VERSION"));
    for path in [
        "/",
        "/nowhere",
        "/health/",
        "//health",
        "/health/../metrics",
        "/HEALTH",
        "/health%2f",
        "/healthz;a",
        "/version/x",
        "/api/2.0/mlflow/health",
        "/api/2.0/mlflow-artifacts/artifacts/health",
    ] {
        let answer = nobody.get(path);
        assert_eq!(
            answer.error(),
            (401, "UNAUTHENTICATED".to_owned()),
            "{path}"
        );
    }
    // Only reading is open.
    assert_eq!(nobody.send("POST", "/health", b"").status, 401);
    let refused = nobody.get(SEARCH);
    assert_eq!(
        refused.message(),
        "a token is needed: `airlock tokens create NAME` makes one; send it as `Authorization: Bearer TOKEN` (MLFLOW_TRACKING_TOKEN)"
    );
    assert_eq!(
        refused.header("www-authenticate"),
        Some(r#"Bearer realm="airlock", Basic realm="airlock""#)
    );
}

#[test]
fn a_token_that_is_not_one_is_refused() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let right = token(&airlock, "reader", "viewer");
    let last = right.chars().next_back().unwrap();
    let other = if last == '0' { '1' } else { '0' };
    let one_digit_off = format!("{}{other}", &right[..right.len() - 1]);
    for wrong in [
        "",
        "x",
        "alk_",
        "alk__",
        "alk_0123456789abcdef_",
        &one_digit_off,
        &right.to_uppercase(),
        &right[..right.len() - 1],
        &format!("{right}0"),
        &right[4..],
    ] {
        let answer = client.with_token(wrong).get(SEARCH);
        assert_eq!(
            answer.error(),
            (401, "UNAUTHENTICATED".to_owned()),
            "{wrong}"
        );
    }
    assert_eq!(
        client.with_token(&one_digit_off).get(SEARCH).message(),
        "the token is unknown or was revoked; `airlock tokens list` shows which there are"
    );
    for scheme in ["Digest a", "Bearer", "Basic ???"] {
        assert_eq!(
            client.with_authorization(scheme).get(SEARCH).status,
            401,
            "{scheme}"
        );
    }
    assert_eq!(client.with_token(&right).get(SEARCH).status, 200);
    assert_eq!(
        client
            .with_authorization(&format!("bearer {right}"))
            .get(SEARCH)
            .status,
        200
    );
}

#[test]
fn a_name_of_somebody_else_does_not_reach_the_service() {
    let airlock = Airlock::new();
    let service = airlock.serve_with(&[
        "--listen",
        "127.0.0.1:0",
        "--listen-name",
        "airlock.example",
    ]);
    let client = crate::Client::of(&airlock).with_token(&token(&airlock, "reader", "viewer"));
    for host in [
        "localhost",
        "LocalHost:1",
        "127.0.0.1",
        "[::1]:80",
        "airlock.example",
        "airlock.example:443",
    ] {
        assert_eq!(
            client.send_as(host, "GET", SEARCH, b"").status,
            200,
            "{host}"
        );
    }
    for host in [
        "evil.example",
        "evil.example:80",
        "127.0.0.1.evil.example",
        "localhost@evil.example",
        "192.168.0.1",
        "",
    ] {
        let answer = client.send_as(host, "GET", SEARCH, b"");
        assert_eq!(
            answer.error(),
            (403, "PERMISSION_DENIED".to_owned()),
            "{host}"
        );
        assert_eq!(
            client.send_as(host, "GET", "/health", b"").status,
            403,
            "{host}"
        );
    }
    let told = client.send_as("evil.example", "GET", SEARCH, b"").message();
    assert_eq!(
        told,
        r#"the Host header "evil.example" does not name this service; `airlock serve --listen-name NAME` adds a name"#
    );
    let two = b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert_ne!(client.raw(two).status, 200);
    let absolute =
        b"GET http://evil.example/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_ne!(client.raw(absolute).status, 200);
    drop(service);
}

#[test]
fn what_is_no_route_is_told_to_those_who_have_a_token() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let answer = client.get("/api/2.0/mlflow/nowhere");
    assert_eq!(answer.error(), (404, "ENDPOINT_NOT_FOUND".to_owned()));
    assert_eq!(answer.message(), "there is no GET /api/2.0/mlflow/nowhere");
    assert_eq!(client.get("/api/3.0/mlflow/server-info").status, 404);
    assert_eq!(
        client.get("/ajax-api/2.0/mlflow/experiments/search").status,
        404
    );
    let answer = client.send("DELETE", SEARCH, b"");
    assert_eq!(answer.error(), (405, "BAD_REQUEST".to_owned()));
    assert_eq!(answer.message(), format!("{SEARCH} knows no DELETE"));
}

#[test]
fn a_body_over_the_limit_or_broken_is_refused() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let create = "/api/2.0/mlflow/experiments/create";
    let announced = (8 << 20) + 1;
    let head = |length: &str| {
        let token = token(&airlock, &format!("of-{}", length.len()), "admin");
        format!(
            "POST {create} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{length}\r\nConnection: close\r\n\r\n"
        )
    };
    // Refused by what it announces, before anything of it is read.
    let answer = client.raw(head(&format!("Content-Length: {announced}")).as_bytes());
    assert_eq!(answer.error(), (413, "INVALID_PARAMETER_VALUE".to_owned()));
    assert_eq!(
        answer.message(),
        "the body is over the limit of 8388608 bytes"
    );
    // Refused by what comes, where nothing is announced: by the first byte too many.
    let mut chunked = head("Transfer-Encoding: chunked").into_bytes();
    chunked.extend_from_slice(format!("{announced:x}\r\n").as_bytes());
    chunked.resize(chunked.len() + announced, b'a');
    assert_eq!(client.raw(&chunked).status, 413);
    for body in ["{", "[]", "\"{}\"", "{\"name\": \u{1}}", "nonsense"] {
        let answer = client.send("POST", create, body.as_bytes());
        assert_eq!(answer.error(), (400, "BAD_REQUEST".to_owned()), "{body}");
        assert!(
            answer
                .message()
                .starts_with("the body must be a JSON object: "),
            "{body}"
        );
    }
    let answer = client.post(create, &json!({"artifact_location": null}));
    assert_eq!(answer.error(), (400, "INVALID_PARAMETER_VALUE".to_owned()));
    assert_eq!(
        answer.message(),
        "Missing value for required parameter 'name'. See the API docs for more information about request parameters."
    );
    let answer = client.post(create, &json!({"name": 7}));
    assert_eq!(
        answer.message(),
        "Invalid value 7 for parameter 'name' supplied: it must be a text."
    );
    // The service is as it was.
    assert_eq!(client.get(SEARCH).status, 200);
}

#[test]
fn answers_are_never_taken_for_pages_nor_kept() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    for answer in [
        client.get(SEARCH),
        client.without_token().get(SEARCH),
        client.get("/health"),
    ] {
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}
