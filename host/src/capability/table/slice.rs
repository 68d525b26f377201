//! Rows on their way to a guest: slices and single rows of one column, each within the limits of a host call.

use super::column::Values;
use super::{Answer, Part, invalid};
use crate::sandbox::bindings::airlock::operator::dataset::ColumnData;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use arrow_array::Array as _;
use arrow_array::cast::AsArray as _;
use arrow_array::types::Float64Type;

/// The most rows of one slice.
pub(super) const SLICE_ROWS_MAX: usize = 65_536;
/// The most bytes of one slice.
pub(super) const SLICE_BYTES_MAX: usize = 8 << 20;
/// The row number that asks for null.
const NO_ROW: u32 = u32::MAX;

impl Part {
    /// A slice of a column: at most 65,536 rows, and fewer where 8 MiB are full.
    pub(in super::super) fn read(
        &self,
        column: &str,
        offset: u64,
        limit: u32,
    ) -> Answer<ColumnData> {
        let values = self.table.column(column)?;
        let from = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.rows());
        let count = (limit as usize).min(SLICE_ROWS_MAX).min(self.rows() - from);
        data_of(values, (from..from + count).map(|at| Some(self.number(at))))
    }

    /// The values of single rows, `NO_ROW` is null: at most 65,536, and fewer where 8 MiB are full.
    pub(in super::super) fn take(&self, column: &str, rows: &[u32]) -> Answer<ColumnData> {
        let values = self.table.column(column)?;
        if rows.len() > SLICE_ROWS_MAX {
            return Err(CapabilityError::TooLarge(SLICE_ROWS_MAX as u64));
        }
        let there = self.rows();
        if let Some(row) = rows
            .iter()
            .find(|row| **row != NO_ROW && **row as usize >= there)
        {
            return Err(invalid(format!(
                "row {row} is asked for, the table has {there} rows"
            )));
        }
        let number = |row: &u32| (*row != NO_ROW).then(|| self.number(*row as usize));
        data_of(values, rows.iter().map(number))
    }
}

/// The values of these rows, none for null.
fn data_of(values: &Values, rows: impl Iterator<Item = Option<usize>>) -> Answer<ColumnData> {
    /// The entry of a row in an array.
    macro_rules! entries {
        ($array:expr) => {
            rows.map(|row| {
                row.filter(|row| $array.is_valid(*row))
                    .map(|row| $array.value(row))
            })
            .collect()
        };
    }
    Ok(match values {
        Values::Boolean(array) => ColumnData::Booleans(entries!(array)),
        Values::Int64(array) => ColumnData::Int64s(entries!(array)),
        Values::Timestamp(array) => ColumnData::Timestamps(entries!(array)),
        Values::Float64(array) => ColumnData::Float64s(entries!(array)),
        Values::Text(array) => ColumnData::Texts(up_to_limit(rows, |row| {
            let value = row.filter(|row| array.is_valid(*row));
            let value = value.map(|row| array.value(row).to_owned());
            (value.as_ref().map_or(0, String::len), value)
        })?),
        Values::Float64List(array) => ColumnData::Float64Lists(up_to_limit(rows, |row| {
            let value = row.filter(|row| array.is_valid(*row)).map(|row| {
                let items = array.value(row);
                items.as_primitive::<Float64Type>().values().to_vec()
            });
            (value.as_ref().map_or(0, |items| 8 * items.len()), value)
        })?),
    })
}

/// Values of rows until the bytes of a slice are full.
fn up_to_limit<T>(
    rows: impl Iterator<Item = Option<usize>>,
    value: impl Fn(Option<usize>) -> (usize, T),
) -> Answer<Vec<T>> {
    let (mut out, mut bytes) = (Vec::new(), 0);
    for row in rows {
        let (size, value) = value(row);
        bytes += size;
        if bytes > SLICE_BYTES_MAX {
            if out.is_empty() {
                return Err(CapabilityError::TooLarge(SLICE_BYTES_MAX as u64));
            }
            break;
        }
        out.push(value);
    }
    Ok(out)
}
