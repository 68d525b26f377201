//! `airlock:operator/xcom`.

use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::sandbox::bindings::airlock::operator::xcom;
use crate::sandbox::interface::Interface;
use crate::sandbox::state::GuestState;

type Answer<T> = Result<T, CapabilityError>;

impl xcom::Host for GuestState {
    async fn push(&mut self, key: String, value: String) -> Answer<()> {
        let answer = self.port(Interface::Xcom)?.xcom.push(key, value).await;
        self.noted(Interface::Xcom, answer)
    }

    async fn pull(
        &mut self,
        task_id: String,
        key: String,
        map_index: Option<i32>,
    ) -> Answer<Option<String>> {
        let answer = self
            .port(Interface::Xcom)?
            .xcom
            .pull(task_id, key, map_index)
            .await;
        self.noted(Interface::Xcom, answer)
    }
}
