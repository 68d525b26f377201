//! The limits of one attempt: the host's defaults, lowered by the grant, and the task's `execution_timeout`.

use crate::sandbox::AttemptLimits;
use airlock_core::dag::spec::Task;
use airlock_core::grant::Limits;
use std::time::Duration;

/// A grant only ever lowers a default.
pub(super) fn attempt_limits(task: &Task, granted: &Limits) -> AttemptLimits {
    let defaults = AttemptLimits::default();
    let lower = |default: u64, granted: Option<u64>| {
        granted.map_or(default, |granted| granted.min(default))
    };
    AttemptLimits {
        memory_bytes: lower(defaults.memory_bytes, granted.memory_bytes),
        log_bytes: lower(defaults.log_bytes, granted.log_bytes),
        output_bytes: lower(defaults.output_bytes, granted.output_bytes),
        execution_timeout: task
            .execution_timeout
            .and_then(|timeout| Duration::try_from(timeout).ok()),
        ..defaults
    }
}
