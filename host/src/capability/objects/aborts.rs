//! Uploads that were given up: their parts are taken back from the server, so that nobody pays for them. It refuses to keep an attempt
//! waiting for that; the end of the program waits a moment. What a killed process leaves, only a lifecycle rule of the bucket removes.

use crate::capability::handles::lock;
use object_store::MultipartUpload;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;

/// The longest time that one upload's end may take.
const ABORT_MAX: Duration = Duration::from_secs(30);

/// Those under way.
#[derive(Clone, Default)]
pub(super) struct Aborts(Arc<(Mutex<usize>, Condvar)>);

/// Counted as long as it lives.
struct UnderWay(Aborts);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let (count, none) = &*self.0.0;
        *lock(count) -= 1;
        none.notify_all();
    }
}

impl Aborts {
    /// Takes an upload back, in its own time.
    pub(super) fn take_back(&self, runtime: &Handle, mut upload: Box<dyn MultipartUpload>) {
        *lock(&self.0.0) += 1;
        let counted = UnderWay(self.clone());
        runtime.spawn(async move {
            let _counted = counted;
            let aborted = tokio::time::timeout(ABORT_MAX, upload.abort()).await;
            if !matches!(aborted, Ok(Ok(()))) {
                tracing::warn!("an upload that was given up could not be taken back; a lifecycle rule of its bucket may remove it");
            }
        });
    }

    /// Waits until none is under way, and no longer than `limit`.
    pub(super) fn settle(&self, limit: Duration) {
        let (count, none) = &*self.0;
        let waited = none.wait_timeout_while(lock(count), limit, |count| *count > 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}
