//! How an operator fails, and how every other error becomes that with `?`.
//! It refuses to guess: only what may pass by itself is transient.

use crate::bindings::airlock::operator::training::TrainError;
use crate::bindings::airlock::operator::types as wit;
use crate::{CapabilityError, http, time::TimeError};
use std::fmt;

/// How an operator fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskError {
    /// May work later: retried.
    Transient(String),
    /// Will not work: never retried.
    Permanent(String),
    /// The config is wrong: never retried.
    InvalidInput {
        /// Path of the config member, for example `checks.min_rows`.
        field: String,
        /// What is wrong with it and what would be right.
        message: String,
    },
}

impl TaskError {
    /// An error that may pass by itself.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::Transient(message.into())
    }

    /// An error that a further try would meet again.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::Permanent(message.into())
    }

    /// A config member that cannot be used.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::InvalidInput {
            field: field.into(),
            message: message.into(),
        }
    }

    /// The same error with what was being done before its text.
    #[must_use]
    pub fn context(self, doing: &str) -> Self {
        match self {
            Self::Transient(text) => Self::Transient(format!("{doing}: {text}")),
            Self::Permanent(text) => Self::Permanent(format!("{doing}: {text}")),
            Self::InvalidInput { field, message } => Self::InvalidInput {
                field,
                message: format!("{doing}: {message}"),
            },
        }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transient(text) | Self::Permanent(text) => out.write_str(text),
            Self::InvalidInput { field, message } => write!(out, "{field}: {message}"),
        }
    }
}

impl std::error::Error for TaskError {}

impl From<CapabilityError> for TaskError {
    fn from(error: CapabilityError) -> Self {
        let text = error_text(&error);
        match error {
            CapabilityError::Unavailable(_) => Self::Transient(text),
            CapabilityError::Denied(_)
            | CapabilityError::NotFound(_)
            | CapabilityError::Invalid(_)
            | CapabilityError::TooLarge(_)
            | CapabilityError::Conflict(_) => Self::Permanent(text),
        }
    }
}

/// One line that says what the host answered.
pub(crate) fn error_text(error: &CapabilityError) -> String {
    match error {
        CapabilityError::Denied(text) => format!("denied: {text}"),
        CapabilityError::NotFound(text) => format!("not found: {text}"),
        CapabilityError::Invalid(text) => format!("invalid request: {text}"),
        CapabilityError::TooLarge(limit) => format!("too large: the limit is {limit}"),
        CapabilityError::Conflict(text) => format!("conflict: {text}"),
        CapabilityError::Unavailable(text) => format!("unavailable: {text}"),
    }
}

impl From<TrainError> for TaskError {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Denied(text) => Self::Permanent(format!("training denied: {text}")),
            TrainError::Invalid(text) => {
                Self::Permanent(format!("training config refused: {text}"))
            }
            TrainError::NoDevice(text) => Self::Permanent(format!("no such device: {text}")),
            TrainError::Data(text) => Self::Permanent(format!("training data refused: {text}")),
            // What others hold now may be free later.
            TrainError::OutOfMemory(shortfall) => Self::Transient(format!(
                "training needs {} bytes of memory and {} are free",
                shortfall.needed, shortfall.available
            )),
            TrainError::DeviceFault(text) => Self::Transient(format!("device fault: {text}")),
            TrainError::WorkerLost(text) => {
                Self::Transient(format!("training worker lost: {text}"))
            }
        }
    }
}

impl From<serde_json::Error> for TaskError {
    fn from(error: serde_json::Error) -> Self {
        Self::Permanent(format!("JSON does not fit: {error}"))
    }
}

impl From<TimeError> for TaskError {
    fn from(error: TimeError) -> Self {
        Self::Permanent(error.to_string())
    }
}

impl From<http::HttpError> for TaskError {
    fn from(error: http::HttpError) -> Self {
        match error {
            http::HttpError::Failed(_) | http::HttpError::TimedOut => {
                Self::Transient(error.to_string())
            }
            http::HttpError::Denied(_)
            | http::HttpError::Invalid(_)
            | http::HttpError::TooLarge => Self::Permanent(error.to_string()),
        }
    }
}

impl From<std::io::Error> for TaskError {
    fn from(error: std::io::Error) -> Self {
        match error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<CapabilityError>())
        {
            Some(inner) => inner.clone().into(),
            None => Self::Permanent(error.to_string()),
        }
    }
}

impl From<TaskError> for wit::TaskError {
    fn from(error: TaskError) -> Self {
        match error {
            TaskError::Transient(text) => Self::Transient(text),
            TaskError::Permanent(text) => Self::Permanent(text),
            TaskError::InvalidInput { field, message } => {
                Self::InvalidInput(wit::InvalidInput { field, message })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_transient() {
        let denied = TaskError::from(CapabilityError::Denied("storage".into()));
        assert_eq!(denied, TaskError::permanent("denied: storage"));
        let unavailable = TaskError::from(CapabilityError::Unavailable("disk".into()));
        assert_eq!(unavailable, TaskError::transient("unavailable: disk"));
        assert!(matches!(
            TaskError::from(TrainError::WorkerLost("gone".into())),
            TaskError::Transient(_)
        ));
        assert!(matches!(
            TaskError::from(http::HttpError::TimedOut),
            TaskError::Transient(_)
        ));
    }

    #[test]
    fn an_io_error_keeps_the_hosts_answer() {
        let error = std::io::Error::other(CapabilityError::Unavailable("later".into()));
        assert_eq!(
            TaskError::from(error),
            TaskError::transient("unavailable: later")
        );
    }
}
