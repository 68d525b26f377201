//! Connections: read by the order of `secrets`, written to the store. A password leaves it only in an export that asks for it.

use super::import::import;
use super::{App, Exported, Imported, OnExisting};
use crate::error::{ErrorKind, UserError};
use crate::secrets::{Connection, Found, hide_extra};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// A connection as lists show it: the password hidden, and the secrets in `extra`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConnectionRow {
    /// Its id.
    pub conn_id: String,
    /// The rest.
    #[serde(flatten)]
    pub connection: Connection,
}

impl App {
    /// Every connection of the store, by `conn_id`, with its secrets hidden.
    pub fn connections(&self) -> Result<Vec<ConnectionRow>, UserError> {
        let rows = self.secrets.connections()?.into_iter();
        Ok(rows
            .map(|(conn_id, connection)| ConnectionRow {
                conn_id,
                connection: connection.masked(),
            })
            .collect())
    }

    /// One connection, wherever it is, with its secrets hidden.
    pub fn connection(&self, conn_id: &str) -> Result<Found<Connection>, UserError> {
        let missing = || {
            UserError::new(
                ErrorKind::NotFound,
                format!("connection {conn_id:?} is not set"),
            )
            .hint(format!(
                "`airlock connections set {conn_id} --conn-uri URI` sets it"
            ))
        };
        let found = self.secrets.connection(conn_id)?.ok_or_else(missing)?;
        Ok(Found {
            value: found.value.masked(),
            source: found.source,
        })
    }

    /// One connection of the store as it is, for who changes a part of it. It must not be shown.
    pub fn stored_connection(&self, conn_id: &str) -> Result<Connection, UserError> {
        let rows = self.secrets.connections()?;
        let mut rows = rows.into_iter().filter(|(known, _)| known == conn_id);
        rows.next()
            .map(|(_, connection)| connection)
            .ok_or_else(|| {
                let message = format!("the store has no connection {conn_id:?}");
                UserError::new(ErrorKind::NotFound, message)
                    .hint("`airlock connections list` shows what it has")
            })
    }

    /// Sets a connection in the store, durably.
    pub fn set_connection(&self, conn_id: &str, connection: &Connection) -> Result<(), UserError> {
        Ok(self.secrets.set_connection(conn_id, connection)?)
    }

    /// Removes a connection from the store.
    pub fn delete_connection(&self, conn_id: &str) -> Result<(), UserError> {
        if self.secrets.delete_connection(conn_id)? {
            return Ok(());
        }
        let message = format!("the store has no connection {conn_id:?}");
        Err(UserError::new(ErrorKind::NotFound, message)
            .hint("`airlock connections list` shows what it has"))
    }

    /// Sets the connections of an object as Airflow exports it: each a JSON object or a URI.
    pub fn import_connections(
        &self,
        members: Map<String, Value>,
        on_existing: OnExisting,
    ) -> Result<Imported, UserError> {
        let listed = self.secrets.connections()?;
        let known: BTreeSet<String> = listed.into_iter().map(|(name, _)| name).collect();
        let exists = |name: &str| Ok(known.contains(name));
        let parse = |conn_id: &str, value| {
            Connection::from_json(value).map_err(|reason| {
                let message = format!("connection {conn_id:?}: {reason}; nothing was imported");
                UserError::new(ErrorKind::Usage, message)
            })
        };
        let (connections, report) = import(members, on_existing, parse, exists)?;
        for (conn_id, connection) in &connections {
            self.secrets.set_connection(conn_id, connection)?;
        }
        Ok(report)
    }

    /// The store's connections as Airflow exports them; their secrets only `with_secrets`. What is left out is null and not `***`, so
    /// that an import never makes `***` a password.
    pub fn export_connections(&self, with_secrets: bool) -> Result<Exported, UserError> {
        let (mut members, mut left_out) = (Map::new(), Vec::new());
        for (conn_id, mut connection) in self.secrets.connections()? {
            if !with_secrets {
                let shown = without_secrets(&connection);
                if shown != connection {
                    left_out.push(conn_id.clone());
                }
                connection = shown;
            }
            let json = serde_json::to_value(&connection)
                .map_err(|error| UserError::new(ErrorKind::Bug, error))?;
            members.insert(conn_id, json);
        }
        Ok(Exported {
            json: members,
            left_out,
        })
    }
}

fn without_secrets(connection: &Connection) -> Connection {
    let hidden = hide_extra(&connection.extra);
    Connection {
        password: None,
        extra: kept(&connection.extra, &hidden),
        ..connection.clone()
    }
}

/// The members that hiding did not change.
fn kept(plain: &Value, hidden: &Value) -> Value {
    match (plain, hidden) {
        (Value::Object(plain), Value::Object(hidden)) => plain
            .iter()
            .filter_map(|(key, member)| {
                let shown = hidden.get(key)?;
                let is_changed_text = !shown.is_object() && !shown.is_array() && shown != member;
                (!is_changed_text).then(|| (key.clone(), kept(member, shown)))
            })
            .collect::<Map<_, _>>()
            .into(),
        (Value::Array(plain), Value::Array(hidden)) => plain
            .iter()
            .zip(hidden)
            .map(|(plain, hidden)| kept(plain, hidden))
            .collect(),
        _ => hidden.clone(),
    }
}
