//! `airlock:operator/http`: the port of `wasi:http` for languages without it, one whole exchange a call. It refuses nothing by itself.

use crate::sandbox::bindings::airlock::operator::http;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::sandbox::config::{HTTP_TIMEOUT_DEFAULT, HTTP_TIMEOUT_MAX};
use crate::sandbox::interface::Interface;
use crate::sandbox::ports::{HTTP_BODY_BYTES_MAX, HttpError, HttpRequest, HttpResponse};
use crate::sandbox::state::GuestState;
use std::time::Duration;

impl http::Host for GuestState {
    async fn send(&mut self, request: http::Request) -> Result<http::Response, CapabilityError> {
        let port = &self.port(Interface::Http)?.http;
        let answer = port.send(whole(request)).await;
        self.noted(Interface::Http, answer.map(told).map_err(refusal))
    }
}

fn whole(request: http::Request) -> HttpRequest {
    let asked = request.timeout_ms.map(u64::from);
    let timeout = asked.map_or(HTTP_TIMEOUT_DEFAULT, Duration::from_millis);
    HttpRequest {
        method: request.method,
        url: request.url,
        headers: request.headers,
        body: request.body,
        timeout: timeout.min(HTTP_TIMEOUT_MAX),
    }
}

fn told(response: HttpResponse) -> http::Response {
    http::Response {
        status: response.status,
        headers: response.headers,
        body: response.body,
    }
}

fn refusal(error: HttpError) -> CapabilityError {
    match error {
        HttpError::Denied(message) => CapabilityError::Denied(message),
        HttpError::Invalid(message) => CapabilityError::Invalid(message),
        HttpError::TooLarge => CapabilityError::TooLarge(HTTP_BODY_BYTES_MAX),
        error @ (HttpError::Failed(_) | HttpError::TimedOut) => {
            CapabilityError::Unavailable(error.to_string())
        }
    }
}
