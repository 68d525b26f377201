//! A small pool of named threads that block when idle. Work is borrowed, not owned: a call returns only when no thread works on it any
//! more. Refuses to spin and to hide a lost worker.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::error::TrainError;

/// What a call shares with the workers: each takes items until none is left.
type Work<'a> = &'a (dyn Fn() + Sync);

/// Where the caller keeps its [`Work`].
#[derive(Clone, Copy)]
struct Call(*const ());

// SAFETY: what is pointed to is `Sync`, and it is followed only while its caller waits (see `Pool::share`).
#[expect(unsafe_code, reason = "borrowed work crosses to the workers")]
unsafe impl Send for Call {}

#[derive(Default)]
struct State {
    call: Option<Call>,
    /// Counts calls, so that no worker takes one twice.
    number: u64,
    /// Workers that hold the call.
    active: usize,
    over: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    called: Condvar,
    left: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The calling thread and `threads - 1` more.
pub(crate) struct Pool {
    threads: usize,
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<u64>>,
}

impl Pool {
    /// # Errors
    /// [`TrainError::WorkerLost`] where the system gives no thread.
    pub(crate) fn new(threads: usize) -> Result<Self, TrainError> {
        let mut pool = Self {
            threads,
            shared: Arc::default(),
            workers: Vec::new(),
        };
        for n in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let worker = std::thread::Builder::new()
                .name(format!("train-{n}"))
                .spawn(move || serve(&shared));
            pool.workers
                .push(worker.map_err(|e| TrainError::WorkerLost(format!("no thread: {e}")))?);
        }
        Ok(pool)
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Does `work` on every item and yields the results in the order of the items. The calling thread works too.
    ///
    /// # Errors
    /// [`TrainError::WorkerLost`] when an item was lost.
    pub(crate) fn map<T: Send, R: Send>(
        &self,
        items: Vec<T>,
        work: impl Fn(T) -> R + Sync,
    ) -> Result<Vec<R>, TrainError> {
        if self.threads == 1 || items.len() <= 1 {
            return Ok(items.into_iter().map(work).collect());
        }
        let slots: Vec<Mutex<(Option<T>, Option<R>)>> = items
            .into_iter()
            .map(|item| Mutex::new((Some(item), None)))
            .collect();
        let next = AtomicUsize::new(0);
        self.share(slots.len(), &|| {
            while let Some(slot) = slots.get(next.fetch_add(1, Ordering::Relaxed)) {
                let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
                slot.1 = slot.0.take().map(&work);
            }
        });
        let results = slots.into_iter().map(|slot| {
            let (_, result) = slot.into_inner().unwrap_or_else(PoisonError::into_inner);
            result
        });
        results
            .collect::<Option<Vec<R>>>()
            .ok_or_else(|| TrainError::WorkerLost("a job panicked; please report this".to_owned()))
    }

    /// Runs `work` on this thread and on as many workers as `count` items keep busy; returns when all have left it. Workers follow the
    /// pointer only between taking the call (counted in `active`, under the lock, while `call` is set) and leaving it; `call` is
    /// cleared and `active` waited for before `work` ends, unwinding or not.
    fn share(&self, count: usize, work: Work<'_>) {
        let call = Call(std::ptr::from_ref(&work).cast());
        let mut state = self.shared.state();
        state.call = Some(call);
        state.number += 1;
        drop(state);
        for _ in 1..self.threads.min(count) {
            self.shared.called.notify_one();
        }
        let own = catch_unwind(AssertUnwindSafe(work));
        let mut state = self.shared.state();
        state.call = None;
        while state.active > 0 {
            state = self
                .shared
                .left
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        if let Err(panic) = own {
            resume_unwind(panic);
        }
    }

    /// Ends the workers and yields their CPU milliseconds.
    pub(crate) fn finish(mut self) -> u64 {
        self.end();
        self.workers.drain(..).filter_map(|w| w.join().ok()).sum()
    }

    fn end(&self) {
        self.shared.state().over = true;
        self.shared.called.notify_all();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.end();
        for worker in self.workers.drain(..) {
            // A worker catches every panic of its work.
            let _ = worker.join();
        }
    }
}

/// Works until the pool ends; yields the thread's CPU milliseconds.
fn serve(shared: &Shared) -> u64 {
    let mut seen = 0;
    let mut state = shared.state();
    loop {
        if state.over {
            return cpu_ms();
        }
        let Some(call) = state.call.filter(|_| state.number != seen) else {
            state = shared
                .called
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        seen = state.number;
        state.active += 1;
        drop(state);
        // SAFETY: points to the caller's `Work`, and was taken while `call` was set and counted in `active`: the caller waits in
        // `Pool::share`, and keeps what its work borrows, until this thread has left.
        #[expect(unsafe_code, reason = "see `Pool::share`")]
        let work = unsafe { *call.0.cast::<Work<'_>>() };
        // A panic shows to the caller as a missing result.
        let _ = catch_unwind(AssertUnwindSafe(work));
        state = shared.state();
        state.active -= 1;
        if state.active == 0 {
            shared.left.notify_one();
        }
    }
}

/// CPU milliseconds of the calling thread so far, from the kernel's scheduler; 0 where it does not tell.
pub(crate) fn cpu_ms() -> u64 {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse::<u64>().ok())
        .map_or(0, |ns| ns / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        for threads in [1, 2, 5] {
            let pool = Pool::new(threads).unwrap();
            for count in [0, 1, 2, 100] {
                let squares: Vec<usize> = (0..count).map(|n| n * n).collect();
                assert_eq!(pool.map((0..count).collect(), |n| n * n).unwrap(), squares);
            }
        }
    }

    #[test]
    fn borrowed_slices_are_filled_by_all_threads() {
        let pool = Pool::new(3).unwrap();
        let mut numbers = vec![0_usize; 1_000];
        for round in 1..50 {
            let add = |part: &mut [usize]| part.iter_mut().for_each(|n| *n += round);
            pool.map(numbers.chunks_mut(7).collect(), add).unwrap();
        }
        assert!(numbers.iter().all(|n| *n == 49 * 50 / 2));
    }

    #[test]
    fn a_panic_of_one_item_is_told_and_the_pool_goes_on() {
        let pool = Pool::new(2).unwrap();
        let told = catch_unwind(AssertUnwindSafe(|| {
            pool.map((0..64).collect(), |n: i32| assert!(n != 40))
        }));
        assert!(!matches!(told, Ok(Ok(_))));
        assert_eq!(pool.map(vec![1, 2, 3], |n| n + 1).unwrap(), [2, 3, 4]);
    }
}
