//! Tables that the host holds: rows enter guest memory only when asked for.

use crate::CapabilityError;
use std::collections::BTreeMap;

pub use crate::bindings::airlock::operator::dataset::{
    Column, ColumnData, ColumnKind, MatrixSpec, MemoryNeed, Stats,
};
pub use crate::sys::dataset::{Matrix, Table, TableWriter};

/// The most rows that one host call moves.
pub const BATCH_ROWS_MAX: u32 = 65_536;

/// A column called `name`.
pub fn column(name: &str, kind: ColumnKind) -> Column {
    Column {
        name: name.to_owned(),
        kind,
    }
}

/// The named columns of `table`, rows `offset` to `offset + limit`.
pub fn read_batch(
    table: &Table,
    columns: &[&str],
    offset: u64,
    limit: u32,
) -> Result<BTreeMap<String, ColumnData>, CapabilityError> {
    columns
        .iter()
        .map(|&name| {
            let data = table.read(name, offset, limit.min(BATCH_ROWS_MAX))?;
            Ok((name.to_owned(), data))
        })
        .collect()
}

/// The values as numbers: booleans count 0 and 1, timestamps are microseconds. None for texts and lists.
#[expect(
    clippy::cast_precision_loss,
    reason = "a 64-bit float is what statistics work on"
)]
pub fn as_f64(data: &ColumnData) -> Option<Vec<Option<f64>>> {
    match data {
        ColumnData::Booleans(values) => Some(
            values
                .iter()
                .map(|value| value.map(|value| f64::from(u8::from(value))))
                .collect(),
        ),
        ColumnData::Int64s(values) | ColumnData::Timestamps(values) => Some(
            values
                .iter()
                .map(|value| value.map(|value| value as f64))
                .collect(),
        ),
        ColumnData::Float64s(values) => Some(values.clone()),
        ColumnData::Texts(_) | ColumnData::Float64Lists(_) => None,
    }
}
