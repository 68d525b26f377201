//! Moves a version to Staging or to Production.

use crate::{ToStage, champion, described, existing, follow_production, word};
use airlock_sdk::models::{self, ModelVersion, Stage};
use airlock_sdk::prelude::*;

/// What to promote.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Promote {
    /// The registered model.
    model_name: String,
    /// The version; absent: the newest in the stage before (Staging for Production, None for Staging).
    version: Option<u32>,
    /// Where to: Production or Staging.
    #[serde(default = "production")]
    stage: ToStage,
    /// Whether what else is in that stage becomes Archived, in the same commit; absent: only in Production, so that an older
    /// version in Staging stays there for comparison.
    archive_existing_versions: Option<bool>,
    /// Points this alias at the version in Production as well.
    #[serde(default = "champion")]
    alias: Option<String>,
}

fn production() -> ToStage {
    ToStage::Production
}

/// Moves a version to Production and archives the one that was there, or moves it to Staging.
#[operator]
pub(crate) fn promote(config: Promote) -> Result<Value, TaskError> {
    let name = &config.model_name;
    let stage = config.stage.inward();
    if stage == Stage::None {
        return Err(TaskError::invalid("stage", "must be Staging or Production"));
    }
    let target = match config.version {
        Some(version) => existing(name, version)?,
        None => newest_candidate(name, stage)?,
    };
    let archive = config
        .archive_existing_versions
        .unwrap_or(stage == Stage::Production);
    let target = advance(target, stage, archive)?;
    if let (Some(alias), Stage::Production) = (&config.alias, target.stage) {
        follow_production(name, alias, &target)?;
    }
    info!("{name} v{} is in {}", target.version, word(target.stage));
    Ok(described(&target))
}

/// The newest of the stage before; or what is in the stage itself or after it, where that is newer: an earlier try promoted it.
fn newest_candidate(name: &str, stage: Stage) -> Result<ModelVersion, TaskError> {
    let from = match stage {
        Stage::Production => [Stage::Staging, Stage::Production].as_slice(),
        _ => &[Stage::None, Stage::Staging, Stage::Production],
    };
    models::get_latest_versions(name, from)?
        .into_iter()
        .max_by_key(|version| version.version)
        .ok_or_else(|| {
            let before = from.first().map_or("", |stage| word(*stage));
            TaskError::permanent(format!("{name} has no version in stage {before}"))
        })
}

/// Moves a version forward. One that is there, or further, stays: a repeated promotion to Staging takes nothing out of use.
fn advance(target: ModelVersion, stage: Stage, archive: bool) -> Result<ModelVersion, TaskError> {
    if target.stage == stage || (stage == Stage::Staging && target.stage != Stage::None) {
        let at = word(target.stage);
        info!("{} v{} is in {at} already", target.name, target.version);
        return Ok(target);
    }
    Ok(models::transition_stage(
        &target.name,
        target.version,
        stage,
        archive,
    )?)
}
