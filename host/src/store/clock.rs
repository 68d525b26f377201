//! The only clock that leases know. It owns "now" in milliseconds and never goes back inside one process; what the store wrote
//! down keeps it from going back over a restart. It refuses to decide correctness: that rests on fences.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Tells the time for leases.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since the epoch; must not go back.
    fn now_ms(&self) -> i64;
}

/// The wall clock as it was at the start, advanced by the monotonic clock: a changed wall clock moves no lease.
#[derive(Debug)]
pub struct SystemClock {
    base_ms: i64,
    started: Instant,
}

impl SystemClock {
    /// Reads the wall clock once.
    pub fn start() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            base_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            started: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        let elapsed = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.base_ms.saturating_add(elapsed)
    }
}

/// A clock that moves only when told, for simulation and tests.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Starts at `now_ms`.
    pub fn at(now_ms: i64) -> Self {
        Self(AtomicI64::new(now_ms))
    }

    /// Moves forward by `ms`; a negative number is ignored, because time does not go back.
    pub fn advance(&self, ms: i64) {
        self.0.fetch_add(ms.max(0), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}
