//! Asks a person and waits, without a slot, for the answer. Who may answer, and where it is asked, is the host's.

mod ask;

use airlock_sdk::human::Response;
use airlock_sdk::prelude::*;
use airlock_sdk::xcom;
use ask::{Asked, Common, ask};
use serde_json::Map;
use std::collections::BTreeMap;

const APPROVE: &str = "Approve";
const REJECT: &str = "Reject";
const OK: &str = "OK";

/// What to approve.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Approval {
    /// One line.
    subject: String,
    /// Markdown.
    body: Option<String>,
    /// `Approve` or `Reject`: what counts when nobody answers in time.
    defaults: Option<ask::Options>,
    /// How long to wait for an answer; absent: until there is one.
    timeout: Option<airlock_sdk::time::Span>,
    /// Who is asked; empty: everybody who may answer.
    #[serde(default)]
    assigned_users: Vec<String>,
    /// Values to enter: a JSON Schema each.
    #[serde(default)]
    params: Map<String, Value>,
    /// Whether a rejection fails the task; else it skips what is downstream.
    #[serde(default)]
    fail_on_reject: bool,
    /// Whether a rejection skips all that is downstream, whatever its trigger rules.
    #[serde(default)]
    ignore_downstream_trigger_rules: bool,
}

/// Waits for a person to approve or reject.
#[operator]
fn approval(config: Approval, task: &Task) -> Result<Outcome, TaskError> {
    let common = Common {
        subject: config.subject,
        body: config.body,
        defaults: config.defaults,
        timeout: config.timeout,
        assigned_users: config.assigned_users,
        params: config.params,
    };
    let options = vec![APPROVE.to_owned(), REJECT.to_owned()];
    let response = match ask(common, options, false, task)? {
        Asked::Answered(response) => response,
        Asked::Waiting(outcome) => return Ok(outcome),
    };
    if response
        .chosen_options
        .iter()
        .any(|chosen| chosen == APPROVE)
    {
        return Ok(Outcome::Success(serde_json::to_value(response)?));
    }
    let by = response.responded_by.as_deref().unwrap_or("the defaults");
    if config.fail_on_reject {
        return Err(TaskError::permanent(format!("rejected by {by}")));
    }
    info!("Rejected by {by}: downstream is skipped");
    xcom::push(xcom::RETURN_VALUE, &response)?;
    Ok(Outcome::ShortCircuit {
        ignore_downstream_trigger_rules: config.ignore_downstream_trigger_rules,
    })
}

/// What to enter.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// One line.
    subject: String,
    /// Markdown.
    body: Option<String>,
    /// Values to enter: a JSON Schema each, with a `default` where there is one.
    #[serde(default)]
    params: Map<String, Value>,
    /// What can be chosen beside them; `OK` where absent.
    options: Option<Vec<String>>,
    /// Whether several options may be chosen.
    #[serde(default)]
    multiple: bool,
    /// What counts as chosen when nobody answers in time.
    defaults: Option<ask::Options>,
    /// How long to wait for an answer; absent: until there is one.
    timeout: Option<airlock_sdk::time::Span>,
    /// Who is asked; empty: everybody who may answer.
    #[serde(default)]
    assigned_users: Vec<String>,
}

/// Waits for a person to enter values or to choose; yields the answer.
#[operator]
fn entry(config: Entry, task: &Task) -> Result<Outcome, TaskError> {
    let common = Common {
        subject: config.subject,
        body: config.body,
        defaults: config.defaults,
        timeout: config.timeout,
        assigned_users: config.assigned_users,
        params: config.params,
    };
    let options = config.options.unwrap_or_else(|| vec![OK.to_owned()]);
    match ask(common, options, config.multiple, task)? {
        Asked::Answered(response) => Ok(Outcome::Success(serde_json::to_value(response)?)),
        Asked::Waiting(outcome) => Ok(outcome),
    }
}

/// Where to go on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Branch {
    /// One line.
    subject: String,
    /// Markdown.
    body: Option<String>,
    /// Task ids that are directly downstream, or names that `options_mapping` maps to them.
    options: Vec<String>,
    /// The task id that an option stands for, where it is none itself.
    #[serde(default)]
    options_mapping: BTreeMap<String, String>,
    /// Whether several options may be chosen.
    #[serde(default)]
    multiple: bool,
    /// What counts as chosen when nobody answers in time.
    defaults: Option<ask::Options>,
    /// How long to wait for an answer; absent: until there is one.
    timeout: Option<airlock_sdk::time::Span>,
    /// Who is asked; empty: everybody who may answer.
    #[serde(default)]
    assigned_users: Vec<String>,
    /// Values to enter: a JSON Schema each.
    #[serde(default)]
    params: Map<String, Value>,
}

/// Lets only the downstream tasks go on that a person chooses.
#[operator]
fn branch(config: Branch, task: &Task) -> Result<Outcome, TaskError> {
    let unknown = config
        .options_mapping
        .keys()
        .find(|option| !config.options.contains(option));
    if let Some(option) = unknown {
        return Err(TaskError::invalid(
            "options_mapping",
            format!("`{option}` is not among the options"),
        ));
    }
    let common = Common {
        subject: config.subject,
        body: config.body,
        defaults: config.defaults,
        timeout: config.timeout,
        assigned_users: config.assigned_users,
        params: config.params,
    };
    let response: Response = match ask(common, config.options, config.multiple, task)? {
        Asked::Answered(response) => response,
        Asked::Waiting(outcome) => return Ok(outcome),
    };
    xcom::push(xcom::RETURN_VALUE, &response)?;
    let mapping = config.options_mapping;
    let task_ids = response.chosen_options.into_iter();
    let task_ids = task_ids.map(|option| mapping.get(&option).cloned().unwrap_or(option));
    Ok(Outcome::Branch(task_ids.collect()))
}

airlock_sdk::plugin!(operators: [approval, entry, branch]);

#[cfg(test)]
mod tests;
