//! A result against a threshold.

use crate::{number, object};
use airlock_sdk::prelude::*;
use airlock_sdk::xcom;

/// How good a result must be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Threshold {
    /// An object (or its JSON text) with the metric, usually what the training task returned.
    result: Value,
    /// The member to look at.
    metric: String,
    /// The metric is at least this.
    min: Option<f64>,
    /// The metric is at most this.
    max: Option<f64>,
}

/// Fails for good where a metric is below or above its threshold.
#[operator]
pub(crate) fn threshold(config: Threshold) -> Result<Value, TaskError> {
    if config.min.is_none() && config.max.is_none() {
        return Err(TaskError::invalid("min", "give min, max or both"));
    }
    let metric = &config.metric;
    let result = object("result", config.result)?;
    let value = number("result", &result, metric)?;
    // Before the decision, so that those who are told of a failure can read it.
    xcom::push("metrics", &json!({ metric: value }))?;
    // Written so that NaN is no pass.
    if let Some(min) = config.min
        && !(value >= min)
    {
        let text = format!("{metric} {value:.4} is below the threshold {min}");
        return Err(TaskError::permanent(text));
    }
    if let Some(max) = config.max
        && !(value <= max)
    {
        let text = format!("{metric} {value:.4} is above the threshold {max}");
        return Err(TaskError::permanent(text));
    }
    info!("{metric} {value:.4} passes");
    Ok(Value::Object(result))
}
