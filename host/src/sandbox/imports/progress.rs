//! `airlock:operator/progress`.

use crate::sandbox::bindings::airlock::operator::progress;
use crate::sandbox::config::LINE_BYTES_MAX;
use crate::sandbox::interface::Interface;
use crate::sandbox::state::GuestState;
use crate::sandbox::text;

impl progress::Host for GuestState {
    async fn report(&mut self, fraction: Option<f64>, message: String) {
        if let Ok(ports) = self.attempt.open(Interface::Progress) {
            let fraction = fraction.filter(|value| value.is_finite());
            let message = text::neutral(text::bounded(&message, LINE_BYTES_MAX));
            ports
                .log
                .progress(fraction.map(|value| value.clamp(0.0, 1.0)), &message);
        }
    }

    async fn is_cancelled(&mut self) -> bool {
        self.attempt.is_told_to_stop()
    }
}
