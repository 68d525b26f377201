//! Waits until a URL answers as expected. Secrets stay with the host: `{secret:NAME}` in the URL or a header stands for one.

use airlock_sdk::http::{HttpError, Request, Response};
use airlock_sdk::prelude::*;
use airlock_sdk::secrets::with_placeholders;
use airlock_sdk::time::Span;
use std::collections::BTreeMap;

/// What to call and what to expect.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http {
    /// Absolute URL; `{secret:NAME}` stands for a secret.
    url: String,
    /// `GET`, `HEAD`, `POST`, ...
    #[serde(default = "get")]
    method: String,
    /// Headers; `{secret:NAME}` in a value stands for a secret.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// A JSON body.
    data: Option<Value>,
    /// How long one request may take.
    request_timeout: Option<Span>,
    /// Statuses of the answer that is waited for; empty: any below 400.
    #[serde(default)]
    status: Vec<u16>,
    /// Statuses that mean not yet. Any other status of 400 and above is an error, which is retried.
    #[serde(default = "not_found")]
    response_error_codes_allowlist: Vec<u16>,
    /// What the body must hold besides.
    #[serde(default)]
    response_check: Check,
}

/// All that is given must hold.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Check {
    /// A text in the body.
    contains: Option<String>,
    /// A place in the JSON body, for example `status.checks[0].state`.
    json_path: Option<String>,
    /// What is there; absent: anything but null.
    equals: Option<Value>,
}

fn get() -> String {
    "GET".to_owned()
}

fn not_found() -> Vec<u16> {
    vec![404]
}

/// Waits until a URL answers as expected.
#[operator(sensor)]
pub(crate) fn http(config: Http) -> Result<Outcome, TaskError> {
    if config.response_check.equals.is_some() && config.response_check.json_path.is_none() {
        return Err(TaskError::invalid(
            "response_check.equals",
            "needs `json_path`: what is to be equal",
        ));
    }
    let mut request = Request::new(&config.method, &with_placeholders("url", &config.url)?);
    for (name, value) in &config.headers {
        request = request.header(name, &with_placeholders("headers", value)?);
    }
    if let Some(data) = &config.data {
        request = request.json(data)?;
    }
    if let Some(Span(timeout)) = config.request_timeout {
        request.timeout = timeout;
    }
    let response = match request.send() {
        Ok(response) => response,
        // A service that is not there yet is what is waited for.
        Err(HttpError::Failed(text)) => {
            info!("No answer yet: {text}");
            return Ok(Outcome::NotYet);
        }
        Err(error) => return Err(error.into()),
    };
    judge(&config, &response)
}

fn judge(config: &Http, response: &Response) -> Result<Outcome, TaskError> {
    let status = response.status;
    let wanted = if config.status.is_empty() {
        status < 400
    } else {
        config.status.contains(&status)
    };
    if !wanted {
        let waits = status < 400 || config.response_error_codes_allowlist.contains(&status);
        if waits {
            info!("Not yet: status {status}");
            return Ok(Outcome::NotYet);
        }
        let message = format!("status {status}");
        return Err(if response.is_retryable() {
            TaskError::Transient(message)
        } else {
            TaskError::Permanent(message)
        });
    }
    if holds(&config.response_check, response) {
        return Ok(Outcome::Success(Value::Null));
    }
    info!("Not yet: the body does not hold what it should");
    Ok(Outcome::NotYet)
}

fn holds(check: &Check, response: &Response) -> bool {
    let contains = check
        .contains
        .as_ref()
        .is_none_or(|text| String::from_utf8_lossy(&response.body).contains(text.as_str()));
    let Some(path) = &check.json_path else {
        return contains;
    };
    let Ok(body) = response.json::<Value>() else {
        return false;
    };
    let found = at_path(&body, path);
    contains
        && match &check.equals {
            Some(wanted) => found == Some(wanted),
            None => found.is_some_and(|value| !value.is_null()),
        }
}

/// `a.b[0].c`; a number between dots is a place in a list too.
fn at_path<'a>(body: &'a Value, path: &str) -> Option<&'a Value> {
    let keys = path.split(['.', '[', ']']).filter(|key| !key.is_empty());
    keys.into_iter().try_fold(body, |value, key| match value {
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        value => value.get(key),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use airlock_sdk::testing::Host;

    const DONE: Result<Outcome, TaskError> = Ok(Outcome::Success(Value::Null));
    const WAITS: Result<Outcome, TaskError> = Ok(Outcome::NotYet);

    fn answering(status: u16, body: &'static str) -> Host {
        let host = Host::new();
        host.on_http(move |_| {
            Ok(Response {
                status,
                headers: Vec::new(),
                body: body.as_bytes().to_vec(),
            })
        });
        host
    }

    #[test]
    fn d9_the_status_decides() {
        let poke = |status: u16, more: Value| {
            let mut config = json!({"url": "https://h/x"});
            if let (Some(config), Value::Object(more)) = (config.as_object_mut(), more) {
                config.extend(more);
            }
            answering(status, "").run::<http>(config)
        };
        assert_eq!(poke(204, json!({})), DONE);
        assert_eq!(poke(404, json!({})), WAITS);
        assert!(matches!(poke(503, json!({})), Err(TaskError::Transient(_))));
        assert!(matches!(poke(401, json!({})), Err(TaskError::Permanent(_))));
        assert_eq!(poke(200, json!({"status": [201]})), WAITS);
        assert_eq!(poke(503, json!({"status": [503]})), DONE);
        let allowed = json!({"response_error_codes_allowlist": [503]});
        assert_eq!(poke(503, allowed), WAITS);
    }

    #[test]
    fn d9_the_body_decides() {
        let host = answering(200, r#"{"runs": [{"state": "done"}], "none": null}"#);
        let poke =
            |check: Value| host.run::<http>(json!({"url": "https://h/x", "response_check": check}));
        assert_eq!(poke(json!({"contains": "done"})), DONE);
        assert_eq!(poke(json!({"contains": "failed"})), WAITS);
        assert_eq!(
            poke(json!({"json_path": "runs[0].state", "equals": "done"})),
            DONE
        );
        assert_eq!(
            poke(json!({"json_path": "runs[0].state", "equals": "x"})),
            WAITS
        );
        assert_eq!(poke(json!({"json_path": "runs.0"})), DONE);
        assert_eq!(poke(json!({"json_path": "none"})), WAITS);
        assert_eq!(poke(json!({"json_path": "runs[7]"})), WAITS);
        let wrong = poke(json!({"equals": 1}));
        assert!(matches!(wrong, Err(TaskError::InvalidInput { .. })));
    }

    #[test]
    fn d9_a_service_that_is_not_there_is_awaited_and_a_denial_is_not() {
        let config =
            || json!({"url": "https://h/x", "headers": {"authorization": "Bearer {secret:T}"}});
        let host = Host::new();
        host.put_secret("T");
        host.on_http(|_| Err(HttpError::Failed("refused".into())));
        assert_eq!(host.run::<http>(config()), WAITS);
        let sent = host.requests();
        let header = (
            "authorization".to_owned(),
            "Bearer placeholder-of-T".to_owned(),
        );
        assert!(sent.first().unwrap().headers.contains(&header));
        host.on_http(|_| Err(HttpError::Denied("no".into())));
        assert!(matches!(
            host.run::<http>(config()),
            Err(TaskError::Permanent(_))
        ));
    }
}
