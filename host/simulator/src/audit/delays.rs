//! The bounds of every delay, from Airflow's documentation: with backoff a delay lies between a value and twice that.

use crate::world::after;
use airlock_core::dag::spec::{RetryAction, Task};
use airlock_core::run::event::{AttemptError, Outcome};
use jiff::{SignedDuration, Timestamp};

/// No backoff is longer: a day.
const DAY_SECONDS: f64 = 86_400.0;

/// Between which times the retry after try `try_number`, which failed at `at`, may begin.
pub(super) fn retry(
    task: &Task,
    outcome: &Outcome,
    try_number: u32,
    at: Timestamp,
) -> (Timestamp, Timestamp) {
    if let Outcome::Error(error) = outcome
        && let Some(RetryAction::Retry(Some(delay))) = policy(task, error)
    {
        return (after(at, delay), after(at, delay));
    }
    let factor = task.retry_exponential_backoff;
    let grows = factor > 0.0 && (factor - 1.0).abs() > f64::EPSILON;
    let max = task.max_retry_delay.unwrap_or(SignedDuration::MAX);
    if !grows {
        let due = after(at, task.retry_delay.min(max));
        return (due, due);
    }
    let power = (1..try_number).fold(1.0, |power, _| power * factor);
    let least = (task.retry_delay.as_secs_f64() * power)
        .ceil()
        .clamp(1.0, DAY_SECONDS);
    // A second of room for rounding at the lower end.
    let bound =
        |seconds: f64| SignedDuration::from_secs_f64(seconds.clamp(0.0, DAY_SECONDS)).min(max);
    (after(at, bound(least - 1.0)), after(at, bound(least * 2.0)))
}

/// What the first rule of a task's retry policy that fits an error says.
pub(super) fn policy(task: &Task, error: &AttemptError) -> Option<RetryAction> {
    for rule in &task.retry_policy {
        let any_kind = rule.kinds.is_empty();
        let fits_kind = any_kind || rule.kinds.contains(&error.kind);
        let fits_text = error.message.find(rule.message_contains.as_str()).is_some();
        if fits_kind && fits_text {
            return Some(rule.action);
        }
    }
    None
}

/// Between which times the poke after poke number `poke`, which said not-yet at `at`, may begin.
pub(super) fn poke(
    task: &Task,
    first: Timestamp,
    poke: u32,
    at: Timestamp,
) -> (Timestamp, Timestamp) {
    let sensor = &task.sensor;
    if !sensor.exponential_backoff {
        let due = after(at, sensor.poke_interval);
        return (due, due);
    }
    let base = sensor.poke_interval.as_secs_f64();
    let least = (base * 2_f64.powi(i32::try_from(poke.min(40)).unwrap_or(40) - 2))
        .floor()
        .max(1.0);
    let left = sensor.timeout.saturating_sub(at.duration_since(first));
    let max = sensor
        .max_wait
        .unwrap_or(SignedDuration::MAX)
        .min(left)
        .max(SignedDuration::ZERO);
    let bound =
        |seconds: f64| SignedDuration::from_secs_f64(seconds.min(DAY_SECONDS * 365.0)).min(max);
    (after(at, bound(least)), after(at, bound(least * 2.0)))
}
