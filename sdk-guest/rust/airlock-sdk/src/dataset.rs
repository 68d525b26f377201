//! Tables that the host holds: rows enter guest memory only when asked for.

use crate::CapabilityError;
use std::collections::BTreeMap;

pub use crate::bindings::airlock::operator::dataset::{
    Column, ColumnData, ColumnKind, ColumnProfile, MatrixSpec, MemoryNeed, Stats, ValueCount,
    ValueCounts,
};
pub use crate::sys::dataset::{Matrix, Table, TableWriter};

/// The most rows that one host call moves.
pub const BATCH_ROWS_MAX: u32 = 65_536;
/// The row number that `Table::take` answers with null.
pub const NO_ROW: u32 = u32::MAX;

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

/// Rows `offset` to `offset + rows` of a column, all of them: a call yields fewer where texts or lists are large. At most
/// `BATCH_ROWS_MAX` at once, and fewer at the table's end.
pub fn read_rows(
    table: &Table,
    column: &str,
    offset: u64,
    rows: u32,
) -> Result<ColumnData, CapabilityError> {
    let rows = rows.min(BATCH_ROWS_MAX);
    let mut data = table.read(column, offset, rows)?;
    loop {
        let got = len(&data);
        let missing = rows.saturating_sub(u32::try_from(got).unwrap_or(u32::MAX));
        if missing == 0 {
            return Ok(data);
        }
        let more = table.read(column, offset + got as u64, missing)?;
        if len(&more) == 0 {
            return Ok(data);
        }
        append(&mut data, &more);
    }
}

/// The values of the rows with these numbers, all of them; `NO_ROW` is null. At most `BATCH_ROWS_MAX` at once.
pub fn take_rows(table: &Table, column: &str, rows: &[u32]) -> Result<ColumnData, CapabilityError> {
    let mut data = table.take(column, rows)?;
    while let Some(rest @ [_, ..]) = rows.get(len(&data)..) {
        let more = table.take(column, rest)?;
        if len(&more) == 0 {
            let stuck = format!("the host yields no row of column {column}");
            return Err(CapabilityError::Unavailable(stuck));
        }
        append(&mut data, &more);
    }
    Ok(data)
}

/// How many values there are, null included.
pub fn len(data: &ColumnData) -> usize {
    match data {
        ColumnData::Booleans(values) => values.len(),
        ColumnData::Int64s(values) | ColumnData::Timestamps(values) => values.len(),
        ColumnData::Float64s(values) => values.len(),
        ColumnData::Texts(values) => values.len(),
        ColumnData::Float64Lists(values) => values.len(),
    }
}

/// No values of this kind.
pub fn empty(kind: ColumnKind) -> ColumnData {
    match kind {
        ColumnKind::Boolean => ColumnData::Booleans(Vec::new()),
        ColumnKind::Int64 => ColumnData::Int64s(Vec::new()),
        ColumnKind::Float64 => ColumnData::Float64s(Vec::new()),
        ColumnKind::Text => ColumnData::Texts(Vec::new()),
        ColumnKind::Timestamp => ColumnData::Timestamps(Vec::new()),
        ColumnKind::Float64List => ColumnData::Float64Lists(Vec::new()),
    }
}

/// Adds `more` at the end of `data`; false, and nothing happens, where the kinds differ.
pub fn append(data: &mut ColumnData, more: &ColumnData) -> bool {
    match (data, more) {
        (ColumnData::Booleans(data), ColumnData::Booleans(more)) => data.extend_from_slice(more),
        (ColumnData::Float64s(data), ColumnData::Float64s(more)) => data.extend_from_slice(more),
        (ColumnData::Texts(data), ColumnData::Texts(more)) => data.extend_from_slice(more),
        (ColumnData::Int64s(data), ColumnData::Int64s(more))
        | (ColumnData::Timestamps(data), ColumnData::Timestamps(more)) => {
            data.extend_from_slice(more);
        }
        (ColumnData::Float64Lists(data), ColumnData::Float64Lists(more)) => {
            data.extend_from_slice(more);
        }
        _ => return false,
    }
    true
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
