//! How far the attempt is, and whether it was told to stop.

use crate::sys::progress as host;
use crate::{TaskError, time};
use std::time::Duration;

/// The longest sleep between two looks at `is_cancelled`.
const SLEEP_SLICE: Duration = Duration::from_millis(50);

/// Reports that `fraction` (0.0 to 1.0) of the work is done.
pub fn report(fraction: f64, message: &str) {
    host::report(Some(fraction), message);
}

/// Reports progress of a length that nobody knows.
pub fn message(message: &str) {
    host::report(None, message);
}

/// Whether the attempt was told to stop; it has its grace period left to save what it has.
pub fn is_cancelled() -> bool {
    host::is_cancelled()
}

/// Sleeps, and ends early with a transient error when the attempt is told to stop.
pub fn sleep(length: Duration) -> Result<(), TaskError> {
    let mut left = length;
    while !left.is_zero() {
        if is_cancelled() {
            return Err(TaskError::transient("cancelled while asleep"));
        }
        let slice = left.min(SLEEP_SLICE);
        time::sleep(slice);
        left = left.saturating_sub(slice);
    }
    Ok(())
}
