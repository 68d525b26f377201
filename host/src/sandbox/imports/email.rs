//! `airlock:operator/email`.

use crate::sandbox::bindings::airlock::operator::email;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::sandbox::interface::Interface;
use crate::sandbox::state::GuestState;

impl email::Host for GuestState {
    async fn send(&mut self, message: email::Message) -> Result<(), CapabilityError> {
        let answer = self.port(Interface::Email)?.email.send(message).await;
        self.noted(Interface::Email, answer)
    }
}
