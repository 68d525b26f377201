//! The store: streams of events, keyed rows and content-addressed blobs, behind one trait with one durability contract.
//! It owns bytes, keys and their formats. It refuses to know what an event means: the scheduler, the sandbox and the API
//! are not visible from here.
//!
//! # The durability contract
//! * A commit is atomic: after a crash or a power cut either all of it is there or nothing of it.
//! * When `done` (or `commit`) reports a `Receipt`, the commit survives `kill -9` and a power cut.
//! * Reads see every commit that was reported, and may see one that is not reported yet.
//! * Commits are applied in one order, the order of their `Position`s, without gaps.
//! * A failed write or fsync is fatal for the store: that commit and every later one answers `CommitError::Failed`.
//! * `CommitError::Unknown` (a store at the other end of a wire): only a re-read tells; `idempotency_key` makes a retry safe.

mod archive;
mod blobs;
mod clock;
mod codec;
mod files;
mod index;
mod journal;
mod keys;
pub mod local;
mod machine;
mod mark;
mod memory;
mod memtable;
mod types;
mod view;

#[cfg(test)]
mod conformance;

pub use clock::{Clock, ManualClock, SystemClock};
pub use local::LocalStore;
pub use memory::MemoryStore;

pub(crate) use types::hex;
pub use types::{
    Ack, Append, BLOB_GRACE_MS, COMMIT_BYTES_MAX, CheckReport, Collected, Commit, CommitError,
    Digest, Event, Fence, Guard, KEY_BYTES_MAX, Key, Lease, Position, Receipt, Row, RowWrite, Seq,
    StoreError, StreamId, Table, TimerWrite, VALUE_BYTES_MAX, WorkItem,
};

use std::io::{Read, Write};

/// Called once per submitted batch, on the committer's thread, in the order of submission; must not block.
pub type Done = Box<dyn FnOnce(Vec<Result<Receipt, CommitError>>) + Send>;

/// See the module's documentation for what every implementation promises.
pub trait Store: Send + Sync + 'static {
    /// Queues a batch and returns at once (or after waiting for room in the bounded queue). Each commit of the batch succeeds
    /// or fails on its own; all share one fsync.
    fn submit(&self, batch: Vec<Commit>, done: Done);

    /// Commits and waits. Not for async threads.
    fn commit(&self, commit: Commit) -> Result<Receipt, CommitError> {
        let (send, receive) = std::sync::mpsc::sync_channel(1);
        self.submit(
            vec![commit],
            Box::new(move |results| {
                // A caller that is gone needs no answer.
                let _ = send.send(
                    results
                        .into_iter()
                        .next()
                        .unwrap_or(Err(CommitError::Unknown)),
                );
            }),
        );
        receive.recv().unwrap_or(Err(CommitError::Unknown))
    }

    /// Up to `max` events of a stream with `seq >= from`, in order.
    fn read(&self, stream: &StreamId, from: Seq, max: usize) -> Result<Vec<Event>, StoreError>;

    /// The number of events in a stream: the `seq` that its next event gets.
    fn head(&self, stream: &StreamId) -> Result<Seq, StoreError>;

    /// One row.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Row>, StoreError>;

    /// Up to `max` rows whose key begins with `prefix` and is greater than `after`, in key order.
    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<Row>, StoreError>;

    /// Takes or renews a lease for `ttl_ms`; fails with the present holder while it lasts. The fence grows with each change of holder.
    fn lease(&self, key: &[u8], holder: &str, ttl_ms: u64) -> Result<Lease, StoreError>;

    /// Up to `max` timers due at or before `now_ms` (milliseconds since the epoch), earliest first: key and payload.
    fn due(&self, now_ms: i64, max: usize) -> Result<Vec<(i64, Row)>, StoreError>;

    /// Up to `max` work items of a queue that are not acknowledged, and not claimed or claimed longer ago than the `ttl_ms` of
    /// that claim: first what was left by others, then the oldest. They are `worker`'s for `ttl_ms`, with a new fence; whoever
    /// had them before can acknowledge them no more.
    fn claim(
        &self,
        queue: &str,
        worker: &str,
        max: usize,
        ttl_ms: u64,
    ) -> Result<Vec<WorkItem>, StoreError>;

    /// Stores bytes under their SHA-256, durably, before it returns. The same bytes again cost nothing.
    fn put_blob(&self, bytes: &[u8]) -> Result<Digest, StoreError>;

    /// Removes blobs that no row, event, timer or work item holds or names, and that nobody put within `BLOB_GRACE_MS`. A value
    /// names a blob by the 64 hexadecimal digits of its digest, anywhere in its bytes. A value that comes later and names an older
    /// blob must follow a `put_blob` of it.
    fn collect_blobs(&self) -> Result<Collected, StoreError>;

    /// Reads a blob and checks its digest.
    fn get_blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError>;

    /// Writes everything in the versioned export format: header, records, checksum.
    fn export(&self, to: &mut dyn Write) -> Result<u64, StoreError>;

    /// Reads an export into an empty store; refuses a store that holds anything, a newer format or a damaged export.
    fn import(&self, from: &mut dyn Read) -> Result<u64, StoreError>;

    /// Verifies everything that is there: checksums, order, counts, blobs.
    fn check(&self) -> Result<CheckReport, StoreError>;

    /// Writes a checkpoint so that the next start replays little, and lets old journal files go.
    fn checkpoint(&self) -> Result<(), StoreError>;
}
