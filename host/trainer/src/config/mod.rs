//! The settings of a training run and the words for what a run says, in the shape of the guest interface `training`.
//! Owns their limits and defaults; refuses values outside them before anything is allocated.

mod device;
mod forest;
mod gbdt;
mod nets;
mod report;

pub use device::{Device, GpuWish};
pub use forest::Forest;
pub use gbdt::{Gbdt, Growth};
pub use nets::{Linear, MAX_BATCH, MAX_HIDDEN, MAX_PARAMETERS, MAX_WIDTH, Mlp};
pub use report::{Event, Granted, Point, RunOutcome, StopReason, Usage};

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
/// Most classes that a model tells apart.
pub const MAX_CLASSES: u32 = 256;

/// What is minimised, and with it what scores mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// Labels 0 and 1; scores are probabilities.
    BinaryLogistic,
    /// Any label; scores are values.
    SquaredError,
    /// Labels 0 to the number of classes less one; scores are a probability for each class.
    Softmax,
}

/// What to train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// Gradient-boosted trees.
    Gbdt(Gbdt),
    /// Trees that are grown apart and averaged.
    RandomForest(Forest),
    /// Logistic regression.
    Logistic(Linear),
    /// A multi-layer perceptron.
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

    /// Whether it is defined for a probability of each of several classes.
    pub fn fits_classes(self) -> bool {
        matches!(self, Self::Accuracy | Self::LogLoss)
    }

    /// Its name in the settings.
    pub fn word(self) -> &'static str {
        match self {
            Self::Auc => "auc",
            Self::LogLoss => "log-loss",
            Self::Accuracy => "accuracy",
            Self::AveragePrecision => "average-precision",
            Self::Rmse => "rmse",
        }
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
        Self::of(Algorithm::Gbdt(gbdt))
    }

    /// Settings for `algorithm` with the defaults of everything else.
    pub fn of(algorithm: Algorithm) -> Self {
        Self {
            algorithm,
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

    /// Checks what is outside of the algorithm's own settings.
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        let Some(stop) = &self.early_stop else {
            return Ok(());
        };
        let rounds = stop.rounds;
        require(rounds >= 1, "early_stop.rounds", rounds, "at least 1")?;
        let delta = stop.min_delta;
        let holds = delta >= 0.0 && delta.is_finite();
        let wanted = "a number that is not negative";
        require(holds, "early_stop.min_delta", delta, wanted)
    }
}

/// Says which setting is not what it must be, and what it must be.
pub(crate) fn require(
    holds: bool,
    name: &str,
    found: impl std::fmt::Display,
    wanted: &str,
) -> Result<(), TrainError> {
    if holds {
        Ok(())
    } else {
        Err(TrainError::Invalid(format!(
            "{name} is {found}; it must be {wanted}"
        )))
    }
}

/// Whether `classes` and their weights fit an objective.
pub(crate) fn check_classes(
    objective: Objective,
    classes: u32,
    weights: &[f64],
) -> Result<(), TrainError> {
    let weighted = match objective {
        Objective::Softmax => {
            let holds = (2..=MAX_CLASSES).contains(&classes);
            require(holds, "classes", classes, "2 to 256 for several classes")?;
            classes as usize
        }
        Objective::BinaryLogistic => 2,
        Objective::SquaredError => 0,
    };
    let unused = objective != Objective::Softmax && classes != 0;
    let wanted = "0 with every objective but softmax";
    require(!unused, "classes", classes, wanted)?;
    let count = weights.len();
    let holds = count == 0 || count == weighted;
    let wanted = format!("empty or of {weighted} numbers, one for each class of the labels");
    let found = format!("a list of {count}");
    require(holds, "class_weights", found, &wanted)?;
    let bad = weights.iter().find(|x| !(**x > 0.0 && **x <= 1e6));
    bad.map_or(Ok(()), |found| {
        require(false, "class_weights", found, "over 0 and at most 1e6 each")
    })
}
