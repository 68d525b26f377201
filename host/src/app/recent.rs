//! The newest runs of every DAG, in memory: read once, then followed by the feed of changes, so that a list costs what changed and
//! not what there is. It owns nothing: it can be thrown away at any time. It refuses to hold more than `RUNS_KEPT_MAX` a DAG.

use super::App;
use super::feed::{Changed, Feed, News};
use crate::error::UserError;
use crate::scheduler::{RunRow, decode_row, run_key};
use crate::store::{Position, Store, Table};
use airlock_core::ids::{DagId, RunId};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Runs that are remembered of each DAG, the newest ones.
pub const RUNS_KEPT_MAX: usize = 400;
/// Rows read at once.
const PAGE: usize = 1_000;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Recent {
    seen: Mutex<Option<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    cursor: Position,
    /// The newest first.
    dags: BTreeMap<DagId, Vec<Arc<RunRow>>>,
}

impl Seen {
    /// Everything, read anew.
    fn read(store: &dyn Store, cursor: Position) -> Result<Self, UserError> {
        let mut seen = Self {
            cursor,
            ..Self::default()
        };
        let mut after: Option<Vec<u8>> = None;
        loop {
            let rows = store.scan(Table::Run, b"", after.as_deref(), PAGE)?;
            let Some(last) = rows.last() else { break };
            after = Some(last.key.clone());
            for row in &rows {
                let row: RunRow = decode_row(&row.value)?;
                let runs = seen.dags.entry(row.dag_id.clone()).or_default();
                runs.push(Arc::new(row));
                if runs.len() > 2 * RUNS_KEPT_MAX {
                    trim(runs);
                }
            }
        }
        for runs in seen.dags.values_mut() {
            trim(runs);
        }
        Ok(seen)
    }

    /// What has changed since.
    fn follow(&mut self, store: &dyn Store, feed: &Feed) -> Result<(), UserError> {
        while let Some(news) = feed.after(self.cursor) {
            match news {
                News::Missed { cursor } => *self = Self::read(store, cursor)?,
                News::Changes { cursor, changed } => {
                    self.take_in(store, &changed)?;
                    self.cursor = cursor;
                }
            }
        }
        Ok(())
    }

    fn take_in(&mut self, store: &dyn Store, changed: &Changed) -> Result<(), UserError> {
        for (dag_id, run_id) in &changed.runs {
            let row = store.get(Table::Run, &run_key(dag_id, run_id))?;
            let runs = self.dags.entry(dag_id.clone()).or_default();
            runs.retain(|run| run.run_id != *run_id);
            if let Some(row) = row {
                runs.push(Arc::new(decode_row(&row.value)?));
                trim(runs);
            }
        }
        Ok(())
    }
}

/// The newest first, and no more than are kept.
fn trim(runs: &mut Vec<Arc<RunRow>>) {
    runs.sort_by_key(|run| Reverse((run.run_after, run.queued_at, run.run_id.clone())));
    runs.truncate(RUNS_KEPT_MAX);
}

impl App {
    /// The newest runs of a DAG, the newest first, at most `max` (and at most `RUNS_KEPT_MAX`).
    pub fn recent_runs(&self, dag_id: &DagId, max: usize) -> Result<Vec<Arc<RunRow>>, UserError> {
        self.with_recent(|dags| {
            let runs = dags.get(dag_id).into_iter().flatten();
            runs.take(max).cloned().collect()
        })
    }

    /// Reads the newest runs of every DAG.
    pub fn with_recent<T>(
        &self,
        read: impl FnOnce(&BTreeMap<DagId, Vec<Arc<RunRow>>>) -> T,
    ) -> Result<T, UserError> {
        let mut seen = self
            .recent
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let store = self.store.as_ref();
        let mut known = match seen.take() {
            Some(known) => known,
            // The cursor first: what is committed meanwhile is read twice, not never.
            None => Seen::read(store, self.feed.cursor())?,
        };
        known.follow(store, &self.feed)?;
        let value = read(&known.dags);
        *seen = Some(known);
        Ok(value)
    }

    /// The run that was made last.
    pub fn latest_run(&self, dag_id: &DagId) -> Result<Option<RunId>, UserError> {
        let runs = self.recent_runs(dag_id, 1)?;
        Ok(runs.first().map(|run| run.run_id.clone()))
    }
}
