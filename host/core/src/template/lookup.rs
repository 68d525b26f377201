//! `var` and `conn` in templates: what is asked for is read then, and nothing else. A missing one is an error that says how to set
//! it. It refuses passwords: what stands for one is the [`Lookup`]'s business, and never the password itself.

use super::json::to_value;
use minijinja::value::{Enumerator, Object, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

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

/// What a name is looked up as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `var.value`.
    Variable,
    /// `var.json`.
    ParsedVariable,
    /// `conn`.
    Connection,
}

/// `var.value`, `var.json` or `conn`. What was found once is not looked up again in the rendering.
pub(super) struct Named {
    lookup: Arc<dyn Lookup>,
    kind: Kind,
    found: Mutex<BTreeMap<String, Value>>,
}

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

impl fmt::Debug for Named {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self.kind {
            Kind::Variable => "var.value",
            Kind::ParsedVariable => "var.json",
            Kind::Connection => "conn",
        })
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

impl Named {
    pub(super) fn new(kind: Kind, lookup: Arc<dyn Lookup>) -> Self {
        Self {
            lookup,
            kind,
            found: Mutex::default(),
        }
    }

    fn missing(&self, name: &str) -> String {
        if self.kind == Kind::Connection {
            let near = near(name, &self.lookup.connection_ids());
            return format!(
                "connection {name:?} is not set{near}; set it with `airlock connections set {name} --conn-uri URI`"
            );
        }
        let near = near(name, &self.lookup.variable_keys());
        format!(
            "variable {name:?} is not set{near}; set it with `airlock variables set {name} VALUE`"
        )
    }

    fn read(&self, name: &str) -> Result<Option<Value>, Error> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = found.get(name) {
            return Ok(Some(value.clone()));
        }
        let value = match self.kind {
            Kind::Connection => self.connection(name)?,
            Kind::Variable => self.text(name)?.map(Value::from),
            Kind::ParsedVariable => match self.text(name)? {
                Some(text) => Some(parsed(name, &text)?),
                None => None,
            },
        };
        if let Some(value) = &value {
            found.insert(name.to_owned(), value.clone());
        }
        Ok(value)
    }

    fn text(&self, key: &str) -> Result<Option<String>, Error> {
        self.lookup.variable(key).map_err(failed)
    }

    fn connection(&self, conn_id: &str) -> Result<Option<Value>, Error> {
        let connection = self.lookup.connection(conn_id).map_err(failed)?;
        Ok(connection.map(|connection| {
            Value::from_object(Conn {
                id: conn_id.to_owned(),
                connection,
                lookup: self.lookup.clone(),
            })
        }))
    }
}

fn parsed(key: &str, text: &str) -> Result<Value, Error> {
    let json: Json = serde_json::from_str(text).map_err(|error| {
        // The parser's words name a place and never the text.
        failed(format!("variable {key:?} is no JSON: {error}; `var.value` reads it as text, `airlock variables set {key} JSON` replaces it"))
    })?;
    Ok(to_value(&json))
}

/// A near name among those that there are.
fn near(name: &str, known: &[String]) -> String {
    match crate::dag::nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("; did you mean {near:?}?"),
        None => String::new(),
    }
}

impl Object for Named {
    /// An error inside a template comes out where the value is used.
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        Some(match self.read(name) {
            Ok(Some(value)) => value,
            Ok(None) => Value::from(failed(self.missing(name))),
            Err(error) => Value::from(error),
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }

    /// `get(name)` and `get(name, default)`.
    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        if method != "get" {
            return Err(Error::from(ErrorKind::UnknownMethod));
        }
        let (name, default): (&str, Option<Value>) = from_args(args)?;
        let value = self.read(name)?.or(default);
        value.ok_or_else(|| failed(self.missing(name)))
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
