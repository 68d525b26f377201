//! The limits of one attempt: the host's defaults, lowered by the grant, and the task's `execution_timeout`.

use crate::sandbox::AttemptLimits;
use airlock_core::dag::spec::Task;
use airlock_core::grant::Limits;
use std::time::Duration;

/// A grant only ever lowers a default.
pub(super) fn attempt_limits(task: &Task, granted: &Limits) -> AttemptLimits {
    AttemptLimits {
        execution_timeout: task
            .execution_timeout
            .and_then(|timeout| Duration::try_from(timeout).ok()),
        ..AttemptLimits::default().lowered_by(granted)
    }
}
