//! Why training or scoring did not happen. Owns the one error type of this crate; refuses to carry a cause
//! without saying what to do about it.

use serde::{Deserialize, Serialize};

/// What went wrong, in the words of the guest interface `training`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum TrainError {
    /// A grant does not cover this. Never made here: the host makes it before it calls.
    #[error("training was denied: {0}")]
    Denied(String),
    /// The settings make no sense, or ask for what is not built.
    #[error("the training settings cannot be used: {0}")]
    Invalid(String),
    /// There is no such device; the text says what there is.
    #[error("no such device: {0}")]
    NoDevice(String),
    /// More memory would be needed than there is. Both in bytes.
    #[error(
        "training needs {needed} bytes of memory and {available} are available; use fewer rows or features"
    )]
    OutOfMemory {
        /// Bytes that the run would need.
        needed: u64,
        /// Bytes that it may have.
        available: u64,
    },
    /// The device failed during the run.
    #[error("the device failed: {0}")]
    DeviceFault(String),
    /// The threads of the run are gone; a bug in this crate, never in the input.
    #[error("the training worker was lost: {0}")]
    WorkerLost(String),
    /// The rows, labels or model bytes cannot be used.
    #[error("the data cannot be used: {0}")]
    Data(String),
}
