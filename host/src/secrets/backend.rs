//! The secrets backend: a folder with one file a secret (`variables/KEY`, `connections/ID`, as orchestrators mount them), or one TOML
//! or JSON file with the tables `variables` and `connections`. Read at every look-up, so that a rotated secret is seen.

use super::connection::Connection;
use super::{SecretsError, VALUE_BYTES_MAX};
use serde_json::{Map, Value};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The largest secrets file, bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// See the module's documentation.
pub(super) struct Backend {
    path: PathBuf,
}

impl Backend {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(super) fn variable(&self, key: &str) -> Result<Option<String>, SecretsError> {
        Ok(self.value("variables", key)?.map(|value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        }))
    }

    pub(super) fn connection(&self, conn_id: &str) -> Result<Option<Connection>, SecretsError> {
        let Some(value) = self.value("connections", conn_id)? else {
            return Ok(None);
        };
        Connection::from_json(value)
            .map(Some)
            .map_err(|reason| SecretsError::Invalid {
                what: format!("connection {conn_id:?} in {}", self.path.display()),
                reason,
            })
    }

    /// `name` was checked to be no path.
    fn value(&self, kind: &str, name: &str) -> Result<Option<Value>, SecretsError> {
        let data = std::fs::metadata(&self.path).map_err(|error| wrong(&self.path, &error))?;
        if !data.is_dir() {
            let mut tables = self.tables()?;
            let table = tables.get_mut(kind).and_then(Value::as_object_mut);
            return Ok(table.and_then(|table| table.remove(name)));
        }
        let file = self.path.join(kind).join(name);
        let text = read(&file, VALUE_BYTES_MAX as u64)?;
        // A file written by an editor or `echo` ends in a line break that belongs to nobody's password.
        Ok(text.map(|text| {
            let text = text.strip_suffix('\n').unwrap_or(&text);
            Value::from(text.strip_suffix('\r').unwrap_or(text))
        }))
    }

    fn tables(&self) -> Result<Map<String, Value>, SecretsError> {
        let text = read(&self.path, FILE_BYTES_MAX)?.unwrap_or_default();
        let is_toml = self.path.extension().is_some_and(|end| end == "toml");
        // What the parsers say may quote the line, so the place alone is told.
        let parsed = if is_toml {
            toml::from_str(&text).map_err(|error| match error.span() {
                Some(span) => {
                    let before = text.get(..span.start).unwrap_or_default();
                    format!("line {} is not TOML", before.matches('\n').count() + 1)
                }
                None => "it is not TOML".to_owned(),
            })
        } else {
            serde_json::from_str(&text).map_err(|error| {
                format!(
                    "line {}, column {} is not JSON",
                    error.line(),
                    error.column()
                )
            })
        };
        parsed.map_err(|reason| wrong(&self.path, &reason))
    }
}

/// A small text file; none where it is absent.
fn read(path: &Path, limit: u64) -> Result<Option<String>, SecretsError> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(path, &error)),
    };
    let mut text = String::new();
    let read = file.take(limit + 1).read_to_string(&mut text);
    let length = read.map_err(|error| wrong(path, &error))?;
    if length as u64 > limit {
        return Err(wrong(path, &format!("it is over {limit} bytes")));
    }
    Ok(Some(text))
}

fn wrong(path: &Path, reason: &dyn std::fmt::Display) -> SecretsError {
    SecretsError::Backend {
        place: path.display().to_string(),
        reason: reason.to_string(),
    }
}
