//! `airlock:operator/dag-state`: states of other DAGs' runs, for sensors. It checks the grant and the words; the states are behind
//! `DagStateSource`.

use super::Answer;
use super::policy::allows_name;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::sandbox::ports::DagStatePort;
use airlock_core::grant::Grants;
use airlock_core::ids::{DagId, TaskId};
use async_trait::async_trait;
use jiff::Timestamp;
use std::sync::Arc;

/// Where states come from.
#[async_trait]
pub trait DagStateSource: Send + Sync {
    /// The state, in Airflow's word, of each run of a DAG with exactly this logical date. The error says why it is not known.
    async fn run_states(
        &self,
        dag_id: &DagId,
        logical_date: Timestamp,
    ) -> Result<Vec<String>, String>;
    /// The state of each instance of a task in the run with exactly this logical date.
    async fn task_states(
        &self,
        dag_id: &DagId,
        task_id: &TaskId,
        logical_date: Timestamp,
    ) -> Result<Vec<String>, String>;
}

/// States for one attempt.
pub(super) struct DagState {
    pub(super) grants: Arc<Grants>,
    pub(super) source: Arc<dyn DagStateSource>,
}

impl DagState {
    fn check(&self, dag_id: &str, logical_date: &str) -> Answer<(DagId, Timestamp)> {
        let dag_id = DagId::parse(dag_id).map_err(invalid)?;
        if !allows_name(&self.grants.dag_state, dag_id.as_str()) {
            return Err(CapabilityError::Denied(format!(
                "no grant covers the states of DAG {dag_id}; it needs `dag_state` with this name or \"*\""
            )));
        }
        Ok((dag_id, logical_date.parse().map_err(invalid)?))
    }
}

#[async_trait]
impl DagStatePort for DagState {
    async fn run_states(&self, dag_id: String, logical_date: String) -> Answer<Vec<String>> {
        let (dag_id, logical_date) = self.check(&dag_id, &logical_date)?;
        let states = self.source.run_states(&dag_id, logical_date).await;
        states.map_err(CapabilityError::Unavailable)
    }

    async fn task_states(
        &self,
        dag_id: String,
        task_id: String,
        logical_date: String,
    ) -> Answer<Vec<String>> {
        let (dag_id, logical_date) = self.check(&dag_id, &logical_date)?;
        let task_id = TaskId::parse(&task_id).map_err(invalid)?;
        let states = self
            .source
            .task_states(&dag_id, &task_id, logical_date)
            .await;
        states.map_err(CapabilityError::Unavailable)
    }
}

fn invalid(error: impl std::fmt::Display) -> CapabilityError {
    CapabilityError::Invalid(error.to_string())
}
