//! Waits for a time. It names the time and is called again then: no slot is held.

use airlock_sdk::calendar::{self, Weekday};
use airlock_sdk::prelude::*;
use airlock_sdk::time::{Span, Timestamp, now};
use airlock_sdk::xcom;
use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);
/// The XCom that keeps what is waited for, so that a wake-up after midnight does not mean the next day.
const TARGET_KEY: &str = "target_datetime";

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
pub(crate) fn datetime(config: DateTime) -> Result<Outcome, TaskError> {
    until(config.target_time)
}

/// Until what time of the day to wait.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Time {
    /// `HH:MM` or `HH:MM:SS`, of the day on which the sensor first looks.
    target_time: String,
    /// IANA name; absent: the DAG's.
    timezone: Option<String>,
}

/// Waits until a time of the day.
#[operator(sensor)]
pub(crate) fn time(config: Time, task: &Task) -> Result<Outcome, TaskError> {
    let target = xcom::once(task, TARGET_KEY, || {
        let zone = config.timezone.as_deref();
        let today = calendar::to_local(now()?, zone)?.date;
        let target = format!("{today}T{}", config.target_time);
        calendar::from_local(&target, zone)
            .map_err(|error| TaskError::invalid("target_time", error.to_string()))
    })?;
    until(target)
}

/// On which days to go on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DayOfWeek {
    /// One day or several.
    week_day: Days,
    /// Whether the day of the run's logical date counts, and not today. Another day than that is waited for until the timeout.
    #[serde(default)]
    use_task_logical_date: bool,
    /// IANA name; absent: the DAG's.
    timezone: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Days {
    One(Weekday),
    Many(Vec<Weekday>),
}

/// Waits for a day of the week.
#[operator(sensor)]
pub(crate) fn day_of_week(config: DayOfWeek, task: &Task) -> Result<Outcome, TaskError> {
    let days = match config.week_day {
        Days::One(day) => vec![day],
        Days::Many(days) => days,
    };
    let zone = config.timezone.as_deref();
    let at = match task.logical_date {
        Some(date) if config.use_task_logical_date => date,
        None if config.use_task_logical_date => {
            return Err(TaskError::invalid(
                "use_task_logical_date",
                "this run has no logical date",
            ));
        }
        _ => now()?,
    };
    let today = calendar::to_local(at, zone)?;
    let ahead = |day: &Weekday| u64::from((day.iso() + 7 - today.iso_weekday) % 7);
    match days.iter().map(ahead).min() {
        None => Err(TaskError::invalid(
            "week_day",
            "an empty list waits for nothing",
        )),
        Some(0) => Ok(Outcome::Success(Value::Null)),
        Some(_) if config.use_task_logical_date => Ok(Outcome::NotYet),
        Some(ahead) => {
            let midnight: Timestamp = today.date.parse()?;
            let day = midnight.plus(DAY.saturating_mul(u32::try_from(ahead).unwrap_or(0)))?;
            let target = format!("{}T00:00:00", day.date());
            until(calendar::from_local(&target, zone)?)
        }
    }
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

    const DONE: Result<Outcome, TaskError> = Ok(Outcome::Success(Value::Null));

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn deferred(text: &str) -> Result<Outcome, TaskError> {
        Ok(Outcome::Defer(at(text)))
    }

    #[test]
    fn d10_they_defer_until_the_target_and_then_succeed() {
        let host = Host::new();
        let delta = || json!({"delta": "1h"});
        let date = || json!({"target_time": "2026-01-05T03:00:00Z"});
        let expected = deferred("2026-01-05T03:00:00Z");
        assert_eq!(host.run::<time_delta>(delta()), expected);
        assert_eq!(host.run::<datetime>(date()), expected);
        host.set_now(at("2026-01-05T03:00:00Z"));
        assert_eq!(host.run::<time_delta>(delta()), DONE);
        assert_eq!(host.run::<datetime>(date()), DONE);
    }

    #[test]
    fn d9_a_time_of_the_day_is_local_and_stays_the_day_on_which_the_wait_began() {
        let host = Host::new();
        host.set_utc_offset(2);
        let config = || json!({"target_time": "23:59:59"});
        let expected = deferred("2026-01-05T21:59:59Z");
        assert_eq!(host.run::<time>(config()), expected);
        host.set_now(at("2026-01-05T22:00:01Z"));
        assert_eq!(host.run::<time>(config()), DONE);
        let wrong = Host::new().run::<time>(json!({"target_time": "noon"}));
        assert!(
            matches!(wrong, Err(TaskError::InvalidInput { field, .. }) if field == "target_time")
        );
    }

    #[test]
    fn d9_a_day_of_the_week_is_awaited_until_its_local_midnight() {
        let host = Host::new();
        host.set_utc_offset(1);
        // 2026-01-05 is a Monday.
        assert_eq!(host.run::<day_of_week>(json!({"week_day": "Monday"})), DONE);
        let config = || json!({"week_day": ["sunday", 3]});
        let expected = deferred("2026-01-06T23:00:00Z");
        assert_eq!(host.run::<day_of_week>(config()), expected);
        host.set_now(at("2026-01-06T23:00:00Z"));
        assert_eq!(host.run::<day_of_week>(config()), DONE);
        let own = json!({"week_day": "tue", "use_task_logical_date": true});
        assert_eq!(host.run::<day_of_week>(own), Ok(Outcome::NotYet));
        for wrong in [json!("someday"), json!(8), json!([])] {
            let ended = host.run::<day_of_week>(json!({"week_day": wrong}));
            assert!(
                matches!(ended, Err(TaskError::InvalidInput { .. })),
                "{ended:?}"
            );
        }
    }

    #[test]
    fn a_run_without_dates_is_refused() {
        let mut host = Host::new();
        host.task.logical_date = None;
        host.task.data_interval_end = None;
        let ended = host.run::<time_delta>(json!({"delta": "1h"}));
        assert!(matches!(ended, Err(TaskError::Permanent(_))));
        assert!(
            host.run::<datetime>(json!({"target_time": "noon"}))
                .is_err()
        );
    }
}
