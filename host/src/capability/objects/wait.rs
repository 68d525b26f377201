//! Waiting for the network on a thread that may block. A wait ends with the attempt: whoever holds the `Lifeline` keeps it waiting.

use crate::capability::Answer;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Held by the ports of an attempt; what still waits when the last one is dropped gives up.
#[derive(Clone)]
pub(in crate::capability) struct Lifeline {
    _held: Arc<watch::Sender<()>>,
}

/// Waits for as long as the attempt lives.
#[derive(Clone)]
pub(super) struct Wait {
    ended: watch::Receiver<()>,
}

pub(super) fn lifeline() -> (Lifeline, Wait) {
    let (sender, ended) = watch::channel(());
    let held = Arc::new(sender);
    (Lifeline { _held: held }, Wait { ended })
}

impl Wait {
    /// Blocks until `work` is done. Never call it on an async thread.
    pub(super) fn for_end_of<T>(&self, work: impl Future<Output = T>) -> Answer<T> {
        let mut ended = self.ended.clone();
        Handle::current().block_on(async move {
            tokio::select! {
                biased;
                _ = ended.changed() => Err(CapabilityError::Unavailable(
                    "the attempt has ended".to_owned(),
                )),
                done = work => Ok(done),
            }
        })
    }
}
