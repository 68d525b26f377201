//! The log of an attempt with its secrets hidden. Where lines go is the caller's.

use super::vault::Vault;
use crate::sandbox::ports::{LogLevel, LogPort, LogSource};

/// Hides the values of the attempt's secrets in every line.
pub(super) struct RedactedLog {
    pub(super) inner: Box<dyn LogPort>,
    pub(super) vault: Vault,
}

impl LogPort for RedactedLog {
    fn line(&self, level: LogLevel, source: LogSource, text: &str) {
        self.inner.line(level, source, &self.vault.redact(text));
    }

    fn progress(&self, fraction: Option<f64>, message: &str) {
        self.inner.progress(fraction, &self.vault.redact(message));
    }
}
