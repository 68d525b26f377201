//! The clock that makes guests yield: an OS thread that advances the epoch while attempts live. It refuses to use any CPU
//! while none do, and to depend on the async runtime, which guests could hold up.

use super::config::EPOCH_TICK_MAX;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use wasmtime::Engine;

/// Ticks without a live attempt before the thread sleeps: waking it costs more than a tick.
const IDLE_TICKS: u32 = 20;
/// In this time every guest that computes gets a turn on its worker, so that a deadline is noticed soon after it passed.
const ROUND: Duration = Duration::from_millis(60);
const EPOCH_TICK_MIN: Duration = Duration::from_millis(1);

/// Advances the epoch of one engine.
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    live: AtomicUsize,
    asleep: AtomicBool,
    stop: AtomicBool,
}

/// While it exists, the epoch advances.
pub(super) struct Live<'a>(&'a Ticker);

impl Ticker {
    pub(super) fn start(engine: Engine, workers: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            live: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let thread = thread::Builder::new().name("airlock-epoch".into()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.tick(&engine, workers)
        })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    pub(super) fn live(&self) -> Live<'_> {
        self.shared.live.fetch_add(1, Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.wake();
        }
        Live(self)
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        self.0.shared.live.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // It ends by itself within a tick; nothing waits for it.
        self.wake();
    }
}

impl Shared {
    fn tick(&self, engine: &Engine, workers: usize) {
        let mut idle = 0;
        while !self.stop.load(Ordering::SeqCst) {
            let live = self.live.load(Ordering::SeqCst);
            idle = if live == 0 { idle + 1 } else { 0 };
            if idle > IDLE_TICKS {
                // Announced before the last look: `live` counts first and looks at `asleep` after, so one of the two sees the other.
                self.asleep.store(true, Ordering::SeqCst);
                if self.live.load(Ordering::SeqCst) == 0 && !self.stop.load(Ordering::SeqCst) {
                    thread::park();
                }
                self.asleep.store(false, Ordering::SeqCst);
                idle = 0;
            } else {
                thread::sleep(slice(live, workers));
                engine.increment_epoch();
            }
        }
    }
}

/// How long a guest may hold its worker when `live` of them share `workers`.
fn slice(live: usize, workers: usize) -> Duration {
    let share = u32::try_from(live.div_ceil(workers.max(1)).max(1)).unwrap_or(u32::MAX);
    (ROUND / share).clamp(EPOCH_TICK_MIN, EPOCH_TICK_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_guests_get_shorter_turns() {
        assert_eq!(slice(0, 2), EPOCH_TICK_MAX);
        assert_eq!(slice(12, 2), EPOCH_TICK_MAX);
        assert_eq!(slice(24, 2), EPOCH_TICK_MAX / 2);
        assert_eq!(slice(usize::MAX, 0), EPOCH_TICK_MIN);
    }
}
