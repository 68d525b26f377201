//! `airlock:operator/dag-state`: states of other DAGs' runs, for sensors. It checks the grant and the words; the states are behind
//! `DagStateSource`.

use super::Answer;
use super::granted::Granted;
use crate::sandbox::bindings::airlock::operator::dag_state::StateCount;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::sandbox::ports::DagStatePort;
use airlock_core::grant::{Capability, allows_name};
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
    /// States of the instances of tasks in the run with exactly this logical date, counted.
    async fn state_counts(
        &self,
        dag_id: &DagId,
        tasks: &Tasks,
        logical_date: Timestamp,
    ) -> Result<Vec<TaskStateCount>, String>;
    /// What the DAG's current version does not have, in words; `None` where it has all of it.
    async fn missing(&self, dag_id: &DagId, tasks: &Tasks) -> Result<Option<String>, String>;
}

/// Which tasks of a DAG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tasks {
    /// These.
    Named(Vec<TaskId>),
    /// Those of a task group and of the groups in it.
    Group(TaskId),
}

/// So many instances of a task are in a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskStateCount {
    /// Which task.
    pub task_id: String,
    /// Airflow's word.
    pub state: String,
    /// How many.
    pub instances: u32,
}

/// The most dates that one call asks for the states of runs.
pub const RUN_DATES_MAX: usize = 1_000;
/// The most dates that one call asks for the states of tasks.
pub const TASK_DATES_MAX: usize = 100;
/// The most tasks that one call names.
pub const TASKS_MAX: usize = 1_000;

/// States for one attempt.
pub(super) struct DagState {
    pub(super) grants: Arc<Granted>,
    pub(super) source: Arc<dyn DagStateSource>,
}

impl DagState {
    fn check(&self, dag_id: &str, logical_date: &str) -> Answer<(DagId, Timestamp)> {
        let dag_id = self.granted(dag_id)?;
        Ok((dag_id, logical_date.parse().map_err(invalid)?))
    }

    fn granted(&self, dag_id: &str) -> Answer<DagId> {
        let dag_id = DagId::parse(dag_id).map_err(invalid)?;
        if !allows_name(&self.grants.dag_state, dag_id.as_str()) {
            return Err(CapabilityError::Denied(format!(
                "no grant covers the states of DAG {dag_id}; it needs `dag_state` with this name or \"*\""
            )));
        }
        self.grants.used(Capability::DagState, dag_id.as_str());
        Ok(dag_id)
    }

    async fn counts(
        &self,
        dag_id: &str,
        tasks: &Tasks,
        logical_dates: Vec<String>,
    ) -> Answer<Vec<StateCount>> {
        let dag_id = self.granted(dag_id)?;
        let mut counts = Vec::new();
        for logical_date in dates(&logical_dates, TASK_DATES_MAX)? {
            let at_date = self.source.state_counts(&dag_id, tasks, logical_date).await;
            let at_date = at_date.map_err(CapabilityError::Unavailable)?;
            counts.extend(at_date.into_iter().map(|count| StateCount {
                logical_date: logical_date.to_string(),
                task_id: count.task_id,
                state: count.state,
                instances: count.instances,
            }));
        }
        Ok(counts)
    }
}

fn dates(texts: &[String], limit: usize) -> Answer<Vec<Timestamp>> {
    if texts.len() > limit {
        return Err(CapabilityError::TooLarge(limit as u64));
    }
    let dates = texts.iter().map(|text| text.parse().map_err(invalid));
    dates.collect()
}

fn named(task_ids: &[String]) -> Answer<Tasks> {
    if task_ids.len() > TASKS_MAX {
        return Err(CapabilityError::TooLarge(TASKS_MAX as u64));
    }
    let parsed = task_ids.iter().map(|id| TaskId::parse(id).map_err(invalid));
    Ok(Tasks::Named(parsed.collect::<Answer<_>>()?))
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

    async fn run_states_of(
        &self,
        dag_id: String,
        logical_dates: Vec<String>,
    ) -> Answer<Vec<Option<String>>> {
        let dag_id = self.granted(&dag_id)?;
        let mut states = Vec::new();
        for logical_date in dates(&logical_dates, RUN_DATES_MAX)? {
            let at_date = self.source.run_states(&dag_id, logical_date).await;
            states.push(
                at_date
                    .map_err(CapabilityError::Unavailable)?
                    .into_iter()
                    .next(),
            );
        }
        Ok(states)
    }

    async fn task_state_counts(
        &self,
        dag_id: String,
        task_ids: Vec<String>,
        logical_dates: Vec<String>,
    ) -> Answer<Vec<StateCount>> {
        let tasks = named(&task_ids)?;
        self.counts(&dag_id, &tasks, logical_dates).await
    }

    async fn group_state_counts(
        &self,
        dag_id: String,
        task_group_id: String,
        logical_dates: Vec<String>,
    ) -> Answer<Vec<StateCount>> {
        let group = Tasks::Group(TaskId::parse(&task_group_id).map_err(invalid)?);
        self.counts(&dag_id, &group, logical_dates).await
    }

    async fn check_existence(
        &self,
        dag_id: String,
        task_ids: Vec<String>,
        task_group_id: Option<String>,
    ) -> Answer<()> {
        let dag_id = self.granted(&dag_id)?;
        let group = task_group_id.map(|id| TaskId::parse(&id).map_err(invalid));
        let group = group.transpose()?.map(Tasks::Group);
        for tasks in [Some(named(&task_ids)?), group].into_iter().flatten() {
            let missing = self.source.missing(&dag_id, &tasks).await;
            if let Some(missing) = missing.map_err(CapabilityError::Unavailable)? {
                return Err(CapabilityError::NotFound(missing));
            }
        }
        Ok(())
    }
}

fn invalid(error: impl std::fmt::Display) -> CapabilityError {
    CapabilityError::Invalid(error.to_string())
}
