//! Assets: which DAGs make and wait for them, their events, and reporting or causing one by hand. An asset is there as long as a
//! DAG that is not stale names it.

use super::{App, TriggerRequest};
use crate::error::{ErrorKind, UserError};
use crate::scheduler::asset_events_prefix;
use crate::store::Table;
use airlock_core::ids::{DagId, RunId};
use airlock_core::run::event::AssetEvent;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The largest `extra` of an event, bytes of JSON.
pub const ASSET_EXTRA_BYTES_MAX: usize = 48 << 10;

/// An asset as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AssetRow {
    /// Which.
    pub uri: String,
    /// DAGs with a task that has it among its outlets.
    pub producing_dags: BTreeSet<DagId>,
    /// DAGs whose schedule waits for it.
    pub scheduled_dags: BTreeSet<DagId>,
    /// When it was updated last.
    pub last_event_at: Option<Timestamp>,
}

/// An event as lists show it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AssetEventRow {
    /// Of which asset.
    pub uri: String,
    /// When.
    pub at: Timestamp,
    /// The task instance that did it, as `dag_id/run_id/task_id/map_index`, or who reported it.
    pub source: String,
    /// What came with it: a JSON object.
    pub extra: serde_json::Value,
}

impl App {
    /// Every asset, by URI.
    pub fn assets(&self) -> Result<Vec<AssetRow>, UserError> {
        let mut assets: BTreeMap<String, AssetRow> = BTreeMap::new();
        for row in self.dags()?.into_iter().filter(|row| !row.is_stale) {
            let dag = self.dag(row.dag_id.as_str())?.dag;
            for uri in dag.schedule.assets().into_iter().flat_map(|all| all.uris()) {
                let asset = entry(&mut assets, uri);
                asset.scheduled_dags.insert(row.dag_id.clone());
            }
            for uri in dag.tasks.iter().flat_map(|task| &task.outlets) {
                let asset = entry(&mut assets, uri);
                asset.producing_dags.insert(row.dag_id.clone());
            }
        }
        for event in self.asset_events(None)? {
            if let Some(asset) = assets.get_mut(&event.uri) {
                asset.last_event_at = asset.last_event_at.max(Some(event.at));
            }
        }
        Ok(assets.into_values().collect())
    }

    /// Every event of one asset or of all, the oldest first.
    pub fn asset_events(&self, uri: Option<&str>) -> Result<Vec<AssetEventRow>, UserError> {
        let prefix = asset_events_prefix(uri.unwrap_or_default());
        let events: Vec<AssetEvent> = self.rows_under(Table::State, &prefix)?;
        let shown = |event: AssetEvent| AssetEventRow {
            uri: event.uri,
            at: event.at,
            source: event.source,
            extra: serde_json::from_str(&event.extra).unwrap_or_default(),
        };
        let mut events: Vec<AssetEventRow> = events.into_iter().map(shown).collect();
        events.sort_by_key(|event| event.at);
        Ok(events)
    }

    /// Records that an asset was updated by something that is no task instance.
    pub async fn create_asset_event(
        &self,
        uri: &str,
        extra: serde_json::Map<String, serde_json::Value>,
        source: &str,
    ) -> Result<(), UserError> {
        self.asset(uri)?;
        let extra = serde_json::Value::Object(extra).to_string();
        if extra.len() > ASSET_EXTRA_BYTES_MAX {
            let message = format!(
                "the extra has {} bytes; an asset event holds at most {ASSET_EXTRA_BYTES_MAX}",
                extra.len()
            );
            return Err(UserError::new(ErrorKind::Usage, message)
                .hint("put the data into storage, and its URI into the extra"));
        }
        let event = AssetEvent {
            uri: uri.to_owned(),
            at: Timestamp::now(),
            source: source.to_owned(),
            extra,
        };
        Ok(self.scheduler.handle().asset_updated(event).await?)
    }

    /// Triggers a run of the DAG that makes an asset; there must be exactly one.
    pub async fn materialize(
        &self,
        uri: &str,
        request: TriggerRequest,
    ) -> Result<(DagId, RunId), UserError> {
        let producing = self.asset(uri)?.producing_dags;
        let (Some(dag_id), true) = (producing.first(), producing.len() == 1) else {
            let names: Vec<&str> = producing.iter().map(DagId::as_str).collect();
            let (message, hint) = if names.is_empty() {
                let hint = format!("`airlock assets create-event {uri}` reports an update");
                (format!("no DAG makes the asset {uri}"), hint)
            } else {
                let hint = "`airlock dags trigger` one of them".to_owned();
                (
                    format!("several DAGs make the asset {uri}: {}", names.join(", ")),
                    hint,
                )
            };
            return Err(UserError::new(ErrorKind::Conflict, message).hint(hint));
        };
        let dag = self.dag(dag_id.as_str())?;
        let run_id = self.trigger(&dag, request).await?;
        Ok((dag_id.clone(), run_id))
    }

    fn asset(&self, uri: &str) -> Result<AssetRow, UserError> {
        let found = self.assets()?.into_iter().find(|asset| asset.uri == uri);
        found.ok_or_else(|| {
            let message = format!("no DAG names an asset {uri:?}");
            UserError::new(ErrorKind::NotFound, message)
                .hint("`airlock assets list` shows what there is")
        })
    }
}

fn entry<'a>(assets: &'a mut BTreeMap<String, AssetRow>, uri: &str) -> &'a mut AssetRow {
    assets.entry(uri.to_owned()).or_insert_with(|| AssetRow {
        uri: uri.to_owned(),
        producing_dags: BTreeSet::new(),
        scheduled_dags: BTreeSet::new(),
        last_event_at: None,
    })
}
