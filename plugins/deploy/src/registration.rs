//! Registers what a training logged as a version of a model.

use crate::{ToStage, described};
use airlock_sdk::models::{self, Stage};
use airlock_sdk::prelude::*;
use std::collections::BTreeMap;

/// What to register.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Register {
    /// The registered model; it is made where it is missing.
    model_name: String,
    /// The tracking run that made the model.
    run_id: String,
    /// SHA-256 of the model's bytes, as the training task returned it.
    artifact: String,
    /// Where a new version goes: Staging or None. One that was registered before stays where it is.
    #[serde(default = "staging")]
    stage: ToStage,
    /// Tags of a new version; `pipeline` and `train_date` are there without being named.
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

fn staging() -> ToStage {
    ToStage::Staging
}

/// Registers a model and moves the new version to Staging.
#[operator]
pub(crate) fn register(config: Register, task: &Task) -> Result<Value, TaskError> {
    if config.stage == ToStage::Production {
        return Err(TaskError::invalid(
            "stage",
            "must be Staging or None: `deploy.promote` moves versions to Production",
        ));
    }
    let mut tags = config.tags;
    let train_date = task.ds().unwrap_or_default();
    tags.entry("train_date".into()).or_insert(train_date);
    tags.entry("pipeline".into())
        .or_insert_with(|| task.dag_id.clone());
    let tags: Vec<_> = tags.into_iter().collect();
    let name = &config.model_name;
    let version = models::register(name, &config.run_id, &config.artifact, &tags)?;
    let version = if version.stage == Stage::None && config.stage == ToStage::Staging {
        models::transition_stage(name, version.version, Stage::Staging, false)?
    } else {
        version
    };
    info!("{name} v{} of run {}", version.version, version.run_id);
    Ok(described(&version))
}
