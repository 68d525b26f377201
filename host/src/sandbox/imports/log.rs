//! `airlock:operator/log`.

use crate::sandbox::bindings::airlock::operator::log;
use crate::sandbox::ports::{LogLevel, LogSource};
use crate::sandbox::state::GuestState;

impl log::Host for GuestState {
    async fn log(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        self.attempt.log.text(level, LogSource::Guest, &message);
    }
}
