//! Rows and events read a page at a time: one loop for everything in this room that may be too much to hold at once.

use super::App;
use crate::error::UserError;
use crate::scheduler::{decode_event, decode_row, run_stream};
use crate::store::{Row, Seq, Store, Table};
use airlock_core::ids::{DagId, RunId};
use airlock_core::run::event::Event;
use serde::de::DeserializeOwned;

/// Rows read at once.
const ROWS_PAGE: usize = 1_000;
/// Events read at once.
const EVENTS_PAGE: usize = 4_096;

/// Calls `each` for every row whose key begins so, in the order of keys.
pub(super) fn for_each_row(
    store: &dyn Store,
    table: Table,
    prefix: &[u8],
    mut each: impl FnMut(Row) -> Result<(), UserError>,
) -> Result<(), UserError> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = store.scan(table, prefix, after.as_deref(), ROWS_PAGE)?;
        let Some(last) = rows.last() else {
            return Ok(());
        };
        after = Some(last.key.clone());
        rows.into_iter().try_for_each(&mut each)?;
    }
}

/// Calls `each` for every event of a run with its number, in order.
pub(super) fn for_each_event(
    store: &dyn Store,
    dag_id: &DagId,
    run_id: &RunId,
    mut each: impl FnMut(Seq, Event),
) -> Result<(), UserError> {
    let (stream, mut from) = (run_stream(dag_id, run_id), 0);
    loop {
        let events = store.read(&stream, from, EVENTS_PAGE)?;
        let Some(last) = events.last() else {
            return Ok(());
        };
        from = last.seq + 1;
        for stored in &events {
            each(stored.seq, decode_event(&stored.payload)?);
        }
    }
}

impl App {
    /// What every row under a prefix holds, in the order of keys.
    pub(super) fn rows_under<T: DeserializeOwned>(
        &self,
        table: Table,
        prefix: &[u8],
    ) -> Result<Vec<T>, UserError> {
        let mut found = Vec::new();
        for_each_row(self.store.as_ref(), table, prefix, |row| {
            found.push(decode_row(&row.value)?);
            Ok(())
        })?;
        Ok(found)
    }
}
