//! Tables of what the host holds for one attempt, by number. Bounded; a number is never used twice in an attempt, so a stale one
//! finds nothing. It refuses to be shared between attempts: each port makes its own and drops it with the attempt.

use super::Answer;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::sandbox::ports::Handle;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most things of one interface that an attempt may hold open at once.
pub(super) const HANDLES_MAX: usize = 256;

/// Things by handle. Clones of a `T` are what callers work on, so `T` is an `Arc` of something.
pub(super) struct Handles<T> {
    held: Mutex<(Handle, BTreeMap<Handle, T>)>,
}

impl<T: Clone> Handles<T> {
    pub(super) fn new() -> Self {
        Self {
            held: Mutex::new((0, BTreeMap::new())),
        }
    }

    /// Names a thing.
    pub(super) fn insert(&self, thing: T) -> Answer<Handle> {
        let mut held = lock(&self.held);
        if held.1.len() >= HANDLES_MAX {
            return Err(CapabilityError::TooLarge(HANDLES_MAX as u64));
        }
        held.0 = held.0.checked_add(1).ok_or_else(|| {
            CapabilityError::Unavailable("all handles of this attempt are used up".to_owned())
        })?;
        let handle = held.0;
        held.1.insert(handle, thing);
        Ok(handle)
    }

    /// What a handle names.
    pub(super) fn get(&self, handle: Handle) -> Answer<T> {
        let held = lock(&self.held);
        held.1.get(&handle).cloned().ok_or_else(|| unknown(handle))
    }

    /// Forgets a handle and yields what it named.
    pub(super) fn remove(&self, handle: Handle) -> Answer<T> {
        let mut held = lock(&self.held);
        held.1.remove(&handle).ok_or_else(|| unknown(handle))
    }

    /// Everything that is held.
    pub(super) fn all(&self) -> Vec<T> {
        lock(&self.held).1.values().cloned().collect()
    }
}

fn unknown(handle: Handle) -> CapabilityError {
    CapabilityError::Invalid(format!(
        "handle {handle} names nothing here: it was closed, finished or never given out"
    ))
}

/// Locks; what a panicking holder left behind is taken as it is, since every holder writes whole values.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_bounded_and_never_reused() {
        let handles = Handles::new();
        let first = handles.insert(1).unwrap();
        assert_eq!(handles.remove(first).unwrap(), 1);
        assert!(handles.get(first).is_err());
        let more: Vec<_> = (0..HANDLES_MAX)
            .map(|n| handles.insert(n).unwrap())
            .collect();
        assert!(!more.contains(&first));
        let error = handles.insert(0).unwrap_err();
        assert_eq!(error, CapabilityError::TooLarge(HANDLES_MAX as u64));
        handles.remove(more[0]).unwrap();
        handles.insert(0).unwrap();
    }
}
