//! The settings of logistic regression and of the multi-layer perceptron.

use super::Objective;
use serde::{Deserialize, Serialize};

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
    pub objective: Objective,
    /// Classes of a softmax, 2 to [`super::MAX_CLASSES`]; 0 with every other objective.
    pub classes: u32,
    pub hidden: Vec<u32>,
    pub epochs: u32,
    pub batch: u32,
    pub learning_rate: f64,
    pub weight_decay: f64,
}
