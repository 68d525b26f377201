//! Runs that a task makes: the same checks as for a run that a person triggers, and the promise that a task instance's next try
//! finds the run that its last one made.

use super::dags::current_dag;
use super::pools::check_pools;
use super::runs::{TriggerRequest, header};
use crate::capability::{DagRunError, DagRunRequest, DagRunTrigger};
use crate::error::{ErrorKind, UserError};
use crate::gpus::GpuSource;
use crate::sandbox::bindings::airlock::operator::dag_runs::Triggered;
use crate::scheduler::{
    Change, Handle, INDEX, RunRow, SchedulerError, Selection, Version, date_key, decode_row,
    run_key,
};
use crate::store::{Store, Table};
use airlock_core::ids::{DagId, RunId};
use async_trait::async_trait;
use std::sync::Arc;

/// Makes runs of what is stored.
pub(super) struct StoredDagRuns {
    pub(super) store: Arc<dyn Store>,
    pub(super) handle: Handle,
    pub(super) gpus: Arc<GpuSource>,
}

impl StoredDagRuns {
    fn row(&self, dag_id: &DagId, run_id: &RunId) -> Result<Option<RunRow>, DagRunError> {
        let row = self.store.get(Table::Run, &run_key(dag_id, run_id));
        let row = row.map_err(unavailable)?;
        let row = row.map(|row| decode_row(&row.value));
        row.transpose().map_err(unavailable)
    }

    /// The run that has the requested id, or else the requested date.
    fn existing(&self, request: &DagRunRequest) -> Result<Option<RunId>, DagRunError> {
        if self.row(&request.dag_id, &request.run_id)?.is_some() {
            return Ok(Some(request.run_id.clone()));
        }
        let Some(date) = request.logical_date else {
            return Ok(None);
        };
        let index = self.store.get(INDEX, &date_key(&request.dag_id, date));
        let Some(index) = index.map_err(unavailable)? else {
            return Ok(None);
        };
        let name = String::from_utf8(index.value).map_err(unavailable)?;
        RunId::parse(&name).map(Some).map_err(unavailable)
    }

    /// Clears all of a run that is there, so that it runs again on the version it has.
    async fn reset(
        &self,
        request: &DagRunRequest,
        run_id: RunId,
    ) -> Result<Triggered, DagRunError> {
        let clear = Change::Clear {
            selection: Selection::default(),
            dry_run: false,
            version: Version::Original,
        };
        let dag_id = request.dag_id.clone();
        let cleared = self.handle.change(dag_id, run_id.clone(), clear).await;
        cleared.map_err(unavailable)?;
        Ok(Triggered {
            run_id: run_id.to_string(),
            created: false,
        })
    }

    async fn found(
        &self,
        request: &DagRunRequest,
        run_id: RunId,
    ) -> Result<Triggered, DagRunError> {
        if request.reset_dag_run {
            return self.reset(request, run_id).await;
        }
        let row = self.row(&request.dag_id, &run_id)?;
        if row.is_some_and(|row| row.triggered_by == by(&request.triggered_by)) {
            return Ok(Triggered {
                run_id: run_id.to_string(),
                created: false,
            });
        }
        Err(DagRunError::Conflict(format!(
            "dag {} has run {run_id} already; give another run id or logical date, or say reset_dag_run or skip_when_already_exists",
            request.dag_id
        )))
    }

    async fn create(&self, request: &DagRunRequest) -> Result<Triggered, DagRunError> {
        let dag = current_dag(self.store.as_ref(), request.dag_id.as_str()).map_err(refused)?;
        let trigger = TriggerRequest {
            logical_date: request.logical_date,
            run_id: Some(request.run_id.clone()),
            conf: request.conf.clone(),
            note: String::new(),
            triggered_by: by(&request.triggered_by),
        };
        let header = header(&dag, trigger).map_err(refused)?;
        check_pools(self.store.as_ref(), &self.gpus, &dag.dag).map_err(refused)?;
        let triggered = self.handle.trigger(dag.dag, dag.version, header).await;
        match triggered {
            Ok(()) => Ok(Triggered {
                run_id: request.run_id.to_string(),
                created: true,
            }),
            // Somebody was faster.
            Err(SchedulerError::Conflict { run_id, .. }) => self.found(request, run_id).await,
            Err(error) => Err(unavailable(error)),
        }
    }
}

#[async_trait]
impl DagRunTrigger for StoredDagRuns {
    async fn trigger(&self, request: DagRunRequest) -> Result<Triggered, DagRunError> {
        match self.existing(&request)? {
            Some(run_id) => self.found(&request, run_id).await,
            None => self.create(&request).await,
        }
    }

    fn state(&self, dag_id: &DagId, run_id: &RunId) -> Result<Option<String>, DagRunError> {
        let row = self.row(dag_id, run_id)?;
        Ok(row.map(|row| row.state.as_str().to_owned()))
    }
}

/// How a run's header names the task instance that made it.
fn by(task_instance: &str) -> String {
    format!("task instance {task_instance}")
}

fn refused(error: UserError) -> DagRunError {
    let text = error.message;
    match error.kind {
        ErrorKind::NotFound => DagRunError::NotFound(text),
        ErrorKind::Store | ErrorKind::Bug => unavailable(text),
        _ => DagRunError::Invalid(text),
    }
}

/// What the disk said is for the host's log and not for a guest.
fn unavailable(error: impl std::fmt::Display) -> DagRunError {
    tracing::error!(%error, "a task's run could not be made or read");
    DagRunError::Unavailable("the store did not answer; the host's log says why".to_owned())
}
