//! A forest that was checked.

use crate::check::{Target, check};
use crate::config::{Algorithm, Config};
use crate::data::Matrix;
use crate::error::TrainError;
use crate::job::TreePlan;
use crate::model::Ensemble;
use std::sync::Arc;

pub(crate) fn plan(
    config: Arc<Config>,
    train: Arc<Matrix>,
    valid: Option<Arc<Matrix>>,
) -> Result<TreePlan, TrainError> {
    let Algorithm::RandomForest(forest) = &config.algorithm else {
        return Err(TrainError::Invalid(
            "these settings are not of random-forest".to_owned(),
        ));
    };
    forest.check()?;
    let target = Target {
        objective: forest.objective(),
        classes: forest.classes,
    };
    check(&config, target, &train, valid.as_deref())?;
    let rounds = forest.trees;
    let ensemble = Ensemble {
        objective: forest.objective(),
        base_scores: vec![0.0; forest.outputs()],
        average: true,
        trees: Vec::new(),
    };
    TreePlan::new(config, train, valid, ensemble, rounds)
}
