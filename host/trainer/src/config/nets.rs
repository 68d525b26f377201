//! The settings of logistic regression and of the multi-layer perceptron, and their limits.

use super::{MAX_ROUNDS, Objective, check_classes, require};
use crate::error::TrainError;
use serde::{Deserialize, Serialize};

/// Most hidden layers.
pub const MAX_HIDDEN: usize = 16;
/// Most units of a hidden layer.
pub const MAX_WIDTH: u32 = 4_096;
/// Most weights and biases of a network.
pub const MAX_PARAMETERS: usize = 1 << 22;
/// Most rows of a minibatch.
pub const MAX_BATCH: u32 = 65_536;

/// Logistic regression: `sum of weight * log-loss + l2 / 2 * |coefficients|^2`, as scikit-learn has it with `C = 1 / l2`. The intercept
/// carries no penalty. A missing value is the column's mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Linear {
    /// Penalty, 0 to 1e12. Default 1. With 0 and classes that a plane parts there is no best model, and `max_iterations` ends it.
    pub l2: f64,
    /// Newton steps, 1 to [`MAX_ROUNDS`]. Default 100; ten are many.
    pub max_iterations: u32,
    /// The largest component of the gradient, divided by the sum of weights, at which training ends; 1e-14 to 1. Default 1e-8.
    pub tolerance: f64,
    /// Whether the penalty is on coefficients of standardised columns (default) or of raw ones.
    pub standardize: bool,
}

impl Default for Linear {
    fn default() -> Self {
        Self {
            l2: 1.0,
            max_iterations: 100,
            tolerance: 1e-8,
            standardize: true,
        }
    }
}

impl Linear {
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        require((0.0..=1e12).contains(&self.l2), "l2", self.l2, "0 to 1e12")?;
        let (steps, tolerance) = (self.max_iterations, self.tolerance);
        let holds = (1..=MAX_ROUNDS).contains(&steps);
        require(holds, "max_iterations", steps, "1 to 100000")?;
        let holds = (1e-14..=1.0).contains(&tolerance);
        require(holds, "tolerance", tolerance, "1e-14 to 1")
    }
}

/// Multi-layer perceptron with `ReLU` between its layers, trained by Adam with decoupled weight decay. Columns, and the labels of
/// squared-error, are standardised inside the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mlp {
    /// Default binary-logistic.
    pub objective: Objective,
    /// Classes of a softmax, 2 to [`super::MAX_CLASSES`]; 0 with every other objective.
    pub classes: u32,
    /// Units of each hidden layer, at most [`MAX_HIDDEN`] of 1 to [`MAX_WIDTH`]; none make a linear model. Default 64 and 32.
    pub hidden: Vec<u32>,
    /// Times that every row is shown, 1 to [`MAX_ROUNDS`]. Default 20.
    pub epochs: u32,
    /// Rows of a minibatch, 1 to [`MAX_BATCH`]. Default 256.
    pub batch: u32,
    /// Over 0 and at most 10. Default 0.001.
    pub learning_rate: f64,
    /// Decay of weights (not of biases) for one unit of learning rate, 0 to 100. Default 0.
    pub weight_decay: f64,
}

impl Default for Mlp {
    fn default() -> Self {
        Self {
            objective: Objective::BinaryLogistic,
            classes: 0,
            hidden: vec![64, 32],
            epochs: 20,
            batch: 256,
            learning_rate: 1e-3,
            weight_decay: 0.0,
        }
    }
}

impl Mlp {
    /// All but the widths, which the features decide with it.
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        check_classes(self.objective, self.classes, &[])?;
        let (epochs, batch) = (self.epochs, self.batch);
        let holds = (1..=MAX_ROUNDS).contains(&epochs);
        require(holds, "epochs", epochs, "1 to 100000")?;
        let holds = (1..=MAX_BATCH).contains(&batch);
        require(holds, "batch", batch, "1 to 65536")?;
        let (rate, decay) = (self.learning_rate, self.weight_decay);
        let holds = rate > 0.0 && rate <= 10.0;
        require(holds, "learning_rate", rate, "over 0 and at most 10")?;
        let holds = (0.0..=100.0).contains(&decay) && rate * decay < 1.0;
        let wanted = "0 to 100, and under 1 when multiplied by learning_rate";
        require(holds, "weight_decay", decay, wanted)
    }
}
