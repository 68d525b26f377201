//! What the committer, the applier and all readers share: the layers of the state, and the signals between the threads. It owns
//! the order of the layers (newest first: active, frozen, index) and refuses to let the memtables grow without end.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard,
    RwLockWriteGuard,
};

use bytes::Bytes;

use super::applier::Task;
use super::closed;
use crate::store::blobs::BlobStore;
use crate::store::clock::Clock;
use crate::store::index::{self, Index};
use crate::store::keys::Range;
use crate::store::mark::{self, Mark};
use crate::store::memtable::{Memtable, Overlay, Pairs, Tail, merge_scan};
use crate::store::types::{Digest, Position, Seq, StoreError};
use crate::store::view::View;

/// The committer waits for the applier when the active memtable has this many entries.
const ACTIVE_ENTRIES_MAX: usize = 262_144;
/// The same in bytes.
const ACTIVE_BYTES_MAX: usize = 128 << 20;
/// The applier starts at once when the active memtable has this many entries, else after a pause.
const EAGER_ENTRIES: usize = 4_096;
/// The same in bytes.
const EAGER_BYTES: usize = 2 << 20;

/// Where things lie in the data folder.
#[derive(Debug, Clone)]
pub(super) struct Paths {
    pub(super) root: PathBuf,
    pub(super) journal: PathBuf,
    pub(super) checkpoints: PathBuf,
    pub(super) blobs: PathBuf,
    pub(super) index: PathBuf,
    pub(super) lock: PathBuf,
}

impl Paths {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            journal: root.join("journal"),
            checkpoints: root.join("checkpoints"),
            blobs: root.join("blobs"),
            index: root.join("index"),
            lock: root.join("LOCK"),
        }
    }

    /// A file for unfinished work; leftovers are removed at the next start.
    pub(super) fn scratch(&self, purpose: &str) -> PathBuf {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.checkpoints.join(format!("{purpose}-{number}.tmp"))
    }
}

/// The layers above the index.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) active: Memtable,
    /// What the applier is writing into the index.
    pub(super) frozen: Option<Arc<Memtable>>,
}

/// What the applier is asked to do.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent flags between two threads, not a state"
)]
pub(super) struct Signal {
    pub(super) tasks: Vec<Task>,
    /// There is something to apply.
    pub(super) work: bool,
    /// There is much to apply.
    pub(super) eager: bool,
    pub(super) stop: bool,
    /// The applier is gone; nobody answers tasks.
    pub(super) gone: bool,
}

/// See the module.
pub(super) struct Shared {
    pub(super) paths: Paths,
    pub(super) index: Index,
    pub(super) blobs: BlobStore,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) checkpoint_bytes: u64,
    /// Held exclusively as long as the store is open.
    pub(super) _lock: File,
    /// Held while journal files are removed or must not be.
    pub(super) upkeep: Mutex<()>,
    tables: RwLock<Tables>,
    signal: Mutex<Signal>,
    wake: Condvar,
    room: Condvar,
    failure: OnceLock<String>,
    position: AtomicU64,
    /// Counts groups that removed streams; readers look whether one came between.
    removals: AtomicU64,
    /// Journal bytes since the newest checkpoint.
    pub(super) since_checkpoint: AtomicU64,
}

/// What `Shared` starts with.
pub(super) struct Start {
    pub(super) paths: Paths,
    pub(super) index: Index,
    pub(super) blobs: BlobStore,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) lock: File,
    pub(super) active: Memtable,
    pub(super) position: Position,
    pub(super) checkpoint_bytes: u64,
    pub(super) since_checkpoint: u64,
}

impl Shared {
    pub(super) fn new(start: Start) -> Self {
        let work = !start.active.is_empty();
        Self {
            paths: start.paths,
            index: start.index,
            blobs: start.blobs,
            clock: start.clock,
            checkpoint_bytes: start.checkpoint_bytes,
            _lock: start.lock,
            upkeep: Mutex::new(()),
            tables: RwLock::new(Tables {
                active: start.active,
                frozen: None,
            }),
            signal: Mutex::new(Signal {
                work,
                ..Signal::default()
            }),
            wake: Condvar::new(),
            room: Condvar::new(),
            failure: OnceLock::new(),
            position: AtomicU64::new(start.position),
            removals: AtomicU64::new(0),
            since_checkpoint: AtomicU64::new(start.since_checkpoint),
        }
    }

    /// The newest durable position.
    pub(super) fn position(&self) -> Position {
        self.position.load(Ordering::Acquire)
    }

    pub(super) fn set_position(&self, position: Position) {
        self.position.store(position, Ordering::Release);
    }

    pub(super) fn failure(&self) -> Option<String> {
        self.failure.get().cloned()
    }

    /// Ends all writing. The first reason stays.
    pub(super) fn fail(&self, reason: &str) {
        tracing::error!(reason, "the store failed and takes no more commits");
        // Only the first call sets it; the others have nothing to add.
        let _ = self.failure.set(reason.to_owned());
        // The lock makes sure that no waiter misses this between its look and its sleep.
        drop(self.signal());
        self.room.notify_all();
    }

    pub(super) fn tables(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tables_mut(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn signal(&self) -> MutexGuard<'_, Signal> {
        self.signal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes durable effects readable.
    pub(super) fn publish(&self, pending: Memtable) -> Result<(), StoreError> {
        let position = pending.last;
        let removes = pending.removed_streams().next().is_some();
        let mut tables = self.tables_mut();
        tables.active.merge(pending)?;
        if removes {
            self.removals.fetch_add(1, Ordering::AcqRel);
        }
        self.set_position(position);
        let active = &tables.active;
        let eager = active.entries() >= EAGER_ENTRIES || active.bytes() >= EAGER_BYTES;
        drop(tables);
        let mut signal = self.signal();
        let news = !signal.work || (eager && !signal.eager);
        signal.work = true;
        signal.eager |= eager;
        drop(signal);
        if news {
            self.wake.notify_all();
        }
        Ok(())
    }

    /// Waits until the memtable has room, or the store failed.
    pub(super) fn wait_for_room(&self) {
        let full = |tables: &Tables| {
            tables.active.entries() >= ACTIVE_ENTRIES_MAX
                || tables.active.bytes() >= ACTIVE_BYTES_MAX
        };
        if !full(&self.tables()) {
            return;
        }
        let mut signal = self.signal();
        while full(&self.tables()) && self.failure.get().is_none() && !signal.gone {
            signal = self
                .room
                .wait(signal)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn notify_room(&self) {
        drop(self.signal());
        self.room.notify_all();
    }

    /// Waits for something to do; with only a little work, for `pause`, so that it gathers.
    pub(super) fn wait_for_work(&self, pause: std::time::Duration) -> Signal {
        let urgent = |signal: &Signal| signal.eager || signal.stop || !signal.tasks.is_empty();
        let mut signal = self.signal();
        while !signal.work && !urgent(&signal) {
            signal = self
                .wake
                .wait(signal)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if !urgent(&signal) {
            signal = self
                .wake
                .wait_timeout_while(signal, pause, |signal| !urgent(signal))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        std::mem::take(&mut signal)
    }

    /// Those who wait for the applier's answer learn that none comes.
    pub(super) fn applier_is_gone(&self) {
        let mut signal = self.signal();
        signal.gone = true;
        signal.tasks.clear();
        drop(signal);
        self.notify_room();
    }

    pub(super) fn stop_applier(&self) {
        self.signal().stop = true;
        self.wake.notify_all();
    }

    /// Gives the applier a task and waits for its answer.
    pub(super) fn ask_applier<T>(
        &self,
        task: impl FnOnce(SyncSender<Result<T, StoreError>>) -> Task,
    ) -> Result<T, StoreError> {
        let (send, receive) = sync_channel(1);
        let mut signal = self.signal();
        if signal.gone {
            return Err(closed("ask"));
        }
        signal.tasks.push(task(send));
        drop(signal);
        self.wake.notify_all();
        receive.recv().unwrap_or_else(|_| Err(closed("ask")))
    }

    /// Asks for a checkpoint without waiting for it.
    pub(super) fn want_checkpoint(&self) {
        let (send, _) = sync_channel(1);
        self.signal().tasks.push(Task::Checkpoint(send));
        self.wake.notify_all();
    }

    /// The last one turns off the light: index to disk, then the mark that says so.
    pub(super) fn close(self) -> Result<(), StoreError> {
        if self.failure.get().is_some() {
            return Ok(());
        }
        let position = self.position();
        self.index.close()?;
        let clean = Some(index::fingerprint(&self.paths.index)?);
        let mark = Mark {
            boot: mark::boot_id(),
            position,
            clean,
        };
        mark.write(&self.paths.root)
    }
}

impl Shared {
    fn events_once(
        &self,
        stream: &str,
        from: Seq,
        max: usize,
    ) -> Result<Vec<(Seq, Bytes)>, StoreError> {
        let tables = self.tables();
        let active = tables.active.tails.get(stream);
        let is_removed = |tail: &Tail| tail.removed;
        let frozen = tables
            .frozen
            .as_ref()
            .filter(|_| !active.is_some_and(is_removed));
        let covered = active.is_some_and(is_removed)
            || frozen.is_some_and(|frozen| frozen.tails.get(stream).is_some_and(is_removed));
        let mut newest = frozen
            .map(|frozen| frozen.events(stream, from, max))
            .unwrap_or_default();
        let left = max - newest.len();
        newest.extend(tables.active.events(stream, from, left));
        drop(tables);
        // So many events of the memtables are no answer where older ones are asked for.
        if covered || newest.first().is_some_and(|(seq, _)| *seq == from) {
            return Ok(newest);
        }
        // What was in no memtable a moment ago is in the index, and perhaps more.
        let mut found = self.index.events(stream, from, max)?;
        let next = found.last().map_or(from, |(seq, _)| seq + 1);
        let left = max - found.len();
        found.extend(
            newest
                .into_iter()
                .filter(|(seq, _)| *seq >= next)
                .take(left),
        );
        Ok(found)
    }
}

impl View for Shared {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let tables = self.tables();
        let newest = tables
            .active
            .kv
            .get(key)
            .or_else(|| tables.frozen.as_ref()?.kv.get(key))
            .cloned();
        drop(tables);
        newest.map_or_else(|| self.index.get(key), Ok)
    }

    fn head(&self, stream: &str) -> Result<Seq, StoreError> {
        let tables = self.tables();
        let newest = tables
            .active
            .tails
            .get(stream)
            .or_else(|| tables.frozen.as_ref()?.tails.get(stream))
            .map(Tail::head);
        drop(tables);
        newest.map_or_else(|| self.index.head(stream), Ok)
    }

    fn events(&self, stream: &str, from: Seq, max: usize) -> Result<Vec<(Seq, Bytes)>, StoreError> {
        loop {
            let removals = self.removals.load(Ordering::Acquire);
            let found = self.events_once(stream, from, max)?;
            // A stream that went meanwhile may have been read half gone.
            if self.removals.load(Ordering::Acquire) == removals {
                return Ok(found);
            }
        }
    }

    fn scan(&self, range: &Range, over: Overlay, max: usize) -> Result<Pairs, StoreError> {
        let tables = self.tables();
        let mut layers = Overlay::new();
        let frozen = tables.frozen.iter().flat_map(|frozen| frozen.range(range));
        for (key, value) in frozen.chain(tables.active.range(range)) {
            layers.insert(key.clone(), value.clone());
        }
        drop(tables);
        layers.extend(over);
        merge_scan(&layers, self.index.range(range), max)
    }

    fn recent_events(&self) -> Vec<Bytes> {
        let tables = self.tables();
        let frozen = tables.frozen.iter().flat_map(|frozen| frozen.all_events());
        frozen.chain(tables.active.all_events()).collect()
    }

    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.blobs.get(digest)
    }
}
