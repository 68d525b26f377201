//! Tells people and systems what happened. It refuses to hold secrets: `{secret:NAME}` in a URL or a header stands for one,
//! and the host puts the value in after the request has left the guest.

mod incident;
mod mail;
mod sending;

use airlock_sdk::prelude::*;
use incident::pagerduty;
use mail::email;
use sending::send;
use std::collections::BTreeMap;

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

airlock_sdk::plugin!(operators: [webhook, slack, pagerduty, email, log]);

#[cfg(test)]
mod tests;
