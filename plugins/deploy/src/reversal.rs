//! Puts an earlier version back into Production.

use crate::{champion, described, existing, follow_production};
use airlock_sdk::models::{self, Stage};
use airlock_sdk::prelude::*;

/// Where to go back to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rollback {
    /// The registered model.
    model_name: String,
    /// Goes back to this version.
    to_version: Option<u32>,
    /// Or: replaces this version by the one that was in Production before it. One of the two is needed, so that a repeated
    /// rollback does not go back a second step.
    from_version: Option<u32>,
    /// Points this alias at the version in Production as well.
    #[serde(default = "champion")]
    alias: Option<String>,
}

/// Puts an earlier version back into Production and archives the one that was there.
#[operator]
pub(crate) fn rollback(config: Rollback) -> Result<Value, TaskError> {
    let name = &config.model_name;
    let target = match (config.to_version, config.from_version) {
        (Some(to), None) => back_to(name, to)?,
        (None, Some(from)) => models::rollback(name, from)?,
        _ => {
            return Err(TaskError::invalid(
                "to_version",
                "name either the version to go back to or, as `from_version`, the one to replace",
            ));
        }
    };
    if let Some(alias) = &config.alias {
        follow_production(name, alias, &target)?;
    }
    warn!(
        "{name} v{} is in Production after a rollback",
        target.version
    );
    Ok(described(&target))
}

fn back_to(name: &str, version: u32) -> Result<models::ModelVersion, TaskError> {
    let target = existing(name, version)?;
    if target.stage == Stage::Production {
        return Ok(target);
    }
    Ok(models::transition_stage(
        name,
        version,
        Stage::Production,
        true,
    )?)
}
