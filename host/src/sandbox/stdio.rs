//! stdout and stderr of a guest as log lines. It owns the unfinished line and refuses to hold more than one.

use super::config::LINE_BYTES_MAX;
use super::last_line::{LastLine, Told};
use super::log_sink::LogSink;
use super::ports::{LogLevel, LogSource};
use bytes::Bytes;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Bytes that one write may carry.
const WRITE_BYTES_MAX: usize = 64 << 10;
/// Bytes of stderr that a trap's message may quote: a panic's text.
const TAIL_BYTES_MAX: usize = 1 << 10;

/// One of the two streams. Clones write to the same line.
#[derive(Clone)]
pub(super) struct GuestStream(Arc<Shared>);

struct Shared {
    sink: Arc<LogSink>,
    level: LogLevel,
    source: LogSource,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    unfinished: Vec<u8>,
    /// A part of this line went out already because it was too long.
    cut: bool,
    tail: Vec<u8>,
    /// For the result of a command-line program; none elsewhere.
    last: Option<LastLine>,
}

impl GuestStream {
    /// `result_bytes` is the longest last line that is kept; 0 keeps none.
    pub(super) fn new(
        sink: Arc<LogSink>,
        level: LogLevel,
        source: LogSource,
        result_bytes: usize,
    ) -> Self {
        let last = (result_bytes > 0).then(|| LastLine::new(result_bytes));
        Self(Arc::new(Shared {
            sink,
            level,
            source,
            line: Mutex::new(Line {
                last,
                ..Line::default()
            }),
        }))
    }

    /// The attempt is over: what is left is a line too. The last line, where one is kept.
    pub(super) fn finish(&self) -> Option<Told> {
        let mut line = self.0.line.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = std::mem::take(&mut line.unfinished);
        self.emit(&rest);
        line.last.as_mut().and_then(LastLine::finish)
    }

    /// The last that was written, for the message of a trap.
    pub(super) fn tail(&self) -> String {
        let line = self.0.line.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&line.tail).into_owned()
    }

    /// The next bytes.
    pub(super) fn take(&self, bytes: &[u8]) {
        let mut line = self.0.line.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = &mut line.last {
            last.take(bytes);
        }
        line.tail.extend_from_slice(tail_of(bytes));
        let surplus = line.tail.len().saturating_sub(TAIL_BYTES_MAX);
        line.tail.drain(..surplus);
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            line.unfinished.extend_from_slice(part);
            let ends = part.ends_with(b"\n");
            if ends || line.unfinished.len() >= LINE_BYTES_MAX {
                let done = std::mem::take(&mut line.unfinished);
                let was_cut = std::mem::replace(&mut line.cut, !ends);
                // The newline of a line that went out whole is not another line.
                if !(was_cut && done == b"\n") {
                    self.emit(&done);
                }
            }
        }
    }

    fn emit(&self, line: &[u8]) {
        if !line.is_empty() {
            let text = String::from_utf8_lossy(line);
            self.0.sink.text(self.0.level, self.0.source, &text);
        }
    }
}

fn tail_of(bytes: &[u8]) -> &[u8] {
    let from = bytes.len().saturating_sub(TAIL_BYTES_MAX);
    bytes.get(from..).unwrap_or(bytes)
}

impl IsTerminal for GuestStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for GuestStream {
    async fn ready(&mut self) {}
}

impl OutputStream for GuestStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl AsyncWrite for GuestStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
