//! What imports and exports of variables, connections and pools have in common.

use crate::error::{ErrorKind, UserError};
use serde_json::{Map, Value};

/// What an import does with a key that is there already (Airflow's `--action-on-existing-key`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExisting {
    /// Take the new one.
    Overwrite,
    /// Keep the old one.
    Skip,
    /// Import nothing.
    Fail,
}

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Imported {
    /// Keys that were set.
    pub imported: Vec<String>,
    /// Keys that were there and kept.
    pub skipped: Vec<String>,
}

/// What an export holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    /// An object, as Airflow writes it.
    pub json: Map<String, Value>,
    /// Keys of which a secret was left out.
    pub left_out: Vec<String>,
}

/// Imports all or, where anything in the file is wrong, nothing.
pub(super) fn import<T>(
    members: Map<String, Value>,
    on_existing: OnExisting,
    parse: impl Fn(&str, Value) -> Result<T, UserError>,
    exists: impl Fn(&str) -> Result<bool, UserError>,
) -> Result<(Vec<(String, T)>, Imported), UserError> {
    let (mut parsed, mut report) = (Vec::new(), Imported::default());
    for (key, value) in members {
        let value = parse(&key, value)?;
        if on_existing != OnExisting::Overwrite && exists(&key)? {
            if on_existing == OnExisting::Fail {
                return Err(UserError::new(
                    ErrorKind::Conflict,
                    format!("{key:?} is there already; nothing was imported"),
                )
                .hint("--action-on-existing-key overwrite or skip goes on"));
            }
            report.skipped.push(key);
            continue;
        }
        report.imported.push(key.clone());
        parsed.push((key, value));
    }
    Ok((parsed, report))
}
