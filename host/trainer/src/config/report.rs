//! What a run says while it goes on and when it ends.

use super::Metric;
use serde::{Deserialize, Serialize};

/// What a run got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// `cpu`.
    pub device: String,
    /// Threads that work.
    pub threads: u32,
    /// Bytes that the run is expected to hold.
    pub memory_limit: u64,
}

/// One measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Trees in the model that was measured.
    pub round: u32,
    /// What was measured.
    pub metric: Metric,
    /// On the training matrix.
    pub train: Option<f64>,
    /// On the validation matrix.
    pub valid: Option<f64>,
}

/// What a run cost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// From start to end.
    pub wall_ms: u64,
    /// Of all its threads; 0 where the system does not tell.
    pub cpu_ms: u64,
    /// Of a GPU.
    pub device_ms: u64,
    /// Bytes, counted from the sizes of what the run holds.
    pub peak_host: u64,
    /// Bytes.
    pub peak_device: u64,
    /// Trees trained by this run, without those resumed from.
    pub rounds: u32,
    /// Times that the run moved.
    pub restarts: u32,
}

/// What a run says while it goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// It has its threads.
    Started(Granted),
    /// A measurement.
    Progress(Point),
    /// The bytes of the model so far; the latest one replaces those not read yet.
    Checkpointed(Vec<u8>),
    /// The device was lost and the run went on elsewhere.
    Moved(String),
    /// Something a person should know.
    Warning(String),
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// All rounds.
    Completed,
    /// The metric improved no more.
    EarlyStopped,
    /// Somebody asked.
    Cancelled,
    /// The time limit.
    Deadline,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunOutcome {
    /// Why.
    pub reason: StopReason,
    /// Trees in the model.
    pub best_round: u32,
    /// The measurements of that model.
    pub metrics: Vec<Point>,
    /// What it cost.
    pub usage: Usage,
}
