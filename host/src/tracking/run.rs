//! The records of experiments and runs, and the keys they live under.

use super::codec::exact;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// An experiment: a name that runs gather under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Experiment {
    /// Its name.
    pub name: String,
    /// When it was made, milliseconds since the epoch.
    pub created_ms: i64,
}

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
}

/// One point of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MetricPoint {
    /// The value; NaN and infinities are kept.
    #[serde(with = "exact")]
    pub value: f64,
    /// The step it belongs to.
    pub step: i64,
    /// When it was logged, milliseconds since the epoch.
    pub at_ms: i64,
}

/// A run of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// 32 hex digits; follows from experiment and name.
    pub run_id: String,
    /// Its experiment.
    pub experiment: String,
    /// Its name, unique in the experiment.
    pub name: String,
    /// Where it stands.
    pub status: RunStatus,
    /// When it was begun, milliseconds since the epoch.
    pub started_ms: i64,
    /// When it was ended.
    pub ended_ms: Option<i64>,
    /// Set once.
    pub params: BTreeMap<String, String>,
    /// The point with the highest step of each metric.
    pub metrics: BTreeMap<String, MetricPoint>,
    /// Upserted.
    pub tags: BTreeMap<String, String>,
    /// SHA-256 in hex by logical path. A path is a name and never a place on a disk.
    pub artifacts: BTreeMap<String, String>,
}

/// The id of the run called `name` in `experiment`: a retry computes the same, so it finds instead of making a second.
pub(super) fn run_id(experiment: &str, name: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(experiment.as_bytes());
    hash.update([0]);
    hash.update(name.as_bytes());
    hash.finalize()
        .iter()
        .take(16)
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// Key of a run in `Table::TrackingRun`.
pub(super) fn run_key(run_id: &str) -> Vec<u8> {
    [b"r", run_id.as_bytes()].concat()
}

/// Keys of an experiment's runs in `Table::TrackingRun`, in the order of their beginning. Without a run: their prefix.
pub(super) fn index_key(experiment: &str, run: Option<(i64, &str)>) -> Vec<u8> {
    let mut key = [b"x", experiment.as_bytes(), &[0]].concat();
    if let Some((started_ms, run_id)) = run {
        key.extend(ordered(started_ms));
        key.extend(run_id.as_bytes());
    }
    key
}

/// Key of a point in `Table::Metric`. Without a step: the prefix of all points of the metric.
pub(super) fn metric_key(run_id: &str, metric: &str, step: Option<i64>) -> Vec<u8> {
    let mut key = [run_id.as_bytes(), &[0], metric.as_bytes(), &[0]].concat();
    if let Some(step) = step {
        key.extend(ordered(step));
    }
    key
}

/// Bytes that sort as the number does.
fn ordered(number: i64) -> [u8; 8] {
    (number.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_steps_do() {
        let keys: Vec<_> = [i64::MIN, -1, 0, 1, 300, i64::MAX]
            .map(|step| metric_key("r", "auc", Some(step)))
            .to_vec();
        assert!(keys.is_sorted());
    }

    #[test]
    fn the_separator_keeps_ids_apart() {
        assert_ne!(run_id("ab", "c"), run_id("a", "bc"));
        assert_eq!(run_id("ab", "c").len(), 32);
    }
}
