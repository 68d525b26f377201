//! Tells an attempt to stop, from anywhere, once. It refuses to take the word back.

use std::sync::{Arc, OnceLock};
use tokio::sync::Notify;

/// A signal that an attempt listens to. Clones are the same signal.
#[derive(Debug, Clone, Default)]
pub struct CancelSignal(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    reason: OnceLock<String>,
    notify: Notify,
}

impl CancelSignal {
    /// A signal that was not given.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives it; only the first reason counts.
    pub fn cancel(&self, reason: impl Into<String>) {
        if self.0.reason.set(reason.into()).is_ok() {
            self.0.notify.notify_waiters();
        }
    }

    /// Why it was given, or none.
    pub fn reason(&self) -> Option<&str> {
        self.0.reason.get().map(String::as_str)
    }

    /// Waits until it is given.
    pub async fn cancelled(&self) -> &str {
        loop {
            let given = self.0.notify.notified();
            let mut given = std::pin::pin!(given);
            // Registered before the look, so that a `cancel` between the two is not missed.
            given.as_mut().enable();
            if let Some(reason) = self.reason() {
                return reason;
            }
            given.await;
        }
    }
}
