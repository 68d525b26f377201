//! The states of a task instance and of a DAG run, in Airflow's words.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The state of a task instance (Airflow 3.3.2, `TaskInstanceState`; `none` is Airflow's null).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskInstanceState {
    /// Its dependencies are not met yet.
    None,
    /// Its dependencies are met; it waits for slots.
    Scheduled,
    /// It has its slots and waits to be started.
    Queued,
    /// An attempt is live.
    Running,
    /// It ended well.
    Success,
    /// Its last attempt failed and no retry is left.
    Failed,
    /// It was skipped by itself, a branch, a short circuit or its trigger rule.
    Skipped,
    /// It cannot run because something above it failed.
    UpstreamFailed,
    /// An attempt failed; the next waits for its delay.
    UpForRetry,
    /// A sensor in reschedule mode waits for its next poke; it holds no slot.
    UpForReschedule,
    /// It waits for a point in time that it named itself; it holds no slot.
    Deferred,
    /// Its task or its map index is no longer in the DAG.
    Removed,
    /// Its attempt was lost or stopped from outside; it will be queued again whatever its tries.
    Restarting,
    /// It asked a person something and waits for the answer; it holds no slot.
    AwaitingInput,
}

impl TaskInstanceState {
    /// Whether the state is final unless somebody clears the task instance.
    pub const fn is_finished(self) -> bool {
        matches!(
            self,
            Self::Success | Self::Failed | Self::Skipped | Self::UpstreamFailed | Self::Removed
        )
    }

    /// Whether it holds slots, or counts as if it did where its pool includes deferred task instances.
    pub const fn holds_slots(self) -> bool {
        matches!(self, Self::Running | Self::Deferred | Self::AwaitingInput)
    }

    /// Airflow's word for the state.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::UpstreamFailed => "upstream_failed",
            Self::UpForRetry => "up_for_retry",
            Self::UpForReschedule => "up_for_reschedule",
            Self::Deferred => "deferred",
            Self::Removed => "removed",
            Self::Restarting => "restarting",
            Self::AwaitingInput => "awaiting_input",
        }
    }
}

impl fmt::Display for TaskInstanceState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// The state of a DAG run (Airflow's `DagRunState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DagRunState {
    /// Created, waiting for `max_active_runs`.
    Queued,
    /// At least one task instance may still run.
    Running,
    /// Every leaf ended in success or skipped.
    Success,
    /// A leaf failed, or the run was deadlocked, timed out or cancelled.
    Failed,
}

impl DagRunState {
    /// Whether the run has ended.
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Success | Self::Failed)
    }

    /// Airflow's word for the state.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Success => "success",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for DagRunState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}
