//! `airlock.toml` in the current folder: settings for whoever works there. A flag or an `AIRLOCK_*` variable wins over it.

use super::args::Global;
use super::settings_trust;
use crate::app::{StorageConnections, StorageCredentials};
use crate::error::{ErrorKind, UserError};
use airlock_core::dag::nearest;
use std::io::ErrorKind as Io;
use std::path::PathBuf;

/// The file's name.
const FILE: &str = "airlock.toml";
/// Every key it may hold; each is the long flag's name with `_` for `-`, but `storage`, `plugin_policy` and `native`, which are tables.
const KEYS: [&str; 17] = [
    "data",
    "storage_root",
    "plugins",
    "secrets",
    "smtp_url",
    "smtp_from",
    "openlineage_url",
    "parallelism",
    "queues",
    "listen",
    "listen_names",
    "retention_days",
    "retention_runs",
    "gpu_list",
    "storage",
    "plugin_policy",
    "native",
];

/// Fills what neither a flag nor the environment said.
pub(super) fn merge(mut global: Global) -> Result<Global, UserError> {
    let text = match std::fs::read_to_string(FILE) {
        Ok(text) => text,
        Err(error) if error.kind() == Io::NotFound => return Ok(global),
        Err(error) => return Err(wrong(&format!("cannot be read: {error}"))),
    };
    let table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| wrong(&error.to_string()))?;
    for (key, value) in table {
        match key.as_str() {
            "data" => global.data = global.data.or(Some(path(&key, value)?)),
            "storage_root" => {
                global.storage_root = global.storage_root.or(Some(path(&key, value)?));
            }
            "secrets" => global.secrets = global.secrets.or(Some(path(&key, value)?)),
            "gpu_list" => global.gpu_list = global.gpu_list.or(Some(path(&key, value)?)),
            "smtp_url" => global.smtp_url = Some(words(&key, value)?),
            "smtp_from" => global.smtp_from = Some(words(&key, value)?),
            "openlineage_url" => global.openlineage_url = Some(words(&key, value)?),
            "plugins" if global.plugin_folders.is_empty() => {
                global.plugin_folders = paths(&key, value)?;
            }
            "plugins" => {}
            "parallelism" => {
                global.parallelism = global.parallelism.or(Some(number(&key, &value)?));
            }
            "queues" => global.queues = texts(&key, value)?,
            "listen" => global.listen = Some(words(&key, value)?),
            "listen_names" => global.listen_names = texts(&key, value)?,
            "retention_days" => {
                global.retention_days = global.retention_days.or(Some(number(&key, &value)?));
            }
            "retention_runs" => {
                global.retention_runs = global.retention_runs.or(Some(number(&key, &value)?));
            }
            "storage" => global.storage = storage(value)?,
            "plugin_policy" => {
                global.trust = settings_trust::trust(value).map_err(|what| wrong(&what))?;
            }
            "native" => {
                global.native = super::native::settings(value).map_err(|why| wrong(&why))?;
            }
            other => return Err(unknown(other)),
        }
    }
    Ok(global)
}

fn wrong(what: &str) -> UserError {
    UserError::new(ErrorKind::Usage, format!("{FILE} {what}"))
}

fn unknown(key: &str) -> UserError {
    let hint = match nearest(key, KEYS) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("it may hold {}", KEYS.join(", ")),
    };
    wrong(&format!("has an unknown key {key:?}")).hint(hint)
}

fn path(key: &str, value: toml::Value) -> Result<PathBuf, UserError> {
    words(key, value).map(PathBuf::from)
}

fn words(key: &str, value: toml::Value) -> Result<String, UserError> {
    match value {
        toml::Value::String(text) => Ok(text),
        _ => Err(wrong(&format!("key {key:?} must be a text"))),
    }
}

fn paths(key: &str, value: toml::Value) -> Result<Vec<PathBuf>, UserError> {
    let texts = texts(key, value)?;
    Ok(texts.into_iter().map(PathBuf::from).collect())
}

fn texts(key: &str, value: toml::Value) -> Result<Vec<String>, UserError> {
    match value {
        toml::Value::Array(values) => values.into_iter().map(|value| words(key, value)).collect(),
        one => Ok(vec![words(key, one)?]),
    }
}

/// `[storage."s3://data/"]` with `connection = "ID"`, or with `environment = true`.
fn storage(value: toml::Value) -> Result<StorageConnections, UserError> {
    let toml::Value::Table(prefixes) = value else {
        return Err(wrong("key \"storage\" must be a table of prefixes"));
    };
    let entries = prefixes.into_iter().map(|(prefix, setting)| {
        let said = |name: &str| setting.get(name).cloned();
        let members = setting.as_table().map_or(0, toml::Table::len);
        let credentials = match (members, said("connection"), said("environment")) {
            (1, Some(toml::Value::String(conn_id)), None) => {
                StorageCredentials::Connection(conn_id)
            }
            (1, None, Some(toml::Value::Boolean(true))) => StorageCredentials::Environment,
            _ => {
                let what = format!("[storage.{prefix:?}] needs one key and no other");
                let hint = "connection = \"CONN_ID\", or environment = true";
                return Err(wrong(&what).hint(hint));
            }
        };
        Ok((prefix, credentials))
    });
    let entries = entries.collect::<Result<_, _>>()?;
    StorageConnections::new(entries).map_err(|error| wrong(&format!("[storage]: {error}")))
}

fn number(key: &str, value: &toml::Value) -> Result<u32, UserError> {
    let number = value
        .as_integer()
        .and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| wrong(&format!("key {key:?} must be a whole number from 0")))
}
