//! `airlock:operator/human`.

use crate::sandbox::bindings::airlock::operator::human;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::sandbox::interface::Interface;
use crate::sandbox::state::GuestState;

type Answer<T> = Result<T, CapabilityError>;

impl human::Host for GuestState {
    async fn ask(&mut self, request: String) -> Answer<Option<String>> {
        let answer = self.port(Interface::Human)?.human.ask(request).await;
        self.noted(Interface::Human, answer)
    }
}
