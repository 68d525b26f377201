//! The table that comes out: columns of several tables side by side, written batch by batch.

use airlock_sdk::dataset::{Column, ColumnData, Table, TableWriter, read_rows, take_rows};
use airlock_sdk::{CapabilityError, TaskError, progress};
use std::collections::BTreeSet;

/// Bytes of one batch at most, in guest memory: a host call may move twice as much.
const BATCH_BYTES: usize = 8 << 20;
/// Rows of one batch at most.
const BATCH_ROWS: usize = 65_536;

/// Columns of one table, and which rows of it are wanted; none is all of them in order.
pub(crate) struct Side<'a> {
    pub(crate) table: &'a Table,
    pub(crate) columns: &'a [Column],
    pub(crate) rows: Option<&'a [u32]>,
}

/// Writes `rows` rows of these columns under `names` and yields the digest.
pub(crate) fn write(
    uri: &str,
    names: &[Column],
    sides: &[Side],
    rows: usize,
) -> Result<String, TaskError> {
    let mut taken = BTreeSet::new();
    if let Some(twice) = names.iter().find(|column| !taken.insert(&column.name)) {
        let message = format!(
            "column `{}` would be there twice: choose `columns`, or set a `prefix`",
            twice.name
        );
        return Err(TaskError::invalid("features", message));
    }
    let writer = TableWriter::create(uri, names)?;
    let (mut done, mut step) = (0, BATCH_ROWS);
    while done < rows {
        if progress::is_cancelled() {
            return Err(TaskError::transient("cancelled"));
        }
        let count = step.min(rows - done);
        let batch = batch(sides, done, count)?;
        if batch.iter().map(bytes).sum::<usize>() > BATCH_BYTES && count > 1 {
            // Rows are large here, so fewer go at once from now on.
            step = count / 2;
            continue;
        }
        writer.append(&batch)?;
        done += count;
        report(done, rows);
    }
    Ok(writer.finish()?)
}

fn batch(sides: &[Side], from: usize, count: usize) -> Result<Vec<ColumnData>, CapabilityError> {
    let limit = u32::try_from(count).unwrap_or(u32::MAX);
    let mut batch = Vec::new();
    for side in sides {
        for column in side.columns {
            batch.push(match side.rows {
                None => read_rows(side.table, &column.name, from as u64, limit)?,
                Some(rows) => {
                    let rows = rows.get(from..from + count).unwrap_or_default();
                    take_rows(side.table, &column.name, rows)?
                }
            });
        }
    }
    Ok(batch)
}

/// About the bytes that a column takes on its way to the host.
fn bytes(data: &ColumnData) -> usize {
    match data {
        ColumnData::Booleans(values) => 2 * values.len(),
        ColumnData::Int64s(values) | ColumnData::Timestamps(values) => 16 * values.len(),
        ColumnData::Float64s(values) => 16 * values.len(),
        ColumnData::Texts(values) => {
            let texts = values.iter().flatten().map(String::len);
            12 * values.len() + texts.sum::<usize>()
        }
        ColumnData::Float64Lists(values) => {
            let lists = values.iter().flatten().map(|list| 8 * list.len());
            12 * values.len() + lists.sum::<usize>()
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a fraction for people")]
fn report(done: usize, rows: usize) {
    let fraction = done as f64 / rows as f64;
    progress::report(fraction, &format!("{done} of {rows} rows written"));
}
