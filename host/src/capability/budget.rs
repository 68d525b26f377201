//! The memory that tables and matrices of one attempt may hold in the host. Taken before it is used, given back on drop.

use super::Answer;
use super::handles::lock;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use std::sync::{Arc, Mutex};

/// Bytes that are left to the attempt.
#[derive(Clone)]
pub(super) struct Budget {
    /// Limit and what is taken.
    state: Arc<Mutex<(u64, u64)>>,
}

/// Bytes taken from a budget.
pub(super) struct Reservation {
    budget: Budget,
    bytes: u64,
}

impl Budget {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            state: Arc::new(Mutex::new((limit, 0))),
        }
    }

    /// Takes bytes; `too-large` tells the limit of the attempt.
    pub(super) fn take(&self, bytes: u64) -> Answer<Reservation> {
        let mut reservation = Reservation {
            budget: self.clone(),
            bytes: 0,
        };
        reservation.grow_to(bytes)?;
        Ok(reservation)
    }
}

impl Reservation {
    /// Holds at least so many bytes from now on.
    pub(super) fn grow_to(&mut self, bytes: u64) -> Answer<()> {
        let more = bytes.saturating_sub(self.bytes);
        let mut state = lock(&self.budget.state);
        let (limit, taken) = *state;
        if more > limit.saturating_sub(taken) {
            return Err(CapabilityError::TooLarge(limit));
        }
        state.1 += more;
        self.bytes += more;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        lock(&self.budget.state).1 -= self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_can_be_taken_again() {
        let budget = Budget::new(100);
        let mut first = budget.take(60).unwrap();
        assert!(budget.take(41).is_err());
        first.grow_to(100).unwrap();
        assert_eq!(first.grow_to(101), Err(CapabilityError::TooLarge(100)));
        drop(first);
        budget.take(100).unwrap();
    }
}
