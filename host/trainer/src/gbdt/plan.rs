//! A boosting that was checked: base scores from the labels, or trees from the checkpoint.

use crate::check::{Target, check};
use crate::config::{Algorithm, Config, Gbdt, Objective};
use crate::data::Matrix;
use crate::error::TrainError;
use crate::job::TreePlan;
use crate::math;
use crate::model::Ensemble;
use std::sync::Arc;

/// Least share of a class, so that its margin is a number.
const SHARE_MIN: f64 = 1e-6;

pub(crate) fn plan(
    config: Arc<Config>,
    train: Arc<Matrix>,
    valid: Option<Arc<Matrix>>,
) -> Result<TreePlan, TrainError> {
    let Algorithm::Gbdt(gbdt) = &config.algorithm else {
        return Err(TrainError::Invalid(
            "these settings are not of gbdt".to_owned(),
        ));
    };
    gbdt.check()?;
    let target = Target {
        objective: gbdt.objective,
        classes: gbdt.classes,
    };
    check(&config, target, &train, valid.as_deref())?;
    let rounds = gbdt.rounds;
    let ensemble = Ensemble {
        objective: gbdt.objective,
        base_scores: base_scores(gbdt, &train),
        average: false,
        trees: Vec::new(),
    };
    TreePlan::new(config, train, valid, ensemble, rounds)
}

/// The weighted mean of the labels, or the margins of the classes' weighted shares; rounded to f32 as every reader of an exported
/// model does.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounding to f32 is the point; labels of classes are whole and not negative"
)]
fn base_scores(gbdt: &Gbdt, train: &Matrix) -> Vec<f32> {
    if let Some(score) = gbdt.base_score {
        return vec![score as f32];
    }
    let outputs = gbdt.outputs();
    let labels = train.label().unwrap_or_default();
    let mut sums = vec![0.0; outputs];
    let mut total = 0.0;
    for (row, label) in labels.iter().enumerate() {
        let own = train
            .weight()
            .map_or(1.0, |weights| f64::from(weights[row]));
        total += own;
        if gbdt.objective == Objective::Softmax {
            sums[*label as usize] += own;
        } else {
            sums[0] += own * f64::from(*label);
        }
    }
    let mean = |sum: f64| if total > 0.0 { sum / total } else { 0.0 };
    let score = |sum: &f64| match gbdt.objective {
        Objective::BinaryLogistic => mean(*sum).clamp(SHARE_MIN, 1.0 - SHARE_MIN) as f32,
        Objective::SquaredError => mean(*sum) as f32,
        Objective::Softmax => math::ln(mean(*sum).max(SHARE_MIN)) as f32,
    };
    sums.iter().map(score).collect()
}
