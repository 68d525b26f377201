//! The applier: the one thread that writes the index. It owns how far the index is, checkpoints and the removal of what they make
//! needless. It refuses to go on when the index fails: the next start rebuilds it from the journal.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use super::checkpoint;
use super::shared::Shared;
use crate::store::mark::Mark;
use crate::store::types::{Position, StoreError};

/// How long a little work gathers before it goes into the index: rows that change often are written once.
const GATHER: Duration = Duration::from_millis(100);

/// What others ask of the applier. It answers when all that was durable before is in the index, too.
pub(super) enum Task {
    /// Write a checkpoint and let old files go.
    Checkpoint(SyncSender<Result<Position, StoreError>>),
    /// Write everything there is to this file.
    Snapshot(PathBuf, SyncSender<Result<Position, StoreError>>),
}

/// Runs until it is told to stop.
pub(super) fn run(shared: &Shared) {
    loop {
        let signal = shared.wait_for_work(GATHER);
        let applied = apply(shared);
        if applied.is_ok() {
            signal
                .tasks
                .into_iter()
                .for_each(|task| perform(shared, task));
        }
        if let Err(error) = applied {
            // Without a mark the next start trusts no index.
            let unmarked = Mark::remove(&shared.paths.root);
            shared.fail(&format!("the index failed: {error}"));
            if let Err(error) = unmarked {
                tracing::error!(%error, "the mark could not be removed");
            }
        }
        if signal.stop || shared.failure().is_some() {
            break;
        }
    }
    shared.applier_is_gone();
}

fn apply(shared: &Shared) -> Result<(), StoreError> {
    let frozen = {
        let mut tables = shared.tables_mut();
        if tables.active.is_empty() {
            return Ok(());
        }
        let frozen = Arc::new(std::mem::take(&mut tables.active));
        tables.frozen = Some(Arc::clone(&frozen));
        frozen
    };
    shared.notify_room();
    shared.index.apply(&frozen)?;
    shared.tables_mut().frozen = None;
    Ok(())
}

fn perform(shared: &Shared, task: Task) {
    match task {
        Task::Checkpoint(answer) => {
            shared.since_checkpoint.store(0, Ordering::Relaxed);
            let written = checkpoint::write(shared);
            if let Err(error) = &written {
                // The journal still has everything; the next one is tried after as many bytes again.
                tracing::warn!(%error, "no checkpoint was written");
            }
            // A caller that is gone needs no answer.
            let _ = answer.send(written);
        }
        Task::Snapshot(path, answer) => {
            let _ = answer.send(checkpoint::snapshot(shared, &path));
        }
    }
}
