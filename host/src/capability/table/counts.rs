//! Which values there are: how often each, and how many rows differ. It refuses lists, and columns with too many values to hold.

use super::column::Values;
use super::{Answer, Part, invalid};
use crate::capability::budget::Budget;
use crate::sandbox::bindings::airlock::operator::dataset::{ValueCount, ValueCounts};
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use arrow_array::Array as _;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, Hasher as _, RandomState};

/// The most different values that are counted.
const DISTINCT_MAX: usize = 1 << 20;
/// About the bytes that a counted value takes while it is counted and sorted.
const COUNTED_BYTES: u64 = 64;
/// The most values that are told.
const TOP_MAX: usize = 10_000;
/// The most bytes of text that are told.
const TOP_BYTES_MAX: usize = 1 << 20;
/// Bytes of a row's hash.
const HASH_BYTES: u64 = 16;

impl Part {
    /// The most frequent values of a column.
    pub(in super::super) fn value_counts(
        &self,
        column: &str,
        limit: u32,
        budget: &Budget,
    ) -> Answer<ValueCounts> {
        let values = self.table.column(column)?;
        let most = self.rows().min(DISTINCT_MAX) as u64;
        let _memory = budget.take(COUNTED_BYTES * most)?;
        let limit = (limit as usize).min(TOP_MAX);
        match values {
            Values::Boolean(array) => {
                let value = |row| array.is_valid(row).then(|| array.value(row));
                self.count(value, limit, ToString::to_string)
            }
            Values::Int64(array) => {
                let value = |row| array.is_valid(row).then(|| array.value(row));
                self.count(value, limit, ToString::to_string)
            }
            Values::Timestamp(array) => {
                let value = |row| array.is_valid(row).then(|| array.value(row));
                self.count(value, limit, |value| instant(*value))
            }
            Values::Float64(array) => {
                let value = |row| {
                    let there = array.is_valid(row).then(|| array.value(row));
                    there.and_then(float_key)
                };
                self.count(value, limit, |bits| f64::from_bits(*bits).to_string())
            }
            Values::Text(array) => {
                let value = |row| array.is_valid(row).then(|| array.value(row));
                self.count(value, limit, |text| (*text).to_owned())
            }
            Values::Float64List(_) => Err(lists(column)),
        }
    }

    fn count<K: Eq + Hash>(
        &self,
        value: impl Fn(usize) -> Option<K>,
        limit: usize,
        text: impl Fn(&K) -> String,
    ) -> Answer<ValueCounts> {
        let mut counts: HashMap<K, u64> = HashMap::new();
        let mut nulls = 0;
        for row in self.numbers() {
            match value(row) {
                Some(key) => *counts.entry(key).or_default() += 1,
                None => nulls += 1,
            }
            if counts.len() > DISTINCT_MAX {
                return Err(CapabilityError::TooLarge(DISTINCT_MAX as u64));
            }
        }
        let top = most_frequent(&counts, limit, text);
        let told: u64 = top.iter().map(|count| count.rows).sum();
        Ok(ValueCounts {
            others: self.rows() as u64 - nulls - told,
            nulls,
            distinct: counts.len() as u64,
            top,
        })
    }

    /// Different rows, if only these columns count; null equals null, and NaN is null.
    pub(in super::super) fn distinct_rows(
        &self,
        columns: &[String],
        budget: &Budget,
    ) -> Answer<u64> {
        let mut keys = Vec::new();
        for name in columns {
            match self.table.column(name)? {
                Values::Float64List(_) => return Err(lists(name)),
                values => keys.push(values),
            }
        }
        let _memory = budget.take(HASH_BYTES * self.rows() as u64)?;
        // Two keys of chance, so that nobody can choose rows that look alike.
        let seeds = (RandomState::new(), RandomState::new());
        let hash = |row| {
            let mut hashers = (seeds.0.build_hasher(), seeds.1.build_hasher());
            for values in &keys {
                feed(values, row, &mut hashers.0);
                feed(values, row, &mut hashers.1);
            }
            (hashers.0.finish(), hashers.1.finish())
        };
        let mut hashes: Vec<(u64, u64)> = self.numbers().map(hash).collect();
        hashes.sort_unstable();
        hashes.dedup();
        Ok(hashes.len() as u64)
    }
}

/// The values with most rows, and among equals those whose text comes first.
fn most_frequent<K>(
    counts: &HashMap<K, u64>,
    limit: usize,
    text: impl Fn(&K) -> String,
) -> Vec<ValueCount> {
    let Some(end) = limit.checked_sub(1) else {
        return Vec::new();
    };
    let mut rows: Vec<u64> = counts.values().copied().collect();
    rows.sort_unstable_by(|one, other| other.cmp(one));
    // What has fewer rows than the last that is told need not become text.
    let least = rows.get(end).copied().unwrap_or(0);
    let frequent = counts.iter().filter(|(_, rows)| **rows >= least);
    let mut top: Vec<ValueCount> = frequent
        .map(|(key, rows)| ValueCount {
            value: text(key),
            rows: *rows,
        })
        .collect();
    top.sort_unstable_by(|one, other| (other.rows, &one.value).cmp(&(one.rows, &other.value)));
    top.truncate(limit);
    let mut bytes = 0;
    let fits = |count: &&ValueCount| {
        bytes += count.value.len();
        bytes <= TOP_BYTES_MAX
    };
    let told = top.iter().take_while(fits).count();
    top.truncate(told);
    top
}

fn feed(values: &Values, row: usize, hasher: &mut impl std::hash::Hasher) {
    match values {
        Values::Boolean(array) => array.is_valid(row).then(|| array.value(row)).hash(hasher),
        Values::Int64(array) | Values::Timestamp(array) => {
            array.is_valid(row).then(|| array.value(row)).hash(hasher);
        }
        Values::Float64(array) => array
            .is_valid(row)
            .then(|| array.value(row))
            .and_then(float_key)
            .hash(hasher),
        Values::Text(array) => array.is_valid(row).then(|| array.value(row)).hash(hasher),
        Values::Float64List(_) => {}
    }
}

/// Bits by which floats are the same: NaN is null, -0 is 0.
fn float_key(value: f64) -> Option<u64> {
    (!value.is_nan()).then(|| if value == 0.0 { 0 } else { value.to_bits() })
}

/// RFC 3339, or plain microseconds where no calendar reaches.
fn instant(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros)
        .map_or_else(|_| micros.to_string(), |instant| instant.to_string())
}

fn lists(column: &str) -> CapabilityError {
    let shown: String = column.chars().take(100).collect();
    invalid(format!(
        "column {shown:?} holds lists, which are not counted"
    ))
}
