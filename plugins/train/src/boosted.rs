//! The configs of gradient boosted trees, one training or a search; defaults are scikit-learn's, where it has them.

use airlock_sdk::prelude::*;
use airlock_sdk::training::{Algorithm, Gbdt, Growth};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::data::{check, with_data};
use crate::recipe::{Objective, Recipe, fraction, not_negative, positive};

/// The most variants of one search, as the host has it.
const VARIANTS_MAX: usize = 256;

with_data! {
    /// Gradient boosted trees: what to learn from, how, and where the result goes.
    struct GbdtConfig {
        /// What is learnt.
        #[serde(default)]
        objective: Objective,
        /// Classes of a softmax.
        #[serde(default)]
        classes: u32,
        /// Weight of the rows of each class; absent: 1 each.
        class_weights: Option<Vec<f64>>,
        /// Weight of rows with label 1.
        scale_pos_weight: Option<f64>,
        /// Trees.
        n_estimators: Option<u32>,
        /// Weight of each tree.
        learning_rate: Option<f64>,
        /// Depth of a tree.
        max_depth: Option<u8>,
        /// Fraction of rows a tree sees, above 0 and at most 1.
        subsample: Option<f64>,
        /// Fraction of features a tree sees, above 0 and at most 1.
        colsample: Option<f64>,
        /// Weight at least of a leaf.
        min_child_weight: Option<f64>,
        /// L2 regularisation of leaf values.
        l2: Option<f64>,
        /// One set of hyperparameters, for a mapped task; its members go before those beside it.
        params: Option<Overrides>,
    }
}

with_data! {
    /// Gradient boosted trees, one model for each set of hyperparameters over the same rows at once; the best is registered.
    struct SearchConfig {
        /// What is learnt.
        #[serde(default)]
        objective: Objective,
        /// Classes of a softmax.
        #[serde(default)]
        classes: u32,
        /// Hyperparameters of all variants; those of a variant go before them.
        #[serde(default)]
        base: Overrides,
        /// One set of hyperparameters for each model, 256 at most.
        variants: Vec<Overrides>,
        /// Models that are trained at a time, sharing the threads; absent: two.
        parallel: Option<u32>,
    }
}

/// A set of hyperparameters; absent ones have their defaults.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Overrides {
    /// Trees.
    n_estimators: Option<u32>,
    /// Weight of each tree.
    learning_rate: Option<f64>,
    /// Depth of a tree.
    max_depth: Option<u8>,
    /// Fraction of rows a tree sees.
    subsample: Option<f64>,
    /// Fraction of features a tree sees.
    colsample: Option<f64>,
    /// Weight at least of a leaf.
    min_child_weight: Option<f64>,
    /// L2 regularisation of leaf values.
    l2: Option<f64>,
}

impl Overrides {
    /// These, and where they say nothing those of `base`.
    fn over(&self, base: &Self) -> Self {
        Self {
            n_estimators: self.n_estimators.or(base.n_estimators),
            learning_rate: self.learning_rate.or(base.learning_rate),
            max_depth: self.max_depth.or(base.max_depth),
            subsample: self.subsample.or(base.subsample),
            colsample: self.colsample.or(base.colsample),
            min_child_weight: self.min_child_weight.or(base.min_child_weight),
            l2: self.l2.or(base.l2),
        }
    }
}

/// What the hyperparameters are of.
struct Kind {
    objective: Objective,
    classes: u32,
    class_weights: Vec<f64>,
    scale_pos_weight: f64,
}

impl GbdtConfig {
    /// What is trained; what the host would refuse is refused here, with the member's name.
    pub(crate) fn recipe(&self) -> Result<Recipe, TaskError> {
        let beside = Overrides {
            n_estimators: self.n_estimators,
            learning_rate: self.learning_rate,
            max_depth: self.max_depth,
            subsample: self.subsample,
            colsample: self.colsample,
            min_child_weight: self.min_child_weight,
            l2: self.l2,
        };
        let kind = Kind {
            objective: self.objective,
            classes: self.classes,
            class_weights: self.class_weights.clone().unwrap_or_default(),
            scale_pos_weight: self.scale_pos_weight.unwrap_or(1.0),
        };
        recipe(kind, &self.params.clone().unwrap_or_default().over(&beside))
    }
}

impl SearchConfig {
    /// What is trained, one for each variant.
    pub(crate) fn recipes(&self) -> Result<Vec<Recipe>, TaskError> {
        let count = self.variants.len();
        let fits = (1..=VARIANTS_MAX).contains(&count);
        check("variants", fits, "must be 1 to 256 sets of hyperparameters")?;
        let each = self.variants.iter().enumerate().map(|(place, variant)| {
            let kind = Kind {
                objective: self.objective,
                classes: self.classes,
                class_weights: Vec::new(),
                scale_pos_weight: 1.0,
            };
            recipe(kind, &variant.over(&self.base)).map_err(|error| match error {
                TaskError::InvalidInput { field, message } => {
                    TaskError::invalid(format!("variants[{place}].{field}"), message)
                }
                other => other,
            })
        });
        each.collect()
    }

    pub(crate) fn parallel(&self) -> u32 {
        self.parallel.unwrap_or(2).max(1)
    }
}

fn recipe(kind: Kind, hyper: &Overrides) -> Result<Recipe, TaskError> {
    let rounds = hyper.n_estimators.unwrap_or(100);
    let learning_rate = hyper.learning_rate.unwrap_or(0.1);
    let max_depth = hyper.max_depth.unwrap_or(3);
    let subsample = hyper.subsample.unwrap_or(1.0);
    let colsample = hyper.colsample.unwrap_or(1.0);
    let min_child_weight = hyper.min_child_weight.unwrap_or(1.0);
    let l2 = hyper.l2.unwrap_or(1.0);
    kind.objective.check_classes(kind.classes)?;
    check("n_estimators", rounds > 0, "must be at least 1")?;
    let depth = (1..=16).contains(&max_depth);
    check("max_depth", depth, "must be 1 to 16")?;
    check("learning_rate", positive(learning_rate), "must be above 0")?;
    check(
        "subsample",
        fraction(subsample),
        "must be above 0 and at most 1",
    )?;
    check(
        "colsample",
        fraction(colsample),
        "must be above 0 and at most 1",
    )?;
    let weight = not_negative(min_child_weight);
    check("min_child_weight", weight, "must not be negative")?;
    check("l2", not_negative(l2), "must not be negative")?;
    let weight = positive(kind.scale_pos_weight);
    check("scale_pos_weight", weight, "must be above 0")?;
    Ok(Recipe {
        algorithm: Algorithm::Gbdt(Gbdt {
            objective: kind.objective.told(),
            classes: kind.classes,
            rounds,
            learning_rate,
            max_depth,
            max_leaves: 1 << max_depth,
            min_child_weight,
            l2,
            min_gain: 0.0,
            subsample,
            column_sample: colsample,
            scale_pos_weight: kind.scale_pos_weight,
            class_weights: kind.class_weights,
            growth: Growth::Depthwise,
            base_score: None,
        }),
        rounds,
        unit: "Round",
        metrics: kind.objective.metrics(),
        hyper: vec![
            ("objective", json!(kind.objective.word())),
            ("n_estimators", json!(rounds)),
            ("learning_rate", json!(learning_rate)),
            ("max_depth", json!(max_depth)),
            ("subsample", json!(subsample)),
            ("colsample", json!(colsample)),
            ("min_child_weight", json!(min_child_weight)),
            ("l2", json!(l2)),
        ],
    })
}
