//! The store of one machine: journal (truth), sled index, blobs and checkpoints in one folder. It owns the folder while it is open
//! and refuses to share it with another process.
//!
//! Callers -> bounded queue -> committer thread (conditions, journal, fdatasync, answer) -> memtable -> applier thread (index,
//! checkpoints). Reads look into the memtables, then the index.

mod applier;
mod check;
mod checkpoint;
mod committer;
mod open;
mod shared;

#[cfg(test)]
mod tests;

use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use super::clock::{Clock, SystemClock};
use super::files;
use super::journal::SEGMENT_BYTES;
use super::types::{
    CheckReport, Collected, Commit, CommitError, Digest, Event, Lease, Position, Row, Seq,
    StoreError, StreamId, Table, WorkItem,
};
use super::view::{self, View};
use super::{Done, Store, codec};
use committer::{Ask, Request};
use shared::Shared;

/// How many submissions wait at most; then `submit` waits.
pub const QUEUE_MAX: usize = 1_024;
/// Journal bytes after which a checkpoint is written by itself.
pub const CHECKPOINT_JOURNAL_BYTES: u64 = 64 << 20;

/// How to open a store. The default is right for real use.
#[derive(Clone)]
pub struct Options {
    /// Tells the time for leases.
    pub clock: Arc<dyn Clock>,
    /// A journal segment of at least this length is followed by a new one, bytes.
    pub segment_bytes: u64,
    /// Journal bytes after which a checkpoint is written by itself.
    pub checkpoint_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock::start()),
            segment_bytes: SEGMENT_BYTES,
            checkpoint_bytes: CHECKPOINT_JOURNAL_BYTES,
        }
    }
}

/// See the module.
pub struct LocalStore {
    /// `None` only while closing.
    running: Option<Running>,
}

struct Running {
    shared: Arc<Shared>,
    queue: SyncSender<Request>,
    committer: JoinHandle<()>,
    applier: JoinHandle<()>,
}

impl LocalStore {
    /// Opens or makes the store in `dir`, repairing what a crash or power cut left.
    ///
    /// # Errors
    /// `InUse`, `TooNew`, `Damaged` (nothing is changed then, and nothing guessed), or `Io`.
    pub fn open(dir: &Path, options: &Options) -> Result<Self, StoreError> {
        let (shared, journal) = open::open(dir, options)?;
        let shared = Arc::new(shared);
        let (queue, requests) = sync_channel(QUEUE_MAX);
        let spawn_failed = files::refused("start a thread for", dir);
        if shared.since_checkpoint.load(Ordering::Relaxed) >= shared.checkpoint_bytes {
            shared.want_checkpoint();
        }
        let applier = spawn("store-applier", {
            let watched = Watched(Arc::clone(&shared));
            move || applier::run(&watched.0)
        });
        let committer = spawn("store-committer", {
            let watched = Watched(Arc::clone(&shared));
            move || committer::run(&watched.0, journal, &requests)
        });
        match (committer, applier) {
            (Ok(committer), Ok(applier)) => Ok(Self {
                running: Some(Running {
                    shared,
                    queue,
                    committer,
                    applier,
                }),
            }),
            (Err(error), _) | (_, Err(error)) => {
                shared.stop_applier();
                Err(spawn_failed(error))
            }
        }
    }

    /// Why the store takes no more commits, if so. Only a restart helps.
    pub fn failure(&self) -> Option<String> {
        self.shared().ok()?.failure()
    }

    /// Finishes what is queued and leaves the folder so that the next start is quick. Dropping does the same, silently.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.stop()
    }

    fn stop(&mut self) -> Result<(), StoreError> {
        let Some(running) = self.running.take() else {
            return Ok(());
        };
        // The committer ends when all that was queued is answered.
        drop(running.queue);
        let committed = running.committer.join();
        running.shared.stop_applier();
        let applied = running.applier.join();
        match Arc::into_inner(running.shared) {
            Some(shared) if committed.is_ok() && applied.is_ok() => shared.close(),
            _ => Ok(()),
        }
    }

    fn running(&self) -> Result<&Running, StoreError> {
        self.running.as_ref().ok_or_else(|| closed("use"))
    }

    fn shared(&self) -> Result<&Shared, StoreError> {
        self.running().map(|running| &*running.shared)
    }

    /// Sends a request that answers on a channel of its own.
    fn ask<T>(
        &self,
        request: impl FnOnce(SyncSender<Result<T, StoreError>>) -> Request,
    ) -> Result<T, StoreError> {
        let (send, receive) = sync_channel(1);
        self.running()?
            .queue
            .send(request(send))
            .map_err(|_| closed("ask"))?;
        receive.recv().unwrap_or_else(|_| Err(closed("ask")))
    }
}

impl Drop for LocalStore {
    fn drop(&mut self) {
        // Whatever could not be tidied up is found and repaired by the next start.
        let _ = self.stop();
    }
}

/// What a thread of the store holds: if the thread panics, the store has failed, and says so.
struct Watched(Arc<Shared>);

impl Drop for Watched {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail("a thread of the store panicked; this is a bug");
            self.0.applier_is_gone();
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

/// The answer of a store whose threads are gone.
fn closed(action: &'static str) -> StoreError {
    StoreError::Io {
        action,
        path: "the store".to_owned(),
        source: std::io::Error::other("it is closed"),
    }
}

impl Store for LocalStore {
    fn submit(&self, batch: Vec<Commit>, done: Done) {
        let request = Request::Ask(Ask::Commit(batch, done));
        let refused = match &self.running {
            Some(running) => running.queue.send(request).map_err(|refused| refused.0),
            None => Err(request),
        };
        if let Err(Request::Ask(Ask::Commit(batch, done))) = refused {
            let failed = || Err(CommitError::Failed("the store is closed".to_owned()));
            done(batch.iter().map(|_| failed()).collect());
        }
    }

    fn read(&self, stream: &StreamId, from: Seq, max: usize) -> Result<Vec<Event>, StoreError> {
        view::read(self.shared()?, stream, from, max)
    }

    fn head(&self, stream: &StreamId) -> Result<Seq, StoreError> {
        self.shared()?.head(&stream.0)
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Row>, StoreError> {
        view::get(self.shared()?, table, key)
    }

    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<Row>, StoreError> {
        view::scan(self.shared()?, table, prefix, after, max)
    }

    fn lease(&self, key: &[u8], holder: &str, ttl_ms: u64) -> Result<Lease, StoreError> {
        self.ask(|answer| {
            Request::Ask(Ask::Lease {
                key: key.to_vec(),
                holder: holder.to_owned(),
                ttl_ms,
                answer,
            })
        })
    }

    fn due(&self, now_ms: i64, max: usize) -> Result<Vec<(i64, Row)>, StoreError> {
        view::due(self.shared()?, now_ms, max)
    }

    fn claim(
        &self,
        queue: &str,
        worker: &str,
        max: usize,
        ttl_ms: u64,
    ) -> Result<Vec<WorkItem>, StoreError> {
        self.ask(|answer| {
            Request::Ask(Ask::Claim {
                queue: queue.to_owned(),
                worker: worker.to_owned(),
                max,
                ttl_ms,
                answer,
            })
        })
    }

    fn put_blob(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = codec::digest(bytes);
        let shared = self.shared()?;
        shared
            .blobs
            .put(&[(digest, bytes)], shared.clock.now_ms())?;
        Ok(digest)
    }

    fn collect_blobs(&self) -> Result<Collected, StoreError> {
        let shared = self.shared()?;
        // A check that runs beside must not miss what goes; an import must not lose what it brings.
        let _upkeep = shared.upkeep.lock().unwrap_or_else(PoisonError::into_inner);
        let old = shared.blobs.old(shared.clock.now_ms())?;
        shared.blobs.remove(&view::unnamed_blobs(shared, old)?)
    }

    fn get_blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.shared()?.blobs.get(digest)
    }

    fn export(&self, to: &mut dyn Write) -> Result<u64, StoreError> {
        let shared = self.shared()?;
        let path = shared.paths.scratch("export");
        let exported = shared
            .ask_applier(|answer| applier::Task::Snapshot(path.clone(), answer))
            .and_then(|_: Position| checkpoint::export(&path, &shared.blobs, to));
        files::remove(&path)?;
        exported
    }

    fn import(&self, from: &mut dyn Read) -> Result<u64, StoreError> {
        let shared = self.shared()?;
        if shared.position() != 0 {
            return Err(StoreError::NotEmpty);
        }
        let path = shared.paths.scratch("import");
        let received = checkpoint::receive(&path, shared, from);
        let imported = received.and_then(|(position, count)| {
            self.ask(|answer| Request::Import {
                path: path.clone(),
                position,
                answer,
            })?;
            Ok(count)
        });
        files::remove(&path)?;
        imported
    }

    fn check(&self) -> Result<CheckReport, StoreError> {
        check::check(self.shared()?)
    }

    fn checkpoint(&self) -> Result<(), StoreError> {
        self.shared()?
            .ask_applier(applier::Task::Checkpoint)
            .map(|_: Position| ())
    }
}

/// The extension of checkpoints.
const CHECKPOINT: &str = "ck";
