//! `airlock:operator/tracking`.

use crate::sandbox::bindings::airlock::operator::tracking::{self, Metric, RunInfo, RunStatus};
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::sandbox::interface::Interface;
use crate::sandbox::state::GuestState;

type Answer<T> = Result<T, CapabilityError>;

impl tracking::Host for GuestState {
    async fn start_run(&mut self, experiment: String, name: String) -> Answer<String> {
        let answer = self
            .port(Interface::Tracking)?
            .tracking
            .start_run(experiment, name)
            .await;
        self.noted(Interface::Tracking, answer)
    }

    async fn log_params(&mut self, run_id: String, params: Vec<(String, String)>) -> Answer<()> {
        let answer = self
            .port(Interface::Tracking)?
            .tracking
            .log_params(run_id, params)
            .await;
        self.noted(Interface::Tracking, answer)
    }

    async fn log_metrics(&mut self, run_id: String, metrics: Vec<Metric>) -> Answer<()> {
        let answer = self
            .port(Interface::Tracking)?
            .tracking
            .log_metrics(run_id, metrics)
            .await;
        self.noted(Interface::Tracking, answer)
    }

    async fn set_tags(&mut self, run_id: String, tags: Vec<(String, String)>) -> Answer<()> {
        let answer = self
            .port(Interface::Tracking)?
            .tracking
            .set_tags(run_id, tags)
            .await;
        self.noted(Interface::Tracking, answer)
    }

    async fn log_artifact(&mut self, run_id: String, path: String, artifact: String) -> Answer<()> {
        let answer = self
            .port(Interface::Tracking)?
            .tracking
            .log_artifact(run_id, path, artifact)
            .await;
        self.noted(Interface::Tracking, answer)
    }

    async fn end_run(&mut self, run_id: String, status: RunStatus) -> Answer<()> {
        let answer = self
            .port(Interface::Tracking)?
            .tracking
            .end_run(run_id, status)
            .await;
        self.noted(Interface::Tracking, answer)
    }

    async fn get_run(&mut self, run_id: String) -> Answer<RunInfo> {
        let answer = self
            .port(Interface::Tracking)?
            .tracking
            .get_run(run_id)
            .await;
        self.noted(Interface::Tracking, answer)
    }
}
