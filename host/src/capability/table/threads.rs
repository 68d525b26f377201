//! Work on one table by several threads: the same for many columns, on as many processors as there are, four at most, because a
//! table must not take a large machine; or two things at once.

use super::Answer;
use crate::capability::handles::lock;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most threads for one table.
const THREADS_MAX: usize = 4;

/// `work` for each item, in the items' order. A piece of work that panics fails all, as everywhere in the host.
pub(super) fn each<I: Sync, T: Send>(items: &[I], work: impl Fn(&I) -> T + Sync) -> Answer<Vec<T>> {
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(THREADS_MAX)
        .min(items.len());
    if threads < 2 {
        return Ok(items.iter().map(work).collect());
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    let worker = || {
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(place) else { return };
            let result = work(item);
            lock(&done).push((place, result));
        }
    };
    let whole = std::thread::scope(|scope| {
        let started: Vec<_> = (1..threads).map(|_| scope.spawn(worker)).collect();
        worker();
        started.into_iter().all(|thread| thread.join().is_ok())
    });
    if !whole {
        return Err(broken());
    }
    let mut done = done
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_unstable_by_key(|(place, _)| *place);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

/// Two pieces of work at the same time.
pub(super) fn both<A: Send, B>(
    aside: impl FnOnce() -> A + Send,
    here: impl FnOnce() -> B,
) -> Answer<(A, B)> {
    std::thread::scope(|scope| {
        let aside = scope.spawn(aside);
        let here = here();
        Ok((aside.join().map_err(|_| broken())?, here))
    })
}

fn broken() -> CapabilityError {
    CapabilityError::Unavailable("the host failed inside this call; its log says where".to_owned())
}
