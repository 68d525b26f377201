//! Reading the one key space, whatever lies under it: rows, events, timers. It owns how stored values become answers, and
//! refuses values that do not decode.

use std::collections::HashSet;

use bytes::Bytes;

use super::codec::{self, Payload};
use super::keys::{self, Family, Range};
use super::memtable::{Overlay, Pairs};
use super::types::{Digest, Event, Position, Row, Seq, StoreError, StreamId, Table};

/// State that can be read.
pub(super) trait View {
    /// One value.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;
    /// How many events a stream has.
    fn head(&self, stream: &str) -> Result<Seq, StoreError>;
    /// Up to `max` events with their encoded payloads.
    fn events(&self, stream: &str, from: Seq, max: usize) -> Result<Vec<(Seq, Bytes)>, StoreError>;
    /// Up to `max` keys of a range, with `over` laid over what is there.
    fn scan(&self, range: &Range, over: Overlay, max: usize) -> Result<Pairs, StoreError>;
    /// Encoded events that no chunk holds yet: `scan` does not show them.
    fn recent_events(&self) -> Vec<Bytes>;
    /// A blob's bytes, verified.
    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError>;
}

/// How far back an idempotency key is remembered, in positions. Older keys are as good as new, and checkpoints drop them.
pub(super) const IDEMPOTENCY_POSITIONS: Position = 10_000_000;

/// Keys that are looked at in one go where all of them are.
const PAGE: usize = 4_096;

/// How many hex digits name a blob.
const HEX_DIGITS: usize = 64;

/// Gives every key and value of a range to `each`, page by page: changes meanwhile may or may not be among them.
fn for_each(
    view: &dyn View,
    mut range: Range,
    mut each: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    loop {
        let page = view.scan(&range, Overlay::new(), PAGE)?;
        for (key, value) in &page {
            each(key, value)?;
        }
        let Some((last, _)) = page.into_iter().next_back() else {
            return Ok(());
        };
        range.start = last;
        range.after = true;
    }
}

/// Encoded payloads in a value; none if it is not what the codec wrote.
fn payloads<'v>(key: &[u8], value: &'v [u8]) -> Option<Vec<&'v [u8]>> {
    Some(match keys::family(key)? {
        Family::Events => codec::parse_chunk(value).ok()?,
        Family::Row | Family::Waiting => vec![codec::parse_row(value).ok()?.1],
        Family::Timer => vec![codec::parse_timer(value).ok()?.2],
        Family::Claim => vec![codec::parse_claim(value).ok()?.payload],
        Family::Head | Family::Other => Vec::new(),
    })
}

/// Those of `blobs` that no stored value holds or names in hex. What does not decode ends the search: nothing may be
/// removed on a guess.
pub(super) fn unnamed_blobs(
    view: &dyn View,
    mut blobs: HashSet<Digest>,
) -> Result<HashSet<Digest>, StoreError> {
    // Before the chunks, because that is where events go.
    for event in view.recent_events() {
        drop_held(view, &mut blobs, &event, "an event")?;
    }
    // An item that is claimed during the search moves from a place not seen yet to one seen already: claims come again.
    for range in [keys::everything(), keys::claims()] {
        for_each(view, range, |key, value| {
            if blobs.is_empty() {
                return Ok(());
            }
            let place = || format!("the value of key {}", key.escape_ascii());
            let found = payloads(key, value).ok_or_else(|| codec::Malformed.at(&place()))?;
            found
                .into_iter()
                .try_for_each(|payload| drop_held(view, &mut blobs, payload, &place()))
        })?;
    }
    Ok(blobs)
}

/// Drops what an encoded payload holds or names.
fn drop_held(
    view: &dyn View,
    blobs: &mut HashSet<Digest>,
    payload: &[u8],
    place: &str,
) -> Result<(), StoreError> {
    match Payload::parse(payload).map_err(|bad| bad.at(place))? {
        Payload::Inline(bytes) => drop_named(blobs, bytes),
        Payload::Blob(digest) => {
            blobs.remove(&digest);
            // It may have been removed with its value since.
            if let Some(bytes) = view.blob(&digest)? {
                drop_named(blobs, &bytes);
            }
        }
    }
    Ok(())
}

/// Drops digests that stand in `bytes` as hex.
fn drop_named(blobs: &mut HashSet<Digest>, bytes: &[u8]) {
    let words = bytes.split(|byte| !byte.is_ascii_hexdigit());
    for word in words.filter(|word| word.len() >= HEX_DIGITS) {
        for digits in word.windows(HEX_DIGITS) {
            let digest = std::str::from_utf8(digits).ok().and_then(Digest::parse);
            if let Some(digest) = digest {
                blobs.remove(&digest);
            }
        }
    }
}

/// The caller's bytes behind an encoded payload.
pub(super) fn open_payload(
    view: &dyn View,
    payload: &[u8],
    place: &str,
) -> Result<Vec<u8>, StoreError> {
    match Payload::parse(payload).map_err(|bad| bad.at(place))? {
        Payload::Inline(bytes) => Ok(bytes.to_vec()),
        Payload::Blob(digest) => view.blob(&digest)?.ok_or_else(|| StoreError::Damaged {
            what: format!("blob {digest} is missing"),
            place: place.to_owned(),
        }),
    }
}

/// A row by its full key and value.
fn open_row(view: &dyn View, key: Vec<u8>, value: &[u8]) -> Result<Row, StoreError> {
    let place = "a row";
    let (version, payload) = codec::parse_row(value).map_err(|bad| bad.at(place))?;
    let value = open_payload(view, payload, place)?;
    Ok(Row {
        key,
        value,
        version,
    })
}

/// See `Store::get`.
pub(super) fn get(view: &dyn View, table: Table, key: &[u8]) -> Result<Option<Row>, StoreError> {
    view.get(&keys::row(table, key))?
        .map(|value| open_row(view, key.to_vec(), &value))
        .transpose()
}

/// See `Store::scan`.
pub(super) fn scan(
    view: &dyn View,
    table: Table,
    prefix: &[u8],
    after: Option<&[u8]>,
    max: usize,
) -> Result<Vec<Row>, StoreError> {
    let mut range = Range::prefix(keys::row(table, prefix));
    if let Some(after) = after {
        let after = keys::row(table, after);
        if after >= range.start {
            range.start = after;
            range.after = true;
        }
    }
    if range.is_empty() {
        return Ok(Vec::new());
    }
    view.scan(&range, Overlay::new(), max)?
        .into_iter()
        .map(|(mut key, value)| open_row(view, key.split_off(keys::ROW_PREFIX), &value))
        .collect()
}

/// See `Store::read`.
pub(super) fn read(
    view: &dyn View,
    stream: &StreamId,
    from: Seq,
    max: usize,
) -> Result<Vec<Event>, StoreError> {
    let mut expected = from;
    view.events(&stream.0, from, max)?
        .into_iter()
        .map(|(seq, payload)| {
            if seq != expected {
                return Err(StoreError::Damaged {
                    what: format!("event {expected} is missing"),
                    place: format!("stream {}", stream.0),
                });
            }
            expected += 1;
            let payload = open_payload(view, &payload, &stream.0)?;
            Ok(Event { seq, payload })
        })
        .collect()
}

/// See `Store::due`.
pub(super) fn due(view: &dyn View, now_ms: i64, max: usize) -> Result<Vec<(i64, Row)>, StoreError> {
    let mut found = Vec::new();
    for (key, _) in view.scan(&keys::due_until(now_ms), Overlay::new(), max)? {
        let (at, timer) = keys::parse_due(&key).ok_or_else(|| codec::Malformed.at("a timer"))?;
        // A timer that was moved or cleared between the two reads is not due.
        let Some(value) = view.get(&keys::timer(timer))? else {
            continue;
        };
        let (version, set_at, payload) =
            codec::parse_timer(&value).map_err(|bad| bad.at("a timer"))?;
        if set_at == at {
            let row = Row {
                key: timer.to_vec(),
                value: open_payload(view, payload, "a timer")?,
                version,
            };
            found.push((at, row));
        }
    }
    Ok(found)
}
