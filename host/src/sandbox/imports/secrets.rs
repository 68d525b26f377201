//! `airlock:operator/secrets`.

use crate::sandbox::bindings::airlock::operator::secrets;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::sandbox::interface::Interface;
use crate::sandbox::state::GuestState;

type Answer<T> = Result<T, CapabilityError>;

impl secrets::Host for GuestState {
    async fn placeholder(&mut self, name: String) -> Answer<String> {
        let answer = self
            .port(Interface::Secrets)?
            .secrets
            .placeholder(name)
            .await;
        self.noted(Interface::Secrets, answer)
    }
}
