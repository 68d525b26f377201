//! `var` and `conn` in templates: what is asked for is read then, and nothing else. A missing one is an error that says how to set
//! it. It refuses passwords: what stands for one is the [`Lookup`]'s business, and never the password itself.

use super::json::to_value;
use minijinja::value::{Enumerator, Object, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use serde_json::Value as Json;
use std::fmt;
use std::sync::Arc;

/// Where `var` and `conn` look. Errors are sentences for a person; they hold no value.
pub trait Lookup: Send + Sync {
    /// The text of a variable; `None` where it is not set.
    fn variable(&self, key: &str) -> Result<Option<String>, String>;
    /// A connection; `None` where it is not set.
    fn connection(&self, conn_id: &str) -> Result<Option<Connection>, String>;
    /// What stands for a connection's password, for the hosts that a grant names; `None` where it has no password.
    fn password(&self, conn_id: &str) -> Result<Option<String>, String>;
    /// Keys of variables that there are, for a hint; may be a part of them.
    fn variable_keys(&self) -> Vec<String> {
        Vec::new()
    }
    /// Ids of connections that there are, for a hint; may be a part of them.
    fn connection_ids(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Where nothing may be looked up.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLookup;

impl Lookup for NoLookup {
    fn variable(&self, _: &str) -> Result<Option<String>, String> {
        Err(NOT_HERE.to_owned())
    }

    fn connection(&self, _: &str) -> Result<Option<Connection>, String> {
        Err(NOT_HERE.to_owned())
    }

    fn password(&self, _: &str) -> Result<Option<String>, String> {
        Err(NOT_HERE.to_owned())
    }
}

const NOT_HERE: &str = "variables and connections are read in the config of a task only; let a task read it and pull its XCom";

/// What `conn.x` holds; never a password.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    /// Kind, for example `http`.
    pub conn_type: String,
    /// Free text.
    pub description: Option<String>,
    /// Host name.
    pub host: Option<String>,
    /// User name.
    pub login: Option<String>,
    /// TCP port.
    pub port: Option<u16>,
    /// Database or path.
    pub schema: Option<String>,
    /// Anything else: an object.
    pub extra: Json,
}

/// `var.value` or, parsed, `var.json`.
pub(super) struct Variables {
    pub(super) lookup: Arc<dyn Lookup>,
    pub(super) is_json: bool,
}

/// `conn`.
pub(super) struct Connections(pub(super) Arc<dyn Lookup>);

/// `conn.x`.
struct Conn {
    id: String,
    connection: Connection,
    lookup: Arc<dyn Lookup>,
}

const MEMBERS: &[&str] = &[
    "conn_id",
    "conn_type",
    "description",
    "host",
    "login",
    "password",
    "port",
    "schema",
    "extra",
    "extra_dejson",
];

impl fmt::Debug for Variables {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.is_json {
            "var.json"
        } else {
            "var.value"
        })
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("conn")
    }
}

impl fmt::Debug for Conn {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "conn.{}", self.id)
    }
}

fn failed(sentence: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, sentence)
}

fn optional<T: Into<Value>>(value: Option<T>) -> Value {
    value.map_or_else(|| Value::from(()), Into::into)
}

impl Variables {
    fn missing(&self, key: &str) -> String {
        let near = near(key, &self.lookup.variable_keys());
        format!(
            "variable {key:?} is not set{near}; set it with `airlock variables set {key} VALUE`"
        )
    }

    fn read(&self, key: &str) -> Result<Option<Value>, Error> {
        let Some(text) = self.lookup.variable(key).map_err(failed)? else {
            return Ok(None);
        };
        if !self.is_json {
            return Ok(Some(Value::from(text)));
        }
        let json: Json = serde_json::from_str(&text).map_err(|error| {
            // The parser's words name a place and never the text.
            failed(format!("variable {key:?} is no JSON: {error}; `var.value` reads it as text, `airlock variables set {key} JSON` replaces it"))
        })?;
        Ok(Some(to_value(&json)))
    }
}

impl Connections {
    fn missing(&self, conn_id: &str) -> String {
        let near = near(conn_id, &self.0.connection_ids());
        format!(
            "connection {conn_id:?} is not set{near}; set it with `airlock connections set {conn_id} --conn-uri URI`"
        )
    }

    fn read(&self, conn_id: &str) -> Result<Option<Value>, Error> {
        let connection = self.0.connection(conn_id).map_err(failed)?;
        Ok(connection.map(|connection| {
            Value::from_object(Conn {
                id: conn_id.to_owned(),
                connection,
                lookup: self.0.clone(),
            })
        }))
    }
}

/// An error inside a template comes out where the value is used.
fn or_error(found: Result<Option<Value>, Error>, missing: impl FnOnce() -> String) -> Value {
    match found {
        Ok(Some(value)) => value,
        Ok(None) => Value::from(failed(missing())),
        Err(error) => Value::from(error),
    }
}

/// `get(name)` and `get(name, default)`.
fn get(
    args: &[Value],
    read: impl FnOnce(&str) -> Result<Option<Value>, Error>,
    missing: impl FnOnce(&str) -> String,
) -> Result<Value, Error> {
    let (name, default): (&str, Option<Value>) = from_args(args)?;
    match (read(name)?, default) {
        (Some(value), _) | (None, Some(value)) => Ok(value),
        (None, None) => Err(failed(missing(name))),
    }
}

/// A near name among those that there are.
fn near(name: &str, known: &[String]) -> String {
    match crate::dag::nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("; did you mean {near:?}?"),
        None => String::new(),
    }
}

impl Object for Variables {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let key = key.as_str()?;
        Some(or_error(self.read(key), || self.missing(key)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "get" => get(args, |key| self.read(key), |key| self.missing(key)),
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
}

impl Object for Connections {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let conn_id = key.as_str()?;
        Some(or_error(self.read(conn_id), || self.missing(conn_id)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "get" => get(
                args,
                |conn_id| self.read(conn_id),
                |conn_id| self.missing(conn_id),
            ),
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
}

impl Object for Conn {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let connection = &self.connection;
        Some(match key {
            "conn_id" => Value::from(self.id.as_str()),
            "conn_type" => Value::from(connection.conn_type.as_str()),
            "description" => optional(connection.description.clone()),
            "host" => optional(connection.host.clone()),
            "login" => optional(connection.login.clone()),
            "port" => optional(connection.port),
            "schema" => optional(connection.schema.clone()),
            "extra" | "extra_dejson" => to_value(&connection.extra),
            "password" => match self.lookup.password(&self.id) {
                Ok(placeholder) => optional(placeholder),
                Err(sentence) => Value::from(failed(sentence)),
            },
            _ => return None,
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(MEMBERS)
    }
}
