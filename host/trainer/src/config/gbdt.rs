//! The settings of gradient boosting.

use super::{MAX_CLASSES, MAX_DEPTH, MAX_LEAVES, MAX_ROUNDS, Objective, check_classes, require};
use crate::error::TrainError;
use serde::{Deserialize, Serialize};

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
    /// Classes of a softmax, 2 to [`MAX_CLASSES`]; 0 with every other objective. Default 0.
    pub classes: u32,
    /// Rounds, 1 to [`MAX_ROUNDS`]; each grows one tree, or one for each class. Default 100.
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
    /// Fraction of rows that a round sees, (0, 1]. Default 1.
    pub subsample: f64,
    /// Fraction of features that a tree sees, (0, 1]. Default 1.
    pub column_sample: f64,
    /// Weight of rows with label 1 (binary-logistic). Default 1.
    pub scale_pos_weight: f64,
    /// Weight of the rows of each class, (0, 1e6]: one a class, or empty for 1 each. Default empty.
    pub class_weights: Vec<f64>,
    /// Default depthwise.
    pub growth: Growth,
    /// The prediction before the first tree (a probability for binary-logistic); the labels' weighted mean where absent. A softmax
    /// always begins at the classes' weighted shares and refuses one.
    pub base_score: Option<f64>,
}

impl Default for Gbdt {
    fn default() -> Self {
        Self {
            objective: Objective::BinaryLogistic,
            classes: 0,
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
            class_weights: Vec::new(),
            growth: Growth::Depthwise,
            base_score: None,
        }
    }
}

fn fraction(x: f64) -> bool {
    x > 0.0 && x <= 1.0
}

fn penalty(x: f64) -> bool {
    (0.0..=1e12).contains(&x)
}

impl Gbdt {
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        check_classes(self.objective, self.classes, &self.class_weights)?;
        self.check_growth()?;
        let fractions = [
            ("learning_rate", self.learning_rate),
            ("subsample", self.subsample),
            ("column_sample", self.column_sample),
        ];
        for (name, value) in fractions {
            require(fraction(value), name, value, "over 0 and at most 1")?;
        }
        let penalties = [
            ("min_child_weight", self.min_child_weight),
            ("l2", self.l2),
            ("min_gain", self.min_gain),
        ];
        for (name, value) in penalties {
            require(penalty(value), name, value, "0 to 1e12")?;
        }
        let weight = self.scale_pos_weight;
        let holds = weight > 0.0 && weight <= 1e6;
        require(holds, "scale_pos_weight", weight, "over 0 and at most 1e6")?;
        require(
            weight == 1.0 || self.objective == Objective::BinaryLogistic,
            "scale_pos_weight",
            weight,
            "1 with every objective but binary-logistic; use class_weights",
        )?;
        self.check_base_score()
    }

    fn check_growth(&self) -> Result<(), TrainError> {
        let rounds = self.rounds;
        let (depth, leaves) = (self.max_depth, self.max_leaves);
        let holds = (1..=MAX_ROUNDS).contains(&rounds);
        require(holds, "rounds", rounds, "1 to 100000")?;
        require(depth <= MAX_DEPTH, "max_depth", depth, "at most 32")?;
        require(
            depth > 0 || (self.growth == Growth::Lossguide && leaves > 0),
            "max_depth",
            "0 (no limit)",
            "1 to 32 unless growth is lossguide and max_leaves is set",
        )?;
        let holds = leaves == 0 || (2..=MAX_LEAVES).contains(&leaves);
        require(holds, "max_leaves", leaves, "0 (no limit) or 2 to 32768")?;
        let trees = u64::from(rounds) * self.outputs() as u64;
        let holds = trees <= u64::from(MAX_ROUNDS);
        let wanted = "at most 100000 divided by the classes, as each round grows a tree a class";
        require(holds, "rounds", rounds, wanted)
    }

    fn check_base_score(&self) -> Result<(), TrainError> {
        let Some(score) = self.base_score else {
            return Ok(());
        };
        let (holds, wanted) = match self.objective {
            Objective::BinaryLogistic => (
                score > 1e-7 && score < 1.0 - 1e-7,
                "a probability between 0 and 1, both excluded, with binary-logistic",
            ),
            Objective::SquaredError => (score.abs() < 1e30, "a number under 1e30"),
            Objective::Softmax => (
                false,
                "absent with softmax, which begins at the classes' shares",
            ),
        };
        require(holds, "base_score", score, wanted)
    }

    /// Numbers that the model says of each row, and trees of a round.
    pub(crate) fn outputs(&self) -> usize {
        if self.objective == Objective::Softmax {
            self.classes.clamp(2, MAX_CLASSES) as usize
        } else {
            1
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
