//! What a guest returned, as the domain's outcome. It refuses values that are no JSON, no time or too large.

use super::bindings::airlock::operator::types::{Outcome as Returned, TaskError};
use super::config::MESSAGE_BYTES_MAX;
use super::plugin::json;
use super::text;
use airlock_core::run::event::{AttemptError, AttemptErrorKind, Outcome};

/// Translates, and counts the bytes of what was returned.
pub(super) fn translate(
    returned: Result<Returned, TaskError>,
    output_bytes_max: u64,
) -> (Outcome, u64) {
    let returned = match returned {
        Ok(returned) => returned,
        Err(error) => return (Outcome::Error(failure(error)), 0),
    };
    let bytes = size(&returned);
    if bytes > output_bytes_max {
        let message = format!(
            "the guest returned {bytes} bytes, its limit is {output_bytes_max}; write large values to storage and return their URI"
        );
        return (error(AttemptErrorKind::LimitExceeded, &message), bytes);
    }
    (accept(returned), bytes)
}

fn accept(returned: Returned) -> Outcome {
    match returned {
        Returned::Success(None) => Outcome::Success(None),
        Returned::Success(Some(value)) => match json(&value) {
            Ok(()) => Outcome::Success(Some(value)),
            Err(fault) => broken(&format!(
                "the guest returned a value that is not JSON: {fault}"
            )),
        },
        Returned::Skip(reason) => Outcome::Skip(text::message(&reason, MESSAGE_BYTES_MAX)),
        Returned::Branch(tasks) => Outcome::Branch(tasks),
        Returned::ShortCircuit(ignore_downstream_trigger_rules) => Outcome::ShortCircuit {
            ignore_downstream_trigger_rules,
        },
        Returned::NotYet => Outcome::NotYet,
        Returned::Defer(until) => match until.parse() {
            Ok(until) => Outcome::Defer(until),
            Err(fault) => broken(&format!(
                "the guest deferred to a time that is not RFC 3339: {fault}"
            )),
        },
    }
}

fn size(returned: &Returned) -> u64 {
    let bytes = match returned {
        Returned::Success(Some(text)) | Returned::Skip(text) | Returned::Defer(text) => text.len(),
        Returned::Branch(tasks) => tasks
            .iter()
            .map(|task| task.len() + size_of::<String>())
            .sum(),
        Returned::Success(None) | Returned::ShortCircuit(_) | Returned::NotYet => 0,
    };
    bytes as u64
}

fn failure(error: TaskError) -> AttemptError {
    let (kind, message) = match error {
        TaskError::Transient(message) => (AttemptErrorKind::Transient, message),
        TaskError::Permanent(message) => (AttemptErrorKind::Permanent, message),
        TaskError::InvalidInput(input) => (
            AttemptErrorKind::InvalidInput,
            format!("config member {:?}: {}", input.field, input.message),
        ),
    };
    AttemptError {
        kind,
        message: text::message(&message, MESSAGE_BYTES_MAX),
    }
}

fn broken(message: &str) -> Outcome {
    error(AttemptErrorKind::Trap, message)
}

fn error(kind: AttemptErrorKind, message: &str) -> Outcome {
    let message = text::message(message, MESSAGE_BYTES_MAX);
    Outcome::Error(AttemptError { kind, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(returned: Returned) -> Option<AttemptErrorKind> {
        match translate(Ok(returned), 16).0 {
            Outcome::Error(error) => Some(error.kind),
            _ => None,
        }
    }

    #[test]
    fn values_must_be_json_and_times_must_be_times() {
        assert_eq!(kind(Returned::Success(Some("{\"a\": 1}".into()))), None);
        assert_eq!(
            kind(Returned::Success(Some("{a}".into()))),
            Some(AttemptErrorKind::Trap)
        );
        assert_eq!(
            kind(Returned::Defer("soon".into())),
            Some(AttemptErrorKind::Trap)
        );
        let deep = "[".repeat(15);
        assert_eq!(
            kind(Returned::Success(Some(deep))),
            Some(AttemptErrorKind::Trap)
        );
    }

    #[test]
    fn every_kind_of_value_counts_against_the_limit() {
        let long = "x".repeat(17);
        for returned in [
            Returned::Success(Some(long.clone())),
            Returned::Skip(long.clone()),
            Returned::Defer(long),
            Returned::Branch(vec![String::new(); 2]),
        ] {
            assert_eq!(kind(returned), Some(AttemptErrorKind::LimitExceeded));
        }
    }
}
