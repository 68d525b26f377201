//! What is trained: an algorithm with its hyperparameters, how it is measured, how its progress is called.

use airlock_sdk::prelude::*;
use airlock_sdk::training::{Algorithm, Metric};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::data::check;

/// What one training is made of.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    pub(crate) algorithm: Algorithm,
    /// Trees, rounds, epochs or iterations.
    pub(crate) rounds: u32,
    /// What one of them is called.
    pub(crate) unit: &'static str,
    /// What is measured; the first is what models are compared by.
    pub(crate) metrics: Vec<Metric>,
    /// The hyperparameters that hold, for the tracking run and the result.
    pub(crate) hyper: Vec<(&'static str, Value)>,
}

impl Recipe {
    /// What models are compared by.
    pub(crate) fn metric(&self) -> Metric {
        self.metrics.first().copied().unwrap_or(Metric::LogLoss)
    }

    /// Hyperparameters as the tracking run keeps them.
    pub(crate) fn params(&self) -> Vec<(&'static str, String)> {
        let text = |value: &Value| match value {
            Value::Number(number) if number.is_f64() => {
                number.as_f64().unwrap_or_default().to_string()
            }
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let params = self.hyper.iter();
        params.map(|(name, value)| (*name, text(value))).collect()
    }
}

/// What is learnt, where an algorithm can learn several things.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Objective {
    /// Labels 0 and 1; scores are probabilities.
    #[default]
    BinaryLogistic,
    /// Any number.
    SquaredError,
    /// Labels 0 to `classes` less one; scores are a probability for each class.
    Softmax,
}

impl Objective {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::BinaryLogistic => "binary_logistic",
            Self::SquaredError => "squared_error",
            Self::Softmax => "softmax",
        }
    }

    pub(crate) fn told(self) -> airlock_sdk::training::Objective {
        use airlock_sdk::training::Objective as O;
        match self {
            Self::BinaryLogistic => O::BinaryLogistic,
            Self::SquaredError => O::SquaredError,
            Self::Softmax => O::Softmax,
        }
    }

    /// How good a model of it is.
    pub(crate) fn metrics(self) -> Vec<Metric> {
        match self {
            Self::BinaryLogistic => vec![Metric::Auc, Metric::LogLoss, Metric::Accuracy],
            Self::SquaredError => vec![Metric::Rmse],
            Self::Softmax => vec![Metric::LogLoss, Metric::Accuracy],
        }
    }

    /// Refuses classes that do not fit.
    pub(crate) fn check_classes(self, classes: u32) -> Result<(), TaskError> {
        let fits = match self {
            Self::Softmax => (2..=256).contains(&classes),
            _ => classes == 0,
        };
        let wanted = "must be 2 to 256 with objective softmax, and absent with every other";
        check("classes", fits, wanted)
    }
}

/// The value that a config gives where it gives one.
pub(crate) fn positive(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

pub(crate) fn not_negative(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

pub(crate) fn fraction(value: f64) -> bool {
    value > 0.0 && value <= 1.0
}
