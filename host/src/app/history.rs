//! What was: the versions of a DAG, the audit trail.

use super::{App, RegisteredDag};
use crate::error::{ErrorKind, UserError};
use crate::scheduler::{DagVersionRow, decode_row};
use crate::store::{Digest, Seq, Table};
use crate::tracking::{Actor, ActorKind, Audit, AuditEvent};
use airlock_core::ids::DagId;
use jiff::Timestamp;
use serde_json::Value;
use std::sync::Arc;

/// A version of a DAG as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRow {
    /// Its digest in hex.
    pub dag_version: String,
    /// The first of the remembered runs that took it.
    pub first_run_at: Option<Timestamp>,
    /// How many of the remembered runs took it.
    pub runs: usize,
    /// Whether new runs take it.
    pub is_current: bool,
}

impl App {
    /// Versions of a DAG that the newest runs took, and the current one; the newest first.
    pub fn dag_versions(&self, dag_id: &DagId) -> Result<Vec<VersionRow>, UserError> {
        let current = Digest(self.dag(dag_id.as_str())?.version).to_string();
        let mut versions = vec![VersionRow {
            dag_version: current,
            first_run_at: None,
            runs: 0,
            is_current: true,
        }];
        for run in self.recent_runs(dag_id, usize::MAX)? {
            let known = versions
                .iter_mut()
                .find(|version| version.dag_version == run.dag_version);
            if let Some(version) = known {
                version.first_run_at = Some(run.queued_at);
                version.runs += 1;
            } else {
                versions.push(VersionRow {
                    dag_version: run.dag_version.clone(),
                    first_run_at: Some(run.queued_at),
                    runs: 1,
                    is_current: false,
                });
            }
        }
        Ok(versions)
    }

    /// A version of a DAG by its digest in hex.
    pub fn dag_version(
        &self,
        dag_id: &DagId,
        dag_version: &str,
    ) -> Result<RegisteredDag, UserError> {
        let missing = || {
            let message = format!("dag {dag_id} has no version {dag_version:?}");
            UserError::new(ErrorKind::NotFound, message)
        };
        let version = Digest::parse(dag_version).ok_or_else(missing)?.0;
        let stored = self
            .store
            .get(Table::DagVersion, &version)?
            .ok_or_else(missing)?;
        let DagVersionRow { dag, source } = decode_row(&stored.value)?;
        if dag.dag_id != *dag_id {
            return Err(missing());
        }
        let fileloc = self
            .dag_row(dag_id)?
            .map_or(String::new(), |row| row.fileloc);
        Ok(RegisteredDag {
            dag: Arc::new(dag),
            version,
            source,
            fileloc,
        })
    }

    /// Up to `max` events of the audit trail before number `before` (or the last ones), the newest first, each with its number.
    pub fn audit_before(
        &self,
        before: Option<Seq>,
        max: usize,
    ) -> Result<Vec<(Seq, AuditEvent)>, UserError> {
        let audit = Audit::new(self.store.clone());
        let head = audit.head()?;
        let end = before.unwrap_or(head).min(head);
        let from = end.saturating_sub(max as u64);
        let count = usize::try_from(end - from).unwrap_or(max);
        let mut events = audit.read(from, count)?;
        events.reverse();
        Ok(events)
    }

    /// Writes down what a person did.
    pub fn note_change(
        &self,
        by: &str,
        action: &str,
        subject: String,
        to: Value,
    ) -> Result<(), UserError> {
        let actor = Actor {
            kind: ActorKind::User,
            id: by.to_owned(),
        };
        let event = AuditEvent {
            at_ms: Timestamp::now().as_millisecond(),
            actor,
            action: action.to_owned(),
            subject,
            from: Value::Null,
            to,
        };
        self.store.commit(event.commit()?)?;
        Ok(())
    }
}
