//! Experiments, runs, logged models, the model registry and the audit trail: services over the store. It owns the records, their
//! keys and their format versions, and it writes one audit event in the same commit as each change. It refuses to know grants,
//! guests or HTTP: whoever calls has already been allowed, and says who it is.
//!
//! The words are MLflow's, so that its client finds here what it expects; what a guest logs and what a client logs are the same
//! records. Tags whose key begins with `airlock.` are the host's own word about where something came from: nobody else sets them.

mod artifacts;
mod audit;
mod codec;
mod error;
mod experiment;
mod experiments;
mod find_runs;
mod index;
mod items;
mod log;
mod logged_model;
mod logged_models;
mod model;
mod names;
mod registry;
mod run;
mod runs;
mod search;

pub use artifacts::{
    ARTIFACT_BYTES_MAX, ARTIFACT_PATH_BYTES_MAX, ARTIFACTS_MAX, Artifact, ArtifactEntry,
    ArtifactOwner, check_artifact_path, parse_artifact_uri,
};
pub use audit::{Audit, AuditEvent};
pub use error::TrackingError;
pub use experiment::{DEFAULT_EXPERIMENT_ID, Experiment, Lifecycle, ViewType};
pub use items::{DatasetInput, MetricHistory, ModelInput, ModelOutput};
pub use log::{Batch, MetricInput};
pub use logged_model::{LoggedModel, LoggedModelStatus, ModelMetric, NewLoggedModel};
pub use model::{ModelVersion, NewModelVersion, PROMOTIONS_MAX, Promotion, RegisteredModel, Stage};
pub use registry::{Registry, VERSIONS_MAX, VersionAt, VersionLife};
pub use run::{MetricPoint, NewRun, Run, RunStatus, RunUpdate};
pub use runs::{InputsAndOutputs, Tracking, parse_digest};
pub use search::{Page, SearchError};

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Milliseconds since 1970-01-01T00:00:00Z, asked for once a change.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The longest name of an experiment, run, model, alias, param, metric or tag, bytes (MLflow's).
pub const NAME_BYTES_MAX: usize = 250;
/// The longest value of a param, characters (MLflow's).
pub const PARAM_CHARS_MAX: usize = 6_000;
/// The longest value of a tag of an experiment, run or logged model, characters (MLflow's).
pub const TAG_CHARS_MAX: usize = 8_000;
/// The longest value of a tag or description of a model or version, characters (MLflow's).
pub const REGISTRY_TEXT_CHARS_MAX: usize = 100_000;
/// The most params, tags, metrics or artifacts in one call of a guest.
pub const ITEMS_PER_CALL_MAX: usize = 1_000;
/// The most metrics of one batch of a client, and of all its items (MLflow's).
pub const BATCH_ITEMS_MAX: usize = 1_000;
/// The most params and the most tags of one batch of a client (MLflow's).
pub const BATCH_PAIRS_MAX: usize = 100;
/// The most params, tags, metric keys, datasets or models (each) of one run or model version.
pub const ITEMS_PER_RUN_MAX: usize = 5_000;
/// What begins the keys of tags that only the host sets.
pub const HOST_TAG_PREFIX: &str = "airlock.";
/// The most rows of a page of a search (MLflow's).
pub const SEARCH_RESULTS_MAX: usize = 50_000;

/// Who makes a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// What kind of actor.
    pub kind: ActorKind,
    /// A task instance as `dag/run/task/map_index/try`, or a user's name.
    pub id: String,
}

/// Kinds of actors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// A guest in an attempt.
    TaskInstance,
    /// A person or a program with a token.
    User,
}

/// Checks a name: not empty, at most `NAME_BYTES_MAX`, no control characters (keys use NUL as their separator).
fn check_name(what: &'static str, name: &str) -> Result<(), TrackingError> {
    let reason = if name.is_empty() {
        "is empty"
    } else if name.len() > NAME_BYTES_MAX {
        return Err(TrackingError::TooLarge {
            what,
            limit: NAME_BYTES_MAX,
        });
    } else if name.chars().any(char::is_control) {
        "holds a control character"
    } else {
        return Ok(());
    };
    Err(TrackingError::Invalid(format!(
        "{what} {name:?} {reason}; give it a plain name"
    )))
}

/// Checks the length of a text in characters.
fn check_text(what: &'static str, text: &str, limit: usize) -> Result<(), TrackingError> {
    // A character has at least one byte, so most texts need no counting.
    if text.len() > limit && text.chars().count() > limit {
        return Err(TrackingError::TooLarge { what, limit });
    }
    Ok(())
}

/// Checks a count against a limit.
fn check_count(what: &'static str, count: usize, limit: usize) -> Result<(), TrackingError> {
    if count > limit {
        return Err(TrackingError::TooLarge { what, limit });
    }
    Ok(())
}

/// Refuses a tag that only the host sets.
fn check_own_tag(key: &str) -> Result<(), TrackingError> {
    if key.starts_with(HOST_TAG_PREFIX) {
        return Err(TrackingError::Invalid(format!(
            "tag {key:?} is the host's own word about where something came from; use a key that does not begin with {HOST_TAG_PREFIX:?}"
        )));
    }
    Ok(())
}

/// Checks the key and value of a tag that somebody other than the host sets.
fn check_tag(key: &str, value: &str, limit: usize) -> Result<(), TrackingError> {
    check_name("tag", key)?;
    check_own_tag(key)?;
    check_text("the value of a tag", value, limit)
}

fn check_tags(tags: &[(String, String)], limit: usize) -> Result<(), TrackingError> {
    check_count("tags in one call", tags.len(), ITEMS_PER_CALL_MAX)?;
    tags.iter()
        .try_for_each(|(key, value)| check_tag(key, value, limit))
}
