//! What can go wrong in the tracking room, as values.

use super::search::SearchError;
use crate::store::{CommitError, StoreError};

/// Why a change or a question was refused.
#[derive(Debug, thiserror::Error)]
pub enum TrackingError {
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// A filter, an order or a page token makes no sense.
    #[error("{0}")]
    Search(#[from] SearchError),
    /// It does not exist.
    #[error("{0}")]
    NotFound(String),
    /// What was to be made is there already.
    #[error("{0}")]
    AlreadyExists(String),
    /// It is set already to something else, or others changed it again and again at the same time.
    #[error("{0}")]
    Conflict(String),
    /// Over a named limit.
    #[error("{what} is over the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The store could not answer.
    #[error("the store did not answer: {0}")]
    Store(#[from] StoreError),
    /// The store did not take the change.
    #[error("the change was not stored: {0}")]
    Commit(#[from] CommitError),
    /// A record that this program cannot read.
    #[error("the record of {what} cannot be read: {reason}; run `airlock db check`")]
    Damaged {
        /// Which record.
        what: String,
        /// Why not.
        reason: String,
    },
}
