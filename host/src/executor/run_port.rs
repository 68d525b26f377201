//! The run as its own attempt may see it, and other DAGs' runs as sensors may see them.

use crate::capability::{DagStateSource, RunPort};
use crate::scheduler::{
    Attempt, Handle, INDEX, RunRow, date_key, decode_row, replay_run, run_key, task_instance_rows,
};
use crate::store::{Store, Table};
use airlock_core::ids::{DagId, RunId, TaskId};
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
    async fn push_xcom(&self, key: &str, value: String) -> Result<(), String> {
        let Attempt { run, ti, fence, .. } = &self.attempt;
        let pushed = self
            .handle
            .push_xcom(run.number, *ti, *fence, key.to_owned(), value);
        pushed.await.map_err(|error| error.to_string())
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

    fn run_at(&self, dag_id: &DagId, logical_date: Timestamp) -> Result<Option<RunRow>, String> {
        let index = self.store.get(INDEX, &date_key(dag_id, logical_date));
        let Some(index) = index.map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        let broken = |error: String| format!("the run index of dag {dag_id} is broken: {error}");
        let name = String::from_utf8(index.value).map_err(|error| broken(error.to_string()))?;
        let run_id = RunId::parse(&name).map_err(|error| broken(error.to_string()))?;
        let row = self.store.get(Table::Run, &run_key(dag_id, &run_id));
        let row = row.map_err(|error| error.to_string())?;
        row.map(|row| decode_row(&row.value).map_err(|error| broken(error.to_string())))
            .transpose()
    }
}

#[async_trait]
impl DagStateSource for StoreDagState {
    async fn run_states(
        &self,
        dag_id: &DagId,
        logical_date: Timestamp,
    ) -> Result<Vec<String>, String> {
        let row = self.run_at(dag_id, logical_date)?;
        Ok(row
            .into_iter()
            .map(|row| row.state.as_str().to_owned())
            .collect())
    }

    async fn task_states(
        &self,
        dag_id: &DagId,
        task_id: &TaskId,
        logical_date: Timestamp,
    ) -> Result<Vec<String>, String> {
        let Some(row) = self.run_at(dag_id, logical_date)? else {
            return Ok(Vec::new());
        };
        let run = replay_run(self.store.as_ref(), &row.dag_id, &row.run_id)
            .map_err(|error| error.to_string())?;
        let rows = task_instance_rows(&run.state, &run.times);
        let of_task = rows
            .into_iter()
            .filter(|row| row.task_id == task_id.as_str());
        Ok(of_task.map(|row| row.state.as_str().to_owned()).collect())
    }
}
