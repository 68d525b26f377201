//! `airlock:operator/calendar`.

use crate::sandbox::bindings::airlock::operator::calendar;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::sandbox::interface::Interface;
use crate::sandbox::state::GuestState;

type Answer<T> = Result<T, CapabilityError>;

impl calendar::Host for GuestState {
    async fn to_local(
        &mut self,
        instant: String,
        timezone: Option<String>,
    ) -> Answer<calendar::LocalTime> {
        let answer = self
            .port(Interface::Calendar)?
            .calendar
            .to_local(instant, timezone)
            .await;
        self.noted(Interface::Calendar, answer)
    }

    async fn from_local(&mut self, date_time: String, timezone: Option<String>) -> Answer<String> {
        let answer = self
            .port(Interface::Calendar)?
            .calendar
            .from_local(date_time, timezone)
            .await;
        self.noted(Interface::Calendar, answer)
    }

    async fn is_latest_interval(&mut self) -> Answer<bool> {
        let answer = self
            .port(Interface::Calendar)?
            .calendar
            .is_latest_interval()
            .await;
        self.noted(Interface::Calendar, answer)
    }
}
