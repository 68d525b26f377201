//! Changes that are durable in the journal and not yet in the index, or (in memory) everything there is. It owns their order and
//! their size, and packs events into chunks for the index. It refuses gaps in a stream.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::codec::{self, INLINE_BYTES_MAX, Malformed, Reader, VALUE_FORMAT};
use super::keys::{self, Range};
use super::types::{Position, Seq, StoreError};

/// A changed key: its new value, or none where it was removed.
pub(super) type Overlay = BTreeMap<Vec<u8>, Option<Bytes>>;
/// Keys and values in order.
pub(super) type Pairs = Vec<(Vec<u8>, Bytes)>;

/// What one entry costs beside its bytes, roughly.
const ENTRY_OVERHEAD: usize = 64;

const PUT: u8 = 1;
const DELETE: u8 = 2;
const APPEND: u8 = 3;
const REMOVE_STREAM: u8 = 4;

/// The newest events of one stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Tail {
    /// The number of the first of `events`.
    pub(super) first: Seq,
    /// Encoded payloads, dense.
    pub(super) events: Vec<Bytes>,
    /// The stream was removed before the first of `events`: whatever lies under this layer is gone.
    pub(super) removed: bool,
}

impl Tail {
    /// The number that the next event gets.
    pub(super) fn head(&self) -> Seq {
        self.first + self.events.len() as Seq
    }
}

/// Ordered changes up to a position.
#[derive(Debug, Default)]
pub(super) struct Memtable {
    pub(super) kv: Overlay,
    pub(super) tails: HashMap<String, Tail>,
    /// The newest position whose changes are here; 0 when there are none.
    pub(super) last: Position,
    bytes: usize,
    entries: usize,
}

impl Memtable {
    pub(super) fn is_empty(&self) -> bool {
        self.last == 0
    }

    /// Approximate memory, bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keys and events.
    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    pub(super) fn put(&mut self, key: Vec<u8>, value: Option<Bytes>) {
        self.bytes += key.len() + value.as_ref().map_or(0, Bytes::len) + ENTRY_OVERHEAD;
        if self.kv.insert(key, value).is_none() {
            self.entries += 1;
        }
    }

    /// Appends events that begin at `first`, which must follow what is here.
    pub(super) fn append(
        &mut self,
        stream: &str,
        first: Seq,
        mut events: Vec<Bytes>,
    ) -> Result<(), StoreError> {
        self.entries += events.len();
        self.bytes += events
            .iter()
            .map(|event| event.len() + ENTRY_OVERHEAD)
            .sum::<usize>();
        if let Some(tail) = self.tails.get_mut(stream) {
            if tail.head() != first {
                return Err(StoreError::Damaged {
                    what: format!("event {first} where event {} belongs", tail.head()),
                    place: format!("stream {stream}"),
                });
            }
            tail.events.append(&mut events);
        } else {
            self.bytes += stream.len() + ENTRY_OVERHEAD;
            let tail = Tail {
                first,
                events,
                removed: false,
            };
            self.tails.insert(stream.to_owned(), tail);
        }
        Ok(())
    }

    /// Removes a stream, here and under this layer.
    pub(super) fn remove_stream(&mut self, stream: &str) {
        let removed = Tail {
            removed: true,
            ..Tail::default()
        };
        if self.tails.insert(stream.to_owned(), removed).is_none() {
            self.bytes += stream.len() + ENTRY_OVERHEAD;
            self.entries += 1;
        }
    }

    /// Drops what only tells a layer beneath that something is gone, where there is none.
    pub(super) fn settle(&mut self, gone: &[Vec<u8>], removed: &[String]) {
        for key in gone {
            self.kv.remove(key);
        }
        for stream in removed {
            match self.tails.get_mut(stream) {
                Some(tail) if !tail.events.is_empty() => tail.removed = false,
                _ => drop(self.tails.remove(stream)),
            }
        }
    }

    /// Takes over newer changes.
    pub(super) fn merge(&mut self, newer: Self) -> Result<(), StoreError> {
        for (key, value) in newer.kv {
            self.put(key, value);
        }
        for (stream, tail) in newer.tails {
            if tail.removed {
                self.remove_stream(&stream);
                if tail.events.is_empty() {
                    continue;
                }
            }
            self.append(&stream, tail.first, tail.events)?;
        }
        self.last = self.last.max(newer.last);
        Ok(())
    }

    /// Takes over the contents of one journal frame.
    pub(super) fn replay(&mut self, position: Position, frame: &[u8]) -> Result<(), StoreError> {
        let place = format!("journal, position {position}");
        let mut reader = Reader::value(frame).map_err(|bad| bad.at(&place))?;
        while !reader.0.is_empty() {
            self.replay_one(&mut reader, &place)?;
        }
        self.last = self.last.max(position);
        Ok(())
    }

    fn replay_one(&mut self, reader: &mut Reader<'_>, place: &str) -> Result<(), StoreError> {
        let bad = |bad: Malformed| bad.at(place);
        match reader.u8().map_err(bad)? {
            PUT => {
                let key = reader.short().map_err(bad)?.to_vec();
                let value = Bytes::copy_from_slice(reader.long().map_err(bad)?);
                self.put(key, Some(value));
            }
            DELETE => self.put(reader.short().map_err(bad)?.to_vec(), None),
            APPEND => {
                let stream = reader.text().map_err(bad)?;
                let first = reader.u64().map_err(bad)?;
                let count = reader.u32().map_err(bad)?;
                let events = (0..count)
                    .map(|_| reader.long().map(Bytes::copy_from_slice))
                    .collect::<Result<_, _>>()
                    .map_err(bad)?;
                self.append(stream, first, events)?;
            }
            REMOVE_STREAM => self.remove_stream(reader.text().map_err(bad)?),
            _ => return Err(Malformed.at(place)),
        }
        Ok(())
    }

    /// Changed keys in a range.
    pub(super) fn range<'a>(
        &'a self,
        range: &'a Range,
    ) -> Box<dyn Iterator<Item = (&'a Vec<u8>, &'a Option<Bytes>)> + 'a> {
        if range.is_empty() {
            return Box::new(std::iter::empty());
        }
        Box::new(self.kv.range::<[u8], _>(range.bounds()))
    }

    /// Events of a stream from `from` on, at most `max`.
    pub(super) fn events(&self, stream: &str, from: Seq, max: usize) -> Vec<(Seq, Bytes)> {
        let Some(tail) = self.tails.get(stream) else {
            return Vec::new();
        };
        (tail.first..)
            .zip(&tail.events)
            .skip(usize::try_from(from.saturating_sub(tail.first)).unwrap_or(usize::MAX))
            .take(max)
            .map(|(seq, event)| (seq, event.clone()))
            .collect()
    }

    /// Every event, encoded.
    pub(super) fn all_events(&self) -> impl Iterator<Item = Bytes> {
        let tails = self.tails.values();
        tails.flat_map(|tail| tail.events.iter().cloned())
    }

    /// Streams that what lies under this layer has no more.
    pub(super) fn removed_streams(&self) -> impl Iterator<Item = &str> {
        let removed = self.tails.iter().filter(|(_, tail)| tail.removed);
        removed.map(|(stream, _)| stream.as_str())
    }

    /// Everything as it goes into the index: keys, chunks of events, heads. Chunks of `removed_streams` must be gone by then.
    pub(super) fn for_index(&self, mut each: impl FnMut(Vec<u8>, Option<&[u8]>)) {
        for (key, value) in &self.kv {
            each(key.clone(), value.as_deref());
        }
        for (stream, tail) in &self.tails {
            for (first, chunk) in chunks(tail) {
                each(keys::chunk(stream, first), Some(&chunk));
            }
            let head = codec::number(tail.head());
            let is_gone = tail.removed && tail.events.is_empty();
            each(keys::head(stream), (!is_gone).then_some(head.as_slice()));
        }
    }
}

/// Packs events that follow each other into values that the index can hold.
fn chunks(tail: &Tail) -> Vec<(Seq, Vec<u8>)> {
    let mut chunks = Vec::new();
    let mut rest = tail.events.as_slice();
    let mut first = tail.first;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fitting = rest
            .iter()
            .take_while(|event| {
                bytes += event.len() + 4;
                bytes <= INLINE_BYTES_MAX
            })
            .count()
            .max(1);
        let (packed, left) = rest.split_at(fitting.min(rest.len()));
        chunks.push((first, codec::chunk(packed.iter().map(Bytes::as_ref))));
        first += packed.len() as Seq;
        rest = left;
    }
    chunks
}

/// Lays changes over an ordered base and answers the first `max` keys that are there.
pub(super) fn merge_scan(
    over: &Overlay,
    base: impl Iterator<Item = Result<(Vec<u8>, Bytes), StoreError>>,
    max: usize,
) -> Result<Pairs, StoreError> {
    let mut found = Pairs::new();
    let mut over = over.iter().peekable();
    let mut base = base.peekable();
    while found.len() < max {
        let base_first = match (base.peek(), over.peek()) {
            (None, None) => break,
            (Some(Err(_)), _) | (Some(_), None) => true,
            (Some(Ok((key, _))), Some((changed, _))) => key < *changed,
            (None, Some(_)) => false,
        };
        if base_first {
            if let Some(pair) = base.next() {
                found.push(pair?);
            }
        } else if let Some((changed, value)) = over.next() {
            base.next_if(|pair| pair.as_ref().is_ok_and(|(key, _)| key == changed));
            found.extend(value.clone().map(|value| (changed.clone(), value)));
        }
    }
    Ok(found)
}

/// Writes a key's new value into a frame's contents.
pub(super) fn encode_put(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    out.push(PUT);
    codec::put_short(out, key);
    codec::put_long(out, value);
}

/// Writes a key's removal into a frame's contents.
pub(super) fn encode_delete(out: &mut Vec<u8>, key: &[u8]) {
    out.push(DELETE);
    codec::put_short(out, key);
}

/// Writes appended events into a frame's contents.
pub(super) fn encode_append(out: &mut Vec<u8>, stream: &str, first: Seq, events: &[Bytes]) {
    out.push(APPEND);
    codec::put_short(out, stream.as_bytes());
    out.extend_from_slice(&first.to_le_bytes());
    let count = u32::try_from(events.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&count.to_le_bytes());
    for event in events {
        codec::put_long(out, event);
    }
}

/// Writes a stream's removal into a frame's contents.
pub(super) fn encode_remove_stream(out: &mut Vec<u8>, stream: &str) {
    out.push(REMOVE_STREAM);
    codec::put_short(out, stream.as_bytes());
}

/// Begins a frame's contents.
pub(super) fn encode_start(out: &mut Vec<u8>) {
    out.push(VALUE_FORMAT);
}
