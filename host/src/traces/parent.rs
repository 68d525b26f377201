//! Which trace a run belongs to: W3C's `traceparent`, read from whoever asks for a run and written for whom a task asks. Ids are digests
//! of names, so an attempt knows its span before there is a trace.

use crate::store::hex;
use airlock_core::run::event::Fence;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use std::fmt;

/// The length of a `traceparent` of version 00, characters.
const LENGTH: usize = 55;
/// The flag that says whether the caller's span is recorded.
const SAMPLED: u8 = 1;

/// A `traceparent` that somebody sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceParent {
    /// 32 hexadecimal digits.
    trace_id: String,
    /// 16 hexadecimal digits.
    span_id: String,
    flags: u8,
}

impl TraceParent {
    /// Reads a header; none where it is not as W3C says, because a wrong one is ignored.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (own, more) = text.split_at_checked(LENGTH)?;
        let mut parts = own.split('-');
        let mut part = |length| parts.next().filter(|part| is_hex(part, length));
        let (version, trace_id) = (part(2)?, part(32)?);
        let (span_id, flags) = (part(16)?, part(2)?);
        // A later version may say more behind another dash.
        let is_known = match version {
            "00" => more.is_empty(),
            "ff" => false,
            _ => more.is_empty() || more.starts_with('-'),
        };
        let is_zero = |id: &str| id.bytes().all(|digit| digit == b'0');
        if !is_known || is_zero(trace_id) || is_zero(span_id) {
            return None;
        }
        Some(Self {
            trace_id: trace_id.to_owned(),
            span_id: span_id.to_owned(),
            flags: u8::from_str_radix(flags, 16).ok()?,
        })
    }

    /// Whether the caller records its span; if not, the run's trace would hang in the air.
    pub(super) fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    pub(super) fn span_id(&self) -> &str {
        &self.span_id
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "00-{}-{}-{:02x}",
            self.trace_id, self.span_id, self.flags
        )
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == length && text.bytes().all(is_digit)
}

/// The ids of a run's trace, from a start of the run until its end: a run that is cleared and starts again has others.
pub(crate) struct RunTrace {
    name: String,
    parent: Option<TraceParent>,
}

impl RunTrace {
    /// `started` is when the run started last; `parent` is empty or a `traceparent`.
    pub(crate) fn new(dag_id: &str, run_id: &str, started: Timestamp, parent: &str) -> Self {
        Self {
            name: format!("{dag_id}/{run_id}/{}", started.as_nanosecond()),
            parent: TraceParent::parse(parent),
        }
    }

    pub(super) fn parent(&self) -> Option<&TraceParent> {
        self.parent.as_ref()
    }

    pub(super) fn trace_id(&self) -> String {
        match &self.parent {
            Some(parent) => parent.trace_id.clone(),
            None => id(&self.name, 16),
        }
    }

    /// The span of the run.
    pub(super) fn root(&self) -> String {
        id(&format!("{}/run", self.name), 8)
    }

    /// The span of an attempt.
    pub(super) fn span(&self, task_id: &str, map_index: i32, fence: Fence) -> String {
        let own = format!("{}/{task_id}/{map_index}/{}", self.name, fence.attempt);
        id(&own, 8)
    }

    /// What an attempt says to whom it asks: its own span as their parent.
    pub(crate) fn header(&self, task_id: &str, map_index: i32, fence: Fence) -> String {
        let flags = self.parent.as_ref().map_or(SAMPLED, |parent| parent.flags);
        let span = TraceParent {
            trace_id: self.trace_id(),
            span_id: self.span(task_id, map_index, fence),
            flags,
        };
        span.to_string()
    }
}

/// So many bytes of a name's digest, in hex: the same name has the same id whenever its trace is made.
fn id(name: &str, bytes: usize) -> String {
    let digest = Sha256::digest(name.as_bytes());
    hex(digest.get(..bytes).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_as_w3c_says_and_a_wrong_one_is_none() {
        let parent = TraceParent::parse(GOOD).unwrap();
        assert_eq!(parent.to_string(), GOOD);
        assert!(parent.is_sampled());
        let later = GOOD.replacen("00", "01", 1) + "-more";
        assert!(TraceParent::parse(&later).is_some());
        for wrong in [
            String::new(),
            GOOD.to_uppercase(),
            GOOD.replacen("00", "ff", 1),
            format!("{GOOD}-more"),
            GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            GOOD.replace("-01", "-0"),
            GOOD.replace('-', "_"),
            "é".repeat(40),
        ] {
            assert_eq!(TraceParent::parse(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_attempt_says_its_own_span_in_the_trace_of_whoever_asked() {
        let at = Timestamp::UNIX_EPOCH;
        let fence = |attempt| Fence { attempt, owner: 1 };
        let asked = RunTrace::new("d", "r", at, GOOD);
        let header = TraceParent::parse(&asked.header("t", -1, fence(1))).unwrap();
        assert_eq!(header.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(header.span_id, asked.span("t", -1, fence(1)));
        assert_ne!(header.span_id, asked.span("t", -1, fence(2)));
        // Nobody asked: a trace of its own, for each start another one.
        let alone = RunTrace::new("d", "r", at, "");
        let again = RunTrace::new("d", "r", Timestamp::MAX, "no header");
        assert_ne!(alone.trace_id(), again.trace_id());
        assert!(TraceParent::parse(&alone.header("t", -1, fence(1))).is_some());
    }
}
