//! The DAGs of the service: which version new runs take, and whether runs are made at all.

use super::Engine;
use crate::scheduler::codec::decode_row;
use crate::scheduler::message::SchedulerError;
use crate::scheduler::records::{DagRow, DagVersionRow};
use crate::store::{Store, StoreError, Table};
use airlock_core::dag::spec::Dag;
use std::sync::Arc;

/// Rows read at once.
const READ_ROWS: usize = 1_024;

/// A DAG that the service makes runs of.
pub(super) struct LiveDag {
    pub(super) dag: Arc<Dag>,
    pub(super) dag_version: [u8; 32],
    pub(super) row: DagRow,
}

impl Engine {
    pub(super) fn put_dag(&mut self, dag: Arc<Dag>, dag_version: [u8; 32], row: DagRow) {
        if !self.is_service {
            return;
        }
        let live = LiveDag {
            dag,
            dag_version,
            row,
        };
        self.dags.insert(live.row.dag_id.clone(), live);
    }

    /// Reads every DAG. What was told before is in the store as well.
    pub(super) fn start_service(&mut self) -> Result<(), SchedulerError> {
        self.is_service = true;
        let dags = stored_dags(self.parts.store.as_ref())
            .map_err(|error| SchedulerError::Store(error.to_string()))?;
        for live in dags {
            self.dags.insert(live.row.dag_id.clone(), live);
        }
        Ok(())
    }
}

fn stored_dags(store: &dyn Store) -> Result<Vec<LiveDag>, StoreError> {
    let mut dags = Vec::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = store.scan(Table::Dag, b"", after.as_deref(), READ_ROWS)?;
        let Some(last) = rows.last() else {
            return Ok(dags);
        };
        after = Some(last.key.clone());
        for row in &rows {
            let place = String::from_utf8_lossy(&row.key).into_owned();
            match live_dag(store, &row.value)? {
                Some(live) => dags.push(live),
                // A DAG that cannot be read must not keep the others from running.
                None => tracing::error!(
                    dag_id = place,
                    "the DAG or its version cannot be read; save its file again"
                ),
            }
        }
    }
}

fn live_dag(store: &dyn Store, row: &[u8]) -> Result<Option<LiveDag>, StoreError> {
    let Ok(row) = decode_row::<DagRow>(row) else {
        return Ok(None);
    };
    let Some(digest) = crate::store::Digest::parse(&row.dag_version) else {
        return Ok(None);
    };
    let Some(version) = store.get(Table::DagVersion, &digest.0)? else {
        return Ok(None);
    };
    let version = decode_row::<DagVersionRow>(&version.value);
    Ok(version.ok().map(|version| LiveDag {
        dag: Arc::new(version.dag),
        dag_version: digest.0,
        row,
    }))
}
