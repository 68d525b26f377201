//! `airlock:operator/dag-runs`: runs that a task makes. It checks the grant and the words and gives a run its name; the runs are
//! behind `DagRunTrigger`.

use super::Answer;
use super::granted::Granted;
use super::own_run::OwnRun;
use crate::sandbox::bindings::airlock::operator::dag_runs::{TriggerRequest, Triggered};
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::sandbox::ports::DagRunsPort;
use crate::store::hex;
use airlock_core::grant::{Capability, Request, allows_name};
use airlock_core::ids::{DagId, RunId};
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The largest conf, bytes of JSON.
pub const CONF_BYTES_MAX: usize = 48 << 10;

/// A run that is to be.
#[derive(Debug, Clone, PartialEq)]
pub struct DagRunRequest {
    /// Of which DAG.
    pub dag_id: DagId,
    /// Its id.
    pub run_id: RunId,
    /// What it is about.
    pub logical_date: Option<Timestamp>,
    /// Not yet checked against the DAG's params.
    pub conf: Map<String, Value>,
    /// Whether a run that is there already is cleared and runs again.
    pub reset_dag_run: bool,
    /// The task instance that asks, the same for every try: what its earlier try made is not made again.
    pub triggered_by: String,
}

/// Why there is no run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DagRunError {
    /// No such DAG.
    #[error("{0}")]
    NotFound(String),
    /// The conf does not fit, or the DAG cannot run.
    #[error("{0}")]
    Invalid(String),
    /// Another run has the id or the date.
    #[error("{0}")]
    Conflict(String),
    /// It may work later.
    #[error("{0}")]
    Unavailable(String),
}

/// Who makes runs and knows their states.
#[async_trait]
pub trait DagRunTrigger: Send + Sync {
    /// Records a run durably. A run that the same task instance made is found again.
    async fn trigger(&self, request: DagRunRequest) -> Result<Triggered, DagRunError>;
    /// The state in Airflow's word, or none where there is no such run.
    fn state(&self, dag_id: &DagId, run_id: &RunId) -> Result<Option<String>, DagRunError>;
}

/// Runs as one attempt may make them.
pub(super) struct DagRuns {
    pub(super) grants: Arc<Granted>,
    pub(super) own_run: Arc<dyn OwnRun>,
    pub(super) trigger: Arc<dyn DagRunTrigger>,
}

impl DagRuns {
    fn request(&self, request: &TriggerRequest) -> Answer<DagRunRequest> {
        let dag_id = DagId::parse(&request.dag_id).map_err(invalid)?;
        self.grants
            .check(Request::TriggerDag(dag_id.as_str()))
            .map_err(|denied| CapabilityError::Denied(denied.to_string()))?;
        self.grants.used(Capability::TriggerDags, dag_id.as_str());
        let triggered_by = self.own_run.task_instance();
        let date = request.logical_date.as_deref();
        let logical_date = date.map(str::parse).transpose().map_err(invalid)?;
        let run_id = match &request.run_id {
            Some(run_id) => RunId::parse(run_id),
            None => RunId::parse(&own_run_id(&triggered_by, &dag_id, logical_date)),
        };
        Ok(DagRunRequest {
            run_id: run_id.map_err(invalid)?,
            conf: conf(&request.conf)?,
            reset_dag_run: request.reset_dag_run,
            logical_date,
            triggered_by,
            dag_id,
        })
    }
}

/// The same for every try of a task instance, another for another DAG or date.
fn own_run_id(triggered_by: &str, dag_id: &DagId, logical_date: Option<Timestamp>) -> String {
    let date = logical_date.map(|date| date.to_string());
    let date = date.unwrap_or_default();
    let digest = Sha256::digest(format!("{triggered_by}\0{dag_id}\0{date}"));
    let short = digest.get(..16).unwrap_or(&digest);
    format!("manual__{}", hex(short))
}

fn conf(json: &str) -> Answer<Map<String, Value>> {
    if json.len() > CONF_BYTES_MAX {
        return Err(CapabilityError::TooLarge(CONF_BYTES_MAX as u64));
    }
    // serde_json refuses what is nested deeper than 128.
    match serde_json::from_str(json) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(invalid("conf must be a JSON object")),
        Err(error) => Err(invalid(format!("conf is no JSON: {error}"))),
    }
}

#[async_trait]
impl DagRunsPort for DagRuns {
    async fn trigger(&self, request: TriggerRequest) -> Answer<Triggered> {
        let request = self.request(&request)?;
        self.trigger.trigger(request).await.map_err(refusal)
    }

    async fn state(&self, dag_id: String, run_id: String) -> Answer<Option<String>> {
        let dag_id = DagId::parse(&dag_id).map_err(invalid)?;
        let name = dag_id.as_str();
        let by = if self.grants.allows_trigger(name) {
            Some(Capability::TriggerDags)
        } else {
            allows_name(&self.grants.dag_state, name).then_some(Capability::DagState)
        };
        let Some(by) = by else {
            return Err(CapabilityError::Denied(format!(
                "no grant covers the states of DAG {dag_id}; it needs `dag_state` or `trigger_dags` with this name or \"*\""
            )));
        };
        self.grants.used(by, name);
        let run_id = RunId::parse(&run_id).map_err(invalid)?;
        self.trigger.state(&dag_id, &run_id).map_err(refusal)
    }
}

fn refusal(error: DagRunError) -> CapabilityError {
    match error {
        DagRunError::NotFound(text) => CapabilityError::NotFound(text),
        DagRunError::Invalid(text) => CapabilityError::Invalid(text),
        DagRunError::Conflict(text) => CapabilityError::Conflict(text),
        DagRunError::Unavailable(text) => CapabilityError::Unavailable(text),
    }
}

fn invalid(error: impl std::fmt::Display) -> CapabilityError {
    CapabilityError::Invalid(error.to_string())
}
