//! Errors as a person meets them: what happened, a hint, and a stable exit code. A bug is not one of these.

use std::fmt;

/// What kind of error it is; the number is the program's exit code and never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ErrorKind {
    /// A mistake in Airlock.
    Bug = 1,
    /// The command or a setting is wrong.
    Usage = 2,
    /// What was named is not there.
    NotFound = 3,
    /// A DAG is not valid.
    InvalidDag = 4,
    /// A grant or policy forbids it.
    Denied = 5,
    /// It exists already, or somebody else has it.
    Conflict = 7,
    /// The run ended in `failed`.
    RunFailed = 10,
    /// The run was cancelled.
    Cancelled = 11,
    /// It took too long.
    TimedOut = 12,
    /// The store is damaged, full, read-only or too new.
    Store = 20,
}

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserError {
    /// Decides the exit code.
    pub kind: ErrorKind,
    /// What happened and where; may have several lines.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl UserError {
    /// An error without a hint.
    pub fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Self {
            kind,
            message: message.to_string(),
            hint: None,
        }
    }

    /// The same error with a hint.
    #[must_use]
    pub fn hint(self, hint: impl fmt::Display) -> Self {
        Self {
            hint: Some(hint.to_string()),
            ..self
        }
    }

    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        self.kind as u8
    }
}

impl fmt::Display for UserError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "error: {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(out, "\n hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for UserError {}
