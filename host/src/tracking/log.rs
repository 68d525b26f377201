//! What is logged to a run: params, metrics, tags, datasets, models. A batch is one commit, and writes the rows that it is about.

use super::items::{DatasetInput, Kind, ModelInput, ModelOutput, point_key, step_key};
use super::run::RUN_NAME_TAG;
use super::runs::{Change, Draft, Needs, put};
use super::{
    Actor, BATCH_ITEMS_MAX, BATCH_PAIRS_MAX, ITEMS_PER_CALL_MAX, MetricPoint, PARAM_CHARS_MAX,
    TAG_CHARS_MAX, Tracking, TrackingError, check_count, check_name, check_own_tag, check_tag,
    check_tags, check_text,
};
use crate::store::{RowWrite, Table, hex};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// The longest name of a dataset, characters (MLflow's).
const DATASET_NAME_CHARS_MAX: usize = 500;
/// The longest digest of a dataset, characters (MLflow's).
const DATASET_DIGEST_CHARS_MAX: usize = 36;
/// The longest source, schema or profile of a dataset, bytes.
const DATASET_TEXT_BYTES_MAX: usize = 1 << 20;

/// One point of a metric as a client logs it.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricInput {
    /// The metric.
    pub key: String,
    /// The point.
    pub point: MetricPoint,
    /// The logged model that it measures, if one is named.
    pub model_id: Option<String>,
    /// Name and digest of the dataset that it was measured on, if one is named.
    pub dataset: Option<(String, String)>,
}

/// What a client logs at once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// At most `BATCH_ITEMS_MAX`.
    pub metrics: Vec<MetricInput>,
    /// At most `BATCH_PAIRS_MAX`.
    pub params: Vec<(String, String)>,
    /// At most `BATCH_PAIRS_MAX`.
    pub tags: Vec<(String, String)>,
}

impl Batch {
    fn check(&self) -> Result<(), TrackingError> {
        let all = self.metrics.len() + self.params.len() + self.tags.len();
        check_count("metrics of a batch", self.metrics.len(), BATCH_ITEMS_MAX)?;
        check_count("params of a batch", self.params.len(), BATCH_PAIRS_MAX)?;
        check_count("tags of a batch", self.tags.len(), BATCH_PAIRS_MAX)?;
        check_count("params, metrics and tags of a batch", all, BATCH_ITEMS_MAX)?;
        for metric in &self.metrics {
            check_name("metric", &metric.key)?;
        }
        check_params(&self.params)?;
        self.tags
            .iter()
            .try_for_each(|(key, value)| check_tag(key, value, TAG_CHARS_MAX))
    }
}

impl Tracking {
    /// Logs a batch: all of it or nothing, in one commit.
    pub fn log_batch(
        &self,
        actor: &Actor,
        run_id: &str,
        batch: &Batch,
    ) -> Result<(), TrackingError> {
        batch.check()?;
        self.change(actor, run_id, Needs::Active, |draft| {
            let params = draft.log_params(&batch.params)?;
            let (from, tags) = draft.set_tags(&batch.tags)?;
            let points: Vec<_> = batch
                .metrics
                .iter()
                .map(|metric| (metric.key.as_str(), metric.point))
                .collect();
            draft.log_points(&points)?;
            for metric in &batch.metrics {
                if let Some(write) = self.model_metric(run_id, metric)? {
                    draft.put_row(Table::TrackingRun, write);
                }
            }
            let is_nothing = params.is_empty() && tags.is_empty() && points.is_empty();
            Ok((!is_nothing).then(|| Change {
                action: "run.log_batch",
                from: json!({ "tags": from }),
                to: json!({"metrics": points.len(), "params": params, "tags": tags}),
            }))
        })
    }

    /// Sets params, each once: the same value again changes nothing, another is a conflict and sets none of them.
    pub fn log_params(
        &self,
        actor: &Actor,
        run_id: &str,
        params: &[(String, String)],
    ) -> Result<(), TrackingError> {
        check_params(params)?;
        self.change(actor, run_id, Needs::Active, |draft| {
            let added = draft.log_params(params)?;
            Ok((!added.is_empty()).then(|| Change {
                action: "run.log_params",
                from: Value::Null,
                to: added.into(),
            }))
        })
    }

    /// Adds points that were measured now. The same metric and step again replaces the point, so that a retry does not double it.
    pub fn log_metrics(
        &self,
        actor: &Actor,
        run_id: &str,
        metrics: &[(String, f64, i64)],
    ) -> Result<(), TrackingError> {
        check_count("metrics in one call", metrics.len(), ITEMS_PER_CALL_MAX)?;
        for (key, ..) in metrics {
            check_name("metric", key)?;
        }
        self.change(actor, run_id, Needs::Active, |draft| {
            draft.log_steps(metrics)?;
            Ok((!metrics.is_empty()).then(|| Change {
                action: "run.log_metrics",
                from: Value::Null,
                to: json!({"metrics": metrics.len()}),
            }))
        })
    }

    /// Upserts tags. Those that only the host sets are refused.
    pub fn set_tags(
        &self,
        actor: &Actor,
        run_id: &str,
        tags: &[(String, String)],
    ) -> Result<(), TrackingError> {
        check_tags(tags, TAG_CHARS_MAX)?;
        self.put_tags(actor, run_id, tags)
    }

    /// Upserts tags in the host's own word.
    pub fn stamp(
        &self,
        actor: &Actor,
        run_id: &str,
        tags: &[(String, String)],
    ) -> Result<(), TrackingError> {
        for (key, value) in tags {
            check_name("tag", key)?;
            check_text("the value of a tag", value, TAG_CHARS_MAX)?;
        }
        self.put_tags(actor, run_id, tags)
    }

    fn put_tags(
        &self,
        actor: &Actor,
        run_id: &str,
        tags: &[(String, String)],
    ) -> Result<(), TrackingError> {
        self.change(actor, run_id, Needs::Active, |draft| {
            let (from, to) = draft.set_tags(tags)?;
            Ok((!to.is_empty()).then(|| Change {
                action: "run.set_tags",
                from: from.into(),
                to: to.into(),
            }))
        })
    }

    /// Removes a tag.
    pub fn delete_tag(&self, actor: &Actor, run_id: &str, key: &str) -> Result<(), TrackingError> {
        check_name("tag", key)?;
        check_own_tag(key)?;
        self.change(actor, run_id, Needs::Active, |draft| {
            let (old, version) = draft.item::<String>(Kind::Tag, key)?;
            let Some(old) = old else {
                return Err(TrackingError::NotFound(format!(
                    "No tag with name: {key} in run with id {run_id}"
                )));
            };
            draft.remove_tag(key, version);
            Ok(Some(Change {
                action: "run.delete_tag",
                from: json!({ key: old }),
                to: Value::Null,
            }))
        })
    }

    /// Notes what a run read: datasets and logged models. The same again changes nothing.
    pub fn log_inputs(
        &self,
        actor: &Actor,
        run_id: &str,
        datasets: &[DatasetInput],
        models: &[ModelInput],
    ) -> Result<(), TrackingError> {
        check_count("datasets in one call", datasets.len(), ITEMS_PER_CALL_MAX)?;
        check_count("models in one call", models.len(), ITEMS_PER_CALL_MAX)?;
        datasets.iter().try_for_each(check_dataset)?;
        for model in models {
            self.require_logged_model(&model.model_id)?;
        }
        self.change(actor, run_id, Needs::Active, |draft| {
            let mut added = Vec::new();
            for dataset in datasets {
                let key = dataset_key(dataset);
                let (old, version) = draft.item::<DatasetInput>(Kind::Dataset, &key)?;
                if old.as_ref() != Some(dataset) {
                    draft.put_item(Kind::Dataset, &key, version, dataset)?;
                    added.push(json!({"dataset": dataset.name, "digest": dataset.digest}));
                }
            }
            for model in models {
                let (old, version) = draft.item::<Value>(Kind::ModelInput, &model.model_id)?;
                if old.is_none() {
                    draft.put_item(Kind::ModelInput, &model.model_id, version, &Value::Null)?;
                    added.push(json!({"model_id": model.model_id}));
                }
            }
            Ok((!added.is_empty()).then(|| Change {
                action: "run.log_inputs",
                from: Value::Null,
                to: added.into(),
            }))
        })
    }

    /// Notes which logged models a run made. The same again changes nothing.
    pub fn log_outputs(
        &self,
        actor: &Actor,
        run_id: &str,
        models: &[ModelOutput],
    ) -> Result<(), TrackingError> {
        check_count("models in one call", models.len(), ITEMS_PER_CALL_MAX)?;
        for model in models {
            self.require_logged_model(&model.model_id)?;
        }
        self.change(actor, run_id, Needs::Active, |draft| {
            let mut added = Map::new();
            for model in models {
                let (old, version) = draft.item::<i64>(Kind::ModelOutput, &model.model_id)?;
                if old != Some(model.step) {
                    draft.put_item(Kind::ModelOutput, &model.model_id, version, &model.step)?;
                    added.insert(model.model_id.clone(), json!(model.step));
                }
            }
            Ok((!added.is_empty()).then(|| Change {
                action: "run.log_outputs",
                from: Value::Null,
                to: added.into(),
            }))
        })
    }
}

/// What changed, before and after.
type BeforeAndAfter = (Map<String, Value>, Map<String, Value>);

impl Draft<'_> {
    /// Sets params and yields the new ones.
    fn log_params(
        &mut self,
        params: &[(String, String)],
    ) -> Result<Map<String, Value>, TrackingError> {
        let mut added: Map<String, Value> = Map::new();
        for (key, value) in params {
            let old = match added.get(key).and_then(Value::as_str) {
                Some(old) => Some(old.to_owned()),
                None => self.item::<String>(Kind::Param, key)?.0,
            };
            match old {
                Some(old) if old == *value => {}
                Some(old) => {
                    return Err(TrackingError::Conflict(format!(
                        "Changing param values is not allowed. Param with key={key:?} was already logged with value={old:?} for run ID={:?}. Attempted logging new value {value:?}; log it under another key or in another run",
                        self.head.run_id
                    )));
                }
                None => {
                    self.put_item(Kind::Param, key, 0, value)?;
                    added.insert(key.clone(), json!(value));
                }
            }
        }
        Ok(added)
    }

    /// Upserts tags; of a key that comes twice the last counts. Yields what changed, before and after.
    fn set_tags(&mut self, tags: &[(String, String)]) -> Result<BeforeAndAfter, TrackingError> {
        let (mut from, mut to) = (Map::new(), Map::new());
        let last: BTreeMap<&String, &String> =
            tags.iter().map(|(key, value)| (key, value)).collect();
        for (key, value) in last {
            let (old, version) = self.item::<String>(Kind::Tag, key)?;
            if old.as_ref() == Some(value) {
                continue;
            }
            if key == RUN_NAME_TAG {
                check_name("run name", value)?;
                self.rename(value)?;
            } else {
                self.put_item(Kind::Tag, key, version, value)?;
            }
            from.insert(key.clone(), json!(old));
            to.insert(key.clone(), json!(value));
        }
        Ok((from, to))
    }

    /// Adds a client's points.
    fn log_points(&mut self, points: &[(&str, MetricPoint)]) -> Result<(), TrackingError> {
        let mut latest: BTreeMap<&str, MetricPoint> = BTreeMap::new();
        for (key, point) in points {
            let row = point_key(&self.head.run_id, key, point);
            self.put_row(Table::Metric, bare(row));
            let last = latest.entry(key).or_insert(*point);
            if last.latest(point).is_lt() {
                *last = *point;
            }
        }
        for (key, point) in latest {
            let (old, version) = self.item::<MetricPoint>(Kind::Metric, key)?;
            if old.is_none_or(|old| old.latest(&point).is_lt()) {
                self.put_item(Kind::Metric, key, version, &point)?;
            }
        }
        Ok(())
    }

    /// Adds an operator's points, one for each step: the last word about a step counts.
    fn log_steps(&mut self, metrics: &[(String, f64, i64)]) -> Result<(), TrackingError> {
        let mut latest: BTreeMap<&str, MetricPoint> = BTreeMap::new();
        for (key, value, step) in metrics {
            let point = MetricPoint {
                value: *value,
                step: *step,
                at_ms: self.now,
            };
            let row = step_key(&self.head.run_id, key, Some(*step));
            self.put_row(Table::Metric, put(row, None, &point)?);
            let last = latest.entry(key).or_insert(point);
            if last.step <= point.step {
                *last = point;
            }
        }
        for (key, point) in latest {
            let (old, version) = self.item::<MetricPoint>(Kind::Metric, key)?;
            if old.is_none_or(|old| old.step <= point.step) {
                self.put_item(Kind::Metric, key, version, &point)?;
            }
        }
        Ok(())
    }
}

/// A row that is all in its key.
fn bare(key: Vec<u8>) -> RowWrite {
    RowWrite {
        key,
        expect: None,
        value: Some(Vec::new()),
    }
}

pub(super) fn check_params(params: &[(String, String)]) -> Result<(), TrackingError> {
    check_count("params in one call", params.len(), ITEMS_PER_CALL_MAX)?;
    params.iter().try_for_each(|(key, value)| {
        check_name("param", key)?;
        check_text("the value of a param", value, PARAM_CHARS_MAX)
    })
}

fn check_dataset(dataset: &DatasetInput) -> Result<(), TrackingError> {
    let DatasetInput {
        name,
        digest,
        source_type,
        source,
        schema,
        profile,
        tags,
    } = dataset;
    for (what, text) in [("dataset", name), ("the digest of a dataset", digest)] {
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(TrackingError::Invalid(format!(
                "{what} {text:?} is empty or holds a control character"
            )));
        }
    }
    check_text("the name of a dataset", name, DATASET_NAME_CHARS_MAX)?;
    check_text("the digest of a dataset", digest, DATASET_DIGEST_CHARS_MAX)?;
    check_name("the source type of a dataset", source_type)?;
    let texts = [Some(source), schema.as_ref(), profile.as_ref()];
    for text in texts.into_iter().flatten() {
        check_count("a text of a dataset", text.len(), DATASET_TEXT_BYTES_MAX)?;
    }
    check_count("tags of a dataset", tags.len(), BATCH_PAIRS_MAX)?;
    tags.iter().try_for_each(|(key, value)| {
        check_name("tag", key)?;
        check_text("the value of a tag", value, TAG_CHARS_MAX)
    })
}

/// What a dataset of a run is known by: names may be longer than a key.
fn dataset_key(dataset: &DatasetInput) -> String {
    let mut hash = Sha256::new();
    hash.update(dataset.name.as_bytes());
    hash.update([0]);
    hash.update(dataset.digest.as_bytes());
    hex(&hash.finalize())
}
