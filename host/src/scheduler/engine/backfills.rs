//! Backfills as people ask for them: create, pause, cancel, look. The schedule of the DAG decides what each does.

use super::Engine;
use crate::scheduler::batch::{Batch, Effect};
use crate::scheduler::message::{BackfillChange, BackfillReply, Reply, SchedulerError};
use airlock_core::ids::DagId;
use airlock_core::run::event::Input;
use jiff::Timestamp;

impl Engine {
    pub(super) fn backfill(
        &mut self,
        dag_id: &DagId,
        change: BackfillChange,
        reply: Reply<BackfillReply>,
        batch: &mut Batch,
    ) {
        let result = self.change_backfill(dag_id, change, batch);
        batch.effect(Effect::Then(Box::new(move |durable| {
            // A caller that is gone needs no answer.
            let _ = reply.send(durable.and(result));
        })));
    }

    fn change_backfill(
        &mut self,
        dag_id: &DagId,
        change: BackfillChange,
        batch: &mut Batch,
    ) -> Result<BackfillReply, SchedulerError> {
        if let Some(reason) = &self.failure {
            return Err(SchedulerError::Store(reason.clone()));
        }
        let now = self.parts.clock.now();
        match change {
            BackfillChange::Create { id, request } => {
                let live = self.live_dag(dag_id)?;
                live.schedule
                    .create_backfill(&live.dag, id, request, now)
                    .map_err(|error| SchedulerError::Refused(error.to_string()))?;
                self.store_schedule(dag_id, batch);
                self.make_runs(dag_id, batch);
                Ok(BackfillReply::Done)
            }
            BackfillChange::Pause { id, is_paused } => {
                let live = self.live_dag(dag_id)?;
                if !live.schedule.pause_backfill(id, is_paused) {
                    return Err(no_backfill(dag_id, id));
                }
                self.store_schedule(dag_id, batch);
                self.make_runs(dag_id, batch);
                self.start_runs(dag_id, batch);
                Ok(BackfillReply::Done)
            }
            BackfillChange::Cancel { id } => self.cancel_backfill(dag_id, id, now, batch),
            BackfillChange::Show => {
                let live = self.live_dag(dag_id)?;
                Ok(BackfillReply::Active(
                    live.schedule.backfill().cloned().map(Box::new),
                ))
            }
        }
    }

    fn live_dag(&mut self, dag_id: &DagId) -> Result<&mut super::LiveDag, SchedulerError> {
        self.dags.get_mut(dag_id).ok_or_else(|| {
            SchedulerError::Refused(format!(
                "no service makes runs of dag {dag_id}; backfills need `airlock serve` on this data folder"
            ))
        })
    }

    /// Its runs that wait to be started end; those that run go on.
    fn cancel_backfill(
        &mut self,
        dag_id: &DagId,
        id: u64,
        now: Timestamp,
        batch: &mut Batch,
    ) -> Result<BackfillReply, SchedulerError> {
        let live = self.live_dag(dag_id)?;
        if live
            .schedule
            .backfill()
            .is_none_or(|backfill| backfill.id() != id)
        {
            return Err(no_backfill(dag_id, id));
        }
        let effects = live.schedule.cancel_backfill(id, now);
        for effect in effects {
            self.carry_out_schedule(dag_id, effect, batch);
        }
        self.store_schedule(dag_id, batch);
        let queued = self.active.get(dag_id).map(|active| active.queued.clone());
        for number in queued.unwrap_or_default() {
            if self
                .runs
                .get(&number)
                .is_some_and(|run| run.row.backfill_id == Some(id))
            {
                let reason = format!("backfill {id} was cancelled");
                let _ = self.step(number, Input::Cancel { reason }, batch);
            }
        }
        Ok(BackfillReply::Done)
    }
}

fn no_backfill(dag_id: &DagId, id: u64) -> SchedulerError {
    SchedulerError::Refused(format!(
        "dag {dag_id} has no active backfill {id}; `airlock backfill list` shows what there is"
    ))
}
