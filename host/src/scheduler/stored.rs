//! What the scheduler asks of the store: DAGs with their schedules, one run, how long runs took. It refuses to change
//! anything.

use super::codec::decode_row;
use super::records::{DagRow, DagVersionRow, RunRow, run_key, runs_prefix, schedule_key};
use super::recovery::RecoveryError;
use crate::store::{Digest, Store, StoreError, Table};
use airlock_core::dag::spec::Dag;
use airlock_core::ids::{DagId, RunId};
use airlock_core::schedule::DagSchedule;
use airlock_core::task_instance::state::DagRunState;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// Rows read at once.
const READ_ROWS: usize = 1_024;

/// A DAG as the store has it.
pub(super) struct StoredDag {
    pub(super) dag: Arc<Dag>,
    pub(super) dag_version: [u8; 32],
    pub(super) row: DagRow,
    pub(super) schedule: Option<DagSchedule>,
}

/// Every DAG that can be read. One that cannot must not keep the others from running.
pub(super) fn stored_dags(store: &dyn Store) -> Result<Vec<StoredDag>, StoreError> {
    let mut dags = Vec::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = store.scan(Table::Dag, b"", after.as_deref(), READ_ROWS)?;
        let Some(last) = rows.last() else {
            return Ok(dags);
        };
        after = Some(last.key.clone());
        for row in &rows {
            if let Some(stored) = stored_dag(store, &row.value)? {
                dags.push(stored);
            } else {
                let dag_id = String::from_utf8_lossy(&row.key).into_owned();
                tracing::error!(dag_id, "the DAG cannot be read; save its file again");
            }
        }
    }
}

fn stored_dag(store: &dyn Store, row: &[u8]) -> Result<Option<StoredDag>, StoreError> {
    let Ok(row) = decode_row::<DagRow>(row) else {
        return Ok(None);
    };
    let Some(digest) = Digest::parse(&row.dag_version) else {
        return Ok(None);
    };
    let Some(dag) = dag_version(store, &digest.0)? else {
        return Ok(None);
    };
    let schedule = store.get(Table::State, &schedule_key(&row.dag_id))?;
    Ok(Some(StoredDag {
        dag,
        dag_version: digest.0,
        schedule: schedule.and_then(|schedule| decode_row(&schedule.value).ok()),
        row,
    }))
}

/// One version of a DAG.
pub(super) fn dag_version(
    store: &dyn Store,
    version: &[u8; 32],
) -> Result<Option<Arc<Dag>>, StoreError> {
    let row = store.get(Table::DagVersion, version)?;
    let row = row.and_then(|row| decode_row::<DagVersionRow>(&row.value).ok());
    Ok(row.map(|row| Arc::new(row.dag)))
}

/// The version of a DAG that new runs take, with its digest.
///
/// # Errors
/// When the store does not answer, or what it has cannot be read.
pub fn current_version(
    store: &dyn Store,
    dag_id: &DagId,
) -> Result<Option<(Arc<Dag>, [u8; 32])>, RecoveryError> {
    let Some(row) = store.get(Table::Dag, dag_id.as_str().as_bytes())? else {
        return Ok(None);
    };
    let row: DagRow = decode_row(&row.value).map_err(|source| RecoveryError::Codec {
        place: format!("dag {dag_id}"),
        source,
    })?;
    let missing = || RecoveryError::Missing(format!("the version of dag {dag_id}"));
    let version = Digest::parse(&row.dag_version).ok_or_else(missing)?.0;
    let dag = dag_version(store, &version)?.ok_or_else(missing)?;
    Ok(Some((dag, version)))
}

/// One run.
pub(super) fn run_row(
    store: &dyn Store,
    dag_id: &DagId,
    run_id: &RunId,
) -> Result<Option<RunRow>, StoreError> {
    let row = store.get(Table::Run, &run_key(dag_id, run_id))?;
    Ok(row.and_then(|row| decode_row(&row.value).ok()))
}

/// How long the last `count` successful runs of a DAG took, the newest first, with their ends. Reads every run of the DAG: runs
/// without a logical date are in no index by time.
pub(super) fn durations(
    store: &dyn Store,
    dag_id: &DagId,
    count: usize,
) -> Result<Vec<(Timestamp, SignedDuration)>, StoreError> {
    let mut ended: Vec<(Timestamp, SignedDuration)> = Vec::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = store.scan(
            Table::Run,
            &runs_prefix(dag_id),
            after.as_deref(),
            READ_ROWS,
        )?;
        let Some(last) = rows.last() else { break };
        after = Some(last.key.clone());
        for row in rows
            .iter()
            .filter_map(|row| decode_row::<RunRow>(&row.value).ok())
        {
            if let (DagRunState::Success, Some(start), Some(end)) =
                (row.state, row.start_date, row.end_date)
            {
                ended.push((end, end.duration_since(start)));
            }
        }
    }
    ended.sort_by_key(|(end, _)| std::cmp::Reverse(*end));
    ended.truncate(count);
    Ok(ended)
}
