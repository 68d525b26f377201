//! What is kept of earlier dates: one JSON object a logical date, which holds nothing but what that date's table said. So an entry
//! is the same however often and in whatever order dates run; a rerun replaces its own, dates that run at the same time write
//! different objects, and a reference is made only of dates before its own.

use crate::check::finite;
use crate::config::Drift;
use crate::stats::{Cdf, Counts, Moments};
use airlock_sdk::prelude::*;
use airlock_sdk::storage;
use airlock_sdk::time::Timestamp;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

/// The only format there is.
const FORMAT: u32 = 1;
/// The most dates of a history.
const DATES_MAX: usize = 100_000;
/// Entries of dates whose gate did not pass that are read over before the search ends.
const REFUSED_MAX: u32 = 100;
/// The largest entry that is read, bytes.
const ENTRY_BYTES_MAX: u64 = 16 << 20;
/// How the names of entries end.
const SUFFIX: &str = "Z.json";

/// What one date's table was like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    format: u32,
    pub(crate) logical_date: Timestamp,
    /// Whether the gate let the date through; only then is it part of a reference.
    pub(crate) passed: bool,
    pub(crate) rows: u64,
    pub(crate) numbers: BTreeMap<String, Numbers>,
    pub(crate) categories: BTreeMap<String, Categories>,
}

/// A column of numbers that has values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Numbers {
    count: u64,
    /// Absent where a value is infinite.
    mean: Option<f64>,
    /// Absent where a value is infinite or there is one alone.
    stddev: Option<f64>,
    /// Percentiles, 0 to 100.
    quantiles: Vec<f64>,
}

/// A column whose values are counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Categories {
    rows: BTreeMap<String, u64>,
    others: u64,
}

impl Entry {
    pub(crate) fn new(logical_date: Timestamp, rows: u64) -> Self {
        Self {
            format: FORMAT,
            logical_date,
            passed: false,
            rows,
            numbers: BTreeMap::new(),
            categories: BTreeMap::new(),
        }
    }

    /// Puts the entry in the place of the date's last one, durably.
    pub(crate) fn keep(&self, drift: &Drift) -> Result<(), TaskError> {
        let uri = uri_of(drift, self.logical_date);
        let keep = || -> Result<(), TaskError> {
            let mut writer = storage::create(&uri)?;
            let text = serde_json::to_vec(self)?;
            writer
                .write_all(&text)
                .map_err(|error| TaskError::transient(error.to_string()))?;
            writer.finish()?;
            Ok(())
        };
        keep().map_err(|error| error.context(&format!("keep {uri}")))
    }
}

impl Numbers {
    pub(crate) fn new(count: u64, mean: f64, stddev: f64, quantiles: &[f64]) -> Self {
        Self {
            count,
            mean: mean.is_finite().then_some(mean),
            stddev: stddev.is_finite().then_some(stddev),
            quantiles: quantiles.iter().map(|value| finite(*value)).collect(),
        }
    }

    pub(crate) fn cdf(&self) -> Cdf {
        Cdf::of_quantiles(&self.quantiles)
    }

    #[expect(clippy::cast_precision_loss, reason = "row counts stay far below 2^53")]
    pub(crate) fn count(&self) -> f64 {
        self.count as f64
    }

    pub(crate) fn moments(&self) -> Option<Moments> {
        Some(Moments {
            count: self.count(),
            mean: self.mean?,
            stddev: self.stddev.unwrap_or(0.0),
        })
    }
}

impl Categories {
    pub(crate) fn new(rows: BTreeMap<String, u64>, others: u64) -> Self {
        Self { rows, others }
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            of: self.rows.clone(),
            others: self.others,
        }
    }
}

/// The newest dates before `date` whose gate passed, newest first.
pub(crate) fn before(drift: &Drift, date: Timestamp) -> Result<Vec<Entry>, TaskError> {
    let own = uri_of(drift, date);
    let mut uris: Vec<String> = storage::list(&folder(drift), DATES_MAX)?
        .into_iter()
        .map(|info| info.uri)
        .filter(|uri| uri.ends_with(SUFFIX) && *uri < own)
        .collect();
    uris.sort_unstable();
    let (mut found, mut refused) = (Vec::new(), 0);
    while let Some(uri) = uris.pop() {
        match read(&uri)? {
            Some(entry) if entry.passed => found.push(entry),
            _ => refused += 1,
        }
        if found.len() >= drift.reference_dates as usize || refused > REFUSED_MAX {
            break;
        }
    }
    Ok(found)
}

/// None where the object is no entry of ours, which is said.
fn read(uri: &str) -> Result<Option<Entry>, TaskError> {
    let mut text = Vec::new();
    let mut reader = storage::open(uri)?.take(ENTRY_BYTES_MAX);
    reader
        .read_to_end(&mut text)
        .map_err(|error| TaskError::transient(format!("read {uri}: {error}")))?;
    match serde_json::from_slice::<Entry>(&text) {
        Ok(entry) if entry.format == FORMAT => Ok(Some(entry)),
        Ok(entry) => {
            warn!("{uri} is of format {}: it does not count", entry.format);
            Ok(None)
        }
        Err(error) => {
            warn!("{uri} is no entry of a history and does not count: {error}");
            Ok(None)
        }
    }
}

fn folder(drift: &Drift) -> String {
    format!("{}/", drift.history.trim_end_matches('/'))
}

/// The object of a date. The names' order is the dates'.
fn uri_of(drift: &Drift, date: Timestamp) -> String {
    let micros = date.as_micros().rem_euclid(86_400_000_000);
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    format!(
        "{}{}T{hours:02}{minutes:02}{:02}.{fraction:06}{SUFFIX}",
        folder(drift),
        date.date(),
        seconds % 60
    )
}
