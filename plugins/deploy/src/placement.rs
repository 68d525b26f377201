//! Puts a model's bytes at a fixed place, from where something else serves them.

use crate::{described, existing};
use airlock_sdk::models::{self, Stage};
use airlock_sdk::prelude::*;
use airlock_sdk::storage;

/// Which model goes where.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToFile {
    /// The registered model.
    model_name: String,
    /// The version; absent: the newest in Production.
    version: Option<u32>,
    /// The object that is replaced, for example `file://./models/production/model.airlock`: readers see the old model or the new
    /// one, whole.
    uri: String,
}

/// Replaces the object at a fixed URI by a model's bytes, at once.
#[operator]
pub(crate) fn to_file(config: ToFile) -> Result<Value, TaskError> {
    let name = &config.model_name;
    let version = match config.version {
        Some(version) => existing(name, version)?,
        None => models::latest(name, Stage::Production)?
            .ok_or_else(|| TaskError::permanent(format!("{name} has no version in Production")))?,
    };
    let mut model = models::open_artifact(name, version.version);
    let mut object = storage::create(&config.uri)?;
    let bytes = std::io::copy(&mut model, &mut object)?;
    let digest = object.finish()?;
    info!(
        "{name} v{} ({bytes} bytes) is at {}",
        version.version, config.uri
    );
    let mut told = described(&version);
    if let Some(members) = told.as_object_mut() {
        members.insert("uri".into(), json!(config.uri));
        members.insert("bytes".into(), json!(bytes));
        members.insert("digest".into(), json!(digest));
    }
    Ok(told)
}
