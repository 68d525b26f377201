//! A table or some of its rows: columns of numbers and the split into train and validation parts. Slices, profiles and counts have
//! files of their own.

use super::column::Values;
use super::{Answer, Table, invalid};
use crate::sandbox::bindings::airlock::operator::dataset::Column;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows of a table.
#[derive(Clone)]
pub(in super::super) struct Part {
    pub(super) table: Arc<Table>,
    /// Ascending row numbers; none is every row.
    pub(super) rows: Option<Arc<[u32]>>,
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
    pub(super) fn numbers(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.rows()).map(|at| self.number(at))
    }

    pub(super) fn number(&self, at: usize) -> usize {
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
            return crate::store::hex(&self.table.digest);
        };
        let mut hash = Sha256::new();
        hash.update(self.table.digest);
        for row in rows.iter() {
            hash.update(row.to_le_bytes());
        }
        crate::store::hex(&hash.finalize())
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
pub(super) fn hash(seed: u64, row: u64) -> u64 {
    mix(mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)) ^ row.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
