//! The life of a model version after its training: registered, promoted, put where it is served, rolled back. Every move is one
//! commit of the registry and is safe to repeat. It refuses to choose which model is better.

mod placement;
mod promotion;
mod registration;
mod reversal;

use airlock_sdk::models::{self, ModelVersion, Stage};
use airlock_sdk::prelude::*;
use placement::to_file;
use promotion::promote;
use registration::register;
use reversal::rollback;

/// How often an alias is moved once more because the version in Production changed meanwhile.
const ALIAS_TRIES_MAX: u32 = 100;

/// A stage in a config: MLflow's word, in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
enum ToStage {
    /// Just registered.
    #[serde(alias = "none")]
    None,
    /// Under test.
    #[serde(alias = "staging")]
    Staging,
    /// In use.
    #[serde(alias = "production")]
    Production,
}

impl ToStage {
    fn inward(self) -> Stage {
        match self {
            Self::None => Stage::None,
            Self::Staging => Stage::Staging,
            Self::Production => Stage::Production,
        }
    }
}

/// The alias of the version in use.
fn champion() -> Option<String> {
    Some("champion".into())
}

fn word(stage: Stage) -> &'static str {
    match stage {
        Stage::None => "None",
        Stage::Staging => "Staging",
        Stage::Production => "Production",
        Stage::Archived => "Archived",
    }
}

fn existing(name: &str, version: u32) -> Result<ModelVersion, TaskError> {
    models::get_version(name, version)?
        .ok_or_else(|| TaskError::invalid("version", format!("{name} has no version {version}")))
}

/// Points an alias at what is in Production. Whoever moved a version last also looks last, so that of two promotions at the same
/// moment neither leaves the alias at a version that the other has archived.
fn follow_production(name: &str, alias: &str, moved: &ModelVersion) -> Result<(), TaskError> {
    let mut target = moved.version;
    for _ in 0..ALIAS_TRIES_MAX {
        models::set_alias(name, alias, target)?;
        match models::latest(name, Stage::Production)? {
            Some(there) if there.version != target => target = there.version,
            _ => return Ok(()),
        }
    }
    Err(TaskError::transient(format!(
        "{name} was promoted again and again while alias {alias} was set"
    )))
}

fn described(version: &ModelVersion) -> Value {
    json!({
        "model_name": version.name,
        "version": version.version,
        "stage": word(version.stage),
        "run_id": version.run_id,
        "artifact": version.artifact,
    })
}

airlock_sdk::plugin!(operators: [promote, rollback, register, to_file]);

#[cfg(test)]
mod tests;
