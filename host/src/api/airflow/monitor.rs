//! Version and health, as Airflow's monitors ask for them.

use super::{About, ApiError, Call, JsonSchema, Reply, Route};
use crate::app::Role::Viewer;
use crate::metrics::CONTENT_TYPE;
use jiff::Timestamp;
use serde::Serialize;

pub(super) const ROUTES: &[Route] = &[
    Route::airflow(
        "GET",
        "/api/v2/version",
        Viewer,
        version,
        About::new("The program's version").answers::<VersionInfo>(),
    )
    .for_all(),
    Route::airflow(
        "GET",
        "/api/v2/monitor/health",
        Viewer,
        health,
        About::new("Whether the parts of the service are well").answers::<HealthInfo>(),
    )
    .for_all(),
    Route::airflow(
        "GET",
        "/openapi.json",
        Viewer,
        openapi,
        About::new("This document"),
    )
    .for_all(),
    Route::airflow(
        "GET",
        "/metrics",
        Viewer,
        metrics,
        About::new("What is counted and measured, as Prometheus reads it"),
    ),
];

/// Airlock's version.
#[derive(Serialize, JsonSchema)]
struct VersionInfo {
    version: &'static str,
    git_version: Option<&'static str>,
}

fn version(_: &Call<'_>) -> Result<Reply, ApiError> {
    Reply::ok(&VersionInfo {
        version: env!("CARGO_PKG_VERSION"),
        git_version: None,
    })
}

fn openapi(_: &Call<'_>) -> Result<Reply, ApiError> {
    Reply::ok(&super::super::openapi::document())
}

fn metrics(call: &Call<'_>) -> Result<Reply, ApiError> {
    let text = call.app.scrape()?;
    Ok(Reply::bytes(CONTENT_TYPE, text.into_bytes()))
}

#[derive(Serialize, JsonSchema)]
struct Status {
    status: &'static str,
}

#[derive(Serialize, JsonSchema)]
struct SchedulerInfo {
    status: &'static str,
    latest_scheduler_heartbeat: Option<Timestamp>,
}

#[derive(Serialize, JsonSchema)]
struct TriggererInfo {
    status: &'static str,
    latest_triggerer_heartbeat: Option<Timestamp>,
}

#[derive(Serialize, JsonSchema)]
struct DagProcessorInfo {
    status: &'static str,
    latest_dag_processor_heartbeat: Option<Timestamp>,
}

/// What Airflow's parts are here: the store, the scheduler, which wakes deferred task instances too, and who reads DAG files.
#[derive(Serialize, JsonSchema)]
struct HealthInfo {
    metadatabase: Status,
    scheduler: SchedulerInfo,
    triggerer: TriggererInfo,
    dag_processor: DagProcessorInfo,
}

/// One process: whoever is asked answers for all of it.
fn health(call: &Call<'_>) -> Result<Reply, ApiError> {
    let health = call.wait(call.app.health());
    let word = |is_well: bool| if is_well { "healthy" } else { "unhealthy" };
    let (store, scheduler) = (word(health.store), word(health.scheduler));
    let now = health.scheduler.then(Timestamp::now);
    Reply::ok(&HealthInfo {
        metadatabase: Status { status: store },
        scheduler: SchedulerInfo {
            status: scheduler,
            latest_scheduler_heartbeat: now,
        },
        triggerer: TriggererInfo {
            status: scheduler,
            latest_triggerer_heartbeat: now,
        },
        dag_processor: DagProcessorInfo {
            status: store,
            latest_dag_processor_heartbeat: now,
        },
    })
}
