//! Asset events: a success with outlets, or a person, updates an asset; the schedules that wait for it hear of it in the same
//! commit. It refuses events of anything but a success.

use super::Engine;
use crate::scheduler::batch::Batch;
use crate::scheduler::codec::{decode_row, encode_row};
use crate::scheduler::message::SchedulerError;
use crate::scheduler::records::{UNTOLD_PREFIX, asset_event_key, untold_event_key};
use crate::store::{StoreError, Table};
use airlock_core::dispatch::RunNumber;
use airlock_core::ids::{DagId, TaskInstanceKey};
use airlock_core::run::event::{AssetEvent, Event};
use airlock_core::task_instance::state::TaskInstanceState;
use jiff::Timestamp;

/// Rows read at once.
const READ_ROWS: usize = 1_024;

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
            self.asset_updated(&event, batch);
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
        let source = run.view.task_instance_name(ti);
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
        self.asset_updated(event, batch);
        Ok(())
    }

    /// An asset was updated: recorded, and told to every schedule that waits for it.
    pub(super) fn asset_updated(&mut self, event: &AssetEvent, batch: &mut Batch) {
        match encode_row(event) {
            Ok(value) => {
                let key = asset_event_key(&event.uri, event.at, &event.source);
                batch.row(Table::State, key, Some(value));
            }
            Err(error) => tracing::error!(%error, "an asset event cannot be encoded"),
        }
        if self.is_service {
            self.tell_schedules(event, batch);
        } else {
            self.keep_untold(event, batch);
        }
    }

    /// No schedule hears of an event where no service makes runs: the next one that starts tells them.
    fn keep_untold(&mut self, event: &AssetEvent, batch: &mut Batch) {
        let key = untold_event_key(&event.uri, event.at, &event.source);
        if let Ok(value) = encode_row(event) {
            batch.row(Table::State, key.clone(), Some(value));
            self.untold.insert(key, event.clone());
        }
    }

    /// A service starts: its schedules hear of what happened without one, the oldest first.
    pub(super) fn tell_untold(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        // Those of this process may be on their way to the store.
        let mut untold = std::mem::take(&mut self.untold);
        let mut after: Option<Vec<u8>> = None;
        loop {
            let store = self.parts.store.as_ref();
            let rows = store.scan(Table::State, UNTOLD_PREFIX, after.as_deref(), READ_ROWS)?;
            let Some(last) = rows.last() else { break };
            after = Some(last.key.clone());
            for row in rows {
                match decode_row(&row.value) {
                    Ok(event) => drop(untold.insert(row.key, event)),
                    Err(error) => tracing::error!(%error, "an asset event cannot be read"),
                }
            }
        }
        let mut untold: Vec<_> = untold.into_iter().collect();
        untold.sort_by_key(|(_, event)| event.at);
        for (key, event) in untold {
            batch.row(Table::State, key, None);
            self.tell_schedules(&event, batch);
            self.submit_if_full(batch);
        }
        Ok(())
    }

    fn tell_schedules(&mut self, event: &AssetEvent, batch: &mut Batch) {
        let waiting: Vec<DagId> = self
            .dags
            .iter_mut()
            .filter_map(|(dag_id, live)| {
                let kept = live.schedule.asset_updated(&live.dag, event.clone());
                kept.then(|| dag_id.clone())
            })
            .collect();
        for dag_id in waiting {
            self.store_schedule(&dag_id, batch);
            self.make_runs(&dag_id, batch);
        }
    }
}
