//! The end of a run: failures in a row, and the backfill that waited for it.

use super::{Audit, laws};
use crate::audit::Checked;
use airlock_core::ids::RunId;
use airlock_core::schedule::{DagSchedule, ScheduleEffect};
use airlock_core::task_instance::state::DagRunState;

impl Audit {
    /// A run ended, and this is what its schedule said to that.
    pub(in crate::schedule) fn run_ended(
        &mut self,
        dag: usize,
        run_id: &RunId,
        state: DagRunState,
        effects: &[ScheduleEffect],
        after: &DagSchedule,
    ) -> Checked<()> {
        let book = self.book(dag)?;
        if let Some(run) = book.runs.get_mut(run_id) {
            run.state = state;
        }
        let page = &mut book.page;
        if let Some(backfill) = &mut page.backfill
            && backfill.active.remove(run_id)
        {
            backfill.ended += 1;
        }
        page.failed_in_a_row = match state {
            DagRunState::Failed => page.failed_in_a_row + 1,
            _ => 0,
        };
        let (failed, limit) = (
            page.failed_in_a_row,
            book.plan.dag.max_consecutive_failed_dag_runs,
        );
        let should_pause = limit > 0 && failed >= limit && !page.is_paused;
        let told = || format!("d{dag} after {run_id}, {failed} failed, limit {limit}: {effects:?}");
        let mut paused = false;
        for effect in effects {
            match effect {
                ScheduleEffect::Paused { failed_in_a_row } => {
                    laws::FAILURES.require(*failed_in_a_row == failed, told)?;
                    paused = true;
                }
                ScheduleEffect::BackfillEnded(ended) => book.backfill_ended(ended)?,
                _ => return Err(laws::FAILURES.broken(told())),
            }
        }
        laws::FAILURES.require(
            paused == should_pause && after.is_paused() == (book.page.is_paused || should_pause),
            told,
        )?;
        laws::FAILURES.require(after.failed_in_a_row() == failed, told)?;
        book.page.is_paused |= should_pause;
        book.backfill_passes(after)?;
        book.backfill_is_open()
    }

    /// A backfill was cancelled, and this is what its schedule said to that.
    pub(in crate::schedule) fn said_to_cancel(
        &mut self,
        dag: usize,
        effects: &[ScheduleEffect],
        after: &DagSchedule,
    ) -> Checked<()> {
        let book = self.book(dag)?;
        for effect in effects {
            match effect {
                ScheduleEffect::BackfillEnded(ended) => book.backfill_ended(ended)?,
                _ => return Err(laws::BACKFILL_ENDS.broken(format!("d{dag}: {effects:?}"))),
            }
        }
        book.backfill_passes(after)?;
        book.backfill_is_open()
    }
}
