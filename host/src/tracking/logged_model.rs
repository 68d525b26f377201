//! The record of a logged model (MLflow 3): a model that a run made, before anybody registers it.

use super::codec;
use super::experiment::{tag, time};
use super::run::ordered;
use super::search::{Entity, Field, Rows, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Whether its artifacts are all there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum LoggedModelStatus {
    /// Not yet.
    Pending,
    /// They are.
    Ready,
    /// They never will be.
    Failed,
}

impl LoggedModelStatus {
    /// MLflow's word in searches.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Ready => "READY",
            Self::Failed => "FAILED",
        }
    }
}

/// What a client says of a new logged model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewLoggedModel {
    /// One is made up where it is absent.
    pub name: Option<String>,
    /// The run that makes it.
    pub source_run_id: Option<String>,
    /// For example `Agent`; may be empty.
    pub model_type: String,
    /// Set once.
    pub params: Vec<(String, String)>,
    /// Its first tags.
    pub tags: Vec<(String, String)>,
}

/// A metric that was measured for a logged model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelMetric {
    /// The metric.
    pub key: String,
    /// Its latest point.
    pub point: super::MetricPoint,
    /// The run that measured it.
    pub run_id: String,
    /// Name and digest of the dataset that it was measured on, if one was named.
    pub dataset: Option<(String, String)>,
}

/// A logged model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoggedModel {
    /// `m-` and 32 hex digits.
    pub model_id: String,
    /// The id of its experiment.
    pub experiment_id: String,
    /// Its name; many may have the same.
    pub name: String,
    /// Whether its artifacts are there.
    pub status: LoggedModelStatus,
    /// When it was made, milliseconds since the epoch.
    pub created_ms: i64,
    /// When it last changed, milliseconds since the epoch.
    pub updated_ms: i64,
    /// The run that made it, if one did.
    pub source_run_id: Option<String>,
    /// For example `Agent`; may be empty.
    pub model_type: String,
    /// Set once.
    pub params: BTreeMap<String, String>,
    /// Upserted.
    pub tags: BTreeMap<String, String>,
    /// How many artifacts it has.
    pub(super) artifacts: usize,
    /// The latest point of each metric, run and dataset. Filled in when read.
    #[serde(default)]
    pub metrics: Vec<ModelMetric>,
}

impl LoggedModel {
    /// Where its artifacts are, as clients name it.
    pub fn artifact_uri(&self) -> String {
        format!(
            "mlflow-artifacts:/{}/models/{}/artifacts",
            self.experiment_id, self.model_id
        )
    }

    pub(super) fn read(row: &crate::store::Row) -> Result<Self, super::TrackingError> {
        codec::decode("a logged model", &row.value)
    }
}

/// Key of a logged model in `Table::TrackingRun`.
pub(super) fn logged_model_key(model_id: &str) -> Vec<u8> {
    [b"l", model_id.as_bytes()].concat()
}

/// Keys of an experiment's logged models in `Table::TrackingRun`, in the order of their making. Without a model: their prefix.
pub(super) fn logged_index_key(experiment_id: &str, model: Option<(i64, &str)>) -> Vec<u8> {
    let mut key = [b"y", experiment_id.as_bytes(), &[0]].concat();
    if let Some((created_ms, model_id)) = model {
        key.extend(ordered(created_ms));
        key.extend(model_id.as_bytes());
    }
    key
}

/// Key in `Table::TrackingRun` of a metric of a logged model. Without a metric: the prefix of all.
pub(super) fn model_metric_key(model_id: &str, metric: Option<&ModelMetric>) -> Vec<u8> {
    let mut key = [b"k", model_id.as_bytes(), &[0]].concat();
    if let Some(metric) = metric {
        key.extend(metric.key.as_bytes());
        key.push(0);
        key.extend(metric.run_id.as_bytes());
        if let Some((name, digest)) = &metric.dataset {
            // A dataset's name may be longer than a key.
            use sha2::Digest as _;
            let of = sha2::Sha256::digest([name.as_bytes(), &[0], digest.as_bytes()].concat());
            key.push(0);
            key.extend(of);
        }
    }
    key
}

/// A list of logged models as a search sees it.
pub(super) struct LoggedModels;

impl Rows for LoggedModels {
    type Row = LoggedModel;
    type Slot = Field;

    fn slot(&self, field: &Field) -> Field {
        field.clone()
    }

    fn any(&self, row: &LoggedModel, slot: &Field, test: &dyn Fn(Value<'_>) -> bool) -> bool {
        if slot.entity != Entity::Metric {
            return test(self.value(row, slot));
        }
        let mut values = row.metrics.iter().filter(|metric| metric.key == slot.key);
        values.any(|metric| test(Value::Number(metric.point.value)))
    }

    fn value<'r>(&'r self, row: &'r LoggedModel, slot: &Field) -> Value<'r> {
        match (slot.entity, slot.key.as_str()) {
            (Entity::Tag, key) => tag(&row.tags, key),
            (Entity::Param, key) => tag(&row.params, key),
            (Entity::Metric, key) => {
                let values = row.metrics.iter().filter(|metric| metric.key == key);
                let latest = values.max_by(|left, right| left.point.latest(&right.point));
                latest.map_or(Value::Absent, |metric| Value::Number(metric.point.value))
            }
            (Entity::Attribute, "name") => Value::Text(&row.name),
            (Entity::Attribute, "model_id") => Value::Text(&row.model_id),
            (Entity::Attribute, "model_type") => Value::Text(&row.model_type),
            (Entity::Attribute, "status") => Value::Text(row.status.as_str()),
            (Entity::Attribute, "source_run_id") => row
                .source_run_id
                .as_deref()
                .map_or(Value::Absent, Value::Text),
            (Entity::Attribute, "creation_timestamp") => time(row.created_ms),
            (Entity::Attribute, "last_updated_timestamp") => time(row.updated_ms),
            _ => Value::Absent,
        }
    }

    fn tie<'r>(&self, row: &'r LoggedModel) -> (i64, &'r str) {
        (row.created_ms, &row.model_id)
    }
}
