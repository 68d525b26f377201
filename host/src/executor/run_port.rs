//! The run as its own attempt may see it, and other DAGs' runs as sensors may see them.

use crate::capability::{DagStateSource, RunPort};
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::scheduler::{Attempt, Handle, INDEX, RunRow, SchedulerError, date_key, decode_row, replay_run, run_key, task_instance_rows};
use crate::store::{Store, StoreError, Table};
use airlock_core::ids::{DagId, RunId};
use async_trait::async_trait;
use jiff::Timestamp;
use std::sync::Arc;

/// XComs of the attempt's own run.
pub(super) struct AttemptRunPort {
    handle: Handle,
    attempt: Attempt,
}

impl AttemptRunPort {
    pub(super) fn new(handle: Handle, attempt: Attempt) -> Self {
        Self { handle, attempt }
    }
}

#[async_trait]
impl RunPort for AttemptRunPort {
    async fn push_xcom(&self, key: String, value: String) -> Result<(), CapabilityError> {
        let Attempt { run, ti, fence, .. } = &self.attempt;
        self.handle.push_xcom(run.number, *ti, *fence, key, value).await.map_err(|error| match error {
            SchedulerError::Refused(reason) => CapabilityError::Invalid(reason),
            error => CapabilityError::Unavailable(error.to_string()),
        })
    }

    fn xcom(&self, task_id: &str, key: &str, map_index: Option<i32>) -> Option<String> {
        self.attempt.run.pull(task_id, key, map_index)
    }
}

/// Runs of every DAG, as the store has them.
pub struct StoreDagState {
    store: Arc<dyn Store>,
}

impl StoreDagState {
    /// Reads from `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    fn run_at(&self, dag_id: &str, logical_date: Timestamp) -> Result<Option<RunRow>, CapabilityError> {
        let dag_id = DagId::parse(dag_id).map_err(|error| CapabilityError::Invalid(error.to_string()))?;
        let unavailable = |error: StoreError| CapabilityError::Unavailable(error.to_string());
        let Some(index) = self.store.get(INDEX, &date_key(&dag_id, logical_date)).map_err(unavailable)? else {
            return Ok(None);
        };
        let broken = |error: String| CapabilityError::Unavailable(format!("the run index of dag {dag_id} is broken: {error}"));
        let name = String::from_utf8(index.value).map_err(|error| broken(error.to_string()))?;
        let run_id = RunId::parse(&name).map_err(|error| broken(error.to_string()))?;
        let row = self.store.get(Table::Run, &run_key(&dag_id, &run_id)).map_err(unavailable)?;
        row.map(|row| decode_row(&row.value).map_err(|error| broken(error.to_string()))).transpose()
    }
}

impl DagStateSource for StoreDagState {
    fn run_states(&self, dag_id: &str, logical_date: Timestamp) -> Result<Vec<String>, CapabilityError> {
        let row = self.run_at(dag_id, logical_date)?;
        Ok(row.into_iter().map(|row| row.state.as_str().to_owned()).collect())
    }

    fn task_states(&self, dag_id: &str, task_id: &str, logical_date: Timestamp) -> Result<Vec<String>, CapabilityError> {
        let Some(row) = self.run_at(dag_id, logical_date)? else { return Ok(Vec::new()) };
        let run = replay_run(self.store.as_ref(), &row.dag_id, &row.run_id)
            .map_err(|error| CapabilityError::Unavailable(error.to_string()))?;
        let rows = task_instance_rows(&run.state, &run.times);
        Ok(rows.into_iter().filter(|row| row.task_id == task_id).map(|row| row.state.as_str().to_owned()).collect())
    }
}
