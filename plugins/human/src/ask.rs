//! One question, asked once however often the operator is called, with its time limit and its defaults.

use airlock_sdk::human::{self, Question, Response};
use airlock_sdk::prelude::*;
use airlock_sdk::time::{Span, Timestamp, now};
use airlock_sdk::xcom;
use serde_json::Map;
use std::time::Duration;

/// The XCom that keeps until when the answer is awaited.
pub(crate) const EXPIRES_AT_KEY: &str = "expires_at";
/// How long a question without a time limit is awaited before the operator looks again.
const LOOK_AGAIN: Duration = Duration::from_hours(30 * 24);

/// One option or several.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Options {
    One(String),
    Many(Vec<String>),
}

/// What every question has.
pub(crate) struct Common {
    pub(crate) subject: String,
    pub(crate) body: Option<String>,
    pub(crate) defaults: Option<Options>,
    pub(crate) timeout: Option<Span>,
    pub(crate) assigned_users: Vec<String>,
    pub(crate) params: Map<String, Value>,
}

/// Whether there is an answer.
pub(crate) enum Asked {
    Answered(Response),
    /// How the attempt ends until there is one.
    Waiting(Outcome),
}

/// Asks, and takes the defaults when the time has passed.
pub(crate) fn ask(
    common: Common,
    options: Vec<String>,
    multiple: bool,
    task: &Task,
) -> Result<Asked, TaskError> {
    let expires_at = match common.timeout {
        Some(Span(timeout)) => Some(xcom::once(task, EXPIRES_AT_KEY, || {
            Ok(now()?.plus(timeout)?)
        })?),
        None => None,
    };
    let defaults = common.defaults.map(|defaults| match defaults {
        Options::One(option) => vec![option],
        Options::Many(options) => options,
    });
    let question = Question {
        subject: common.subject,
        body: common.body,
        options,
        multiple,
        defaults,
        params: common.params,
        assigned_users: common.assigned_users,
        expires_at,
    };
    if let Some(response) = human::ask(&question)? {
        return Ok(Asked::Answered(response));
    }
    let at = now()?;
    match expires_at {
        Some(expires_at) if at >= expires_at => expired(question, expires_at),
        Some(expires_at) => Ok(Asked::Waiting(Outcome::Defer(expires_at))),
        None => Ok(Asked::Waiting(Outcome::Defer(at.plus(LOOK_AGAIN)?))),
    }
}

fn expired(question: Question, expires_at: Timestamp) -> Result<Asked, TaskError> {
    let Some(chosen_options) = question.defaults else {
        return Err(TaskError::permanent(format!(
            "nobody answered `{}` until {expires_at}; give `defaults`, or a longer `timeout`",
            question.subject
        )));
    };
    info!("Nobody answered until {expires_at}: the defaults count");
    let mut params_input = Map::new();
    for (name, schema) in question.params {
        let Some(default) = schema.get("default") else {
            return Err(TaskError::permanent(format!(
                "nobody answered until {expires_at}, and the param `{name}` has no default"
            )));
        };
        params_input.insert(name, default.clone());
    }
    Ok(Asked::Answered(Response {
        chosen_options,
        params_input,
        responded_by: None,
        responded_at: None,
    }))
}
