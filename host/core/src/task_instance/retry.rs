//! The delay before a retry, with Airflow 3.3.2's backoff and jitter (`TaskInstance.next_retry_datetime`), asked with
//! `tests/oracle/retries.jsonl`. The jitter is a hash of who retries, so a replay gets the same delay.

use crate::dag::spec::{RetryAction, RetryRule, Task};
use crate::run::event::AttemptError;
use jiff::{SignedDuration, Timestamp};
use sha1::{Digest, Sha1};

/// No backoff waits longer (Airflow's `MAX_RETRY_DELAY`).
pub const RETRY_DELAY_MAX: SignedDuration = SignedDuration::from_hours(24);

/// The delay after try number `try_number` (from 1) failed.
pub fn delay(
    task: &Task,
    dag_id: &str,
    logical_date: Option<Timestamp>,
    try_number: u32,
) -> SignedDuration {
    let factor = task.retry_exponential_backoff;
    // Airflow compares with the literals too: 0 means off, 1 changes nothing.
    let constant = !factor.is_finite() || factor <= 0.0 || (factor - 1.0).abs() < f64::EPSILON;
    let delay = if constant {
        task.retry_delay
    } else {
        let exponent = f64::from(try_number.saturating_sub(1));
        let at_least = whole_seconds(task.retry_delay.as_secs_f64() * factor.powf(exponent));
        let date = logical_date.map_or_else(|| "None".to_owned(), python_datetime);
        let seed = format!("{dag_id}#{}#{date}#{try_number}", task.task_id);
        seconds(at_least + hash_modulo(&seed, at_least)).min(RETRY_DELAY_MAX)
    };
    let delay = task.max_retry_delay.map_or(delay, |max| delay.min(max));
    delay.max(SignedDuration::ZERO)
}

/// What the task's `retry_policy` says about an error: the action of the first rule that fits, if one does. It bounds
/// nothing: whether a try is left, and whether the kind is ever retried, is asked beside it.
pub fn by_policy(task: &Task, error: &AttemptError) -> Option<RetryAction> {
    let fits = |rule: &&RetryRule| {
        (rule.kinds.is_empty() || rule.kinds.contains(&error.kind))
            && error.message.contains(&rule.message_contains)
    };
    task.retry_policy.iter().find(fits).map(|rule| rule.action)
}

/// `ceil`, at least 1. More than the maximum would be cut to it anyway, so the cast cannot lose anything that matters.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 1..=86400 first; NaN cannot come from finite factors"
)]
fn whole_seconds(value: f64) -> u64 {
    value.ceil().clamp(1.0, RETRY_DELAY_MAX.as_secs_f64()) as u64
}

pub(super) fn seconds(value: u64) -> SignedDuration {
    SignedDuration::from_secs(i64::try_from(value).unwrap_or(i64::MAX))
}

/// The SHA-1 of `text` as a big number, modulo `modulus`, which is cut to what one step of the fold can hold.
pub(super) fn hash_modulo(text: &str, modulus: u64) -> u64 {
    let modulus = modulus.clamp(1, 1 << 55);
    Sha1::digest(text.as_bytes())
        .iter()
        .fold(0, |rest, byte| (rest * 256 + u64::from(*byte)) % modulus)
}

/// How Python prints an aware UTC `datetime`: it is part of the hashed text.
pub(super) fn python_datetime(at: Timestamp) -> String {
    let micros = at.as_microsecond().rem_euclid(1_000_000);
    let text = at.strftime("%Y-%m-%d %H:%M:%S");
    if micros == 0 {
        format!("{text}+00:00")
    } else {
        format!("{text}.{micros:06}+00:00")
    }
}
