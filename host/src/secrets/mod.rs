//! Variables and connections. It owns the order in which they are looked up (secrets backend, environment, store), how they are
//! sealed in the store, and which of them must not be shown. It refuses to know who asks: grants and placeholders are `capability`'s.

mod backend;
mod cipher;
mod connection;
mod environment;
mod keys;
mod mask;
mod rows;
#[cfg(test)]
mod tests;

pub(crate) use cipher::random;
pub use connection::Connection;
pub use mask::{HIDDEN, hide_extra, is_sensitive};
pub use rows::Variable;

use crate::store::{CommitError, Store, StoreError, Table};
use backend::Backend;
use environment::Environment;
use keys::Keys;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The longest key or `conn_id`, bytes (Airflow's).
pub const KEY_BYTES_MAX: usize = 250;
/// The largest value of a variable, and the largest connection as JSON, bytes.
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// The most variables, and the most connections, that a list or an export holds.
pub const ROWS_MAX: usize = 100_000;

/// What was found, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Found<T> {
    /// The value.
    pub value: T,
    /// `secrets`, `environment` or `store`.
    pub source: &'static str,
}

/// Why a variable or a connection cannot be read or written. No message holds a value.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// A key or `conn_id` that cannot be one.
    #[error("{kind} {text:?} is not valid: {reason}")]
    Name {
        /// `variable` or `connection`.
        kind: &'static str,
        /// As given, shortened.
        text: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A value that cannot be one.
    #[error("{what} is not valid: {reason}")]
    Invalid {
        /// What was read, with its place.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// The seal does not open.
    #[error(
        "{what} cannot be opened: it was sealed with another key, or changed; give the key that it was sealed with (`secret.key` of its data folder, or AIRLOCK_SECRET_KEY), or set it anew"
    )]
    Sealed {
        /// Which row.
        what: String,
    },
    /// The key cannot be read or made.
    #[error("the key that seals secrets, {place}: {reason}")]
    Key {
        /// The file or the variable.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// The secrets folder or file cannot be read.
    #[error("the secrets in {place} cannot be read: {reason}")]
    Backend {
        /// Which file.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store did not take it.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Reads and writes variables and connections. Calls may block.
pub struct Secrets {
    store: Arc<dyn Store>,
    keys: Keys,
    backend: Option<Backend>,
    environment: Environment,
}

impl Secrets {
    /// Over `store`; the key lies in `folder` unless the environment has it; `backend` is looked at before both.
    pub fn new(store: Arc<dyn Store>, folder: &Path, backend: Option<PathBuf>) -> Self {
        Self::with_environment(store, folder, backend, Environment::of_process())
    }

    fn with_environment(
        store: Arc<dyn Store>,
        folder: &Path,
        backend: Option<PathBuf>,
        environment: Environment,
    ) -> Self {
        Self {
            store,
            keys: Keys::new(folder, environment.get(keys::VARIABLE)),
            backend: backend.map(Backend::new),
            environment,
        }
    }

    /// A variable, by the order.
    pub fn variable(&self, key: &str) -> Result<Option<Found<Variable>>, SecretsError> {
        check_name("variable", key)?;
        if let Some(backend) = &self.backend
            && let Some(value) = backend.variable(key)?
        {
            return Ok(Some(found(Variable::plain(value), "secrets")));
        }
        if let Some(value) = self.environment.variable(key) {
            return Ok(Some(found(Variable::plain(value), "environment")));
        }
        let stored = self.read(Table::Variable, key)?;
        Ok(stored.map(|variable| found(variable, "store")))
    }

    /// A connection, by the order.
    pub fn connection(&self, conn_id: &str) -> Result<Option<Found<Connection>>, SecretsError> {
        check_name("connection", conn_id)?;
        if let Some(backend) = &self.backend
            && let Some(connection) = backend.connection(conn_id)?
        {
            return Ok(Some(found(connection, "secrets")));
        }
        if let Some(text) = self.environment.connection(conn_id) {
            let connection = Connection::parse(&text).map_err(|reason| SecretsError::Invalid {
                what: environment::connection_name(conn_id),
                reason,
            })?;
            return Ok(Some(found(connection, "environment")));
        }
        let stored = self.read(Table::Connection, conn_id)?;
        Ok(stored.map(|connection| found(connection, "store")))
    }
}

fn found<T>(value: T, source: &'static str) -> Found<T> {
    Found { value, source }
}

/// A key is a file name in a secrets folder and part of an environment variable's name, so it is as narrow as an id.
fn check_name(kind: &'static str, text: &str) -> Result<(), SecretsError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let reason = if text.is_empty() {
        "it is empty"
    } else if text.len() > KEY_BYTES_MAX {
        "it is longer than 250 bytes"
    } else if text.bytes().all(|byte| byte == b'.') {
        "it is only dots"
    } else if !text.bytes().all(plain) {
        "only ASCII letters, digits, '_', '-' and '.' are allowed"
    } else {
        return Ok(());
    };
    Err(SecretsError::Name {
        kind,
        text: text.chars().take(KEY_BYTES_MAX).collect(),
        reason,
    })
}
