//! Variables and connections in the store: sealed JSON under their names. It refuses to write a value in the clear.

use super::cipher::{Key, open, seal};
use super::connection::Connection;
use super::{ROWS_MAX, Secrets, SecretsError, VALUE_BYTES_MAX, check_name};
use crate::store::{Commit, Row, RowWrite, Table};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Names that a search for a near one looks at.
const HINTS_MAX: usize = 1_000;
/// Rows that a rotation seals anew in one commit.
const ROTATED_AT_ONCE: usize = 256;

/// A variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Its text; JSON for `var.json`.
    pub value: String,
    /// Free text.
    #[serde(default)]
    pub description: Option<String>,
}

impl Variable {
    pub(super) fn plain(value: String) -> Self {
        Self {
            value,
            description: None,
        }
    }
}

fn word(table: Table) -> &'static str {
    match table {
        Table::Connection => "connection",
        _ => "variable",
    }
}

/// What a row's seal is bound to.
fn bound(table: Table, key: &[u8]) -> Vec<u8> {
    [word(table).as_bytes(), b"\0", key].concat()
}

impl Secrets {
    /// Every variable of the store, by key.
    pub fn variables(&self) -> Result<Vec<(String, Variable)>, SecretsError> {
        self.list(Table::Variable)
    }

    /// Every connection of the store, by `conn_id`.
    pub fn connections(&self) -> Result<Vec<(String, Connection)>, SecretsError> {
        self.list(Table::Connection)
    }

    /// Keys of variables of the store, at most `HINTS_MAX`; none where it does not answer.
    pub fn variable_keys(&self) -> Vec<String> {
        self.names(Table::Variable)
    }

    /// Ids of connections of the store, at most `HINTS_MAX`; none where it does not answer.
    pub fn connection_ids(&self) -> Vec<String> {
        self.names(Table::Connection)
    }

    fn names(&self, table: Table) -> Vec<String> {
        let rows = self.store.scan(table, b"", None, HINTS_MAX);
        let rows = rows.unwrap_or_default().into_iter();
        rows.filter_map(|row| String::from_utf8(row.key).ok())
            .collect()
    }

    /// Sets a variable, durably.
    pub fn set_variable(&self, key: &str, variable: &Variable) -> Result<(), SecretsError> {
        self.write(Table::Variable, key, variable)
    }

    /// Sets a connection, durably.
    pub fn set_connection(
        &self,
        conn_id: &str,
        connection: &Connection,
    ) -> Result<(), SecretsError> {
        self.write(Table::Connection, conn_id, connection)
    }

    /// Removes a variable from the store; false where it was not there.
    pub fn delete_variable(&self, key: &str) -> Result<bool, SecretsError> {
        self.delete(Table::Variable, key)
    }

    /// Removes a connection from the store; false where it was not there.
    pub fn delete_connection(&self, conn_id: &str) -> Result<bool, SecretsError> {
        self.delete(Table::Connection, conn_id)
    }

    pub(super) fn read<T: DeserializeOwned>(
        &self,
        table: Table,
        key: &str,
    ) -> Result<Option<T>, SecretsError> {
        let Some(row) = self.store.get(table, key.as_bytes())? else {
            return Ok(None);
        };
        self.decode(table, &row).map(Some)
    }

    fn list<T: DeserializeOwned>(&self, table: Table) -> Result<Vec<(String, T)>, SecretsError> {
        let rows = self.store.scan(table, b"", None, ROWS_MAX)?;
        let named = rows.iter().map(|row| {
            let key = String::from_utf8_lossy(&row.key).into_owned();
            Ok((key, self.decode(table, row)?))
        });
        named.collect()
    }

    fn decode<T: DeserializeOwned>(&self, table: Table, row: &Row) -> Result<T, SecretsError> {
        let plain = plain(table, row, &self.keys.known()?)?;
        serde_json::from_slice(&plain).map_err(|_| sealed(table, row))
    }

    fn write<T: Serialize>(&self, table: Table, key: &str, value: &T) -> Result<(), SecretsError> {
        check_name(word(table), key)?;
        let invalid = |reason: String| SecretsError::Invalid {
            what: format!("{} {key:?}", word(table)),
            reason,
        };
        let plain = serde_json::to_vec(value).map_err(|error| invalid(error.to_string()))?;
        if plain.len() > VALUE_BYTES_MAX {
            return Err(invalid(format!("it is over {VALUE_BYTES_MAX} bytes")));
        }
        let keys = self.keys.ready()?;
        let sealed = sealed_value(table, key.as_bytes(), &keys, &plain)?;
        self.commit(vec![(table, row_write(key.as_bytes(), None, Some(sealed)))])
    }

    fn delete(&self, table: Table, key: &str) -> Result<bool, SecretsError> {
        check_name(word(table), key)?;
        if self.store.get(table, key.as_bytes())?.is_none() {
            return Ok(false);
        }
        self.commit(vec![(table, row_write(key.as_bytes(), None, None))])?;
        Ok(true)
    }

    fn commit(&self, rows: Vec<(Table, RowWrite)>) -> Result<(), SecretsError> {
        self.store.commit(Commit {
            rows,
            ..Commit::default()
        })?;
        Ok(())
    }

    /// Seals everything with a new key and forgets the old ones; with keys from the environment, with the first of them. Yields how
    /// many rows were sealed anew. Until the last row is durable the file holds both keys, so it may be cut at any moment.
    pub fn rotate_key(&self) -> Result<usize, SecretsError> {
        let old = self.keys.known()?;
        let keys = if self.keys.are_given() {
            old
        } else {
            let both = [vec![self.keys.fresh()?], old].concat();
            self.keys.replace(both)?
        };
        let mut count = 0;
        for table in [Table::Variable, Table::Connection] {
            let rows = self.store.scan(table, b"", None, ROWS_MAX)?;
            for chunk in rows.chunks(ROTATED_AT_ONCE) {
                let writes = chunk.iter().map(|row| {
                    let plain = plain(table, row, &keys)?;
                    let sealed = sealed_value(table, &row.key, &keys, &plain)?;
                    // Somebody who changed it meanwhile wins, and the rotation is run again.
                    Ok((table, row_write(&row.key, Some(row.version), Some(sealed))))
                });
                self.commit(writes.collect::<Result<_, SecretsError>>()?)?;
                count += chunk.len();
            }
        }
        if !self.keys.are_given() {
            self.keys.replace(keys.into_iter().take(1).collect())?;
        }
        Ok(count)
    }
}

fn row_write(key: &[u8], expect: Option<u64>, value: Option<Vec<u8>>) -> RowWrite {
    RowWrite {
        key: key.to_vec(),
        expect,
        value,
    }
}

fn sealed(table: Table, row: &Row) -> SecretsError {
    SecretsError::Sealed {
        what: format!("{} {:?}", word(table), String::from_utf8_lossy(&row.key)),
    }
}

fn plain(table: Table, row: &Row, keys: &[Key]) -> Result<Vec<u8>, SecretsError> {
    open(keys, &bound(table, &row.key), &row.value).ok_or_else(|| sealed(table, row))
}

fn sealed_value(
    table: Table,
    key: &[u8],
    keys: &[Key],
    plain: &[u8],
) -> Result<Vec<u8>, SecretsError> {
    let sealed = keys
        .first()
        .and_then(|first| seal(first, &bound(table, key), plain));
    sealed.ok_or_else(|| SecretsError::Key {
        place: "in use".to_owned(),
        reason: "the system gives no random bytes".to_owned(),
    })
}
