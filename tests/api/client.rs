//! A client that sends exactly what it is told: no library mends its paths or headers.

use airlock_tests::Airlock;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// No answer takes longer, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Knows where the service is, and may have a token.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) address: String,
    authorization: Option<String>,
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The status with the code of an error.
    pub(crate) fn error(&self) -> (u16, String) {
        let body = self.json();
        let code = body["error_code"].as_str().or(body["code"].as_str());
        (self.status, code.unwrap_or_default().to_owned())
    }

    /// What an error says.
    pub(crate) fn message(&self) -> String {
        let body = self.json();
        let message = body["message"].as_str().or(body["detail"].as_str());
        message.unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

impl Client {
    /// Of the service that holds the data folder.
    pub(crate) fn of(airlock: &Airlock) -> Self {
        let url = std::fs::read_to_string(airlock.data().join("api.url")).unwrap();
        let address = url.trim().strip_prefix("http://").unwrap().to_owned();
        Self {
            address,
            authorization: None,
        }
    }

    pub(crate) fn with_token(&self, token: &str) -> Self {
        self.with_authorization(&format!("Bearer {token}"))
    }

    pub(crate) fn with_authorization(&self, value: &str) -> Self {
        Self {
            authorization: Some(value.to_owned()),
            ..self.clone()
        }
    }

    pub(crate) fn without_token(&self) -> Self {
        Self {
            authorization: None,
            ..self.clone()
        }
    }

    /// One request on a connection of its own.
    pub(crate) fn send(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        self.send_as(&self.address, method, path, body)
    }

    /// The same with another Host header.
    pub(crate) fn send_as(&self, host: &str, method: &str, path: &str, body: &[u8]) -> Answer {
        self.send_with(&format!("Host: {host}\r\n"), method, path, body)
    }

    /// The same with these header lines, `Host` among them.
    pub(crate) fn send_with(&self, lines: &str, method: &str, path: &str, body: &[u8]) -> Answer {
        let authorization = self.authorization.as_ref();
        let authorization =
            authorization.map_or(String::new(), |value| format!("Authorization: {value}\r\n"));
        let head = format!(
            "{method} {path} HTTP/1.1\r\n{lines}{authorization}Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        self.raw(&[head.as_bytes(), body].concat())
    }

    /// Bytes as they are.
    pub(crate) fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // A service that refuses early closes while the rest is on its way.
        let _ = stream.write_all(request);
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        parse(&bytes)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, b"")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.json("POST", path, body)
    }

    pub(crate) fn json(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.send(method, path, body.to_string().as_bytes())
    }

    /// A request that must be answered well.
    pub(crate) fn ok(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = match method {
            "GET" => self.get(path),
            _ => self.json(method, path, body),
        };
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
        answer.json()
    }
}

fn parse(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(bytes)));
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = bytes[end + 4..].to_vec();
    assert!(
        !head.to_ascii_lowercase().contains("transfer-encoding"),
        "the test's client reads no chunks: {head}"
    );
    Answer { status, head, body }
}
