//! Experiments, runs, the model registry and the audit trail: services over the store. It owns the records, their keys and their
//! format versions, and it writes one audit event in the same commit as each change. It refuses to know grants, guests or HTTP:
//! whoever calls has already been allowed, and says who it is.

mod audit;
mod codec;
mod error;
mod model;
mod registry;
mod run;
mod runs;

pub use audit::{Audit, AuditEvent};
pub use error::TrackingError;
pub use model::{ModelVersion, PROMOTIONS_MAX, Promotion, RegisteredModel, Stage};
pub use registry::{Registry, VERSIONS_MAX};
pub use run::{Experiment, MetricPoint, Run, RunStatus};
pub use runs::{Tracking, parse_digest};

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Milliseconds since 1970-01-01T00:00:00Z, asked for once a change.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The longest name of an experiment, run, model, alias, param, metric or tag, bytes (MLflow's).
pub const NAME_BYTES_MAX: usize = 250;
/// The longest value of a param or tag, bytes (MLflow's for a param is 6,000).
pub const TEXT_BYTES_MAX: usize = 6_000;
/// The most params, tags, metrics or artifacts in one call.
pub const ITEMS_PER_CALL_MAX: usize = 1_000;
/// The most params, tags, metric keys or artifacts (each) of one run or model version.
pub const ITEMS_PER_RUN_MAX: usize = 5_000;

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

/// Checks the value of a param or tag.
fn check_text(what: &'static str, text: &str) -> Result<(), TrackingError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(TrackingError::TooLarge {
            what,
            limit: TEXT_BYTES_MAX,
        });
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
