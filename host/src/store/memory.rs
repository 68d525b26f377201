//! A store in memory: for `dags test`, for simulation and as the second opinion of the conformance suite. It owns everything in
//! one map behind one lock, and refuses to promise that anything outlives the process.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::archive::{self, Header, Kind, Record};
use super::clock::{Clock, SystemClock};
use super::keys::{self, Range};
use super::machine::{Group, Refusal};
use super::memtable::{Memtable, Overlay, Pairs, merge_scan};
use super::types::{
    BLOB_GRACE_MS, CheckReport, Collected, Commit, CommitError, Digest, Event, Lease, Position,
    Receipt, Row, Seq, StoreError, StreamId, Table, WorkItem,
};
use super::view::{self, View};
use super::{Done, Store, codec};

/// See the module.
pub struct MemoryStore {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct State {
    all: Memtable,
    blobs: HashMap<Digest, Vec<u8>>,
    /// When each blob was last put, milliseconds since the epoch.
    put_at: HashMap<Digest, i64>,
    position: Position,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::with_clock(Arc::new(SystemClock::start()))
    }
}

impl MemoryStore {
    /// An empty store whose leases follow this clock.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self {
            state: Mutex::new(State::default()),
            clock,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one request as a group of its own and keeps its effects.
    fn with_group<T>(
        &self,
        request: impl FnOnce(&mut Group<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let mut state = self.state();
        let mut group = Group::new(&*state, state.position + 1);
        let answer = request(&mut group)?;
        let (pending, blobs) = (group.pending, group.blobs);
        state.position = state.position.max(pending.last);
        let gone: Vec<_> = pending
            .kv
            .iter()
            .filter(|(_, value)| value.is_none())
            .map(|(key, _)| key.clone())
            .collect();
        let removed: Vec<_> = pending.removed_streams().map(str::to_owned).collect();
        state.all.merge(pending)?;
        state.all.settle(&gone, &removed);
        let now_ms = self.clock.now_ms();
        for (digest, bytes) in blobs {
            state.blobs.insert(digest, bytes);
            state.put_at.insert(digest, now_ms);
        }
        Ok(answer)
    }
}

impl View for State {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.all.kv.get(key).cloned().flatten())
    }

    fn head(&self, stream: &str) -> Result<Seq, StoreError> {
        Ok(self
            .all
            .tails
            .get(stream)
            .map_or(0, super::memtable::Tail::head))
    }

    fn events(&self, stream: &str, from: Seq, max: usize) -> Result<Vec<(Seq, Bytes)>, StoreError> {
        Ok(self.all.events(stream, from, max))
    }

    fn scan(&self, range: &Range, over: Overlay, max: usize) -> Result<Pairs, StoreError> {
        let base = self
            .all
            .range(range)
            .filter_map(|(key, value)| value.clone().map(|value| Ok((key.clone(), value))));
        merge_scan(&over, base, max)
    }

    fn recent_events(&self) -> Vec<Bytes> {
        self.all.all_events().collect()
    }

    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.blobs.get(digest).cloned())
    }
}

/// A refusal of a lease or claim as the store's error.
pub(super) fn store_error(refusal: Refusal) -> StoreError {
    match refusal {
        Refusal::Store(error) => error,
        Refusal::Commit(error) => StoreError::Io {
            action: "ask",
            path: "the store".to_owned(),
            source: std::io::Error::new(std::io::ErrorKind::InvalidInput, error),
        },
    }
}

impl Store for MemoryStore {
    fn submit(&self, batch: Vec<Commit>, done: Done) {
        let results: Vec<Result<Receipt, CommitError>> = batch
            .into_iter()
            .map(|commit| {
                self.with_group(|group| group.commit(commit))
                    .map_err(|refusal| match refusal {
                        Refusal::Commit(error) => error,
                        Refusal::Store(error) => CommitError::Failed(error.to_string()),
                    })
            })
            .collect();
        done(results);
    }

    fn read(&self, stream: &StreamId, from: Seq, max: usize) -> Result<Vec<Event>, StoreError> {
        view::read(&*self.state(), stream, from, max)
    }

    fn head(&self, stream: &StreamId) -> Result<Seq, StoreError> {
        self.state().head(&stream.0)
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Row>, StoreError> {
        view::get(&*self.state(), table, key)
    }

    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<Row>, StoreError> {
        view::scan(&*self.state(), table, prefix, after, max)
    }

    fn lease(&self, key: &[u8], holder: &str, ttl_ms: u64) -> Result<Lease, StoreError> {
        let now_ms = self.clock.now_ms();
        self.with_group(|group| group.lease(&key.to_vec(), holder, ttl_ms, now_ms))
            .map_err(store_error)
    }

    fn due(&self, now_ms: i64, max: usize) -> Result<Vec<(i64, Row)>, StoreError> {
        view::due(&*self.state(), now_ms, max)
    }

    fn claim(
        &self,
        queue: &str,
        worker: &str,
        max: usize,
        ttl_ms: u64,
    ) -> Result<Vec<WorkItem>, StoreError> {
        let now_ms = self.clock.now_ms();
        self.with_group(|group| group.claim(queue, worker, max, (now_ms, ttl_ms)))
            .map_err(store_error)
    }

    fn put_blob(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = codec::digest(bytes);
        let mut state = self.state();
        state.blobs.insert(digest, bytes.to_vec());
        state.put_at.insert(digest, self.clock.now_ms());
        Ok(digest)
    }

    fn collect_blobs(&self) -> Result<Collected, StoreError> {
        let mut state = self.state();
        let since = self.clock.now_ms().saturating_sub(BLOB_GRACE_MS);
        state.put_at.retain(|_, at| *at > since);
        let all = state.blobs.keys().copied();
        let old = all.filter(|digest| !state.put_at.contains_key(digest));
        let unnamed = view::unnamed_blobs(&*state, old.collect())?;
        let mut collected = Collected::default();
        for bytes in unnamed
            .iter()
            .filter_map(|digest| state.blobs.remove(digest))
        {
            collected.blobs += 1;
            collected.bytes += bytes.len() as u64;
        }
        Ok(collected)
    }

    fn get_blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.state().blob(digest)
    }

    fn export(&self, to: &mut dyn Write) -> Result<u64, StoreError> {
        let state = self.state();
        let header = Header::new(Kind::Export, state.position);
        let mut writer = archive::Writer::start(to, &header, "the export")?;
        let mut failed = None;
        state.all.for_index(|key, value| {
            if let (None, Some(value)) = (&failed, value) {
                failed = writer.pair(&key, value).err();
            }
        });
        failed.map_or(Ok(()), Err)?;
        for (digest, bytes) in &state.blobs {
            writer.blob(digest, bytes)?;
        }
        writer.finish()
    }

    fn import(&self, from: &mut dyn Read) -> Result<u64, StoreError> {
        let mut state = self.state();
        if state.position != 0 {
            return Err(StoreError::NotEmpty);
        }
        let mut reader = archive::Reader::start(from, "the import")?;
        let mut fresh = State {
            position: reader.header().position,
            // Blobs without a commit are in nobody's way.
            blobs: state.blobs.clone(),
            ..State::default()
        };
        let mut chunks = Vec::new();
        while let Some(record) = reader.next()? {
            match record {
                Record::Blob(digest, bytes) => {
                    fresh.blobs.insert(digest, bytes);
                }
                Record::Pair(key, value) => {
                    if let Some((stream, first)) = keys::parse_chunk(&key) {
                        chunks.push((stream.to_owned(), first, value));
                    } else if keys::parse_head(&key).is_none() {
                        fresh.all.put(key, Some(Bytes::from(value)));
                    }
                }
            }
        }
        let count = reader.count();
        chunks.sort();
        for (stream, first, chunk) in chunks {
            let events = codec::parse_chunk(&chunk).map_err(|bad| bad.at("the import"))?;
            let events = events.into_iter().map(Bytes::copy_from_slice).collect();
            fresh.all.append(&stream, first, events)?;
        }
        fresh.all.last = fresh.position;
        *state = fresh;
        Ok(count)
    }

    fn check(&self) -> Result<CheckReport, StoreError> {
        let state = self.state();
        Ok(CheckReport {
            position: state.position,
            commits: state.position,
            rows: state.all.kv.len() as u64,
            blobs: state.blobs.len() as u64,
            problems: state
                .blobs
                .iter()
                .filter(|(digest, bytes)| codec::digest(bytes) != **digest)
                .map(|(digest, _)| format!("blob {digest} has other bytes"))
                .collect(),
        })
    }

    fn checkpoint(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
