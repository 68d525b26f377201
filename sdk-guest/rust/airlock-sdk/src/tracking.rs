//! Experiment tracking: a run by its name, found again by a retry.

use crate::CapabilityError;
use crate::sys::tracking as host;

pub use crate::bindings::airlock::operator::tracking::{Metric, RunInfo, RunStatus};
pub use crate::sys::tracking::get_run;

/// A tracking run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its id.
    pub id: String,
}

impl Run {
    /// Finds or makes the run called `name` in `experiment`.
    pub fn start(experiment: &str, name: &str) -> Result<Self, CapabilityError> {
        host::start_run(experiment, name).map(|id| Self { id })
    }

    /// Params are set once: another value for the same key is a conflict.
    pub fn params<K: ToString, V: ToString>(
        &self,
        params: impl IntoIterator<Item = (K, V)>,
    ) -> Result<(), CapabilityError> {
        host::log_params(&self.id, &texts(params))
    }

    /// Adds one point.
    pub fn metric(&self, key: &str, value: f64, step: i64) -> Result<(), CapabilityError> {
        let key = key.to_owned();
        self.metrics(&[Metric { key, value, step }])
    }

    /// Adds points.
    pub fn metrics(&self, metrics: &[Metric]) -> Result<(), CapabilityError> {
        host::log_metrics(&self.id, metrics)
    }

    /// Upserts tags.
    pub fn tags<K: ToString, V: ToString>(
        &self,
        tags: impl IntoIterator<Item = (K, V)>,
    ) -> Result<(), CapabilityError> {
        host::set_tags(&self.id, &texts(tags))
    }

    /// Names an artifact, given by its SHA-256.
    pub fn artifact(&self, path: &str, artifact: &str) -> Result<(), CapabilityError> {
        host::log_artifact(&self.id, path, artifact)
    }

    /// Sets the end state.
    pub fn end(&self, status: RunStatus) -> Result<(), CapabilityError> {
        host::end_run(&self.id, status)
    }
}

fn texts<K: ToString, V: ToString>(
    pairs: impl IntoIterator<Item = (K, V)>,
) -> Vec<(String, String)> {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}
