//! One request and what its answer means. A receiver that asks for a short pause gets it within the attempt; everything else that
//! may pass is a transient error, and the task's retries take over.

use airlock_sdk::http::{Request, Response};
use airlock_sdk::prelude::*;
use airlock_sdk::progress;
use airlock_sdk::secrets::with_placeholders;
use std::collections::BTreeMap;
use std::time::Duration;

/// How much of an error's body is told, bytes.
const BODY_EXCERPT_BYTES: usize = 200;
/// The longest pause that a receiver's `Retry-After` gets within an attempt; it holds a slot.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How often one attempt pauses.
const PAUSES_MAX: u32 = 3;

/// Sends JSON and yields the answer where it is 2xx. `{secret:NAME}` in the URL and in headers stands for a secret.
pub(crate) fn send(
    method: &str,
    url: &str,
    headers: &BTreeMap<String, String>,
    payload: &Value,
) -> Result<Value, TaskError> {
    let mut request = Request::new(method, &with_placeholders("url", url)?).json(payload)?;
    for (name, value) in headers {
        request = request.header(name, &with_placeholders("headers", value)?);
    }
    let mut pauses = 0;
    loop {
        let response = request.clone().send()?;
        if response.is_success() {
            info!("Sent: the answer is {}", response.status);
            return Ok(json!({"status": response.status}));
        }
        let asked = retry_after(&response);
        match asked {
            Some(pause) if pause <= PAUSE_MAX && pauses < PAUSES_MAX => {
                warn!(
                    "The answer is {}: sending again after the {} s that it asks for",
                    response.status,
                    pause.as_secs()
                );
                progress::sleep(pause)?;
                pauses += 1;
            }
            _ => return Err(refused(&response, asked)),
        }
    }
}

/// How long the receiver wants to be left alone, in seconds as it says; a date is left to the task's retries.
fn retry_after(response: &Response) -> Option<Duration> {
    if !matches!(response.status, 429 | 503) {
        return None;
    }
    let mut headers = response.headers.iter();
    let (_, value) = headers.find(|(name, _)| name.eq_ignore_ascii_case("retry-after"))?;
    value.trim().parse().ok().map(Duration::from_secs)
}

fn refused(response: &Response, asked: Option<Duration>) -> TaskError {
    let mut text = format!("the answer is {}: {}", response.status, excerpt(response));
    if let Some(pause) = asked {
        let seconds = pause.as_secs();
        text = format!("{text} (it asks to wait {seconds} s: a longer retry_delay helps)");
    }
    if response.is_retryable() {
        TaskError::transient(text)
    } else {
        TaskError::permanent(text)
    }
}

fn excerpt(response: &Response) -> String {
    let end = response.body.len().min(BODY_EXCERPT_BYTES);
    let bytes = response.body.get(..end).unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}
