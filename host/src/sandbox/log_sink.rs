//! The log of one attempt: bounds it, makes it safe, hands it to the port. It refuses to block and to keep lines.

use super::config::LINE_BYTES_MAX;
use super::ports::{LogLevel, LogSource, Ports};
use super::text;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Where all lines of an attempt go: those of the `log` interface, of stdout and of stderr.
pub(super) struct LogSink {
    /// None while a component is described: it has nobody to speak to.
    ports: Option<Arc<Ports>>,
    limit_bytes: u64,
    used_bytes: AtomicU64,
    full: AtomicBool,
}

impl LogSink {
    pub(super) fn new(ports: Option<Arc<Ports>>, limit_bytes: u64) -> Self {
        Self {
            ports,
            limit_bytes,
            used_bytes: AtomicU64::new(0),
            full: AtomicBool::new(false),
        }
    }

    /// Bytes that went out.
    pub(super) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Takes a text of one or more lines.
    pub(super) fn text(&self, level: LogLevel, source: LogSource, text: &str) {
        for line in text.lines() {
            let mut rest = line;
            loop {
                let head = text::bounded(rest, LINE_BYTES_MAX);
                if !self.line(level, source, head) {
                    return;
                }
                rest = rest.get(head.len()..).unwrap_or_default();
                if rest.is_empty() {
                    break;
                }
            }
        }
    }

    /// Takes one line; false when the log is full.
    fn line(&self, level: LogLevel, source: LogSource, line: &str) -> bool {
        let Some(ports) = &self.ports else {
            return false;
        };
        if self.full.load(Ordering::Relaxed) {
            return false;
        }
        let bytes = line.len() as u64 + 1;
        // Only one thread runs a guest, so load and add need not be one step.
        if self.used_bytes.load(Ordering::Relaxed) + bytes > self.limit_bytes {
            self.full.store(true, Ordering::Relaxed);
            let note = format!(
                "the log is over its limit of {} bytes: further lines are dropped; raise `limits.log_bytes` to keep more",
                self.limit_bytes
            );
            ports.log.line(LogLevel::Warn, LogSource::Host, &note);
            return false;
        }
        self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        ports.log.line(level, source, &text::neutral(line));
        true
    }
}
