//! The records of runs, and the keys they live under. A run is a small head and one row for each param, tag, metric, dataset and
//! model: logging a metric writes that metric and nothing else of the run.

use super::codec::exact;
use super::{Experiment, Lifecycle};
use crate::store::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The tag that MLflow keeps a run's name in.
pub(super) const RUN_NAME_TAG: &str = "mlflow.runName";

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RunStatus {
    /// Not ended yet.
    Running,
    /// Ended well.
    Finished,
    /// Ended badly.
    Failed,
    /// Was stopped.
    Killed,
    /// Not begun yet.
    Scheduled,
}

impl RunStatus {
    /// MLflow's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
            Self::Killed => "KILLED",
            Self::Scheduled => "SCHEDULED",
        }
    }

    /// From MLflow's word.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [
            Self::Running,
            Self::Finished,
            Self::Failed,
            Self::Killed,
            Self::Scheduled,
        ];
        all.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether the run is over.
    pub(super) fn is_end(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Killed)
    }
}

/// One point of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MetricPoint {
    /// The value; NaN and infinities are kept.
    #[serde(with = "exact")]
    pub value: f64,
    /// The step it belongs to.
    pub step: i64,
    /// When it was measured, milliseconds since the epoch.
    pub at_ms: i64,
}

impl MetricPoint {
    /// MLflow's rule for which point is a metric's latest: the highest step, then time, then value, where NaN counts as 0.
    pub(super) fn latest(&self, other: &Self) -> Ordering {
        let value = |point: &Self| {
            if point.value.is_nan() {
                0.0
            } else {
                point.value
            }
        };
        (self.step, self.at_ms)
            .cmp(&(other.step, other.at_ms))
            .then_with(|| value(self).total_cmp(&value(other)))
    }
}

/// A run of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// 32 hex digits; that of an operator's run follows from experiment and name.
    pub run_id: String,
    /// The id of its experiment.
    pub experiment_id: String,
    /// The name of its experiment.
    pub experiment: String,
    /// Its name; that of an operator's run is unique in the experiment.
    pub name: String,
    /// Who made it, as the client says.
    pub user_id: String,
    /// Where it stands.
    pub status: RunStatus,
    /// Whether it or its experiment was deleted.
    pub lifecycle: Lifecycle,
    /// When it was begun, milliseconds since the epoch.
    pub started_ms: i64,
    /// When it was ended.
    pub ended_ms: Option<i64>,
    /// Set once.
    pub params: BTreeMap<String, String>,
    /// The latest point of each metric.
    pub metrics: BTreeMap<String, MetricPoint>,
    /// Upserted.
    pub tags: BTreeMap<String, String>,
}

impl Run {
    /// Where its artifacts are, as clients name it.
    pub fn artifact_uri(&self) -> String {
        artifact_uri(&self.experiment_id, &self.run_id)
    }
}

pub(super) fn artifact_uri(experiment_id: &str, run_id: &str) -> String {
    format!("mlflow-artifacts:/{experiment_id}/{run_id}/artifacts")
}

/// What a client says of a new run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewRun {
    /// One is made up where it is absent.
    pub name: Option<String>,
    /// Who makes it; may be empty.
    pub user_id: String,
    /// When it began, milliseconds since the epoch; now where it is absent.
    pub started_ms: Option<i64>,
    /// Its first tags.
    pub tags: Vec<(String, String)>,
}

/// What is to become of a run; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunUpdate {
    /// Its name.
    pub name: Option<String>,
    /// Where it stands.
    pub status: Option<RunStatus>,
    /// When it ended, milliseconds since the epoch.
    pub ended_ms: Option<i64>,
}

/// How many rows of each kind a run has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) params: usize,
    pub(super) metrics: usize,
    pub(super) tags: usize,
    pub(super) inputs: usize,
    pub(super) artifacts: usize,
}

/// The head of a run as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) run_id: String,
    /// The seed of its experiment: its name, in what an older Airlock wrote.
    pub(super) experiment: String,
    pub(super) name: String,
    #[serde(default)]
    pub(super) user_id: String,
    pub(super) status: RunStatus,
    #[serde(default)]
    pub(super) lifecycle: Lifecycle,
    pub(super) started_ms: i64,
    pub(super) ended_ms: Option<i64>,
    #[serde(default)]
    pub(super) counts: Counts,
    /// An older Airlock kept everything in the head. What is here moves to rows of its own with the next change.
    #[serde(flatten)]
    pub(super) old: OldItems,
}

/// What an older Airlock kept in the head.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct OldItems {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) params: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) metrics: BTreeMap<String, MetricPoint>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) tags: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) artifacts: BTreeMap<String, String>,
}

impl Head {
    /// A new one in an experiment.
    pub(super) fn new(experiment: &Experiment, run_id: String, name: &str, now: i64) -> Self {
        Self {
            run_id,
            experiment: experiment.seed.clone(),
            name: name.to_owned(),
            user_id: String::new(),
            status: RunStatus::Running,
            lifecycle: Lifecycle::Active,
            started_ms: now,
            ended_ms: None,
            counts: Counts::default(),
            old: OldItems::default(),
        }
    }
}

/// The id of the run called `name` in an experiment: a retry computes the same, so it finds instead of making a second.
pub(super) fn run_id(seed: &str, name: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(seed.as_bytes());
    hash.update([0]);
    hash.update(name.as_bytes());
    hex(hash.finalize().get(..16).unwrap_or_default())
}

/// Key of a run's head in `Table::TrackingRun`.
pub(super) fn run_key(run_id: &str) -> Vec<u8> {
    [b"r", run_id.as_bytes()].concat()
}

/// Keys of an experiment's runs in `Table::TrackingRun`, in the order of their beginning. Without a run: their prefix.
pub(super) fn index_key(seed: &str, run: Option<(i64, &str)>) -> Vec<u8> {
    let mut key = [b"x", seed.as_bytes(), &[0]].concat();
    if let Some((started_ms, run_id)) = run {
        key.extend(ordered(started_ms));
        key.extend(run_id.as_bytes());
    }
    key
}

/// Bytes that sort as the number does.
pub(super) fn ordered(number: i64) -> [u8; 8] {
    (number.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// The number of bytes that `ordered` made.
pub(super) fn unordered(bytes: [u8; 8]) -> i64 {
    (u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_separator_keeps_ids_apart() {
        assert_ne!(run_id("ab", "c"), run_id("a", "bc"));
        assert_eq!(run_id("ab", "c").len(), 32);
    }

    #[test]
    fn the_latest_point_has_the_highest_step_then_time_then_value() {
        let point = |step, at_ms, value| MetricPoint { value, step, at_ms };
        let rising = [
            point(-1, 9, 9.0),
            point(0, 1, 5.0),
            point(0, 2, -1.0),
            point(0, 2, f64::NAN),
            point(0, 2, 1.0),
            point(1, 0, f64::NEG_INFINITY),
        ];
        for pair in rising.windows(2) {
            assert_eq!(pair[0].latest(&pair[1]), Ordering::Less, "{pair:?}");
        }
    }
}
