//! `airlock:operator/dag-runs`.

use crate::sandbox::bindings::airlock::operator::dag_runs;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::sandbox::interface::Interface;
use crate::sandbox::state::GuestState;

type Answer<T> = Result<T, CapabilityError>;

impl dag_runs::Host for GuestState {
    async fn trigger(&mut self, request: dag_runs::TriggerRequest) -> Answer<dag_runs::Triggered> {
        let answer = self
            .port(Interface::DagRuns)?
            .dag_runs
            .trigger(request)
            .await;
        self.noted(Interface::DagRuns, answer)
    }

    async fn state(&mut self, dag_id: String, run_id: String) -> Answer<Option<String>> {
        let answer = self
            .port(Interface::DagRuns)?
            .dag_runs
            .state(dag_id, run_id)
            .await;
        self.noted(Interface::DagRuns, answer)
    }
}
