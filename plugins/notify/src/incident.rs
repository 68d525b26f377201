//! `PagerDuty`'s Events API v2. A repeated event of one run and task is one incident: its `dedup_key` is made of them.

use crate::sending::send;
use airlock_sdk::prelude::*;
use airlock_sdk::secrets::with_placeholders;
use serde_json::Map;
use std::collections::BTreeMap;

/// The service's limit of a `dedup_key`, bytes.
const DEDUP_KEY_BYTES_MAX: usize = 255;
/// The service's limit of a summary, characters.
const SUMMARY_CHARS_MAX: usize = 1_024;

/// What to tell the service.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PagerDuty {
    /// The integration key of a service; `{secret:NAME}` stands for a secret.
    #[serde(default = "routing_key")]
    routing_key: String,
    /// What happens to the incident.
    #[serde(default)]
    event_action: EventAction,
    /// Which incident; absent: that of this DAG, run and task, so that a retry opens no second one. At most 255 bytes.
    dedup_key: Option<String>,
    /// What happened, in a line; what is beyond 1,024 characters is cut.
    summary: String,
    /// Where it happened; absent: the DAG.
    source: Option<String>,
    /// How bad it is.
    #[serde(default)]
    severity: Severity,
    /// The part of the source.
    component: Option<String>,
    /// The group of components.
    group: Option<String>,
    /// The kind of event.
    class: Option<String>,
    /// Whatever else helps.
    #[serde(default)]
    custom_details: Map<String, Value>,
    /// Where events go; another region or a proxy has another.
    #[serde(default = "events_url")]
    url: String,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum EventAction {
    #[default]
    Trigger,
    Acknowledge,
    Resolve,
}

#[derive(Debug, Default, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Severity {
    Critical,
    #[default]
    Error,
    Warning,
    Info,
}

fn routing_key() -> String {
    "{secret:pagerduty_routing_key}".into()
}

fn events_url() -> String {
    "https://events.pagerduty.com/v2/enqueue".into()
}

/// Triggers, acknowledges or resolves an incident.
#[operator(summary = "Triggers, acknowledges or resolves an incident at PagerDuty.")]
pub(crate) fn pagerduty(config: PagerDuty, task: &Task) -> Result<Value, TaskError> {
    let dedup_key = match config.dedup_key {
        Some(key) => key,
        None => format!("{}/{}/{}", task.dag_id, task.run_id, task.task_id),
    };
    if dedup_key.is_empty() || dedup_key.len() > DEDUP_KEY_BYTES_MAX {
        let message = format!("must be 1 to {DEDUP_KEY_BYTES_MAX} bytes, not {dedup_key:?}");
        return Err(TaskError::invalid("dedup_key", message));
    }
    let summary: String = config.summary.chars().take(SUMMARY_CHARS_MAX).collect();
    let mut payload = json!({
        "summary": summary,
        "source": config.source.unwrap_or_else(|| task.dag_id.clone()),
        "severity": config.severity,
        "custom_details": config.custom_details,
    });
    for (key, value) in [
        ("component", config.component),
        ("group", config.group),
        ("class", config.class),
    ] {
        if let (Some(members), Some(value)) = (payload.as_object_mut(), value) {
            members.insert(key.into(), json!(value));
        }
    }
    let event = json!({
        "routing_key": with_placeholders("routing_key", &config.routing_key)?,
        "event_action": config.event_action,
        "dedup_key": dedup_key,
        "payload": payload,
    });
    let mut answer = send("POST", &config.url, &BTreeMap::new(), &event)?;
    if let Some(members) = answer.as_object_mut() {
        members.insert("dedup_key".into(), json!(dedup_key));
    }
    Ok(answer)
}
