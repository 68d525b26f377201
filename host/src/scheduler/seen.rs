//! Runs as they were looked at last. A run that is looked at again is not read again from its beginning: what is new in its stream
//! is added to what was seen. It changes nothing, and keeps no more than a few runs.

use super::records::RunRow;
use super::recovery::{RecoveryError, ReplayedRun, replay_run};
use crate::store::Store;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Runs that are kept as they were seen; a run holds its task instances and XComs.
const SEEN_RUNS_MAX: usize = 8;

type Seen = Arc<Mutex<ReplayedRun>>;

/// See the module's documentation.
pub struct SeenRuns {
    store: Arc<dyn Store>,
    /// The one that was looked at last is at the end.
    seen: Mutex<VecDeque<Seen>>,
}

impl SeenRuns {
    /// Reads from `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            seen: Mutex::default(),
        }
    }

    /// Looks at a run as it is now.
    ///
    /// # Errors
    /// As for `replay_run`.
    pub fn look<T>(
        &self,
        row: &RunRow,
        look: impl FnOnce(&ReplayedRun) -> T,
    ) -> Result<T, RecoveryError> {
        let store = self.store.as_ref();
        if let Some(seen) = self.take(row) {
            let mut run = seen.lock().unwrap_or_else(PoisonError::into_inner);
            if run.follow(store)? {
                run.row = row.clone();
                let answer = look(&run);
                drop(run);
                self.keep(seen);
                return Ok(answer);
            }
        }
        let run = replay_run(store, &row.dag_id, &row.run_id)?;
        let answer = look(&run);
        self.keep(Arc::new(Mutex::new(run)));
        Ok(answer)
    }

    /// Takes out what was seen of a run. One that was removed and made anew since has another time of its own.
    fn take(&self, row: &RunRow) -> Option<Seen> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let place = seen.iter().position(|one| {
            // Somebody who looks at it now has taken it out.
            one.try_lock().is_ok_and(|run| {
                (&run.row.dag_id, &run.row.run_id, run.row.queued_at)
                    == (&row.dag_id, &row.run_id, row.queued_at)
            })
        });
        seen.remove(place?)
    }

    /// How much was seen of each run that is kept.
    #[cfg(test)]
    pub(crate) fn heads(&self) -> Vec<u64> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|run| run.lock().unwrap().head).collect()
    }

    fn keep(&self, run: Seen) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push_back(run);
        if seen.len() > SEEN_RUNS_MAX {
            seen.pop_front();
        }
    }
}
