//! The config of `gbdt`, its defaults (scikit-learn's, where it has them) and what the host is told.

use airlock_sdk::Task;
use airlock_sdk::TaskError;
use airlock_sdk::training::{
    Algorithm, Config, Determinism, Device, EarlyStop, Gbdt, GpuWish, Growth, Metric, Objective,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Rounds between two measurements, as a share of all of them.
const MEASURES: u32 = 50;

/// What to learn from, how, and where the result goes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GbdtConfig {
    /// URI of the feature table.
    pub(crate) features: String,
    /// The column to predict, 0 or 1.
    #[serde(default = "label_default")]
    pub(crate) label: String,
    /// Columns to learn from; absent: all numeric ones but the label and `id_columns`.
    pub(crate) feature_columns: Option<Vec<String>>,
    /// Columns that name a row.
    #[serde(default = "id_columns_default")]
    pub(crate) id_columns: Vec<String>,
    /// The experiment to log to.
    pub(crate) experiment: String,
    /// The tracking run; absent: a name made of DAG, task and logical date.
    run_name: Option<String>,
    /// The model to register.
    pub(crate) model_name: String,
    /// Fraction of rows kept for validation.
    #[serde(default = "valid_fraction_default")]
    pub(crate) valid_fraction: f64,
    /// Decides about the split and the sampling.
    #[serde(default = "seed_default")]
    pub(crate) seed: u64,
    /// Bins per feature, 2 to 255.
    #[serde(default = "max_bins_default")]
    pub(crate) max_bins: u16,
    /// Where to train.
    #[serde(default)]
    device: DeviceChoice,
    /// Whether every device and number of threads must give the same model.
    #[serde(default = "yes")]
    deterministic: bool,
    /// Ends when so many rounds brought no better validation AUC.
    early_stopping_rounds: Option<u32>,
    /// Trees.
    n_estimators: Option<u32>,
    /// Weight of each tree.
    learning_rate: Option<f64>,
    /// Depth of a tree.
    max_depth: Option<u8>,
    /// Fraction of rows a tree sees, above 0 and at most 1.
    subsample: Option<f64>,
    /// Fraction of features a tree sees, above 0 and at most 1.
    colsample: Option<f64>,
    /// Weight at least of a leaf.
    min_child_weight: Option<f64>,
    /// L2 regularisation of leaf values.
    l2: Option<f64>,
    /// One set of hyperparameters, for a mapped task; its members go before those beside it.
    params: Option<Overrides>,
}

/// Hyperparameters that one mapped instance is given.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Overrides {
    /// Trees.
    n_estimators: Option<u32>,
    /// Weight of each tree.
    learning_rate: Option<f64>,
    /// Depth of a tree.
    max_depth: Option<u8>,
    /// Fraction of rows a tree sees.
    subsample: Option<f64>,
    /// Fraction of features a tree sees.
    colsample: Option<f64>,
    /// Weight at least of a leaf.
    min_child_weight: Option<f64>,
    /// L2 regularisation of leaf values.
    l2: Option<f64>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum DeviceChoice {
    Cpu,
    Gpu,
    /// A GPU where there is one that fits, else the CPU.
    #[default]
    Best,
}

/// The hyperparameters that hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Hyper {
    pub(crate) n_estimators: u32,
    pub(crate) learning_rate: f64,
    pub(crate) max_depth: u8,
    subsample: f64,
    colsample: f64,
    min_child_weight: f64,
    l2: f64,
}

fn label_default() -> String {
    "churned".into()
}

fn id_columns_default() -> Vec<String> {
    vec!["user_id".into()]
}

fn valid_fraction_default() -> f64 {
    0.2
}

fn seed_default() -> u64 {
    42
}

fn max_bins_default() -> u16 {
    255
}

fn yes() -> bool {
    true
}

impl GbdtConfig {
    /// The hyperparameters that hold.
    pub(crate) fn hyper(&self) -> Hyper {
        let over = self.params.clone().unwrap_or_default();
        Hyper {
            n_estimators: over.n_estimators.or(self.n_estimators).unwrap_or(100),
            learning_rate: over.learning_rate.or(self.learning_rate).unwrap_or(0.1),
            max_depth: over.max_depth.or(self.max_depth).unwrap_or(3),
            subsample: over.subsample.or(self.subsample).unwrap_or(1.0),
            colsample: over.colsample.or(self.colsample).unwrap_or(1.0),
            min_child_weight: over
                .min_child_weight
                .or(self.min_child_weight)
                .unwrap_or(1.0),
            l2: over.l2.or(self.l2).unwrap_or(1.0),
        }
    }

    /// What the host is told; what it would refuse is refused here, with the member's name.
    pub(crate) fn training(&self) -> Result<Config, TaskError> {
        let hyper = self.hyper();
        check("n_estimators", hyper.n_estimators > 0, "must be at least 1")?;
        check(
            "max_depth",
            (1..=16).contains(&hyper.max_depth),
            "must be 1 to 16",
        )?;
        let positive = |value: f64| value.is_finite() && value > 0.0;
        check(
            "learning_rate",
            positive(hyper.learning_rate),
            "must be above 0",
        )?;
        let fraction = |value: f64| value > 0.0 && value <= 1.0;
        check(
            "subsample",
            fraction(hyper.subsample),
            "must be above 0 and at most 1",
        )?;
        check(
            "colsample",
            fraction(hyper.colsample),
            "must be above 0 and at most 1",
        )?;
        let inside = self.valid_fraction > 0.0 && self.valid_fraction < 1.0;
        check("valid_fraction", inside, "must be between 0 and 1")?;
        check(
            "max_bins",
            (2..=255).contains(&self.max_bins),
            "must be 2 to 255",
        )?;
        Ok(Config {
            algorithm: Algorithm::Gbdt(hyper.gbdt()),
            seed: self.seed,
            device: self.device.wish(),
            determinism: if self.deterministic {
                Determinism::Exact
            } else {
                Determinism::Fast
            },
            metrics: vec![Metric::Auc, Metric::LogLoss],
            metric_every: (hyper.n_estimators / MEASURES).max(1),
            early_stop: self.early_stopping_rounds.map(|rounds| EarlyStop {
                metric: Metric::Auc,
                rounds,
                min_delta: 0.0,
            }),
            checkpoint_every_ms: None,
            time_limit_ms: None,
            resume_from: None,
        })
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
    pub(crate) fn params(
        &self,
        task: &Task,
        columns: &[String],
        digest: &str,
    ) -> Vec<(&'static str, String)> {
        let hyper = self.hyper();
        vec![
            ("train_date", task.ds().unwrap_or_default()),
            ("features", self.features.clone()),
            ("features_digest", digest.to_owned()),
            ("feature_columns", columns.join(",")),
            ("feature_count", columns.len().to_string()),
            ("label", self.label.clone()),
            ("valid_fraction", self.valid_fraction.to_string()),
            ("seed", self.seed.to_string()),
            ("max_bins", self.max_bins.to_string()),
            ("n_estimators", hyper.n_estimators.to_string()),
            ("learning_rate", hyper.learning_rate.to_string()),
            ("max_depth", hyper.max_depth.to_string()),
            ("subsample", hyper.subsample.to_string()),
            ("colsample", hyper.colsample.to_string()),
            ("min_child_weight", hyper.min_child_weight.to_string()),
            ("l2", hyper.l2.to_string()),
        ]
    }
}

impl Hyper {
    fn gbdt(self) -> Gbdt {
        Gbdt {
            objective: Objective::BinaryLogistic,
            rounds: self.n_estimators,
            learning_rate: self.learning_rate,
            max_depth: self.max_depth,
            max_leaves: 1 << self.max_depth,
            min_child_weight: self.min_child_weight,
            l2: self.l2,
            min_gain: 0.0,
            subsample: self.subsample,
            column_sample: self.colsample,
            scale_pos_weight: 1.0,
            growth: Growth::Depthwise,
            base_score: None,
        }
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

fn check(field: &str, holds: bool, message: &str) -> Result<(), TaskError> {
    if holds {
        Ok(())
    } else {
        Err(TaskError::invalid(field, message))
    }
}
