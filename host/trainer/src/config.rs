//! The settings of a training run and the words for what a run says, in the shape of the guest interface `training`.
//! Owns their limits and defaults; refuses values outside them before anything is allocated.

use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// Most boosting rounds of one model.
pub const MAX_ROUNDS: u32 = 100_000;
/// Deepest tree; `max_depth: 0` means no limit but this one.
pub const MAX_DEPTH: u8 = 32;
/// Most leaves of one tree; `max_leaves: 0` means no limit but this one.
pub const MAX_LEAVES: u32 = 32_768;
/// Most threads of one run.
pub const MAX_THREADS: usize = 256;

/// Which device a run wishes for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Device {
    /// The processor.
    Cpu,
    /// A GPU or nothing.
    Gpu(GpuWish),
    /// A GPU where there is one that fits, else the processor.
    Best,
}

/// What a GPU must have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GpuWish {
    /// Part of the product name.
    pub name: Option<String>,
    /// Bytes.
    pub min_memory: Option<u64>,
    /// Compute capability.
    pub min_compute: Option<(u8, u8)>,
    /// How many cards.
    pub count: u8,
    /// Fraction of one card, 0.0 to 1.0.
    pub share: f32,
}

/// What the trees minimise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// Labels 0 and 1; scores are probabilities.
    BinaryLogistic,
    /// Any label; scores are values.
    SquaredError,
    /// Not built yet.
    Softmax,
}

/// In which order a tree grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Growth {
    /// Level by level.
    Depthwise,
    /// The leaf with the highest gain first, as LightGBM does.
    Lossguide,
}

/// Gradient-boosted trees. Names and meanings are XGBoost's; the defaults are its too, except `learning_rate` 0.1
/// (LightGBM's and scikit-learn's) and `base_score` (from the labels).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gbdt {
    /// Default binary-logistic.
    pub objective: Objective,
    /// Trees, 1 to [`MAX_ROUNDS`]. Default 100.
    pub rounds: u32,
    /// (0, 1]. Default 0.1.
    pub learning_rate: f64,
    /// 0 to [`MAX_DEPTH`]; 0 is no limit, with lossguide only. Default 6.
    pub max_depth: u8,
    /// 0 (no limit) or 2 to [`MAX_LEAVES`]. Default 0.
    pub max_leaves: u32,
    /// Least sum of hessians in a child. Default 1.
    pub min_child_weight: f64,
    /// L2 penalty on leaf values. Default 1.
    pub l2: f64,
    /// Least loss reduction of a split (XGBoost's gamma, not halved). Default 0.
    pub min_gain: f64,
    /// Fraction of rows that a tree sees, (0, 1]. Default 1.
    pub subsample: f64,
    /// Fraction of features that a tree sees, (0, 1]. Default 1.
    pub column_sample: f64,
    /// Weight of rows with label 1 (binary-logistic). Default 1.
    pub scale_pos_weight: f64,
    /// Default depthwise.
    pub growth: Growth,
    /// The prediction before the first tree (a probability for binary-logistic); the labels' weighted mean where absent.
    pub base_score: Option<f64>,
}

impl Default for Gbdt {
    fn default() -> Self {
        Self {
            objective: Objective::BinaryLogistic,
            rounds: 100,
            learning_rate: 0.1,
            max_depth: 6,
            max_leaves: 0,
            min_child_weight: 1.0,
            l2: 1.0,
            min_gain: 0.0,
            subsample: 1.0,
            column_sample: 1.0,
            scale_pos_weight: 1.0,
            growth: Growth::Depthwise,
            base_score: None,
        }
    }
}

/// Random forest. Not built yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "the guest interface documents the same members"
)]
pub struct Forest {
    pub trees: u32,
    pub max_depth: u8,
    pub max_features: f64,
    pub min_leaf: u32,
    pub bootstrap: bool,
}

/// Logistic regression. Not built yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "the guest interface documents the same members"
)]
pub struct Linear {
    pub l2: f64,
    pub max_iterations: u32,
    pub tolerance: f64,
    pub standardize: bool,
}

/// Multi-layer perceptron. Not built yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "the guest interface documents the same members"
)]
pub struct Mlp {
    pub hidden: Vec<u32>,
    pub epochs: u32,
    pub batch: u32,
    pub learning_rate: f64,
    pub weight_decay: f64,
}

/// What to train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// Gradient-boosted trees.
    Gbdt(Gbdt),
    /// Not built yet.
    RandomForest(Forest),
    /// Not built yet.
    Logistic(Linear),
    /// Not built yet.
    Mlp(Mlp),
}

/// How good a model is. AUC, accuracy and average precision are better when higher, the others when lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Area under the ROC curve; ties count half.
    Auc,
    /// Mean negative log-likelihood.
    LogLoss,
    /// Share of rows on the right side of 0.5.
    Accuracy,
    /// Area under the precision-recall curve as a step function; ties are one step.
    AveragePrecision,
    /// Root of the mean squared error.
    Rmse,
}

impl Metric {
    /// Whether more is better.
    pub fn higher_is_better(self) -> bool {
        matches!(self, Self::Auc | Self::Accuracy | Self::AveragePrecision)
    }
}

/// Stop after `rounds` measured rounds without an improvement of more than `min_delta`; the model keeps the best round's trees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EarlyStop {
    /// Measured on the validation matrix.
    pub metric: Metric,
    /// Boosting rounds without improvement, from 1.
    pub rounds: u32,
    /// Not negative.
    pub min_delta: f64,
}

/// What may differ between two runs with the same settings. Both give the same bytes on the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Determinism {
    /// Any device and any number of threads give the same model bytes.
    Exact,
    /// A device may trade that for speed; the processor never does.
    Fast,
}

/// Everything a run is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// What to train.
    pub algorithm: Algorithm,
    /// Of row and column sampling.
    pub seed: u64,
    /// Where.
    pub device: Device,
    /// How exactly.
    pub determinism: Determinism,
    /// What to measure.
    pub metrics: Vec<Metric>,
    /// Rounds between two measurements; 0 measures at the end only (an early stop still measures its own metric every round).
    pub metric_every: u32,
    /// Needs a validation matrix.
    pub early_stop: Option<EarlyStop>,
    /// Least milliseconds between two [`Event::Checkpointed`]; 0 is one after every tree.
    pub checkpoint_every_ms: Option<u32>,
    /// Milliseconds after which the run ends with what it has.
    pub time_limit_ms: Option<u64>,
    /// The bytes of a checkpoint of a run with the same data and settings (`rounds`, metrics and limits may differ).
    pub resume_from: Option<Vec<u8>>,
}

impl Config {
    /// Settings for `gbdt` with the defaults of everything else.
    pub fn gbdt(gbdt: Gbdt) -> Self {
        Self {
            algorithm: Algorithm::Gbdt(gbdt),
            seed: 0,
            device: Device::Cpu,
            determinism: Determinism::Exact,
            metrics: Vec::new(),
            metric_every: 0,
            early_stop: None,
            checkpoint_every_ms: None,
            time_limit_ms: None,
            resume_from: None,
        }
    }

    /// The checked settings of the one algorithm that is built.
    pub(crate) fn checked_gbdt(&self) -> Result<&Gbdt, TrainError> {
        let gbdt = match &self.algorithm {
            Algorithm::Gbdt(gbdt) => gbdt,
            Algorithm::RandomForest(_) => return not_built("random-forest"),
            Algorithm::Logistic(_) => return not_built("logistic"),
            Algorithm::Mlp(_) => return not_built("mlp"),
        };
        gbdt.check()?;
        if let Some(stop) = &self.early_stop {
            require(stop.rounds >= 1, "early_stop.rounds must be at least 1")?;
            require(
                stop.min_delta >= 0.0 && stop.min_delta.is_finite(),
                "early_stop.min_delta must be a number that is not negative",
            )?;
        }
        Ok(gbdt)
    }
}

fn not_built<T>(what: &str) -> Result<T, TrainError> {
    Err(TrainError::Invalid(format!(
        "algorithm {what} is not built yet; use gbdt"
    )))
}

fn require(holds: bool, message: &str) -> Result<(), TrainError> {
    if holds {
        Ok(())
    } else {
        Err(TrainError::Invalid(message.to_owned()))
    }
}

fn fraction(x: f64) -> bool {
    x > 0.0 && x <= 1.0
}

fn penalty(x: f64) -> bool {
    (0.0..=1e12).contains(&x)
}

impl Gbdt {
    fn check(&self) -> Result<(), TrainError> {
        if self.objective == Objective::Softmax {
            return Err(TrainError::Invalid(
                "objective softmax is not built yet; use binary-logistic or squared-error"
                    .to_owned(),
            ));
        }
        require(
            (1..=MAX_ROUNDS).contains(&self.rounds),
            "rounds must be 1 to 100000",
        )?;
        require(
            fraction(self.learning_rate),
            "learning_rate must be over 0 and at most 1",
        )?;
        require(self.max_depth <= MAX_DEPTH, "max_depth must be at most 32")?;
        require(
            self.max_depth > 0 || (self.growth == Growth::Lossguide && self.max_leaves > 0),
            "max_depth 0 (no limit) needs growth lossguide and max_leaves",
        )?;
        require(
            self.max_leaves == 0 || (2..=MAX_LEAVES).contains(&self.max_leaves),
            "max_leaves must be 0 (no limit) or 2 to 32768",
        )?;
        require(
            penalty(self.min_child_weight),
            "min_child_weight must be 0 to 1e12",
        )?;
        require(penalty(self.l2), "l2 must be 0 to 1e12")?;
        require(penalty(self.min_gain), "min_gain must be 0 to 1e12")?;
        require(
            fraction(self.subsample),
            "subsample must be over 0 and at most 1",
        )?;
        require(
            fraction(self.column_sample),
            "column_sample must be over 0 and at most 1",
        )?;
        require(
            self.scale_pos_weight > 0.0 && self.scale_pos_weight <= 1e6,
            "scale_pos_weight must be over 0 and at most 1e6",
        )?;
        match (self.base_score, self.objective) {
            (Some(p), Objective::BinaryLogistic) => require(
                p > 1e-7 && p < 1.0 - 1e-7,
                "base_score of binary-logistic is a probability between 0 and 1, both excluded",
            ),
            (Some(v), _) => require(v.abs() < 1e30, "base_score must be a number under 1e30"),
            (None, _) => Ok(()),
        }
    }

    pub(crate) fn depth_limit(&self) -> u8 {
        if self.max_depth == 0 {
            MAX_DEPTH
        } else {
            self.max_depth
        }
    }

    pub(crate) fn leaf_limit(&self) -> usize {
        if self.max_leaves == 0 {
            MAX_LEAVES as usize
        } else {
            self.max_leaves as usize
        }
    }
}

/// What a run got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// `cpu`.
    pub device: String,
    /// Threads that work.
    pub threads: u32,
    /// Bytes that the run is expected to hold.
    pub memory_limit: u64,
}

/// One measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Trees in the model that was measured.
    pub round: u32,
    /// What was measured.
    pub metric: Metric,
    /// On the training matrix.
    pub train: Option<f64>,
    /// On the validation matrix.
    pub valid: Option<f64>,
}

/// What a run cost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// From start to end.
    pub wall_ms: u64,
    /// Of all its threads; 0 where the system does not tell.
    pub cpu_ms: u64,
    /// Of a GPU.
    pub device_ms: u64,
    /// Bytes, counted from the sizes of what the run holds.
    pub peak_host: u64,
    /// Bytes.
    pub peak_device: u64,
    /// Trees trained by this run, without those resumed from.
    pub rounds: u32,
    /// Times that the run moved.
    pub restarts: u32,
}

/// What a run says while it goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// It has its threads.
    Started(Granted),
    /// A measurement.
    Progress(Point),
    /// The bytes of the model so far; the latest one replaces those not read yet.
    Checkpointed(Vec<u8>),
    /// The device was lost and the run went on elsewhere.
    Moved(String),
    /// Something a person should know.
    Warning(String),
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// All rounds.
    Completed,
    /// The metric improved no more.
    EarlyStopped,
    /// Somebody asked.
    Cancelled,
    /// The time limit.
    Deadline,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunOutcome {
    /// Why.
    pub reason: StopReason,
    /// Trees in the model.
    pub best_round: u32,
    /// The measurements of that model.
    pub metrics: Vec<Point>,
    /// What it cost.
    pub usage: Usage,
}
