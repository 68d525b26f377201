//! The best of several results.

use crate::{number, object, val_auc};
use airlock_sdk::prelude::*;
use serde_json::Map;

/// Which of several results is best.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SelectBest {
    /// Objects, usually what a mapped task returned.
    results: Vec<Value>,
    /// The member to compare.
    #[serde(default = "val_auc")]
    metric: String,
    /// Whether less is better.
    #[serde(default)]
    minimize: bool,
}

/// Returns the result with the best metric.
#[operator]
pub(crate) fn select_best(config: SelectBest) -> Result<Value, TaskError> {
    let mut best: Option<(f64, Map<String, Value>)> = None;
    for (place, result) in config.results.into_iter().enumerate() {
        let field = format!("results[{place}]");
        // A skipped or failed instance of a mapped task leaves no value.
        if result.is_null() {
            warn!("{field} has no value: left out");
            continue;
        }
        let result = object(&field, result)?;
        let value = number(&field, &result, &config.metric)?;
        let better = best.as_ref().is_none_or(|(than, _)| {
            if config.minimize {
                value < *than
            } else {
                value > *than
            }
        });
        info!("{field}: {} {value:.4}", config.metric);
        if better {
            best = Some((value, result));
        }
    }
    let (value, result) =
        best.ok_or_else(|| TaskError::invalid("results", "there is nothing to choose from"))?;
    info!("Best {}: {value:.4}", config.metric);
    Ok(Value::Object(result))
}
