//! Judges models by what was logged: a challenger against the champion, a result against a threshold, several results against each
//! other. It refuses to deploy anything, and to score anything: `shadow_evaluate` does that.

mod bounds;
mod champion;
mod selection;

use airlock_sdk::prelude::*;
use bounds::threshold;
use champion::evaluate;
use selection::select_best;
use serde_json::Map;

/// What trainings of yes or no are compared by.
fn val_auc() -> String {
    "val_auc".into()
}

/// An object, or the JSON text of one.
fn object(field: &str, value: Value) -> Result<Map<String, Value>, TaskError> {
    match value {
        Value::Object(members) => Ok(members),
        Value::String(text) => serde_json::from_str(&text)
            .map_err(|error| TaskError::invalid(field, format!("is no JSON object: {error}"))),
        other => Err(TaskError::invalid(
            field,
            format!("must be what the training task returned, not {other}"),
        )),
    }
}

fn number(field: &str, members: &Map<String, Value>, key: &str) -> Result<f64, TaskError> {
    members
        .get(key)
        .and_then(Value::as_f64)
        .ok_or_else(|| TaskError::invalid(field, format!("needs a number `{key}`")))
}

airlock_sdk::plugin!(operators: [evaluate, select_best, threshold]);

#[cfg(test)]
mod tests;
