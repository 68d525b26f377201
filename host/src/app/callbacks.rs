//! Callbacks and mails as a command sees them: whether those of a run are over, and what they logged.

use super::App;
use crate::error::{ErrorKind, UserError};
use airlock_core::ids::{DagId, RunId};
use std::time::Duration;

/// How long a command waits for the callbacks of its run: longer than one callback may take.
const DRAIN_MAX: Duration = Duration::from_mins(6);

impl App {
    /// Waits, for six minutes at most, until every callback and mail of a run, or of all, was carried out. Returns how many are left; they
    /// stay in the outbox for the next process that carries out runs.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn callbacks_done(&self, run: Option<(&DagId, &RunId)>) -> Result<usize, UserError> {
        Ok(self.outbox.drained(run, DRAIN_MAX).await?)
    }

    /// Callbacks and mails that went wrong since this process began.
    pub fn callbacks_failed(&self) -> u64 {
        self.outbox.failed()
    }

    /// What the callbacks of the run itself logged.
    ///
    /// # Errors
    /// When a log cannot be read.
    pub fn callback_log(&self, dag_id: &DagId, run_id: &RunId) -> Result<String, UserError> {
        self.logs.read_run(dag_id, run_id).map_err(|error| {
            UserError::new(ErrorKind::Store, format!("cannot read the log: {error}"))
                .hint("check the permissions of the data folder")
        })
    }
}
