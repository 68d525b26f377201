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

    async fn run_states_of(
        &mut self,
        dag_id: String,
        logical_dates: Vec<String>,
    ) -> Answer<Vec<Option<String>>> {
        let answer = self
            .port(Interface::DagState)?
            .dag_state
            .run_states_of(dag_id, logical_dates)
            .await;
        self.noted(Interface::DagState, answer)
    }

    async fn task_state_counts(
        &mut self,
        dag_id: String,
        task_ids: Vec<String>,
        logical_dates: Vec<String>,
    ) -> Answer<Vec<dag_state::StateCount>> {
        let answer = self
            .port(Interface::DagState)?
            .dag_state
            .task_state_counts(dag_id, task_ids, logical_dates)
            .await;
        self.noted(Interface::DagState, answer)
    }

    async fn group_state_counts(
        &mut self,
        dag_id: String,
        task_group_id: String,
        logical_dates: Vec<String>,
    ) -> Answer<Vec<dag_state::StateCount>> {
        let answer = self
            .port(Interface::DagState)?
            .dag_state
            .group_state_counts(dag_id, task_group_id, logical_dates)
            .await;
        self.noted(Interface::DagState, answer)
    }

    async fn check_existence(
        &mut self,
        dag_id: String,
        task_ids: Vec<String>,
        task_group_id: Option<String>,
    ) -> Answer<()> {
        let answer = self
            .port(Interface::DagState)?
            .dag_state
            .check_existence(dag_id, task_ids, task_group_id)
            .await;
        self.noted(Interface::DagState, answer)
    }
}
