//! Programs that ran last stay compiled in memory. It refuses to keep more than a few.

use crate::sandbox::Command;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Programs that are kept: each is a few megabytes of code.
const PROGRAMS_KEPT: usize = 16;

/// The newest last.
#[derive(Default)]
pub struct Recent(Mutex<VecDeque<Arc<Command>>>);

impl Recent {
    pub(super) fn remember(&self, command: &Arc<Command>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|other| !Arc::ptr_eq(other, command));
        kept.push_back(Arc::clone(command));
        if kept.len() > PROGRAMS_KEPT {
            kept.pop_front();
        }
    }
}
