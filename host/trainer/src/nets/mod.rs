//! Logistic regression and the multi-layer perceptron. All sums run in an order that the data's size decides and the number of
//! threads does not, so that both keep the trainer's promise: the same data and settings give the same bytes.

mod adam;
mod blocks;
mod codec;
mod landscape;
mod linear;
mod mlp;
mod newton;
mod rounds;
mod scaler;
mod slopes;

pub(crate) use linear::Linear;
pub(crate) use mlp::{Mlp, REACH, layers};
pub(crate) use scaler::Scaler;

use crate::check::{Target, check};
use crate::config::{
    Algorithm, Config, MAX_CLASSES, MAX_HIDDEN, MAX_PARAMETERS, MAX_WIDTH, Mlp as Settings,
    Objective,
};
use crate::data::Matrix;
use crate::error::TrainError;
use crate::job::Alone;
use std::sync::Arc;

/// Checks everything that can be refused of a logistic regression or a multi-layer perceptron.
///
/// # Errors
/// [`TrainError::Invalid`] and [`TrainError::Data`] for what cannot be trained.
pub(crate) fn plan(
    config: Arc<Config>,
    train: Arc<Matrix>,
    valid: Option<Arc<Matrix>>,
) -> Result<Box<dyn Alone>, TrainError> {
    let (target, limit) = match &config.algorithm {
        Algorithm::Logistic(settings) => {
            settings.check()?;
            let target = Target {
                objective: Objective::BinaryLogistic,
                classes: 0,
            };
            (target, settings.max_iterations)
        }
        Algorithm::Mlp(settings) => {
            settings.check()?;
            let widths = widths(settings, train.features());
            check_widths(&widths, settings.objective).map_err(TrainError::Invalid)?;
            let target = Target {
                objective: settings.objective,
                classes: settings.classes,
            };
            (target, settings.epochs)
        }
        Algorithm::Gbdt(_) | Algorithm::RandomForest(_) => {
            return Err(TrainError::Invalid(
                "these settings are of trees, not of a net".to_owned(),
            ));
        }
    };
    check(&config, target, &train, valid.as_deref())?;
    Ok(Box::new(rounds::Plan::new(config, train, valid, limit)?))
}

/// Features, hidden layers, outputs.
fn widths(settings: &Settings, features: usize) -> Vec<usize> {
    let outputs = if settings.objective == Objective::Softmax {
        settings.classes as usize
    } else {
        1
    };
    let hidden = settings.hidden.iter().map(|width| *width as usize);
    std::iter::once(features)
        .chain(hidden)
        .chain(std::iter::once(outputs))
        .collect()
}

/// Numbers that a network of these settings learns.
fn parameters(settings: &Settings, features: usize) -> usize {
    let layers = layers(&widths(settings, features));
    layers.last().map_or(0, |layer| layer.bias().end)
}

/// Whether a network of these widths can be held, and says what `objective` needs. What came in from outside is checked here, too.
pub(crate) fn check_widths(widths: &[usize], objective: Objective) -> Result<(), String> {
    let [_, hidden @ .., outputs] = widths else {
        return Err("a network needs at least one layer".to_owned());
    };
    if hidden.len() > MAX_HIDDEN
        || hidden
            .iter()
            .any(|width| !(1..=MAX_WIDTH as usize).contains(width))
    {
        return Err(format!(
            "its hidden layers are {hidden:?}; at most {MAX_HIDDEN} of 1 to {MAX_WIDTH} units can be held"
        ));
    }
    let fits = match objective {
        Objective::Softmax => (2..=MAX_CLASSES as usize).contains(outputs),
        Objective::BinaryLogistic | Objective::SquaredError => *outputs == 1,
    };
    if !fits {
        return Err(format!("{outputs} outputs do not fit its objective"));
    }
    let parameters: usize = widths
        .array_windows()
        .map(|[inputs, outputs]| (inputs + 1) * outputs)
        .sum();
    if parameters > MAX_PARAMETERS {
        return Err(format!(
            "it has {parameters} weights and biases; at most {MAX_PARAMETERS} can be held, so use fewer features or smaller hidden layers"
        ));
    }
    Ok(())
}
