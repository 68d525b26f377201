//! A table or some of its rows: slices, statistics, columns of numbers and the split into train and validation parts.

use super::column::Values;
use super::{Answer, Table, invalid};
use crate::sandbox::bindings::airlock::operator::dataset::{Column, ColumnData, Stats};
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use arrow_array::Array as _;
use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most rows of one slice.
pub(super) const SLICE_ROWS_MAX: usize = 65_536;
/// The most bytes of one slice.
pub(super) const SLICE_BYTES_MAX: usize = 8 << 20;

/// Rows of a table.
#[derive(Clone)]
pub(in super::super) struct Part {
    table: Arc<Table>,
    /// Ascending row numbers; none is every row.
    rows: Option<Arc<[u32]>>,
}

/// A label as the key of its class.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Null,
    Number(i64),
    /// Ordered as the float is.
    Float(i64),
    Text(String),
}

impl Part {
    pub(in super::super) fn whole(table: Table) -> Self {
        Self {
            table: Arc::new(table),
            rows: None,
        }
    }

    pub(in super::super) fn rows(&self) -> usize {
        self.rows
            .as_ref()
            .map_or(self.table.rows, |rows| rows.len())
    }

    /// The rows' numbers in the table.
    fn numbers(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.rows()).map(|at| self.number(at))
    }

    fn number(&self, at: usize) -> usize {
        match &self.rows {
            None => at,
            Some(rows) => rows.get(at).map_or(usize::MAX, |row| *row as usize),
        }
    }

    pub(in super::super) fn schema(&self) -> Vec<Column> {
        let column = |(name, values): &(String, Values)| Column {
            name: name.clone(),
            kind: values.kind(),
        };
        self.table.columns.iter().map(column).collect()
    }

    /// SHA-256 in hex: of the object's bytes, and of the rows where it is a part.
    pub(in super::super) fn digest(&self) -> String {
        let Some(rows) = &self.rows else {
            return crate::capability::hex(&self.table.digest);
        };
        let mut hash = Sha256::new();
        hash.update(self.table.digest);
        for row in rows.iter() {
            hash.update(row.to_le_bytes());
        }
        crate::capability::hex(&hash.finalize())
    }

    /// Statistics of the non-null values; NaN counts as null, booleans as 0 and 1, `stddev` is the sample's (n - 1), as pandas has it.
    #[expect(clippy::cast_precision_loss, reason = "a count of rows is under 2^32")]
    pub(in super::super) fn stats(&self, column: &str) -> Answer<Stats> {
        let values = self.table.column(column)?;
        let is_number = !matches!(values, Values::Text(_) | Values::Float64List(_));
        let (mut count, mut nulls, mut mean, mut squares) = (0_u64, 0_u64, 0.0, 0.0);
        let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
        for row in self.numbers() {
            match values.number(row).filter(|value| !value.is_nan()) {
                Some(value) => {
                    count += 1;
                    let distance = value - mean;
                    mean += distance / count as f64;
                    squares += distance * (value - mean);
                    min = min.min(value);
                    max = max.max(value);
                }
                None if is_number || values.is_null(row) => nulls += 1,
                None => {}
            }
        }
        let known = |enough: bool, value: f64| if enough { value } else { f64::NAN };
        Ok(Stats {
            rows: self.rows() as u64,
            nulls,
            mean: known(count > 0, mean),
            stddev: known(count > 1, (squares / (count.max(2) - 1) as f64).sqrt()),
            min: known(count > 0, min),
            max: known(count > 0, max),
        })
    }

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
        let rows = (from..from + count).map(|at| self.number(at));
        Ok(match values {
            Values::Boolean(array) => ColumnData::Booleans(
                rows.map(|row| array.is_valid(row).then(|| array.value(row)))
                    .collect(),
            ),
            Values::Int64(array) => ColumnData::Int64s(
                rows.map(|row| array.is_valid(row).then(|| array.value(row)))
                    .collect(),
            ),
            Values::Timestamp(array) => ColumnData::Timestamps(
                rows.map(|row| array.is_valid(row).then(|| array.value(row)))
                    .collect(),
            ),
            Values::Float64(array) => ColumnData::Float64s(
                rows.map(|row| array.is_valid(row).then(|| array.value(row)))
                    .collect(),
            ),
            Values::Text(array) => ColumnData::Texts(up_to_limit(rows, |row| {
                let value = array.is_valid(row).then(|| array.value(row).to_owned());
                (value.as_ref().map_or(0, String::len), value)
            })?),
            Values::Float64List(array) => ColumnData::Float64Lists(up_to_limit(rows, |row| {
                let value = array.is_valid(row).then(|| {
                    let items = array.value(row);
                    items.as_primitive::<Float64Type>().values().to_vec()
                });
                (value.as_ref().map_or(0, |items| 8 * items.len()), value)
            })?),
        })
    }

    /// A column as numbers for training; nulls are NaN, text and lists are refused.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the trainer's numbers are 32-bit floats"
    )]
    pub(in super::super) fn numbers_of(&self, column: &str) -> Answer<Vec<f32>> {
        let values = self.table.column(column)?;
        if matches!(values, Values::Text(_) | Values::Float64List(_)) {
            return Err(invalid(format!(
                "column {column:?} is no number; encode it first"
            )));
        }
        let number = |row| values.number(row).map_or(f32::NAN, |value| value as f32);
        Ok(self.numbers().map(number).collect())
    }

    /// Train and validation parts. Inside each class the rows are ordered by a hash of seed and row number and the first ones are
    /// for validation. What rounding takes from one class the next one gets, so that the whole is exact and each class is at most
    /// one row off.
    pub(in super::super) fn split(
        &self,
        label: &str,
        fraction: f64,
        seed: u64,
    ) -> Answer<(Self, Self)> {
        if !(fraction > 0.0 && fraction < 1.0) {
            return Err(invalid(format!(
                "the fraction for validation is between 0 and 1, not {fraction}"
            )));
        }
        let values = self.table.column(label)?;
        let mut classes: BTreeMap<Class, Vec<(u64, u32)>> = BTreeMap::new();
        for row in self.numbers() {
            let number = u32::try_from(row)
                .map_err(|_| CapabilityError::TooLarge(super::ROWS_MAX as u64))?;
            let place = (hash(seed, u64::from(number)), number);
            classes.entry(class(values, row)?).or_default().push(place);
        }
        let (mut train, mut valid) = (Vec::new(), Vec::new());
        let mut passed = 0;
        for mut rows in classes.into_values() {
            rows.sort_unstable();
            let before = share(fraction, passed);
            passed += rows.len();
            let take = share(fraction, passed) - before;
            let (chosen, rest) = rows.split_at(take.min(rows.len()));
            valid.extend(chosen.iter().map(|(_, row)| *row));
            train.extend(rest.iter().map(|(_, row)| *row));
        }
        Ok((self.only(train), self.only(valid)))
    }

    fn only(&self, mut rows: Vec<u32>) -> Self {
        rows.sort_unstable();
        Self {
            table: Arc::clone(&self.table),
            rows: Some(rows.into()),
        }
    }
}

/// Values of rows until the bytes of a slice are full.
fn up_to_limit<T>(
    rows: impl Iterator<Item = usize>,
    value: impl Fn(usize) -> (usize, T),
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

/// How many of the first `count` rows are for validation.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of rows is under 2^32 and the fraction between 0 and 1"
)]
fn share(fraction: f64, count: usize) -> usize {
    (fraction * count as f64).round() as usize
}

fn class(values: &Values, row: usize) -> Answer<Class> {
    Ok(match values {
        _ if values.is_null(row) => Class::Null,
        Values::Boolean(array) => Class::Number(i64::from(array.value(row))),
        Values::Int64(array) | Values::Timestamp(array) => Class::Number(array.value(row)),
        Values::Float64(array) => {
            let bits = array.value(row).to_bits().cast_signed();
            // The order of `f64::total_cmp`.
            Class::Float(bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed())
        }
        Values::Text(array) => Class::Text(array.value(row).to_owned()),
        Values::Float64List(_) => {
            return Err(invalid("a list cannot be the label".to_owned()));
        }
    })
}

/// A counter-based hash (two rounds of splitmix64's finaliser): a row's place follows from seed and number alone.
fn hash(seed: u64, row: u64) -> u64 {
    mix(mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)) ^ row.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
