//! The log of an attempt whose progress also reaches those who watch its run: about once a second, however often the guest says it.

use super::log_file::{AttemptLog, progress_text};
use crate::sandbox::ports::{LogLevel, LogPort, LogSource};
use crate::scheduler::Handle;
use airlock_core::dispatch::RunNumber;
use airlock_core::ids::TaskInstanceKey;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two reports; the last one, of all that is to be done, is always told.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// See the module's documentation.
pub(super) struct Reporting {
    log: AttemptLog,
    handle: Handle,
    run: RunNumber,
    ti: TaskInstanceKey,
    pace: Pace,
}

impl Reporting {
    pub(super) fn new(
        log: AttemptLog,
        handle: Handle,
        run: RunNumber,
        ti: TaskInstanceKey,
    ) -> Self {
        Self {
            log,
            handle,
            run,
            ti,
            pace: Pace::default(),
        }
    }
}

impl LogPort for Reporting {
    fn line(&self, level: LogLevel, source: LogSource, text: &str) {
        self.log.line(level, source, text);
    }

    fn progress(&self, fraction: Option<f64>, message: &str) {
        if self.pace.is_due(fraction, Instant::now()) {
            self.log.progress(fraction, message);
            let text = progress_text(fraction, message);
            self.handle.report(self.run, self.ti, text);
        }
    }
}

/// When the last report was told.
#[derive(Default)]
struct Pace(Mutex<Option<Instant>>);

impl Pace {
    /// Whether a report at `now` is told; if so the next one is due later.
    fn is_due(&self, fraction: Option<f64>, now: Instant) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_last = fraction.is_some_and(|fraction| fraction >= 1.0);
        let due =
            is_last || told.is_none_or(|told| now.saturating_duration_since(told) >= REPORT_EVERY);
        if due {
            *told = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_report_are_told_and_one_a_second_between() {
        let pace = Pace::default();
        let begun = Instant::now();
        let after = |ms| begun + Duration::from_millis(ms);
        assert!(pace.is_due(Some(0.0), after(0)));
        assert!(!pace.is_due(Some(0.1), after(999)));
        assert!(pace.is_due(Some(0.2), after(1_000)));
        assert!(!pace.is_due(None, after(1_500)));
        assert!(pace.is_due(Some(1.0), after(1_501)));
    }
}
