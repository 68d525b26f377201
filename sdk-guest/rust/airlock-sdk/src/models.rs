//! The model registry.

pub use crate::bindings::airlock::operator::models::{ModelVersion, Stage};
pub use crate::sys::models::{
    get_latest_versions, get_version, register, set_alias, transition_stage,
};
use crate::{CapabilityError, sys};

/// The newest version of `name` in `stage`.
pub fn latest(name: &str, stage: Stage) -> Result<Option<ModelVersion>, CapabilityError> {
    Ok(sys::models::get_latest_versions(name, &[stage])?
        .into_iter()
        .next())
}
