//! A pass over the keys and times of a table, batch by batch.

use crate::config::Source;
use crate::keys::Keys;
use airlock_sdk::dataset::{Column, ColumnData, Table, read_rows};
use airlock_sdk::{TaskError, progress};

/// Rows of one batch.
const BATCH_ROWS: u32 = 65_536;

/// Keys and times of some rows.
pub(crate) struct Batch {
    /// The number of its first row in the table.
    pub(crate) first: u32,
    pub(crate) rows: usize,
    pub(crate) keys: Keys,
    times: Vec<Option<i64>>,
    created: Option<Vec<Option<i64>>>,
}

impl Batch {
    /// None is null.
    pub(crate) fn time(&self, row: usize) -> Option<i64> {
        self.times.get(row).copied().flatten()
    }

    /// When a row was written; null is before everything.
    pub(crate) fn created(&self, row: usize) -> i64 {
        let created = self.created.as_ref().and_then(|created| created.get(row));
        created.copied().flatten().unwrap_or(i64::MIN)
    }
}

/// Calls `each` with every batch of a feature table.
pub(crate) fn source(
    source: &Source,
    each: impl FnMut(&Batch) -> Result<(), TaskError>,
) -> Result<(), TaskError> {
    let created = source.created.as_deref();
    table(
        &source.table,
        &source.keys,
        &source.timestamp,
        created,
        each,
    )
}

/// Calls `each` with every batch of a table.
pub(crate) fn table(
    table: &Table,
    keys: &[Column],
    timestamp: &str,
    created: Option<&str>,
    mut each: impl FnMut(&Batch) -> Result<(), TaskError>,
) -> Result<(), TaskError> {
    let rows = table.rows();
    let mut offset = 0;
    while offset < rows {
        if progress::is_cancelled() {
            return Err(TaskError::transient("cancelled"));
        }
        let read = |name: &str| read_rows(table, name, offset, BATCH_ROWS);
        let keys: Result<Vec<ColumnData>, _> = keys.iter().map(|key| read(&key.name)).collect();
        let times = times_of(read(timestamp)?);
        let batch = Batch {
            first: u32::try_from(offset)
                .map_err(|_| TaskError::permanent("a table here has under 2^32 rows"))?,
            rows: times.len(),
            keys: Keys::new(keys?),
            times,
            created: created.map(read).transpose()?.map(times_of),
        };
        if batch.rows == 0 {
            return Err(TaskError::transient(
                "the table yields fewer rows than it told of",
            ));
        }
        each(&batch)?;
        offset += batch.rows as u64;
    }
    Ok(())
}

fn times_of(data: ColumnData) -> Vec<Option<i64>> {
    match data {
        ColumnData::Timestamps(times) => times,
        _ => Vec::new(),
    }
}
