//! Asset events: a success with outlets, or a person, updates an asset; the schedules that wait for it hear of it in the same
//! commit. It refuses events of anything but a success.

use super::Engine;
use crate::scheduler::batch::Batch;
use crate::scheduler::codec::encode_row;
use crate::scheduler::message::SchedulerError;
use crate::scheduler::records::asset_event_key;
use crate::store::Table;
use airlock_core::dispatch::RunNumber;
use airlock_core::ids::{DagId, TaskInstanceKey};
use airlock_core::run::event::{AssetEvent, Event};
use airlock_core::task_instance::state::TaskInstanceState;
use jiff::Timestamp;

impl Engine {
    /// The asset events of what happened in a run.
    pub(super) fn emit_assets(&mut self, number: RunNumber, events: &[Event], batch: &mut Batch) {
        let mut updated = Vec::new();
        for event in events {
            let Event::AttemptFinished { ti, at, .. } = event else {
                continue;
            };
            updated.extend(self.outlets(number, *ti, *at));
        }
        for event in updated {
            self.asset_updated(&event, Some(number), batch);
        }
    }

    fn outlets(&self, number: RunNumber, ti: TaskInstanceKey, at: Timestamp) -> Vec<AssetEvent> {
        let Some(run) = self.runs.get(&number) else {
            return Vec::new();
        };
        let Some(task) = run
            .view
            .dag
            .task(ti.task)
            .filter(|task| !task.outlets.is_empty())
        else {
            return Vec::new();
        };
        let instance = run.state.instance(ti);
        if instance.is_none_or(|instance| instance.state() != TaskInstanceState::Success) {
            return Vec::new();
        }
        let (dag_id, run_id, task_id) = (&run.row.dag_id, &run.row.run_id, &task.task_id);
        let source = format!("{dag_id}/{run_id}/{task_id}/{}", ti.map_index);
        let event = |uri: &String| AssetEvent {
            uri: uri.clone(),
            at,
            source: source.clone(),
            extra: "{}".to_owned(),
        };
        task.outlets.iter().map(event).collect()
    }

    /// Somebody reports an update. Only a service can tell the schedules that wait for it.
    pub(super) fn record_asset_update(
        &mut self,
        event: &AssetEvent,
        batch: &mut Batch,
    ) -> Result<(), SchedulerError> {
        if let Some(reason) = &self.failure {
            return Err(SchedulerError::Store(reason.clone()));
        }
        if !self.is_service {
            let message =
                "no service makes runs; asset events need `airlock serve` on this data folder";
            return Err(SchedulerError::Refused(message.to_owned()));
        }
        self.asset_updated(event, None, batch);
        Ok(())
    }

    /// An asset was updated: recorded, and told to every schedule that waits for it.
    pub(super) fn asset_updated(
        &mut self,
        event: &AssetEvent,
        anchor: Option<RunNumber>,
        batch: &mut Batch,
    ) {
        match encode_row(event) {
            Ok(value) => {
                let key = asset_event_key(&event.uri, event.at, &event.source);
                batch.row(anchor, Table::State, key, Some(value));
            }
            Err(error) => tracing::error!(%error, "an asset event cannot be encoded"),
        }
        let waiting: Vec<DagId> = self
            .dags
            .iter_mut()
            .filter_map(|(dag_id, live)| {
                let kept = live.schedule.asset_updated(&live.dag, event.clone());
                kept.then(|| dag_id.clone())
            })
            .collect();
        for dag_id in waiting {
            self.store_schedule(&dag_id, anchor, batch);
            self.make_runs(&dag_id, anchor, batch);
        }
    }
}
