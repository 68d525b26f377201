//! Waits for a time. It names the time and is called again then: no slot is held.

use airlock_sdk::prelude::*;
use airlock_sdk::time::{Span, Timestamp, now};

/// How long to wait.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TimeDelta {
    /// After the end of the run's data interval.
    delta: Span,
}

/// Waits until so long after the end of the run's data interval.
#[operator(sensor)]
pub(crate) fn time_delta(config: TimeDelta, task: &Task) -> Result<Outcome, TaskError> {
    let from = task
        .data_interval_end
        .or(task.logical_date)
        .ok_or_else(|| {
            TaskError::permanent(
                "this run has neither a data interval nor a logical date to count from",
            )
        })?;
    until(from.plus(config.delta.0)?)
}

/// Until when to wait.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DateTime {
    /// The instant.
    target_time: Timestamp,
}

/// Waits until an instant.
#[operator(sensor)]
pub(crate) fn date_time(config: DateTime) -> Result<Outcome, TaskError> {
    until(config.target_time)
}

fn until(target: Timestamp) -> Result<Outcome, TaskError> {
    if now()? >= target {
        return Ok(Outcome::Success(Value::Null));
    }
    info!("Waiting until {target}");
    Ok(Outcome::Defer(target))
}

#[cfg(test)]
mod tests {
    use super::*;
    use airlock_sdk::testing::Host;

    #[test]
    fn it_defers_until_the_target_and_then_succeeds() {
        let host = Host::new();
        let target: Timestamp = "2026-01-05T03:00:00Z".parse().unwrap();
        let delta = json!({"delta": "1h"});
        let date = json!({"target_time": "2026-01-05T03:00:00Z"});
        assert_eq!(
            host.run::<time_delta>(delta.clone()),
            Ok(Outcome::Defer(target))
        );
        assert_eq!(
            host.run::<date_time>(date.clone()),
            Ok(Outcome::Defer(target))
        );
        host.set_now(target);
        assert_eq!(
            host.run::<time_delta>(delta),
            Ok(Outcome::Success(Value::Null))
        );
        assert_eq!(
            host.run::<date_time>(date),
            Ok(Outcome::Success(Value::Null))
        );
    }

    #[test]
    fn a_run_without_dates_is_refused() {
        let mut host = Host::new();
        host.task.logical_date = None;
        host.task.data_interval_end = None;
        let ended = host.run::<time_delta>(json!({"delta": "1h"}));
        assert!(matches!(ended, Err(TaskError::Permanent(_))));
        assert!(
            host.run::<date_time>(json!({"target_time": "noon"}))
                .is_err()
        );
    }
}
