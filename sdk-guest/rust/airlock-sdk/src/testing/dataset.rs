//! Tables and matrices of the fake host: columns in memory. Profiles and counts are worked out as their definitions say, without a
//! sample.
#![expect(missing_docs, reason = "mirrors the bindings, which wit/ documents")]

use super::{Columns, answer};
use crate::CapabilityError;
pub use crate::bindings::airlock::operator::dataset::{
    Column, ColumnData, ColumnKind, ColumnProfile, MatrixSpec, MemoryNeed, Stats, ValueCount,
    ValueCounts,
};
use crate::dataset::{append, as_f64, empty, len};
use crate::time::Timestamp;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

type Answer<T> = Result<T, CapabilityError>;

/// Rows that one `take` yields at most.
const TAKEN_MAX: usize = 1_000;

pub struct Table(Columns);

impl Table {
    pub fn open(uri: &str) -> Answer<Self> {
        answer("storage", |state| match state.tables.get(uri) {
            Some(columns) => Ok(Self(columns.clone())),
            None => Err(CapabilityError::NotFound(uri.to_owned())),
        })
    }

    pub fn rows(&self) -> u64 {
        self.0.first().map_or(0, |(_, data)| len(data)) as u64
    }

    pub fn schema(&self) -> Vec<Column> {
        self.0.iter().map(|(column, _)| column.clone()).collect()
    }

    pub fn digest(&self) -> String {
        format!("sha256-of-{}-rows", self.rows())
    }

    fn find(&self, column: &str) -> Answer<&ColumnData> {
        let found = self.0.iter().find(|(there, _)| there.name == column);
        found
            .map(|(_, data)| data)
            .ok_or_else(|| CapabilityError::NotFound(format!("column {column}")))
    }

    #[expect(clippy::cast_precision_loss, reason = "tests have few rows")]
    pub fn stats(&self, column: &str) -> Answer<Stats> {
        let data = self.find(column)?;
        let texts = nulls(data);
        let rows = len(data) as u64;
        let values = numbers(data);
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Ok(Stats {
            rows,
            nulls: as_f64(data).map_or(texts, |_| rows - values.len() as u64),
            mean,
            stddev: (squares / (count - 1.0)).sqrt(),
            min: values.iter().copied().fold(f64::NAN, f64::min),
            max: values.iter().copied().fold(f64::NAN, f64::max),
        })
    }

    pub fn take(&self, column: &str, rows: &[u32]) -> Answer<ColumnData> {
        let data = self.find(column)?;
        let there = |row: &&u32| **row != u32::MAX && **row as usize >= len(data);
        if let Some(row) = rows.iter().find(there) {
            return Err(CapabilityError::Invalid(format!("row {row}")));
        }
        // What the host does where 8 MiB are full, so that guests are tested for it.
        let rows = rows.get(..rows.len().min(TAKEN_MAX)).unwrap_or_default();
        let places: Vec<usize> = rows.iter().map(|row| *row as usize).collect();
        Ok(pick(data, &places))
    }

    pub fn profile(&self, columns: &[String], probabilities: &[f64]) -> Answer<Vec<ColumnProfile>> {
        let all: Vec<String> = self
            .schema()
            .into_iter()
            .map(|column| column.name)
            .collect();
        let wanted = if columns.is_empty() { &all } else { columns };
        let one = |name: &String| {
            let mut values = numbers(self.find(name)?);
            values.sort_by(f64::total_cmp);
            let found = self.0.iter().find(|(column, _)| column.name == *name);
            let quantiles = probabilities
                .iter()
                .filter_map(|share| quantile(&values, *share));
            Ok(ColumnProfile {
                column: found
                    .map(|(column, _)| column.clone())
                    .ok_or_else(|| CapabilityError::NotFound(name.clone()))?,
                stats: self.stats(name)?,
                quantiles: quantiles.collect(),
            })
        };
        wanted.iter().map(one).collect()
    }

    pub fn value_counts(&self, column: &str, limit: u32) -> Answer<ValueCounts> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let keys = keys(self.find(column)?)?;
        for key in keys.iter().flatten() {
            *counts.entry(key.clone()).or_default() += 1;
        }
        let distinct = counts.len() as u64;
        let mut top: Vec<ValueCount> = counts
            .into_iter()
            .map(|(value, rows)| ValueCount { value, rows })
            .collect();
        top.sort_by_key(|count| std::cmp::Reverse(count.rows));
        top.truncate(limit as usize);
        let told: u64 = top.iter().map(|count| count.rows).sum();
        let nulls = keys.iter().filter(|key| key.is_none()).count() as u64;
        Ok(ValueCounts {
            others: keys.len() as u64 - nulls - told,
            top,
            nulls,
            distinct,
        })
    }

    pub fn distinct_rows(&self, columns: &[String]) -> Answer<u64> {
        let keys = columns.iter().map(|name| keys(self.find(name)?));
        let keys: Vec<Vec<Option<String>>> = keys.collect::<Answer<_>>()?;
        let rows = usize::try_from(self.rows()).unwrap_or(usize::MAX);
        let row = |at| keys.iter().map(|column| column.get(at).cloned()).collect();
        let different: BTreeSet<Vec<_>> = (0..rows).map(row).collect();
        Ok(different.len() as u64)
    }

    pub fn read(&self, column: &str, offset: u64, limit: u32) -> Answer<ColumnData> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let places: Vec<usize> = (start..len(self.find(column)?))
            .take(limit as usize)
            .collect();
        Ok(pick(self.find(column)?, &places))
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "tests have few rows"
    )]
    pub fn split(&self, label: &str, valid_fraction: f64, _seed: u64) -> Answer<(Self, Self)> {
        self.find(label)?;
        let rows = self.rows() as usize;
        let valid = (rows as f64 * valid_fraction) as usize;
        let part = |places: Vec<usize>| {
            let columns = self.0.iter();
            Self(
                columns
                    .map(|(column, data)| (column.clone(), pick(data, &places)))
                    .collect(),
            )
        };
        Ok((part((valid..rows).collect()), part((0..valid).collect())))
    }

    pub fn matrix(&self, spec: &MatrixSpec) -> Answer<Matrix> {
        for name in &spec.features {
            self.find(name)?;
        }
        Ok(Matrix {
            rows: self.rows(),
            spec: spec.clone(),
        })
    }
}

pub struct TableWriter {
    uri: String,
    columns: RefCell<Columns>,
}

impl TableWriter {
    pub fn create(uri: &str, columns: &[Column]) -> Answer<Self> {
        let empty = |column: &Column| (column.clone(), empty(column.kind));
        answer("storage", |_| {
            Ok(Self {
                uri: uri.to_owned(),
                columns: RefCell::new(columns.iter().map(empty).collect()),
            })
        })
    }

    pub fn append(&self, batch: &[ColumnData]) -> Answer<()> {
        let mut columns = self.columns.borrow_mut();
        let lengths: Vec<usize> = batch.iter().map(len).collect();
        if batch.len() != columns.len()
            || lengths.windows(2).any(|pair| pair.first() != pair.last())
        {
            return Err(CapabilityError::Invalid("a batch of another shape".into()));
        }
        for ((column, data), more) in columns.iter_mut().zip(batch) {
            if !append(data, more) {
                return Err(CapabilityError::Invalid(format!("kind of {}", column.name)));
            }
        }
        Ok(())
    }

    pub fn finish(&self) -> Answer<String> {
        answer("storage", |state| {
            state.tables.insert(self.uri.clone(), self.columns.take());
            Ok(format!("sha256-of-{}", self.uri))
        })
    }
}

pub struct Matrix {
    rows: u64,
    pub(super) spec: MatrixSpec,
}

impl Matrix {
    pub fn rows(&self) -> u64 {
        self.rows
    }

    pub fn features(&self) -> u32 {
        u32::try_from(self.spec.features.len()).unwrap_or(u32::MAX)
    }

    pub fn digest(&self) -> String {
        format!("sha256-of-matrix-{}", self.rows)
    }

    pub fn memory(&self) -> MemoryNeed {
        MemoryNeed {
            host: self.rows,
            device_shared: self.rows,
            device_per_run: self.rows,
        }
    }
}

/// Calls `$body` with the values of a column, whatever their kind.
macro_rules! each_kind {
    ($data:expr, $values:ident => $body:expr) => {
        match $data {
            ColumnData::Booleans($values) => $body,
            ColumnData::Int64s($values) | ColumnData::Timestamps($values) => $body,
            ColumnData::Float64s($values) => $body,
            ColumnData::Texts($values) => $body,
            ColumnData::Float64Lists($values) => $body,
        }
    };
}

fn nulls(data: &ColumnData) -> u64 {
    each_kind!(data, values => values.iter().filter(|value| value.is_none()).count() as u64)
}

/// The numbers of a column; NaN is null.
fn numbers(data: &ColumnData) -> Vec<f64> {
    let values = as_f64(data).unwrap_or_default().into_iter().flatten();
    values.filter(|value| !value.is_nan()).collect()
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "tests have few rows"
)]
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied()
}

/// Values as texts, none for null and NaN.
fn keys(data: &ColumnData) -> Answer<Vec<Option<String>>> {
    let float = |value: f64| (!value.is_nan()).then(|| (value + 0.0).to_string());
    let instant = |micros: i64| {
        Timestamp::from_micros(micros).map_or_else(|_| micros.to_string(), |at| at.to_string())
    };
    Ok(match data {
        ColumnData::Booleans(values) => texts(values, |value| Some(value.to_string())),
        ColumnData::Int64s(values) => texts(values, |value| Some(value.to_string())),
        ColumnData::Float64s(values) => texts(values, |value| float(*value)),
        ColumnData::Texts(values) => values.clone(),
        ColumnData::Timestamps(values) => texts(values, |value| Some(instant(*value))),
        ColumnData::Float64Lists(_) => return Err(CapabilityError::Invalid("lists".to_owned())),
    })
}

fn texts<T>(values: &[Option<T>], text: impl Fn(&T) -> Option<String>) -> Vec<Option<String>> {
    let values = values.iter();
    values.map(|value| value.as_ref().and_then(&text)).collect()
}

/// A place beyond the end is null.
fn at<T: Clone>(values: &[Option<T>], places: &[usize]) -> Vec<Option<T>> {
    let places = places.iter();
    places
        .map(|&place| values.get(place).cloned().flatten())
        .collect()
}

fn pick(data: &ColumnData, places: &[usize]) -> ColumnData {
    match data {
        ColumnData::Booleans(values) => ColumnData::Booleans(at(values, places)),
        ColumnData::Int64s(values) => ColumnData::Int64s(at(values, places)),
        ColumnData::Float64s(values) => ColumnData::Float64s(at(values, places)),
        ColumnData::Texts(values) => ColumnData::Texts(at(values, places)),
        ColumnData::Timestamps(values) => ColumnData::Timestamps(at(values, places)),
        ColumnData::Float64Lists(values) => ColumnData::Float64Lists(at(values, places)),
    }
}
