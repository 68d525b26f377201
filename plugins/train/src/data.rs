//! What every operator learns from: the members of its config that say so, the columns, the matrices.

use airlock_sdk::dataset::{ColumnKind, Matrix, MatrixSpec, Table};
use airlock_sdk::training::{Config, Determinism, Device, EarlyStop, GpuWish};
use airlock_sdk::{Task, TaskError, info};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::recipe::Recipe;

/// Rounds between two measurements, as a share of all of them.
const MEASURES: u32 = 50;

/// Where to train.
#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeviceChoice {
    Cpu,
    Gpu,
    /// A GPU where there is one that fits, else the CPU.
    #[default]
    Best,
}

/// The members that every config has.
#[derive(Debug, Clone)]
pub(crate) struct Data {
    pub(crate) features: String,
    pub(crate) label: String,
    pub(crate) feature_columns: Option<Vec<String>>,
    pub(crate) id_columns: Vec<String>,
    pub(crate) experiment: String,
    pub(crate) run_name: Option<String>,
    pub(crate) model_name: Option<String>,
    pub(crate) valid_fraction: f64,
    pub(crate) seed: u64,
    pub(crate) max_bins: u16,
    pub(crate) device: DeviceChoice,
    pub(crate) deterministic: bool,
    pub(crate) early_stopping_rounds: Option<u32>,
    pub(crate) checkpoint_every_seconds: u32,
    pub(crate) time_limit_seconds: Option<u64>,
}

pub(crate) mod default {
    pub(crate) fn label() -> String {
        "churned".into()
    }
    pub(crate) fn id_columns() -> Vec<String> {
        vec!["user_id".into()]
    }
    pub(crate) fn valid_fraction() -> f64 {
        0.2
    }
    pub(crate) fn seed() -> u64 {
        42
    }
    pub(crate) fn max_bins() -> u16 {
        255
    }
    pub(crate) fn yes() -> bool {
        true
    }
    pub(crate) fn checkpoint_every_seconds() -> u32 {
        30
    }
}

/// A config with the members of [`Data`] before its own. A flattened struct would lose the names of members in errors.
macro_rules! with_data {
    ($(#[$outer:meta])* struct $name:ident { $($(#[$meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$outer])*
        #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name {
            /// URI of the feature table.
            features: String,
            /// The column to predict.
            #[serde(default = "crate::data::default::label")]
            label: String,
            /// Columns to learn from; absent: all numeric ones but the label and `id_columns`.
            feature_columns: Option<Vec<String>>,
            /// Columns that name a row.
            #[serde(default = "crate::data::default::id_columns")]
            id_columns: Vec<String>,
            /// The experiment to log to.
            experiment: String,
            /// The tracking run; absent: a name made of DAG, task and logical date.
            run_name: Option<String>,
            /// The model to register; absent: none, `deploy.register` can do it later.
            model_name: Option<String>,
            /// Fraction of rows kept for validation.
            #[serde(default = "crate::data::default::valid_fraction")]
            valid_fraction: f64,
            /// Decides about the split and the sampling.
            #[serde(default = "crate::data::default::seed")]
            seed: u64,
            /// Bins per feature, 2 to 255.
            #[serde(default = "crate::data::default::max_bins")]
            max_bins: u16,
            /// Where to train.
            #[serde(default)]
            device: crate::data::DeviceChoice,
            /// Whether every device and number of threads must give the same model.
            #[serde(default = "crate::data::default::yes")]
            deterministic: bool,
            /// Ends when so many rounds brought no better validation metric.
            early_stopping_rounds: Option<u32>,
            /// Seconds between two checkpoints, from which the next try goes on; 0 is one after every round.
            #[serde(default = "crate::data::default::checkpoint_every_seconds")]
            checkpoint_every_seconds: u32,
            /// Seconds after which the training ends with the model that it has.
            time_limit_seconds: Option<u64>,
            $($(#[$meta])* $field: $type,)*
        }

        impl $name {
            /// The members that every config has.
            pub(crate) fn data(&self) -> crate::data::Data {
                crate::data::Data {
                    features: self.features.clone(),
                    label: self.label.clone(),
                    feature_columns: self.feature_columns.clone(),
                    id_columns: self.id_columns.clone(),
                    experiment: self.experiment.clone(),
                    run_name: self.run_name.clone(),
                    model_name: self.model_name.clone(),
                    valid_fraction: self.valid_fraction,
                    seed: self.seed,
                    max_bins: self.max_bins,
                    device: self.device,
                    deterministic: self.deterministic,
                    early_stopping_rounds: self.early_stopping_rounds,
                    checkpoint_every_seconds: self.checkpoint_every_seconds,
                    time_limit_seconds: self.time_limit_seconds,
                }
            }
        }
    };
}
pub(crate) use with_data;

/// Refuses a member's value.
pub(crate) fn check(field: &str, holds: bool, message: &str) -> Result<(), TaskError> {
    if holds {
        Ok(())
    } else {
        Err(TaskError::invalid(field, message))
    }
}

/// What is trained on.
pub(crate) struct Matrices {
    pub(crate) learn: Matrix,
    pub(crate) valid: Matrix,
    pub(crate) columns: Vec<String>,
    /// SHA-256 of the feature table, in hex.
    pub(crate) digest: String,
}

impl Data {
    fn check(&self) -> Result<(), TaskError> {
        let inside = self.valid_fraction > 0.0 && self.valid_fraction < 1.0;
        check("valid_fraction", inside, "must be between 0 and 1")?;
        let bins = (2..=255).contains(&self.max_bins);
        check("max_bins", bins, "must be 2 to 255")
    }

    /// Reads, splits and bins the table.
    pub(crate) fn matrices(&self) -> Result<Matrices, TaskError> {
        self.check()?;
        let table = Table::open(&self.features)?;
        let columns = self.columns(&table)?;
        let digest = table.digest();
        let (learn, valid) = table.split(&self.label, self.valid_fraction, self.seed)?;
        let spec = MatrixSpec {
            features: columns.clone(),
            label: Some(self.label.clone()),
            weight: None,
            max_bins: self.max_bins,
        };
        let (learn, valid) = (learn.matrix(&spec)?, valid.matrix(&spec)?);
        info!(
            "{} rows to learn from, {} to validate on, {} features",
            learn.rows(),
            valid.rows(),
            columns.len()
        );
        Ok(Matrices {
            learn,
            valid,
            columns,
            digest,
        })
    }

    fn columns(&self, table: &Table) -> Result<Vec<String>, TaskError> {
        let schema = table.schema();
        let named = |name: &String| schema.iter().any(|column| column.name == *name);
        let missing = |field: &str, name: &String| {
            TaskError::invalid(field, format!("the table has no column `{name}`"))
        };
        if !named(&self.label) {
            return Err(missing("label", &self.label));
        }
        if let Some(columns) = &self.feature_columns {
            return match columns.iter().find(|name| !named(name)) {
                Some(name) => Err(missing("feature_columns", name)),
                None => Ok(columns.clone()),
            };
        }
        let numeric = |kind: ColumnKind| {
            matches!(
                kind,
                ColumnKind::Boolean | ColumnKind::Int64 | ColumnKind::Float64
            )
        };
        let columns: Vec<String> = schema
            .into_iter()
            .filter(|column| numeric(column.kind) && column.name != self.label)
            .map(|column| column.name)
            .filter(|name| !self.id_columns.contains(name))
            .collect();
        if columns.is_empty() {
            return Err(TaskError::invalid(
                "features",
                "the table has no column to learn from",
            ));
        }
        Ok(columns)
    }

    /// What the host is told to train.
    pub(crate) fn settings(&self, recipe: &Recipe) -> Config {
        Config {
            algorithm: recipe.algorithm.clone(),
            seed: self.seed,
            device: self.device.wish(),
            determinism: if self.deterministic {
                Determinism::Exact
            } else {
                Determinism::Fast
            },
            metrics: recipe.metrics.clone(),
            metric_every: (recipe.rounds / MEASURES).max(1),
            early_stop: self.early_stopping_rounds.map(|rounds| EarlyStop {
                metric: recipe.metric(),
                rounds,
                min_delta: 0.0,
            }),
            checkpoint_every_ms: Some(self.checkpoint_every_seconds.saturating_mul(1_000)),
            time_limit_ms: self
                .time_limit_seconds
                .map(|limit| limit.saturating_mul(1_000)),
            resume_from: None,
        }
    }

    /// The same for every try of a task instance, and another for every other.
    pub(crate) fn run_name(&self, task: &Task) -> String {
        let name = self.run_name.clone().unwrap_or_else(|| {
            let date = task.logical_date.map(|date| date.to_string());
            let of = date.unwrap_or_else(|| task.run_id.clone());
            format!("{}.{}_{of}", task.dag_id, task.task_id)
        });
        if task.map_index >= 0 {
            format!("{name}_{}", task.map_index)
        } else {
            name
        }
    }

    /// What the tracking run is told: enough to repeat it.
    pub(crate) fn params(&self, task: &Task, data: &Matrices) -> Vec<(&'static str, String)> {
        vec![
            ("train_date", task.ds().unwrap_or_default()),
            ("features", self.features.clone()),
            ("features_digest", data.digest.clone()),
            ("feature_columns", data.columns.join(",")),
            ("feature_count", data.columns.len().to_string()),
            ("label", self.label.clone()),
            ("valid_fraction", self.valid_fraction.to_string()),
            ("seed", self.seed.to_string()),
            ("max_bins", self.max_bins.to_string()),
        ]
    }
}

impl DeviceChoice {
    fn wish(self) -> Device {
        match self {
            Self::Cpu => Device::Cpu,
            Self::Best => Device::Best,
            Self::Gpu => Device::Gpu(GpuWish {
                name: None,
                min_memory: None,
                min_compute: None,
                count: 1,
                share: 1.0,
            }),
        }
    }
}
