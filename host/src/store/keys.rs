//! The key layout: one ordered key space for everything but blobs. It owns which bytes name what, and refuses to know values.
//!
//! Every key is `format byte | family byte | ...`. A part that is followed by another has its length before it, so that no
//! stream or queue name can run into its neighbour's keys. Numbers are big-endian so that byte order is number order.

use super::types::{Position, Seq, Table};

/// The key layout's version, the first byte of every key.
pub(super) const KEY_FORMAT: u8 = 1;

const HEAD: u8 = b'H';
const EVENTS: u8 = b'E';
const ROW: u8 = b'R';
const LEASE: u8 = b'L';
const TIMER: u8 = b'T';
const DUE: u8 = b'D';
const QUEUE: u8 = b'Q';
const CLAIM: u8 = b'C';
const EXPIRY: u8 = b'X';
const IDEMPOTENCY: u8 = b'I';
const META: u8 = b'M';

/// A half-open range of keys: from `start` (after it if `after`), up to but without `end`.
#[derive(Debug, Clone)]
pub(super) struct Range {
    pub(super) start: Vec<u8>,
    /// Leaves `start` itself out.
    pub(super) after: bool,
    pub(super) end: Option<Vec<u8>>,
}

impl Range {
    /// All keys that begin with `prefix`.
    pub(super) fn prefix(prefix: Vec<u8>) -> Self {
        let end = successor(&prefix);
        Self {
            start: prefix,
            after: false,
            end,
        }
    }

    /// As bounds for an ordered map.
    pub(super) fn bounds(&self) -> (std::ops::Bound<&[u8]>, std::ops::Bound<&[u8]>) {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let start = if self.after {
            Excluded(self.start.as_slice())
        } else {
            Included(self.start.as_slice())
        };
        (start, self.end.as_deref().map_or(Unbounded, Excluded))
    }

    /// An ordered map panics on a range that runs backwards; such a range holds nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| &self.start >= end)
    }
}

/// The first key after all keys with this prefix.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

fn key(family: u8, room: usize) -> Vec<u8> {
    let mut key = Vec::with_capacity(2 + room);
    key.push(KEY_FORMAT);
    key.push(family);
    key
}

fn named(family: u8, name: &[u8], room: usize) -> Vec<u8> {
    let mut key = key(family, 2 + name.len() + room);
    // Names are at most KEY_BYTES_MAX, checked before a key is made.
    let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
    key.extend_from_slice(&length.to_be_bytes());
    key.extend_from_slice(name);
    key
}

fn plain(family: u8, rest: &[u8]) -> Vec<u8> {
    let mut key = key(family, rest.len());
    key.extend_from_slice(rest);
    key
}

/// How many events a stream has.
pub(super) fn head(stream: &str) -> Vec<u8> {
    plain(HEAD, stream.as_bytes())
}

/// The chunk of a stream's events that begins with `first`.
pub(super) fn chunk(stream: &str, first: Seq) -> Vec<u8> {
    let mut key = named(EVENTS, stream.as_bytes(), 8);
    key.extend_from_slice(&first.to_be_bytes());
    key
}

/// All chunks of a stream.
pub(super) fn chunks(stream: &str) -> Range {
    Range::prefix(named(EVENTS, stream.as_bytes(), 0))
}

/// The stream and first number that a chunk's key names, or none if it is no chunk's key.
pub(super) fn parse_chunk(key: &[u8]) -> Option<(&str, Seq)> {
    let rest = key.strip_prefix(&[KEY_FORMAT, EVENTS])?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (name, first) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let first = Seq::from_be_bytes(first.try_into().ok()?);
    Some((std::str::from_utf8(name).ok()?, first))
}

/// The stream that a head's key names.
pub(super) fn parse_head(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.strip_prefix(&[KEY_FORMAT, HEAD])?).ok()
}

/// A row.
pub(super) fn row(table: Table, row: &[u8]) -> Vec<u8> {
    let mut key = key(ROW, 1 + row.len());
    key.push(table_number(table));
    key.extend_from_slice(row);
    key
}

/// The length of what stands before a row's own key.
pub(super) const ROW_PREFIX: usize = 3;

/// A lease.
pub(super) fn lease(lease: &[u8]) -> Vec<u8> {
    plain(LEASE, lease)
}

/// A timer by its name.
pub(super) fn timer(timer: &[u8]) -> Vec<u8> {
    plain(TIMER, timer)
}

/// A time whose byte order is its order: the sign bit is turned, so that times before 1970 come first.
fn ordered(at_ms: i64) -> [u8; 8] {
    (at_ms.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// A timer by its time.
pub(super) fn due(at_ms: i64, timer: &[u8]) -> Vec<u8> {
    let mut key = key(DUE, 8 + timer.len());
    key.extend_from_slice(&ordered(at_ms));
    key.extend_from_slice(timer);
    key
}

/// Timers at or before `now_ms`.
pub(super) fn due_until(now_ms: i64) -> Range {
    Range {
        start: plain(DUE, &[]),
        after: false,
        end: now_ms
            .checked_add(1)
            .map_or_else(|| successor(&plain(DUE, &[])), |next| Some(due(next, &[]))),
    }
}

/// The time and name that a due key tells.
pub(super) fn parse_due(key: &[u8]) -> Option<(i64, &[u8])> {
    let rest = key.strip_prefix(&[KEY_FORMAT, DUE])?;
    let (at, timer) = rest.split_first_chunk::<8>()?;
    Some(((u64::from_be_bytes(*at) ^ (1 << 63)).cast_signed(), timer))
}

/// An item that waits in a queue.
pub(super) fn waiting(queue: &str, item: u64) -> Vec<u8> {
    let mut key = named(QUEUE, queue.as_bytes(), 8);
    key.extend_from_slice(&item.to_be_bytes());
    key
}

/// All items that wait in a queue, oldest first.
pub(super) fn queue(queue: &str) -> Range {
    Range::prefix(named(QUEUE, queue.as_bytes(), 0))
}

/// The item that a waiting key names.
pub(super) fn parse_waiting(key: &[u8]) -> Option<u64> {
    key.last_chunk::<8>().map(|item| u64::from_be_bytes(*item))
}

/// An item that is claimed.
pub(super) fn claim(item: u64) -> Vec<u8> {
    plain(CLAIM, &item.to_be_bytes())
}

/// All claimed items.
pub(super) fn claims() -> Range {
    Range::prefix(plain(CLAIM, &[]))
}

/// Every key of this layout.
pub(super) fn everything() -> Range {
    Range::prefix(vec![KEY_FORMAT])
}

/// A claimed item by the time when somebody else may have it. Its end is that of a waiting key.
pub(super) fn expiry(queue: &str, until_ms: i64, item: u64) -> Vec<u8> {
    let mut key = named(EXPIRY, queue.as_bytes(), 16);
    key.extend_from_slice(&ordered(until_ms));
    key.extend_from_slice(&item.to_be_bytes());
    key
}

/// Claimed items of a queue that somebody else may have at `now_ms`, the longest overdue first.
pub(super) fn expired_until(queue: &str, now_ms: i64) -> Range {
    let all = Range::prefix(named(EXPIRY, queue.as_bytes(), 0));
    let end = now_ms
        .checked_add(1)
        .map_or(all.end, |next| Some(expiry(queue, next, 0)));
    Range { end, ..all }
}

/// What a commit with this idempotency key got.
pub(super) fn idempotency(name: &[u8]) -> Vec<u8> {
    plain(IDEMPOTENCY, name)
}

/// Whether this is the key of an idempotency record.
pub(super) fn is_idempotency(key: &[u8]) -> bool {
    key.starts_with(&[KEY_FORMAT, IDEMPOTENCY])
}

/// The newest position that the index holds. Kept by the index alone, never in the journal.
pub(super) fn applied() -> Vec<u8> {
    plain(META, b"applied")
}

/// The newest time that a lease was decided at.
pub(super) fn clock() -> Vec<u8> {
    plain(META, b"clock")
}

/// Items are numbered by the position that enqueued them, so no counter needs to be kept.
pub(super) const ITEMS_PER_COMMIT: u64 = 1 << 16;

/// The number of the `index`th item that the commit at `position` enqueued.
pub(super) fn item(position: Position, index: u64) -> u64 {
    position
        .saturating_mul(ITEMS_PER_COMMIT)
        .saturating_add(index)
}

/// Written to disk: numbers are never reused or changed.
fn table_number(table: Table) -> u8 {
    match table {
        Table::Dag => 1,
        Table::DagVersion => 2,
        Table::Run => 3,
        Table::Plugin => 4,
        Table::Pool => 5,
        Table::Variable => 6,
        Table::Connection => 7,
        Table::Experiment => 8,
        Table::TrackingRun => 9,
        Table::Metric => 10,
        Table::Model => 11,
        Table::ModelVersion => 12,
        Table::State => 13,
    }
}

/// What a key's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Events,
    Head,
    Row,
    Timer,
    Waiting,
    Claim,
    /// Values without a caller's payload.
    Other,
}

/// The family of a key, or none if it is no key of ours.
pub(super) fn family(key: &[u8]) -> Option<Family> {
    match *key.first_chunk::<2>()? {
        [KEY_FORMAT, EVENTS] => Some(Family::Events),
        [KEY_FORMAT, HEAD] => Some(Family::Head),
        [KEY_FORMAT, ROW] => Some(Family::Row),
        [KEY_FORMAT, TIMER] => Some(Family::Timer),
        [KEY_FORMAT, QUEUE] => Some(Family::Waiting),
        [KEY_FORMAT, CLAIM] => Some(Family::Claim),
        [KEY_FORMAT, LEASE | DUE | EXPIRY | IDEMPOTENCY | META] => Some(Family::Other),
        _ => None,
    }
}
