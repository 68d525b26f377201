//! The versions that a DAG had, numbered from 1 as in Airflow. A version's text is kept under its digest; here is which digest was
//! the current one from when on.

use super::App;
use crate::error::{ErrorKind, UserError};
use crate::scheduler::{DagRow, DagVersionRow, decode_row, encode_row};
use crate::store::{Digest, RowWrite, Table};
use airlock_core::ids::DagId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A version of a DAG.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DagVersionInfo {
    /// From 1; a version that comes back gets a number of its own.
    pub version_number: u64,
    /// Its digest, in hex.
    pub dag_version: String,
    /// Since when new runs took it.
    pub created_at: Timestamp,
}

pub(super) fn prefix(dag_id: &DagId) -> Vec<u8> {
    format!("dag_version\0{dag_id}\0").into_bytes()
}

fn write(dag_id: &DagId, version: &DagVersionInfo) -> Result<(Table, RowWrite), UserError> {
    let mut key = prefix(dag_id);
    key.extend_from_slice(format!("{:020}", version.version_number).as_bytes());
    let write = RowWrite {
        key,
        expect: None,
        value: Some(encode_row(version)?),
    };
    Ok((Table::State, write))
}

impl App {
    /// Every version that a DAG had, the oldest first; at least the current one.
    pub fn numbered_versions(&self, dag_id: &DagId) -> Result<Vec<DagVersionInfo>, UserError> {
        let mut versions: Vec<DagVersionInfo> = self.rows_under(Table::State, &prefix(dag_id))?;
        if versions.is_empty() {
            // An older Airlock did not number them.
            let row = self.dag_row(dag_id)?;
            versions.extend(row.map(|row| DagVersionInfo {
                version_number: 1,
                dag_version: row.dag_version,
                created_at: row.updated_at,
            }));
        }
        Ok(versions)
    }

    /// What numbers the version that a DAG's new row names; nothing where the DAG's row names it already.
    pub(super) fn numbered_version(
        &self,
        new: &DagRow,
        old: Option<&DagRow>,
    ) -> Result<Vec<(Table, RowWrite)>, UserError> {
        if old.is_some_and(|old| old.dag_version == new.dag_version) {
            return Ok(Vec::new());
        }
        let known = self.numbered_versions(&new.dag_id)?;
        let mut writes = Vec::new();
        if let ([only], true) = (known.as_slice(), old.is_some()) {
            // It may be one that was never written.
            writes.push(write(&new.dag_id, only)?);
        }
        let version = DagVersionInfo {
            version_number: known.last().map_or(1, |last| last.version_number + 1),
            dag_version: new.dag_version.clone(),
            created_at: new.updated_at,
        };
        writes.push(write(&new.dag_id, &version)?);
        Ok(writes)
    }

    /// The text of a version of a DAG, as written; retention may have let an old one go.
    pub fn dag_source(&self, dag_version: &str) -> Result<String, UserError> {
        let absent = || {
            let message = format!("the DAG version {dag_version} is there no more");
            UserError::new(ErrorKind::NotFound, message)
                .hint("a version goes when no run needs it and a newer one is there")
        };
        let digest = Digest::parse(dag_version).ok_or_else(absent)?;
        let row = self.store.get(Table::DagVersion, &digest.0)?;
        let row: DagVersionRow = decode_row(&row.ok_or_else(absent)?.value)?;
        Ok(row.source)
    }
}
