//! What a commit, a lease and a claim mean: conditions and effects on the one key space, the same for every backend. It owns the
//! group that is being made; nothing of it can be read before the group is durable. It refuses over limits and stale callers.

use bytes::Bytes;
use std::collections::BTreeSet;

use super::codec::{self, Blobs};
use super::journal::frame::{begin_frame, end_frame};
use super::keys::{self, ITEMS_PER_COMMIT};
use super::memtable::{self, Memtable};
use super::types::{
    Ack, COMMIT_BYTES_MAX, Commit, CommitError, Guard, KEY_BYTES_MAX, Key, Lease, Position,
    Receipt, RowWrite, Seq, StoreError, StreamId, Table, TimerWrite, VALUE_BYTES_MAX, WorkItem,
};
use super::view::{self, IDEMPOTENCY_POSITIONS, View};

/// Why a request was not made.
#[derive(Debug)]
pub(super) enum Refusal {
    /// A condition or limit: nothing changed, the next request is welcome.
    Commit(CommitError),
    /// The state could not be read: the store cannot go on.
    Store(StoreError),
}

impl From<CommitError> for Refusal {
    fn from(error: CommitError) -> Self {
        Self::Commit(error)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Commits that become durable together, in order, on top of what `view` shows.
pub(super) struct Group<'v> {
    view: &'v dyn View,
    /// The effects so far.
    pub(super) pending: Memtable,
    /// The same effects as journal frames.
    pub(super) frames: Vec<u8>,
    /// Large payloads that must be durable before the frames.
    pub(super) blobs: Blobs,
    first: Position,
    next: Position,
}

impl<'v> Group<'v> {
    /// A group whose first commit gets `next`.
    pub(super) fn new(view: &'v dyn View, next: Position) -> Self {
        Self {
            view,
            pending: Memtable::default(),
            frames: Vec::new(),
            blobs: Blobs::new(),
            first: next,
            next,
        }
    }

    /// Checks all conditions, then makes all effects. A refused condition leaves the group as it was; after an error of the store
    /// the group must be thrown away.
    pub(super) fn commit(&mut self, commit: Commit) -> Result<Receipt, Refusal> {
        check_limits(&commit)?;
        if let Some(receipt) = self.made_before(&commit)? {
            return Ok(receipt);
        }
        for guard in &commit.guards {
            self.check_guard(guard)?;
        }
        for (table, write) in &commit.rows {
            self.check_row(*table, write)?;
        }
        for ack in &commit.acks {
            self.check_ack(ack)?;
        }
        let mut heads = Vec::new();
        if let Some((stream, expected)) = &commit.stream {
            heads.push(self.check_head(stream, *expected)?);
        }
        for append in &commit.more_streams {
            heads.push(self.check_head(&append.stream, append.expect)?);
        }
        self.effects(commit, &heads)
    }

    /// What the group will write, bytes.
    pub(super) fn bytes(&self) -> usize {
        let blobs: usize = self.blobs.iter().map(|(_, bytes)| bytes.len()).sum();
        self.frames.len() + blobs
    }

    fn made_before(&self, commit: &Commit) -> Result<Option<Receipt>, Refusal> {
        let Some(key) = &commit.idempotency_key else {
            return Ok(None);
        };
        let Some(value) = self.get(&keys::idempotency(key))? else {
            return Ok(None);
        };
        let (position, head) = codec::parse_receipt(&value).map_err(|bad| bad.at("a receipt"))?;
        let remembered = position.saturating_add(IDEMPOTENCY_POSITIONS) > self.next;
        Ok(remembered.then_some(Receipt { position, head }))
    }

    fn check_guard(&self, guard: &Guard) -> Result<(), Refusal> {
        let current = match self.get(&keys::lease(&guard.lease))? {
            None => 0,
            Some(value) => {
                codec::parse_lease(&value)
                    .map_err(|bad| bad.at("a lease"))?
                    .0
            }
        };
        if current == 0 || current != guard.fence {
            return Err(CommitError::Fenced { current }.into());
        }
        Ok(())
    }

    fn check_row(&self, table: Table, write: &RowWrite) -> Result<(), Refusal> {
        let Some(expected) = write.expect else {
            return Ok(());
        };
        let version = self.version(&keys::row(table, &write.key))?;
        if version != expected {
            return Err(CommitError::WrongVersion { version }.into());
        }
        Ok(())
    }

    fn check_ack(&self, ack: &Ack) -> Result<(), Refusal> {
        let current = match self.get(&keys::claim(ack.item))? {
            None => 0,
            Some(value) => {
                codec::parse_claim(&value)
                    .map_err(|bad| bad.at("a claim"))?
                    .fence
            }
        };
        if current == 0 || current != ack.fence {
            return Err(CommitError::Fenced { current }.into());
        }
        Ok(())
    }

    /// The number that the first event appended to a stream gets.
    fn check_head(&self, stream: &StreamId, expected: Option<Seq>) -> Result<Seq, Refusal> {
        let head = match self.pending.tails.get(&stream.0) {
            Some(tail) => tail.head(),
            None => self.view.head(&stream.0)?,
        };
        if expected.is_some_and(|expected| expected != head) {
            return Err(CommitError::WrongHead { head }.into());
        }
        Ok(head)
    }

    /// `heads` are those of the commit's streams, in order.
    fn effects(&mut self, commit: Commit, heads: &[Seq]) -> Result<Receipt, Refusal> {
        let (position, start) = self.begin();
        let mut heads = heads.iter().copied();
        let mut head = 0;
        if let Some((stream, _)) = &commit.stream {
            let first = heads.next().unwrap_or_default();
            head = first + commit.events.len() as Seq;
            self.append(&stream.0, first, commit.events)?;
        }
        for (append, first) in commit.more_streams.into_iter().zip(heads) {
            self.append(&append.stream.0, first, append.events)?;
        }
        for stream in &commit.remove_streams {
            memtable::encode_remove_stream(&mut self.frames, &stream.0);
            self.pending.remove_stream(&stream.0);
        }
        for (table, write) in commit.rows {
            self.write_row(table, write)?;
        }
        for ack in &commit.acks {
            self.drop_claim(ack.item)?;
        }
        for (index, (queue, payload)) in (0..).zip(commit.enqueue) {
            let mut value = codec::versioned(1, None, payload.len());
            codec::put_payload(&mut value, payload, &mut self.blobs);
            self.put(keys::waiting(&queue, keys::item(position, index)), value);
        }
        for timer in commit.timers {
            self.write_timer(timer)?;
        }
        if let Some(key) = &commit.idempotency_key {
            self.put(keys::idempotency(key), codec::receipt(position, head));
        }
        self.end(position, start);
        Ok(Receipt { position, head })
    }

    fn append(&mut self, stream: &str, first: Seq, events: Vec<Vec<u8>>) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        let events: Vec<Bytes> = events
            .into_iter()
            .map(|event| {
                let mut encoded = Vec::with_capacity(event.len().min(codec::INLINE_BYTES_MAX) + 33);
                codec::put_payload(&mut encoded, event, &mut self.blobs);
                Bytes::from(encoded)
            })
            .collect();
        memtable::encode_append(&mut self.frames, stream, first, &events);
        self.pending.append(stream, first, events)
    }

    fn write_row(&mut self, table: Table, write: RowWrite) -> Result<(), StoreError> {
        let key = keys::row(table, &write.key);
        let version = self.version(&key)?;
        match write.value {
            Some(bytes) => {
                let mut value = codec::versioned(version + 1, None, bytes.len());
                codec::put_payload(&mut value, bytes, &mut self.blobs);
                self.put(key, value);
            }
            None if version > 0 => self.delete(key),
            None => {}
        }
        Ok(())
    }

    fn write_timer(&mut self, write: TimerWrite) -> Result<(), StoreError> {
        let key = keys::timer(&write.key);
        let mut version = 0;
        if let Some(value) = self.get(&key)? {
            let (old, at, _) = codec::parse_timer(&value).map_err(|bad| bad.at("a timer"))?;
            version = old;
            self.delete(keys::due(at, &write.key));
        }
        match write.at {
            Some((at, bytes)) => {
                let mut value = codec::versioned(version + 1, Some(at), bytes.len());
                codec::put_payload(&mut value, bytes, &mut self.blobs);
                self.put(key, value);
                self.put(keys::due(at, &write.key), vec![codec::VALUE_FORMAT]);
            }
            None if version > 0 => self.delete(key),
            None => {}
        }
        Ok(())
    }

    /// Takes or renews a lease. An error leaves the group as it was.
    ///  The fence of a new holder is the position of the change, so it grows for ever.
    pub(super) fn lease(
        &mut self,
        key: &Key,
        holder: &str,
        ttl_ms: u64,
        now_ms: i64,
    ) -> Result<Lease, Refusal> {
        limit(key.len(), "lease's key", KEY_BYTES_MAX)?;
        limit(holder.len(), "lease's holder", KEY_BYTES_MAX)?;
        let place = "a lease";
        let now_ms = self.not_before(now_ms)?;
        let mut fence = self.next;
        if let Some(value) = self.get(&keys::lease(key))? {
            let (held, until, by) = codec::parse_lease(&value).map_err(|bad| bad.at(place))?;
            if by == holder {
                fence = held;
            } else if until > now_ms {
                return Err(StoreErrorHeld(by.to_owned()).into());
            }
        }
        let until_ms = now_ms.saturating_add(i64::try_from(ttl_ms).unwrap_or(i64::MAX));
        let (position, start) = self.begin();
        self.put(keys::lease(key), codec::lease(fence, until_ms, holder));
        self.put(keys::clock(), codec::number(now_ms.cast_unsigned()));
        self.end(position, start);
        Ok(Lease { fence, until_ms })
    }

    /// The time, or the newest that anything was decided at if the clock went back behind that.
    fn not_before(&self, now_ms: i64) -> Result<i64, StoreError> {
        let newest = self.get(&keys::clock())?;
        newest.map_or(Ok(now_ms), |value| {
            let newest = codec::parse_number(&value).map_err(|bad| bad.at("the clock"))?;
            Ok(newest.cast_signed().max(now_ms))
        })
    }

    /// Claims waiting items. An error leaves the group as it was. Their fence is the position of the claim.
    pub(super) fn claim(
        &mut self,
        queue: &str,
        worker: &str,
        max: usize,
        (now_ms, ttl_ms): (i64, u64),
    ) -> Result<Vec<WorkItem>, Refusal> {
        limit(queue.len(), "queue's name", KEY_BYTES_MAX)?;
        limit(worker.len(), "worker's name", KEY_BYTES_MAX)?;
        let max = max.min(CLAIM_ITEMS_MAX);
        let now_ms = self.not_before(now_ms)?;
        let mut takes = self.expired(queue, now_ms, max)?;
        takes.extend(self.waiting(queue, max - takes.len())?);
        if takes.is_empty() {
            return Ok(Vec::new());
        }
        // All that can fail comes before the first effect.
        let fence = self.next;
        let mut items = Vec::with_capacity(takes.len());
        for take in &takes {
            items.push(WorkItem {
                item: take.item,
                fence,
                payload: self.open_payload(&take.payload, "a queue")?,
            });
        }
        let until_ms = now_ms.saturating_add(i64::try_from(ttl_ms).unwrap_or(i64::MAX));
        let (position, start) = self.begin();
        for take in takes {
            self.delete(take.from);
            let claim = codec::claim(fence, until_ms, queue, worker, &take.payload);
            self.put(keys::claim(take.item), claim);
            let expiry = keys::expiry(queue, until_ms, take.item);
            self.put(expiry, vec![codec::VALUE_FORMAT]);
        }
        self.put(keys::clock(), codec::number(now_ms.cast_unsigned()));
        self.end(position, start);
        Ok(items)
    }

    /// Items that nobody claimed, oldest first.
    fn waiting(&self, queue: &str, max: usize) -> Result<Vec<Take>, StoreError> {
        let mut takes = Vec::new();
        for (from, value) in self.scan(&keys::queue(queue), max)? {
            let bad = |bad: codec::Malformed| bad.at("a queue");
            let item = keys::parse_waiting(&from).ok_or_else(|| bad(codec::Malformed))?;
            let (_, payload) = codec::parse_row(&value).map_err(bad)?;
            let payload = payload.to_vec();
            takes.push(Take {
                from,
                item,
                payload,
            });
        }
        Ok(takes)
    }

    /// Items whose claim has lasted longer than its time: their worker is taken for dead.
    fn expired(&self, queue: &str, now_ms: i64, max: usize) -> Result<Vec<Take>, StoreError> {
        let mut takes = Vec::new();
        for (from, _) in self.scan(&keys::expired_until(queue, now_ms), max)? {
            let bad = |bad: codec::Malformed| bad.at("a claim");
            let item = keys::parse_waiting(&from).ok_or_else(|| bad(codec::Malformed))?;
            let value = self.get(&keys::claim(item))?;
            let value = value.ok_or_else(|| bad(codec::Malformed))?;
            let payload = codec::parse_claim(&value).map_err(bad)?.payload.to_vec();
            takes.push(Take {
                from,
                item,
                payload,
            });
        }
        Ok(takes)
    }

    fn scan(&self, range: &keys::Range, max: usize) -> Result<memtable::Pairs, StoreError> {
        let pending = self.pending.range(range);
        let over = pending.map(|(key, value)| (key.clone(), value.clone()));
        self.view.scan(range, over.collect(), max)
    }

    fn drop_claim(&mut self, item: u64) -> Result<(), StoreError> {
        let key = keys::claim(item);
        let Some(value) = self.get(&key)? else {
            return Ok(());
        };
        let claim = codec::parse_claim(&value).map_err(|bad| bad.at("a claim"))?;
        self.delete(keys::expiry(claim.queue, claim.until_ms, item));
        self.delete(key);
        Ok(())
    }

    /// A payload whose blob may still be waiting in this group.
    fn open_payload(&self, payload: &[u8], place: &str) -> Result<Vec<u8>, StoreError> {
        if let Ok(codec::Payload::Blob(digest)) = codec::Payload::parse(payload)
            && let Some((_, bytes)) = self.blobs.iter().find(|(name, _)| *name == digest)
        {
            return Ok(bytes.clone());
        }
        view::open_payload(self.view, payload, place)
    }

    fn version(&self, key: &[u8]) -> Result<u64, StoreError> {
        self.get(key)?.map_or(Ok(0), |value| {
            let (version, _) = codec::parse_row(&value).map_err(|bad| bad.at("a row"))?;
            Ok(version)
        })
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self.pending.kv.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.view.get(key),
        }
    }

    fn begin(&mut self) -> (Position, usize) {
        let start = begin_frame(&mut self.frames);
        memtable::encode_start(&mut self.frames);
        (self.next, start)
    }

    fn end(&mut self, position: Position, start: usize) {
        end_frame(&mut self.frames, start, position, self.first);
        self.pending.last = position;
        self.next = position + 1;
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        memtable::encode_put(&mut self.frames, &key, &value);
        self.pending.put(key, Some(Bytes::from(value)));
    }

    fn delete(&mut self, key: Vec<u8>) {
        memtable::encode_delete(&mut self.frames, &key);
        self.pending.put(key, None);
    }
}

/// An item on its way to a worker.
struct Take {
    /// The key by which it was found; it goes.
    from: Vec<u8>,
    item: u64,
    /// Encoded.
    payload: Vec<u8>,
}

/// The most items of one claim, however many were asked for.
pub(super) const CLAIM_ITEMS_MAX: usize = 1_024;

/// A lease is held by somebody else: a refusal like a failed condition, told in the store's error.
struct StoreErrorHeld(String);

impl From<StoreErrorHeld> for Refusal {
    fn from(held: StoreErrorHeld) -> Self {
        Self::Store(StoreError::Held(held.0))
    }
}

fn limit(bytes: usize, what: &'static str, limit: usize) -> Result<(), CommitError> {
    if bytes > limit {
        return Err(CommitError::TooLarge { what, limit });
    }
    Ok(())
}

fn check_limits(commit: &Commit) -> Result<(), CommitError> {
    let mut total = 0;
    let mut key = |bytes: usize, what| {
        total += bytes;
        limit(bytes, what, KEY_BYTES_MAX)
    };
    if commit.stream.is_none() {
        limit(commit.events.len(), "list of events without a stream", 0)?;
    }
    let more = commit.more_streams.iter().map(|append| &append.stream);
    let mut appended_to = BTreeSet::new();
    for stream in commit.stream.iter().map(|(stream, _)| stream).chain(more) {
        key(stream.0.len(), "stream's name")?;
        let again = usize::from(!appended_to.insert(stream));
        limit(again, "list of streams with one of them twice", 0)?;
    }
    for stream in &commit.remove_streams {
        key(stream.0.len(), "stream's name")?;
        limit(
            usize::from(appended_to.contains(stream)),
            "list of removed streams with a stream appended to",
            0,
        )?;
    }
    for guard in &commit.guards {
        key(guard.lease.len(), "lease's key")?;
    }
    for (_, write) in &commit.rows {
        key(write.key.len(), "row's key")?;
    }
    for (queue, _) in &commit.enqueue {
        key(queue.len(), "queue's name")?;
    }
    for timer in &commit.timers {
        key(timer.key.len(), "timer's key")?;
    }
    if let Some(name) = &commit.idempotency_key {
        key(name.len(), "idempotency key")?;
    }
    let most = usize::try_from(ITEMS_PER_COMMIT).unwrap_or(usize::MAX);
    limit(commit.enqueue.len(), "list of enqueued items", most)?;
    let more = commit.more_streams.iter().flat_map(|append| &append.events);
    let events = commit.events.iter().chain(more);
    let values = events.map(|event| ("event", event.len()));
    let rows = commit.rows.iter().filter_map(|(_, write)| {
        write
            .value
            .as_ref()
            .map(|value| ("row's value", value.len()))
    });
    let work = commit
        .enqueue
        .iter()
        .map(|(_, payload)| ("work item", payload.len()));
    let timers = commit
        .timers
        .iter()
        .filter_map(|timer| timer.at.as_ref().map(|(_, bytes)| ("timer", bytes.len())));
    for (what, bytes) in values.chain(rows).chain(work).chain(timers) {
        limit(bytes, what, VALUE_BYTES_MAX)?;
        total += bytes;
    }
    limit(total, "commit", COMMIT_BYTES_MAX)
}
