//! The committer: the one thread that writes the journal. It owns the order of commits and the promise behind a receipt: blobs,
//! then journal, then fdatasync, then the answer. It refuses everything after the first failure.

use std::iter::Peekable;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender};

use super::checkpoint;
use super::shared::Shared;
use crate::store::Done;
use crate::store::journal::Journal;
use crate::store::machine::{Group, Refusal};
use crate::store::memory::store_error;
use crate::store::types::{
    Commit, CommitError, Key, Lease, Position, Receipt, StoreError, WorkItem,
};

/// How many submissions share a sync at most.
const GROUP_MAX: usize = 256;
/// A group that has this many bytes takes no more submissions.
const GROUP_BYTES: usize = 8 << 20;

type Answer<T> = SyncSender<Result<T, StoreError>>;

/// What callers ask of the committer.
pub(super) enum Request {
    /// To be made in a group.
    Ask(Ask),
    /// To be made by itself.
    Import {
        path: PathBuf,
        position: Position,
        answer: Answer<()>,
    },
}

/// What can share a group.
pub(super) enum Ask {
    Commit(Vec<Commit>, Done),
    Lease {
        key: Key,
        holder: String,
        ttl_ms: u64,
        answer: Answer<Lease>,
    },
    Claim {
        queue: String,
        worker: String,
        max: usize,
        ttl_ms: u64,
        answer: Answer<Vec<WorkItem>>,
    },
}

/// An answer that waits for durability.
enum Held {
    Commit(Vec<Result<Receipt, CommitError>>, Done),
    Lease(Result<Lease, StoreError>, Answer<Lease>),
    Claim(Result<Vec<WorkItem>, StoreError>, Answer<Vec<WorkItem>>),
}

/// Runs until every sender is gone.
pub(super) fn run(shared: &Shared, journal: Journal, requests: &Receiver<Request>) {
    let mut committer = Committer { shared, journal };
    while let Ok(first) = requests.recv() {
        let rest = std::iter::from_fn(|| requests.try_recv().ok()).take(GROUP_MAX - 1);
        let mut waiting = std::iter::once(first).chain(rest).peekable();
        while let Some(request) = waiting.next() {
            match request {
                Request::Ask(ask) => committer.group(ask, &mut waiting),
                Request::Import {
                    path,
                    position,
                    answer,
                } => {
                    // A caller that is gone needs no answer.
                    let _ = answer.send(committer.import(&path, position));
                }
            }
        }
    }
}

struct Committer<'s> {
    shared: &'s Shared,
    journal: Journal,
}

impl Committer<'_> {
    /// Makes one group of `ask` and what waits behind it, up to its limits.
    fn group(&mut self, ask: Ask, waiting: &mut Peekable<impl Iterator<Item = Request>>) {
        self.shared.wait_for_room();
        let first = self.shared.position() + 1;
        let mut group = Group::new(self.shared, first);
        let mut failure = self.shared.failure();
        let mut held = vec![self.decide(&mut group, ask, &mut failure)];
        while group.bytes() < GROUP_BYTES && matches!(waiting.peek(), Some(Request::Ask(_))) {
            if let Some(Request::Ask(ask)) = waiting.next() {
                held.push(self.decide(&mut group, ask, &mut failure));
            }
        }
        let sealed = match failure {
            Some(reason) => Err(reason),
            None => self.seal(group, first),
        };
        if let Err(reason) = &sealed
            && self.shared.failure().is_none()
        {
            self.shared.fail(reason);
        }
        for answer in held {
            answer.send(sealed.as_ref().err());
        }
    }

    fn decide(&self, group: &mut Group<'_>, ask: Ask, failure: &mut Option<String>) -> Held {
        match ask {
            Ask::Commit(batch, done) => {
                let results = batch
                    .into_iter()
                    .map(|commit| commit_one(group, commit, failure))
                    .collect();
                Held::Commit(results, done)
            }
            Ask::Lease {
                key,
                holder,
                ttl_ms,
                answer,
            } => {
                let lease = group.lease(&key, &holder, ttl_ms, self.shared.clock.now_ms());
                Held::Lease(lease.map_err(store_error), answer)
            }
            Ask::Claim {
                queue,
                worker,
                max,
                ttl_ms,
                answer,
            } => {
                let time = (self.shared.clock.now_ms(), ttl_ms);
                let items = group.claim(&queue, &worker, max, time);
                Held::Claim(items.map_err(store_error), answer)
            }
        }
    }

    /// Makes the group durable, then readable.
    fn seal(&mut self, group: Group<'_>, first: Position) -> Result<(), String> {
        if group.pending.is_empty() {
            return Ok(());
        }
        let make = || {
            let now_ms = self.shared.clock.now_ms();
            self.shared.blobs.put(&group.blobs, now_ms)?;
            self.journal.append(first, &group.frames)?;
            let bytes = group.frames.len() as u64;
            self.shared.publish(group.pending)?;
            Ok(bytes)
        };
        let bytes = make().map_err(|error: StoreError| error.to_string())?;
        let since = &self.shared.since_checkpoint;
        let before = since.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
        let limit = self.shared.checkpoint_bytes;
        if before < limit && before + bytes >= limit {
            self.shared.want_checkpoint();
        }
        Ok(())
    }

    fn import(&mut self, path: &std::path::Path, position: Position) -> Result<(), StoreError> {
        if self.shared.position() != 0 {
            return Err(StoreError::NotEmpty);
        }
        let installed = checkpoint::install(self.shared, path, position);
        match installed {
            Ok(Some(journal)) => {
                self.journal = journal;
                self.shared.set_position(position);
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(error) => {
                self.shared.fail(&error.to_string());
                Err(error)
            }
        }
    }
}

/// Decides one commit; after a failure of the store, none any more.
fn commit_one(
    group: &mut Group<'_>,
    commit: Commit,
    failure: &mut Option<String>,
) -> Result<Receipt, CommitError> {
    if let Some(reason) = failure {
        return Err(CommitError::Failed(reason.clone()));
    }
    group.commit(commit).map_err(|refusal| match refusal {
        Refusal::Commit(error) => error,
        Refusal::Store(error) => {
            let reason = error.to_string();
            *failure = Some(reason.clone());
            CommitError::Failed(reason)
        }
    })
}

impl Held {
    /// Answers: as decided, or with why the group could not be made durable.
    fn send(self, failure: Option<&String>) {
        let failed = |reason: &String| StoreError::Io {
            action: "write",
            path: "the store".to_owned(),
            source: std::io::Error::other(reason.clone()),
        };
        match self {
            Self::Commit(results, done) => {
                let results = match failure {
                    None => results,
                    Some(reason) => results
                        .iter()
                        .map(|_| Err(CommitError::Failed(reason.clone())))
                        .collect(),
                };
                // A caller's panic must not end the store.
                if catch_unwind(AssertUnwindSafe(|| done(results))).is_err() {
                    tracing::error!("a caller's answer to a commit panicked");
                }
            }
            // A caller that is gone needs no answer.
            Self::Lease(result, answer) => {
                let _ = answer.send(failure.map_or(result, |reason| Err(failed(reason))));
            }
            Self::Claim(result, answer) => {
                let _ = answer.send(failure.map_or(result, |reason| Err(failed(reason))));
            }
        }
    }
}
