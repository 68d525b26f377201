//! The rows of a run: one for each param, tag, metric, dataset and model, and one for each point of a metric's history. It owns
//! their keys and how they are read.

use super::codec;
use super::run::{Head, ordered, unordered};
use super::{MetricPoint, TrackingError};
use crate::store::{Row, Store, Table, hex};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

/// How many rows one read takes.
const PAGE: usize = 4_096;
/// The same where all runs are read.
const MANY: usize = 65_536;

/// What a row of a run is. The letters order them in the store and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A dataset that it read.
    Dataset,
    /// A logged model that it read.
    ModelInput,
    /// The latest point of a metric.
    Metric,
    /// A logged model that it made.
    ModelOutput,
    Param,
    Tag,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::Dataset,
        Self::ModelInput,
        Self::Metric,
        Self::ModelOutput,
        Self::Param,
        Self::Tag,
    ];

    fn letter(self) -> u8 {
        match self {
            Self::Dataset => b'd',
            Self::ModelInput => b'i',
            Self::Metric => b'm',
            Self::ModelOutput => b'o',
            Self::Param => b'p',
            Self::Tag => b't',
        }
    }
}

/// A dataset that a run read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetInput {
    /// Its name, at most 500 characters.
    pub name: String,
    /// What its content is known by, at most 36 characters (MLflow's limit); a client makes it.
    pub digest: String,
    /// The kind of source, for example `local`.
    pub source_type: String,
    /// Where it is.
    pub source: String,
    /// JSON, if it is known.
    pub schema: Option<String>,
    /// JSON, if it is known.
    pub profile: Option<String>,
    /// For example `mlflow.data.context` = `training`.
    pub tags: Vec<(String, String)>,
}

impl DatasetInput {
    /// What it was read for, for example `training`.
    pub(super) fn context(&self) -> Option<&str> {
        let mut tags = self.tags.iter();
        let (_, context) = tags.find(|(key, _)| key == "mlflow.data.context")?;
        Some(context)
    }
}

/// A logged model that a run read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelInput {
    /// Its id, `m-` and 32 hex digits.
    pub model_id: String,
}

/// A logged model that a run made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelOutput {
    /// Its id, `m-` and 32 hex digits.
    pub model_id: String,
    /// The step it was made at.
    pub step: i64,
}

/// A page of a metric's points.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricHistory {
    /// In the order of steps, then times.
    pub points: Vec<MetricPoint>,
    /// Asks for what is behind; `None` where nothing is now.
    pub next_page_token: Option<String>,
}

/// Key of a row of a run in `Table::TrackingRun`.
pub(super) fn item_key(run_id: &str, kind: Kind, key: &str) -> Vec<u8> {
    [b"i", run_id.as_bytes(), &[0, kind.letter()], key.as_bytes()].concat()
}

/// The prefix of all rows of a run, or of those of one kind.
fn prefix(run_id: &str, kind: Option<Kind>) -> Vec<u8> {
    let mut key = [b"i", run_id.as_bytes(), &[0]].concat();
    key.extend(kind.map(Kind::letter));
    key
}

/// Key in `Table::Metric` of an operator's point, which has one for each step. Without a step: the prefix of all points.
pub(super) fn step_key(run_id: &str, metric: &str, step: Option<i64>) -> Vec<u8> {
    let mut key = [run_id.as_bytes(), &[0], metric.as_bytes(), &[0]].concat();
    key.extend(step.iter().flat_map(|step| ordered(*step)));
    key
}

/// Key in `Table::Metric` of a client's point, which is all of it: the same point again is no second one.
pub(super) fn point_key(run_id: &str, metric: &str, point: &MetricPoint) -> Vec<u8> {
    let mut key = step_key(run_id, metric, Some(point.step));
    key.extend(ordered(point.at_ms));
    key.extend(point.value.to_bits().to_be_bytes());
    key
}

/// The point of a row in `Table::Metric`, from what follows the prefix of its metric.
fn point(suffix: &[u8], row: &Row) -> Result<MetricPoint, TrackingError> {
    let (parts, rest) = suffix.as_chunks::<8>();
    match (parts, rest) {
        ([step, at_ms, value], []) => Ok(MetricPoint {
            value: f64::from_bits(u64::from_be_bytes(*value)),
            step: unordered(*step),
            at_ms: unordered(*at_ms),
        }),
        _ => codec::decode("a metric", &row.value),
    }
}

/// Up to `max` points of a metric behind a token.
pub(super) fn history(
    store: &dyn Store,
    run_id: &str,
    metric: &str,
    token: Option<&str>,
    max: usize,
) -> Result<MetricHistory, TrackingError> {
    let prefix = step_key(run_id, metric, None);
    let after = token
        .map(|token| {
            unhex(token)
                .map(|suffix| [prefix.as_slice(), &suffix].concat())
                .ok_or_else(|| {
                    TrackingError::Invalid(
                        "the page token is not one that a page of this history gave".to_owned(),
                    )
                })
        })
        .transpose()?;
    let rows = store.scan(Table::Metric, &prefix, after.as_deref(), max)?;
    let suffix = |row: &Row| row.key.get(prefix.len()..).unwrap_or_default().to_vec();
    let points: Result<Vec<_>, _> = rows.iter().map(|row| point(&suffix(row), row)).collect();
    let last = rows.last().filter(|_| rows.len() == max);
    Ok(MetricHistory {
        points: points?,
        next_page_token: last.map(|row| hex(&suffix(row))),
    })
}

/// Everything that the rows of one run say.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Items {
    pub(super) params: Vec<(String, String)>,
    pub(super) tags: Vec<(String, String)>,
    pub(super) metrics: Vec<(String, MetricPoint)>,
    pub(super) datasets: Vec<DatasetInput>,
    pub(super) model_inputs: Vec<ModelInput>,
    pub(super) model_outputs: Vec<ModelOutput>,
}

impl Items {
    fn take(&mut self, kind: Kind, key: &[u8], row: &Row) -> Result<(), TrackingError> {
        let key = || String::from_utf8_lossy(key).into_owned();
        match kind {
            Kind::Dataset => self.datasets.push(codec::decode("a dataset", &row.value)?),
            Kind::ModelInput => {
                let model_id = key();
                self.model_inputs.push(ModelInput { model_id });
            }
            Kind::Metric => {
                let point = codec::decode("a metric", &row.value)?;
                self.metrics.push((key(), point));
            }
            Kind::ModelOutput => {
                let step = codec::decode("a model output", &row.value)?;
                let model_id = key();
                self.model_outputs.push(ModelOutput { model_id, step });
            }
            Kind::Param => {
                let value = codec::decode("a param", &row.value)?;
                self.params.push((key(), value));
            }
            Kind::Tag => {
                let value = codec::decode("a tag", &row.value)?;
                self.tags.push((key(), value));
            }
        }
        Ok(())
    }

    /// What an older Airlock kept in the head comes under what rows say.
    fn add_old(&mut self, head: &Head) {
        fn under<T: Clone>(
            items: &mut Vec<(String, T)>,
            old: &std::collections::BTreeMap<String, T>,
        ) {
            for (key, value) in old {
                if !items.iter().any(|(known, _)| known == key) {
                    items.push((key.clone(), value.clone()));
                }
            }
        }
        under(&mut self.params, &head.old.params);
        under(&mut self.metrics, &head.old.metrics);
        under(&mut self.tags, &head.old.tags);
    }
}

/// Reads all rows of a run, or those of one kind.
pub(super) fn read(
    store: &dyn Store,
    head: &Head,
    kind: Option<Kind>,
) -> Result<Items, TrackingError> {
    let prefix = prefix(&head.run_id, kind);
    let letter_at = head.run_id.len() + 2;
    let mut items = Items::default();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = store.scan(Table::TrackingRun, &prefix, after.as_deref(), PAGE)?;
        for row in &rows {
            let (Some(letter), Some(key)) = (row.key.get(letter_at), row.key.get(letter_at + 1..))
            else {
                continue;
            };
            // A kind that a newer Airlock wrote is not for this one to judge.
            if let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.letter() == *letter) {
                items.take(kind, key, row)?;
            }
        }
        let is_last = rows.len() < PAGE;
        match rows.into_iter().next_back() {
            Some(last) if !is_last => after = Some(last.key),
            _ => break,
        }
    }
    items.add_old(head);
    Ok(items)
}

/// Heads and rows of many runs in one pass over those of all: faster than one after the other where they are a good part of all.
pub(super) fn read_many(
    store: &dyn Store,
    wanted: &HashSet<String>,
) -> Result<Vec<(Head, Items)>, TrackingError> {
    let mut items: HashMap<String, Items> = HashMap::new();
    for_each(store, b"i", |row| {
        let rest = row.key.get(1..).unwrap_or_default();
        let mut parts = rest.splitn(2, |byte| *byte == 0);
        let run_id = parts.next().and_then(|id| std::str::from_utf8(id).ok());
        let (Some(run_id), Some(Some((letter, key)))) =
            (run_id, parts.next().map(<[u8]>::split_first))
        else {
            return Ok(());
        };
        let kind = Kind::ALL.into_iter().find(|kind| kind.letter() == *letter);
        match kind {
            Some(kind) if wanted.contains(run_id) => {
                if !items.contains_key(run_id) {
                    items.insert(run_id.to_owned(), Items::default());
                }
                let of_run = items.get_mut(run_id);
                of_run.map_or(Ok(()), |items| items.take(kind, key, row))
            }
            _ => Ok(()),
        }
    })?;
    let mut runs = Vec::with_capacity(wanted.len());
    for_each(store, b"r", |row| {
        let run_id = row.key.get(1..).and_then(|id| std::str::from_utf8(id).ok());
        if run_id.is_some_and(|run_id| wanted.contains(run_id)) {
            let head: Head = codec::decode("a run", &row.value)?;
            let mut of_run = items.remove(&head.run_id).unwrap_or_default();
            of_run.add_old(&head);
            runs.push((head, of_run));
        }
        Ok(())
    })?;
    Ok(runs)
}

fn for_each(
    store: &dyn Store,
    prefix: &[u8],
    mut each: impl FnMut(&Row) -> Result<(), TrackingError>,
) -> Result<(), TrackingError> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = store.scan(Table::TrackingRun, prefix, after.as_deref(), MANY)?;
        rows.iter().try_for_each(&mut each)?;
        let is_last = rows.len() < MANY;
        match rows.into_iter().next_back() {
            Some(last) if !is_last => after = Some(last.key),
            _ => return Ok(()),
        }
    }
}

pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |pair: &[u8; 2]| {
        let [high, low] = *pair;
        u8::try_from(digit(high)? << 4 | digit(low)?).ok()
    };
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_steps_do() {
        let keys: Vec<_> = [i64::MIN, -1, 0, 1, 300, i64::MAX]
            .map(|step| step_key("r", "auc", Some(step)))
            .to_vec();
        assert!(keys.is_sorted());
        for number in [i64::MIN, -1, 0, 1, i64::MAX] {
            assert_eq!(unordered(ordered(number)), number);
        }
    }
}
