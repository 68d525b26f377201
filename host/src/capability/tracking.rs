//! `airlock:operator/tracking`: the guest's words for the tracking room, under the grant on the experiment.

use super::granted::Granted;
use super::provenance::Ledger;
use super::{Answer, blocking, refusal};
use crate::sandbox::bindings::airlock::operator::tracking::{Metric, RunInfo, RunStatus};
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::sandbox::ports::TrackingPort;
use crate::tracking::{self, Actor, Run, Tracking};
use airlock_core::grant::{Capability, allows_name};
use async_trait::async_trait;
use std::sync::Arc;

/// Tracking for one attempt.
#[derive(Clone)]
pub(super) struct TrackingCapability {
    pub(super) grants: Arc<Granted>,
    pub(super) service: Tracking,
    pub(super) actor: Actor,
    /// What the host says of this attempt's runs.
    pub(super) stamps: Vec<(String, String)>,
    /// What the attempt read so far.
    pub(super) ledger: Ledger,
}

impl TrackingCapability {
    fn check(&self, experiment: &str) -> Answer<()> {
        if allows_name(&self.grants.tracking, experiment) {
            self.grants.used(Capability::Tracking, experiment);
            return Ok(());
        }
        let shown: String = experiment.chars().take(100).collect();
        Err(CapabilityError::Denied(format!(
            "no grant covers experiment {shown:?}; it needs `tracking` with this name or \"*\""
        )))
    }

    /// Works on a run whose experiment is granted.
    async fn with_run<T: Send + 'static>(
        &self,
        run_id: String,
        work: impl FnOnce(&Tracking, &Actor, Run) -> Result<T, tracking::TrackingError> + Send + 'static,
    ) -> Answer<T> {
        let port = self.clone();
        blocking(move || {
            let run = port.service.run(&run_id).map_err(refusal)?;
            port.check(&run.experiment)?;
            work(&port.service, &port.actor, run).map_err(refusal)
        })
        .await
    }
}

#[async_trait]
impl TrackingPort for TrackingCapability {
    async fn start_run(&self, experiment: String, name: String) -> Answer<String> {
        self.check(&experiment)?;
        let port = self.clone();
        blocking(move || {
            let run = port
                .service
                .start_run(&port.actor, &experiment, &name, &port.stamps);
            Ok(run.map_err(refusal)?.run_id)
        })
        .await
    }

    async fn log_params(&self, run_id: String, params: Vec<(String, String)>) -> Answer<()> {
        self.with_run(run_id, move |service, actor, run| {
            service.log_params(actor, &run.run_id, &params)
        })
        .await
    }

    async fn log_metrics(&self, run_id: String, metrics: Vec<Metric>) -> Answer<()> {
        self.with_run(run_id, move |service, actor, run| {
            let points: Vec<_> = metrics
                .into_iter()
                .map(|metric| (metric.key, metric.value, metric.step))
                .collect();
            service.log_metrics(actor, &run.run_id, &points)
        })
        .await
    }

    async fn set_tags(&self, run_id: String, tags: Vec<(String, String)>) -> Answer<()> {
        self.with_run(run_id, move |service, actor, run| {
            service.set_tags(actor, &run.run_id, &tags)
        })
        .await
    }

    async fn log_artifact(&self, run_id: String, path: String, artifact: String) -> Answer<()> {
        let data = self.ledger.tag();
        self.with_run(run_id, move |service, actor, run| {
            service.log_artifact(actor, &run.run_id, &path, &artifact)?;
            stamp_data(service, actor, &run, data)
        })
        .await
    }

    async fn end_run(&self, run_id: String, status: RunStatus) -> Answer<()> {
        let status = match status {
            RunStatus::Running => tracking::RunStatus::Running,
            RunStatus::Finished => tracking::RunStatus::Finished,
            RunStatus::Failed => tracking::RunStatus::Failed,
            RunStatus::Killed => tracking::RunStatus::Killed,
        };
        let data = self.ledger.tag();
        self.with_run(run_id, move |service, actor, run| {
            stamp_data(service, actor, &run, data)?;
            service.set_status(actor, &run.run_id, status)
        })
        .await
    }

    async fn get_run(&self, run_id: String) -> Answer<RunInfo> {
        self.with_run(run_id, |_, _, run| Ok(info(run))).await
    }
}

/// Says in the run which bytes the attempt read.
fn stamp_data(
    service: &Tracking,
    actor: &Actor,
    run: &Run,
    data: Option<(String, String)>,
) -> Result<(), tracking::TrackingError> {
    match data {
        Some(tag) if run.tags.get(&tag.0) != Some(&tag.1) => {
            service.stamp(actor, &run.run_id, &[tag])
        }
        _ => Ok(()),
    }
}

fn info(run: Run) -> RunInfo {
    RunInfo {
        run_id: run.run_id,
        experiment: run.experiment,
        name: run.name,
        status: match run.status {
            tracking::RunStatus::Running | tracking::RunStatus::Scheduled => RunStatus::Running,
            tracking::RunStatus::Finished => RunStatus::Finished,
            tracking::RunStatus::Failed => RunStatus::Failed,
            tracking::RunStatus::Killed => RunStatus::Killed,
        },
        params: run.params.into_iter().collect(),
        metrics: run
            .metrics
            .into_iter()
            .map(|(key, point)| Metric {
                key,
                value: point.value,
                step: point.step,
            })
            .collect(),
        tags: run.tags.into_iter().collect(),
    }
}
