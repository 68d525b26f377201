//! How long a sensor waits before its next poke, and when it has waited long enough
//! (Airflow 3.3.2, `BaseSensorOperator._get_next_poke_interval`).

use super::retry::{hash_modulo, python_datetime, seconds};
use crate::dag::spec::{SensorSpec, Task};
use crate::run::event::{AttemptErrorKind, Outcome};
use jiff::{SignedDuration, Timestamp};

/// The interval doubles at most so often; `max_wait` and the timeout end it long before.
const DOUBLINGS_MAX: u32 = 30;

/// What an error of a poke comes to: `soft_fail` skips where the guest gave up or ran out of time, `silent_fail` takes an
/// error that may go away as `not-yet`, `never_fail` skips on every error that is a poke's own. As in Airflow the silent
/// one is asked before the other two where both could answer. A component that cannot run, or was stopped, did not poke.
pub fn forgive(sensor: &SensorSpec, outcome: Outcome) -> Outcome {
    use AttemptErrorKind as Kind;
    let Outcome::Error(error) = outcome else {
        return outcome;
    };
    match error.kind {
        Kind::Unrunnable | Kind::Cancelled => Outcome::Error(error),
        Kind::Transient | Kind::Trap | Kind::LimitExceeded if sensor.silent_fail => Outcome::NotYet,
        Kind::Permanent | Kind::TimedOut if sensor.soft_fail => Outcome::Skip(error.message),
        _ if sensor.never_fail => Outcome::Skip(error.message),
        _ => Outcome::Error(error),
    }
}

/// Whether the sensor has waited longer than its timeout, counted from its first poke across reschedules and retries.
pub fn timed_out(task: &Task, first_poke: Timestamp, now: Timestamp) -> bool {
    now.duration_since(first_poke) > task.sensor.timeout
}

/// The distance from poke number `poke` (from 1), which said `not-yet` at `now`, to the next one.
pub fn next_interval(
    task: &Task,
    dag_id: &str,
    first_poke: Timestamp,
    poke: u32,
    now: Timestamp,
) -> SignedDuration {
    let sensor = &task.sensor;
    if !sensor.exponential_backoff {
        return sensor.poke_interval.max(SignedDuration::ZERO);
    }
    let base = u64::try_from(sensor.poke_interval.as_secs()).unwrap_or(0);
    // Airflow's exponent is `poke - 2`: the first interval is about half of `poke_interval` before jitter.
    let doubled = base.saturating_mul(1 << poke.saturating_sub(1).min(DOUBLINGS_MAX)) / 2;
    let at_least = doubled.max(1);
    let seed = format!(
        "{dag_id}#{}#{}#{poke}",
        task.task_id,
        python_datetime(first_poke)
    );
    let jitter = hash_modulo(&seed, at_least);
    let left = sensor
        .timeout
        .saturating_sub(now.duration_since(first_poke));
    let wait = seconds(at_least.saturating_add(jitter)).min(left);
    let wait = sensor.max_wait.map_or(wait, |max| wait.min(max));
    wait.max(SignedDuration::ZERO)
}
