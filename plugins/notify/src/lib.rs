//! Tells people and systems what happened. It refuses to hold secrets: `{secret:NAME}` in a URL or a header stands for one,
//! and the host puts the value in after the request has left the guest.

use airlock_sdk::http::{Request, Response};
use airlock_sdk::prelude::*;
use airlock_sdk::secrets::with_placeholders;
use std::collections::BTreeMap;

/// How much of an error's body is told, bytes.
const BODY_EXCERPT_BYTES: usize = 200;

/// What to send where.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Webhook {
    /// Absolute URL; `{secret:NAME}` stands for a secret.
    url: String,
    /// The JSON body.
    payload: Value,
    /// The method.
    #[serde(default = "post")]
    method: Method,
    /// Further headers; `{secret:NAME}` in a value stands for a secret.
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
enum Method {
    Post,
    Put,
    Patch,
}

fn post() -> Method {
    Method::Post
}

/// Sends JSON to a URL.
#[operator]
fn webhook(config: Webhook) -> Result<Value, TaskError> {
    let method = match config.method {
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
    };
    send(method, &config.url, &config.headers, &config.payload)
}

/// What to say in Slack.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Slack {
    /// The message, in Slack's markup.
    text: String,
    /// The incoming webhook; `{secret:NAME}` stands for a secret.
    #[serde(default = "slack_url")]
    webhook_url: String,
    /// Slack's blocks, for a richer message.
    blocks: Option<Value>,
}

fn slack_url() -> String {
    "https://hooks.slack.com/services/{secret:slack_webhook}".into()
}

/// Posts a message to a Slack incoming webhook.
#[operator]
fn slack(config: Slack) -> Result<Value, TaskError> {
    let mut payload = json!({"text": config.text});
    if let (Some(blocks), Some(members)) = (config.blocks, payload.as_object_mut()) {
        members.insert("blocks".into(), blocks);
    }
    send("POST", &config.webhook_url, &BTreeMap::new(), &payload)
}

/// What to write into the log.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Log {
    /// The message; each of its lines becomes a line of the log.
    message: String,
}

/// Writes a message into the task's log and returns it.
#[operator]
fn log(config: Log) -> Result<String, TaskError> {
    for line in config.message.lines() {
        info!("{line}");
    }
    Ok(config.message)
}

fn send(
    method: &str,
    url: &str,
    headers: &BTreeMap<String, String>,
    payload: &Value,
) -> Result<Value, TaskError> {
    let mut request = Request::new(method, &with_placeholders("url", url)?).json(payload)?;
    for (name, value) in headers {
        request = request.header(name, &with_placeholders("headers", value)?);
    }
    let response = request.send()?;
    if response.is_success() {
        info!("Sent: the answer is {}", response.status);
        return Ok(json!({"status": response.status}));
    }
    let text = format!("the answer is {}: {}", response.status, excerpt(&response));
    Err(if response.is_retryable() {
        TaskError::transient(text)
    } else {
        TaskError::permanent(text)
    })
}

fn excerpt(response: &Response) -> String {
    let end = response.body.len().min(BODY_EXCERPT_BYTES);
    let bytes = response.body.get(..end).unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}

airlock_sdk::plugin!(operators: [webhook, slack, log]);

#[cfg(test)]
mod tests {
    use super::*;
    use airlock_sdk::testing::Host;

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
        let run = |status| {
            host(status).run::<webhook>(json!({"url": "http://127.0.0.1:9/", "payload": [1]}))
        };
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
}
