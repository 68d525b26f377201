//! How an operator ends when it did not fail.

use crate::TaskError;
use crate::bindings::airlock::operator::types as wit;
use crate::time::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// How an operator ends when it did not fail.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Its value becomes the XCom `return_value`; null pushes nothing.
    Success(Value),
    /// The task instance becomes `skipped`, for this reason.
    Skip(String),
    /// Only these of its direct downstream tasks go on.
    Branch(Vec<String>),
    /// The condition does not hold: downstream is skipped.
    ShortCircuit {
        /// True: all transitive downstream is skipped, whatever its trigger rules.
        ignore_downstream_trigger_rules: bool,
    },
    /// A sensor whose condition does not hold yet.
    NotYet,
    /// Call again at this time.
    Defer(Timestamp),
}

/// What an operator function may return inside `Ok`.
pub trait IntoOutcome {
    /// The outcome that this value means.
    fn into_outcome(self) -> Result<Outcome, TaskError>;
}

impl<T: Serialize> IntoOutcome for T {
    fn into_outcome(self) -> Result<Outcome, TaskError> {
        Ok(Outcome::Success(serde_json::to_value(self)?))
    }
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Result<Outcome, TaskError> {
        Ok(self)
    }
}

impl From<Outcome> for wit::Outcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Success(Value::Null) => Self::Success(None),
            Outcome::Success(value) => Self::Success(Some(value.to_string())),
            Outcome::Skip(reason) => Self::Skip(reason),
            Outcome::Branch(task_ids) => Self::Branch(task_ids),
            Outcome::ShortCircuit {
                ignore_downstream_trigger_rules,
            } => Self::ShortCircuit(ignore_downstream_trigger_rules),
            Outcome::NotYet => Self::NotYet,
            Outcome::Defer(until) => Self::Defer(until.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_is_pushed_for_unit() {
        let outcome = ().into_outcome().unwrap();
        assert_eq!(wit::Outcome::from(outcome), wit::Outcome::Success(None));
    }

    #[test]
    fn a_value_is_pushed_as_json() {
        let outcome = vec![1, 2].into_outcome().unwrap();
        assert_eq!(outcome, Outcome::Success(json!([1, 2])));
        assert_eq!(
            wit::Outcome::from(outcome),
            wit::Outcome::Success(Some("[1,2]".into()))
        );
    }
}
