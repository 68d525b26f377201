//! The settings of a random forest.

use super::{MAX_ROUNDS, Objective, check_classes, require};
use crate::error::TrainError;
use serde::{Deserialize, Serialize};

/// Random forest. Names and meanings are scikit-learn's; a model's score is the mean over its trees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Forest {
    /// 1 to [`MAX_ROUNDS`]; with three classes or more, times the classes. Default 100.
    pub trees: u32,
    /// 0 to 255; 0 is no limit but 255. Default 0.
    pub max_depth: u8,
    /// Fraction of features that are tried at each split, (0, 1]; 0 stands for the square root of their number. More are tried
    /// where all of these are constant in the node. Default 0.
    pub max_features: f64,
    /// Least rows in a leaf, those drawn twice counted twice; from 1. Default 1.
    pub min_leaf: u32,
    /// Whether each tree draws as many rows as there are, with replacement. Default true.
    pub bootstrap: bool,
    /// 0 for regression on the label; else 2 to [`super::MAX_CLASSES`] classes, labelled from 0. Default 0.
    pub classes: u32,
    /// Weight of the rows of each class, (0, 1e6]: one a class, or empty for 1 each. Default empty.
    pub class_weights: Vec<f64>,
}

impl Default for Forest {
    fn default() -> Self {
        Self {
            trees: 100,
            max_depth: 0,
            max_features: 0.0,
            min_leaf: 1,
            bootstrap: true,
            classes: 0,
            class_weights: Vec::new(),
        }
    }
}

impl Forest {
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        // Two classes are told apart by one output, as binary-logistic does.
        let softmax_classes = if self.classes == 2 { 0 } else { self.classes };
        check_classes(self.objective(), softmax_classes, &self.class_weights)?;
        let holds = (1..=MAX_ROUNDS).contains(&self.trees);
        require(holds, "trees", self.trees, "1 to 100000")?;
        let all = u64::from(self.trees) * self.outputs() as u64;
        let holds = all <= u64::from(MAX_ROUNDS);
        let wanted = "at most 100000 divided by the classes, each of which has trees of its own";
        require(holds, "trees", self.trees, wanted)?;
        let holds = (0.0..=1.0).contains(&self.max_features);
        let wanted = "0 (the square root of their number) or a fraction up to 1";
        require(holds, "max_features", self.max_features, wanted)?;
        require(self.min_leaf >= 1, "min_leaf", self.min_leaf, "at least 1")
    }

    /// What the scores of the model mean.
    pub(crate) fn objective(&self) -> Objective {
        match self.classes {
            0 => Objective::SquaredError,
            2 => Objective::BinaryLogistic,
            _ => Objective::Softmax,
        }
    }

    /// Numbers that the model says of each row.
    pub(crate) fn outputs(&self) -> usize {
        if self.classes > 2 {
            self.classes as usize
        } else {
            1
        }
    }
}
