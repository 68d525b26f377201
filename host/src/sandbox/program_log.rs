//! The log of a program that the sandbox does not run: the same lines, limits and safety as for a guest.

use super::last_line::Told;
use super::log_sink::LogSink;
use super::ports::{LogLevel, LogSource, Ports};
use super::stdio::GuestStream;
use std::sync::Arc;

/// Takes what a program says.
pub struct ProgramLog {
    sink: Arc<LogSink>,
    stdout: GuestStream,
    stderr: GuestStream,
}

impl ProgramLog {
    /// Keeps `log_bytes` of lines, and a last line of at most `result_bytes`.
    pub fn new(ports: Arc<Ports>, log_bytes: u64, result_bytes: u64) -> Self {
        let sink = Arc::new(LogSink::new(Some(ports), log_bytes));
        let stream = |level, source, keep| GuestStream::new(Arc::clone(&sink), level, source, keep);
        let keep = usize::try_from(result_bytes).unwrap_or(usize::MAX);
        Self {
            stdout: stream(LogLevel::Info, LogSource::Stdout, keep),
            stderr: stream(LogLevel::Warn, LogSource::Stderr, 0),
            sink,
        }
    }

    /// The host's own words about the program.
    pub fn note(&self, level: LogLevel, text: &str) {
        self.sink.text(level, LogSource::Host, text);
    }

    /// Bytes of its standard output.
    pub fn stdout(&self, bytes: &[u8]) {
        self.stdout.take(bytes);
    }

    /// Bytes of its standard error.
    pub fn stderr(&self, bytes: &[u8]) {
        self.stderr.take(bytes);
    }

    /// It has ended: the last line of its stdout, and the end of what it said on stderr.
    pub fn finish(&self) -> (Option<Told>, String) {
        let last = self.stdout.finish();
        self.stderr.finish();
        (last, self.stderr.tail())
    }
}
