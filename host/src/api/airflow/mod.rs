//! The routes that Airflow's clients call, with Airflow's paths and fields (REST API v2 of Airflow 3.3), a file for each noun.
//! They read path, query and body, ask the application handle, and write what it says as Airflow's clients read it. They refuse
//! to decide anything about a run, and to accept silently what Airlock does not do.

mod asset_events;
mod assets;
mod audited;
mod backfills;
mod changes;
mod connections;
mod dag_runs;
mod dag_versions;
mod dags;
mod deletions;
mod event_logs;
mod extras;
mod hitl;
mod ids;
mod import_errors;
mod logs;
mod monitor;
mod pools;
mod query;
mod task_instances;
mod tasks;
mod tracking;
mod tries;
mod variables;
mod xcoms;

use super::about::{About, Kind, Query};
use super::error::ApiError;
use super::fields::Fields;
use super::reply::Reply;
use super::route::{ALL, Call, Route};
use airlock_core::ids::{DagId, RunId, TaskId};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::future::Future;

/// Every route that needs a token, by noun.
pub(super) const ROUTES: &[&[Route]] = &[
    monitor::ROUTES,
    dags::ROUTES,
    dag_versions::ROUTES,
    tasks::ROUTES,
    dag_runs::ROUTES,
    task_instances::ROUTES,
    tries::ROUTES,
    changes::ROUTES,
    deletions::ROUTES,
    logs::ROUTES,
    xcoms::ROUTES,
    hitl::ROUTES,
    pools::ROUTES,
    variables::ROUTES,
    connections::ROUTES,
    backfills::ROUTES,
    assets::ROUTES,
    asset_events::ROUTES,
    import_errors::ROUTES,
    event_logs::ROUTES,
    extras::ROUTES,
    tracking::ROUTES,
];

/// The map index of a task instance that is not mapped.
const UNMAPPED: i32 = -1;

fn invalid(error: impl std::fmt::Display) -> ApiError {
    ApiError::invalid(error.to_string())
}

impl Call<'_> {
    /// The body as what it must be.
    fn read<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        let mut reader = serde_json::Deserializer::from_slice(self.body);
        let read = T::deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
        read.map_err(|error| ApiError::invalid(format!("the body cannot be read: {error}")))
    }

    /// Waits for what the scheduler answers; actions are on threads that may block.
    #[expect(
        clippy::unused_self,
        reason = "only who has a call is on such a thread"
    )]
    fn wait<F: Future>(&self, work: F) -> F::Output {
        tokio::runtime::Handle::current().block_on(work)
    }

    /// The DAG that the path names.
    fn dag_id(&self) -> Result<DagId, ApiError> {
        DagId::parse(self.fields.need_text("dag_id")?).map_err(invalid)
    }

    /// The same; none for all of them.
    fn any_dag_id(&self) -> Result<Option<DagId>, ApiError> {
        let dag_id = self.fields.need_text("dag_id")?;
        if dag_id == ALL {
            return Ok(None);
        }
        let dag_id = DagId::parse(dag_id).map_err(invalid)?;
        self.check(&dag_id)?;
        Ok(Some(dag_id))
    }

    /// Refuses a DAG that the caller's token does not reach.
    fn check(&self, dag_id: &DagId) -> Result<(), ApiError> {
        if self.reaches(dag_id) {
            return Ok(());
        }
        Err(ApiError::denied(format!(
            "the token {:?} is for some DAGs, and {dag_id} is none of them",
            self.actor.id
        )))
    }

    fn reaches(&self, dag_id: &DagId) -> bool {
        self.caller.reach.holds(dag_id.as_str())
    }

    fn run_id(&self) -> Result<RunId, ApiError> {
        RunId::parse(self.fields.need_text("dag_run_id")?).map_err(invalid)
    }

    fn task_id(&self) -> Result<TaskId, ApiError> {
        TaskId::parse(self.fields.need_text("task_id")?).map_err(invalid)
    }

    fn map_index(&self) -> Result<i32, ApiError> {
        match self.fields.integer("map_index")? {
            None => Ok(UNMAPPED),
            Some(index) => i32::try_from(index).map_err(|_| {
                ApiError::invalid(format!("{index} is no map_index; -1 is an unmapped one"))
            }),
        }
    }
}

/// Which fields of a body a PATCH writes: those of `update_mask`, or all that are there.
fn is_masked(fields: &Fields, name: &str) -> Result<bool, ApiError> {
    let mask = fields.texts("update_mask")?;
    Ok(!mask.is_empty() && !mask.iter().any(|one| one == name))
}

const UPDATE_MASK: &[Query] = &[("update_mask", Kind::Texts)];
const MAP_INDEX: &[Query] = &[("map_index", Kind::Integer)];

/// An object, or nothing.
fn object(value: &Value) -> Option<serde_json::Map<String, Value>> {
    value.as_object().cloned()
}
