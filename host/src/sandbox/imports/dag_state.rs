//! `airlock:operator/dag-state`.

use crate::sandbox::bindings::airlock::operator::dag_state;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::sandbox::interface::Interface;
use crate::sandbox::state::GuestState;

type Answer<T> = Result<T, CapabilityError>;

impl dag_state::Host for GuestState {
    async fn run_states(&mut self, dag_id: String, logical_date: String) -> Answer<Vec<String>> {
        let answer = self
            .port(Interface::DagState)?
            .dag_state
            .run_states(dag_id, logical_date)
            .await;
        self.noted(Interface::DagState, answer)
    }

    async fn task_states(
        &mut self,
        dag_id: String,
        task_id: String,
        logical_date: String,
    ) -> Answer<Vec<String>> {
        let answer = self
            .port(Interface::DagState)?
            .dag_state
            .task_states(dag_id, task_id, logical_date)
            .await;
        self.noted(Interface::DagState, answer)
    }
}
