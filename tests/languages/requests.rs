//! HTTP from every language that has no `wasi:http`: what is granted is sent, what is not is told.

use super::{has, run};
use airlock_tests::Airlock;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

const PYTHON: &str = r#"
from airlock_sdk import http, operator

@operator
def ask(url: str) -> dict:
    """Asks a server."""
    answer = http.post(url, json={"n": 1}, headers={"x-asked": "yes"}, params={"q": "a b"}).raise_for_status()
    return {"status": answer.status, "said": answer.json(), "kind": answer.header("content-type")}
"#;

const TYPESCRIPT: &str = r#"
import { http, operator, plugin, text } from "airlock-sdk";

const ask = operator({
  name: "ask",
  summary: "Asks a server.",
  config: { url: text("Whom.") },
  run: ({ url }) => {
    const answer = http.post(`${url}?q=a+b`, { json: { n: 1 }, headers: { "x-asked": "yes" } }).orThrow();
    return { status: answer.status, said: answer.json(), kind: answer.header("content-type") ?? null };
  },
});

export default plugin([ask]);
"#;

const C: &str = r#"
#include <stdio.h>
#include <string.h>
#include "airlock.h"

typedef struct { const char *url; } ask_config;
static const airlock_field ask_fields[] = {AIRLOCK_TEXT(ask_config, url, "Whom.")};

static airlock_outcome ask(const ask_config *config, const airlock_task *task) {
    char url[256];
    snprintf(url, sizeof url, "%s?q=a+b", config->url);
    const airlock_header headers[] = {{"content-type", "application/json"}, {"x-asked", "yes"}};
    airlock_request request = {.method = "POST", .url = url, .headers = headers, .header_count = 2, .body = "{\"n\":1}", .body_length = 7};
    airlock_response answer;
    AIRLOCK_TRY(airlock_http_send(&request, &answer));
    cJSON *value = cJSON_CreateObject();
    cJSON_AddNumberToObject(value, "status", answer.status);
    cJSON_AddItemToObject(value, "said", cJSON_Parse(answer.body));
    cJSON_AddStringToObject(value, "kind", airlock_http_header(&answer, "Content-Type"));
    return airlock_success(value);
}
AIRLOCK_OPERATOR(ask, ask_config, ask_fields, "Asks a server.")
AIRLOCK_PLUGIN("asker", "0.1.0", &ask_operator)
"#;

const GO: &str = r#"
package main

import (
	"encoding/json"

	"airlock"
)

type Ask struct {
	URL string `json:"url"`
}

var ask = airlock.NewOperator("ask", "Asks a server.", func(config Ask, _ *airlock.Task) (any, error) {
	headers := map[string]string{"x-asked": "yes"}
	answer, err := airlock.Send(airlock.Request{Method: "POST", URL: config.URL + "?q=a+b", Headers: headers, JSON: map[string]int{"n": 1}})
	if err != nil {
		return nil, err
	}
	value := map[string]any{"status": answer.Status, "said": json.RawMessage(answer.Body), "kind": answer.Header("Content-Type")}
	return value, answer.Err()
})

func init() { airlock.Plugin("asker", "0.1.0", ask) }

func main() {}
"#;

/// Answers every request with what was sent; yields its address.
fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.unwrap());
        }
    });
    address
}

fn answer(stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
    }
    let head = head.to_ascii_lowercase();
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.to_owned())
    };
    let length = header("content-length").map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let said = json!({
        "line": head.lines().next(), "asked": header("x-asked"), "kind": header("content-type"),
        "body": serde_json::from_slice::<Value>(&body).unwrap(),
    });
    let said = said.to_string();
    let mut stream = stream;
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{said}",
        said.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
}

/// Builds a plugin of one file, and has its operator ask a server with a grant and without.
fn asks(file: &str, text: &str) {
    let airlock = Airlock::new();
    airlock.file(file, text);
    builds_and_asks(&airlock, file);
}

fn builds_and_asks(airlock: &Airlock, file: &str) {
    let arguments = ["plugins", "build", file, "--output", "asker.wasm", "--json"];
    let built = run(airlock, &arguments);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let built = built.json();
    let imports = built["imports"].as_array().unwrap();
    assert!(
        imports.contains(&json!("airlock:operator/http@0.1.0")),
        "{built}"
    );
    let address = server();
    let config = json!({"url": format!("http://{address}/in")}).to_string();
    let test = [
        "plugins",
        "test",
        "asker.wasm",
        "--json",
        "--config",
        &config,
    ];
    let grant = format!("http={address}");
    let done = run(airlock, &[&test[..], &["--grant", &grant]].concat());
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    let said = json!({
        "line": "post /in?q=a+b http/1.1", "asked": "yes", "kind": "application/json", "body": {"n": 1},
    });
    let value = json!({"status": 200, "said": said, "kind": "application/json"});
    assert_eq!(done.json()["xcoms"]["return_value"], value);
    let done = run(airlock, &test);
    assert_eq!(done.code, 10, "{}", done.stdout);
    assert!(
        done.stdout.contains("needs the grant `http`"),
        "{}",
        done.stdout
    );
    // To another port than the one that is granted.
    let done = run(
        airlock,
        &[&test[..], &["--grant", "http=127.0.0.1:1"]].concat(),
    );
    assert!(
        done.stdout.contains("no grant covers 127.0.0.1"),
        "{}",
        done.stdout
    );
}

#[test]
fn go_asks_a_granted_server() {
    if has(&["python3"]) {
        let airlock = Airlock::new();
        let made = run(&airlock, &["plugins", "new", "asker", "--lang", "go"]);
        assert_eq!(made.code, 0, "{}", made.stderr);
        airlock.file("asker/main.go", GO);
        builds_and_asks(&airlock, "asker");
    }
}

#[test]
fn c_asks_a_granted_server() {
    if has(&["python3", "cc"]) {
        asks("asker.c", C);
    }
}

#[test]
fn typescript_asks_a_granted_server() {
    if has(&["node", "npm"]) {
        asks("asker.ts", TYPESCRIPT);
    }
}

#[test]
fn python_asks_a_granted_server() {
    if has(&["python3"]) {
        asks("asker.py", PYTHON);
    }
}
