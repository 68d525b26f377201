//! Outgoing HTTP through `wasi:http`, whole messages. Redirects come back as responses.
//! It refuses bodies over a limit and never follows anything by itself.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::time::Duration;

#[cfg(target_family = "wasm")]
mod wire;
#[cfg(target_family = "wasm")]
use wire::send;

#[cfg(not(target_family = "wasm"))]
use crate::testing::imports::http::send;

/// The largest request or response body, bytes.
pub const BODY_BYTES_MAX: usize = 8 << 20;
/// How long a request may take where it does not say.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`, ...
    pub method: String,
    /// Absolute URL.
    pub url: String,
    /// In order.
    pub headers: Vec<(String, String)>,
    /// Whole body.
    pub body: Vec<u8>,
    /// For each of connecting, the first byte and the gap between bytes.
    pub timeout: Duration,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// In order; values that are no text are left out.
    pub headers: Vec<(String, String)>,
    /// Whole body.
    pub body: Vec<u8>,
}

/// Why there is no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpError {
    /// No grant covers the host.
    Denied(String),
    /// The URL or a header makes no sense.
    Invalid(String),
    /// Name resolution, connection, TLS or the exchange failed.
    Failed(String),
    /// It took too long.
    TimedOut,
    /// A body is over `BODY_BYTES_MAX`.
    TooLarge,
}

impl fmt::Display for HttpError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(text) => write!(out, "request denied: {text}"),
            Self::Invalid(text) => write!(out, "request makes no sense: {text}"),
            Self::Failed(text) => write!(out, "no answer: {text}"),
            Self::TimedOut => out.write_str("no answer in time"),
            Self::TooLarge => write!(out, "a body is over {BODY_BYTES_MAX} bytes"),
        }
    }
}

impl std::error::Error for HttpError {}

impl Request {
    /// A request without headers or body.
    pub fn new(method: &str, url: &str) -> Self {
        Self {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: TIMEOUT_DEFAULT,
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets a JSON body and its content type.
    pub fn json<T: Serialize + ?Sized>(mut self, body: &T) -> Result<Self, serde_json::Error> {
        self.body = serde_json::to_vec(body)?;
        Ok(self.header("content-type", "application/json"))
    }

    /// Sends it and waits for the whole response, whatever its status.
    pub fn send(self) -> Result<Response, HttpError> {
        if self.body.len() > BODY_BYTES_MAX {
            return Err(HttpError::TooLarge);
        }
        send(self)
    }
}

impl Response {
    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether the same request may work later: 408, 425, 429 and 5xx.
    pub fn is_retryable(&self) -> bool {
        matches!(self.status, 408 | 425 | 429 | 500..=599)
    }

    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }
}
