//! What data and measurements a training accepts, asked before anything is allocated. Owns the sentences that say what was needed
//! and what was found.

use crate::config::{Config, Metric, Objective};
use crate::data::Matrix;
use crate::error::TrainError;

/// What is learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) objective: Objective,
    /// Classes of a softmax; not looked at otherwise.
    pub(crate) classes: u32,
}

/// Checks the matrices and the measurements that `config` asks for against what is learned.
///
/// # Errors
/// [`TrainError::Data`] and [`TrainError::Invalid`], each with what was needed and what was found.
pub(crate) fn check(
    config: &Config,
    target: Target,
    train: &Matrix,
    valid: Option<&Matrix>,
) -> Result<(), TrainError> {
    let Some(labels) = train.label() else {
        return Err(TrainError::Data(
            "the training matrix has no label; name one in its spec".to_owned(),
        ));
    };
    if let Some(valid) = valid
        && valid.feature_names() != train.feature_names()
    {
        return Err(TrainError::Data(format!(
            "the validation matrix has the features {}; it needs those of the training matrix: {}",
            valid.feature_names().join(", "),
            train.feature_names().join(", ")
        )));
    }
    check_labels(target, labels, "training")?;
    let valid_labels = valid.and_then(Matrix::label);
    if let Some(labels) = valid_labels {
        check_labels(target, labels, "validation")?;
    }
    check_classes(target, labels)?;
    check_features(train)?;
    check_weights(train)?;
    let early = config.early_stop.as_ref().map(|stop| stop.metric);
    for metric in config.metrics.iter().copied().chain(early) {
        check_metric(metric, target, labels)?;
    }
    early.map_or(Ok(()), |metric| check_early(metric, valid_labels))
}

fn check_labels(target: Target, labels: &[f32], which: &str) -> Result<(), TrainError> {
    let (limit, wanted) = match target.objective {
        Objective::SquaredError => return Ok(()),
        Objective::BinaryLogistic => (2, "labels 0 and 1".to_owned()),
        Objective::Softmax => {
            let classes = target.classes;
            let wanted = format!("whole labels from 0 to {}, one a class", classes.max(1) - 1);
            (classes, wanted)
        }
    };
    let known =
        |label: f32| label >= 0.0 && label.fract() == 0.0 && f64::from(label) < f64::from(limit);
    match labels.iter().position(|label| !known(*label)) {
        None => Ok(()),
        Some(row) => Err(TrainError::Data(format!(
            "training on classes needs {wanted}; row {row} of the {which} matrix has {}",
            labels.get(row).copied().unwrap_or(f32::NAN)
        ))),
    }
}

/// Classes are told apart by their differences, so one alone teaches nothing.
fn check_classes(target: Target, labels: &[f32]) -> Result<(), TrainError> {
    let first = labels.first().copied().unwrap_or_default();
    if target.objective == Objective::SquaredError || labels.iter().any(|label| *label != first) {
        return Ok(());
    }
    Err(TrainError::Data(format!(
        "training on classes needs rows of two classes at least; all {} labels are {first}",
        labels.len()
    )))
}

fn check_features(train: &Matrix) -> Result<(), TrainError> {
    if (0..train.features()).any(|feature| train.varies(feature)) {
        return Ok(());
    }
    Err(TrainError::Data(format!(
        "trees need a feature with two different values, missing ones counted; all {} features are constant: {}",
        train.features(),
        train.feature_names().join(", ")
    )))
}

fn check_weights(train: &Matrix) -> Result<(), TrainError> {
    match train.weight() {
        Some(weights) if weights.iter().all(|weight| *weight == 0.0) => {
            Err(TrainError::Data(format!(
                "training needs rows with a weight over 0; all {} are 0",
                weights.len()
            )))
        }
        _ => Ok(()),
    }
}

fn check_metric(metric: Metric, target: Target, labels: &[f32]) -> Result<(), TrainError> {
    let word = metric.word();
    let refused = |why: &str| Err(TrainError::Invalid(format!("metric {word} {why}")));
    match target.objective {
        Objective::BinaryLogistic => Ok(()),
        Objective::Softmax if metric.fits_classes() => Ok(()),
        Objective::Softmax => {
            refused("does not fit a model of several classes; accuracy and log-loss do")
        }
        Objective::SquaredError if metric == Metric::Rmse => Ok(()),
        Objective::SquaredError => {
            match labels.iter().find(|label| **label != 0.0 && **label != 1.0) {
                None => Ok(()),
                Some(label) => refused(&format!(
                    "needs labels 0 and 1, and there is a {label}; rmse fits every regression"
                )),
            }
        }
    }
}

fn check_early(metric: Metric, labels: Option<&[f32]>) -> Result<(), TrainError> {
    let Some(labels) = labels else {
        return Err(TrainError::Invalid(
            "early_stop needs a validation matrix with a label".to_owned(),
        ));
    };
    let ranks = matches!(metric, Metric::Auc | Metric::AveragePrecision);
    let first = labels.first().copied().unwrap_or_default();
    if ranks && labels.iter().all(|label| *label == first) {
        return Err(TrainError::Data(format!(
            "early_stop by {} needs both classes in the validation matrix; all {} labels are {first}",
            metric.word(),
            labels.len()
        )));
    }
    Ok(())
}

/// What a person should know about the training matrix: which features teach nothing.
pub(crate) fn warnings(train: &Matrix) -> Vec<String> {
    let names = train.feature_names().iter().enumerate();
    let constant: Vec<&str> = names
        .filter(|(feature, _)| !train.varies(*feature))
        .map(|(_, name)| name.as_str())
        .collect();
    if constant.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "{} features have one value in all rows or none at all, so nothing can be learned from them: {}",
        constant.len(),
        constant.join(", ")
    )]
}
