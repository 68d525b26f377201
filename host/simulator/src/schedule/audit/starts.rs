//! Queued runs that start, and those that do not: counted against the limits of their kind.

use super::page::Book;
use super::{Audit, laws};
use crate::audit::Checked;
use airlock_core::ids::RunId;
use airlock_core::task_instance::state::DagRunState;

impl Audit {
    pub(in crate::schedule) fn starts(&mut self, dag: usize, run_id: &RunId) -> Checked<()> {
        let book = self.book(dag)?;
        let run = book.runs.get(run_id).cloned();
        let may = run
            .as_ref()
            .is_some_and(|run| run.state == DagRunState::Queued && book.may_start(run.backfill_id));
        laws::MAY_START.require(may, || format!("d{dag}: {run_id}, {run:?}"))?;
        if let Some(run) = book.runs.get_mut(run_id) {
            run.state = DagRunState::Running;
        }
        Ok(())
    }

    /// Every run of a DAG that may start has been started.
    pub(in crate::schedule) fn all_started(&mut self, dag: usize) -> Checked<()> {
        let book = self.book(dag)?;
        let queued = book.runs.values();
        let mut queued = queued.filter(|run| run.state == DagRunState::Queued);
        let waits = queued.find(|run| book.may_start(run.backfill_id));
        laws::MUST_START.require(waits.is_none(), || format!("d{dag}: {waits:?}"))
    }
}

impl Book {
    fn may_start(&self, backfill_id: Option<u64>) -> bool {
        let backfill = self.page.backfill.as_ref();
        let backfill = backfill.filter(|backfill| Some(backfill.id) == backfill_id);
        let limit = match (backfill_id, backfill) {
            (None, _) => self.plan.max_active_runs(),
            (Some(_), Some(backfill)) => backfill.request.max_active_runs,
            // What is left of a backfill that is over goes one after another.
            (Some(_), None) => 1,
        };
        let is_paused = self.page.is_paused || backfill.is_some_and(|backfill| backfill.is_paused);
        !is_paused && self.in_state(DagRunState::Running, backfill_id) < limit
    }
}
