//! The configs of random forests, logistic regression and the multi-layer perceptron; defaults are the trainer's.

use airlock_sdk::prelude::*;
use airlock_sdk::training::{Algorithm, Forest, Linear, Mlp};

use crate::data::{check, with_data};
use crate::recipe::{Objective, Recipe, fraction, not_negative, positive};

with_data! {
    /// A random forest: what to learn from, how, and where the result goes.
    struct ForestConfig {
        /// Classes, labelled from 0; 0 learns the label as a number. Absent: 2.
        classes: Option<u32>,
        /// Weight of the rows of each class; absent: 1 each.
        class_weights: Option<Vec<f64>>,
        /// Trees.
        n_estimators: Option<u32>,
        /// Depth of a tree; absent: no limit but the host's.
        max_depth: Option<u8>,
        /// Fraction of the features that a split looks at; absent: the square root of their number.
        max_features: Option<f64>,
        /// Rows of a leaf at least.
        min_samples_leaf: Option<u32>,
        /// Whether each tree sees its own draw of the rows.
        bootstrap: Option<bool>,
    }
}

with_data! {
    /// Logistic regression: what to learn from, how, and where the result goes.
    struct LogisticConfig {
        /// L2 regularisation.
        l2: Option<f64>,
        /// Iterations at most.
        max_iter: Option<u32>,
        /// The size of a gradient at which it ends.
        tol: Option<f64>,
        /// Whether features are brought to mean 0 and deviation 1 before.
        standardize: Option<bool>,
    }
}

with_data! {
    /// A multi-layer perceptron: what to learn from, how, and where the result goes.
    struct MlpConfig {
        /// What is learnt.
        #[serde(default)]
        objective: Objective,
        /// Classes of a softmax.
        #[serde(default)]
        classes: u32,
        /// Neurons of each hidden layer.
        hidden_layer_sizes: Option<Vec<u32>>,
        /// Passes over the rows.
        epochs: Option<u32>,
        /// Rows of one step.
        batch_size: Option<u32>,
        /// Size of a step.
        learning_rate: Option<f64>,
        /// How much weights shrink at each step.
        weight_decay: Option<f64>,
    }
}

impl ForestConfig {
    /// What is trained; what the host would refuse is refused here, with the member's name.
    pub(crate) fn recipe(&self) -> Result<Recipe, TaskError> {
        let classes = self.classes.unwrap_or(2);
        let trees = self.n_estimators.unwrap_or(100);
        let max_depth = self.max_depth.unwrap_or(0);
        let max_features = self.max_features.unwrap_or(0.0);
        let min_leaf = self.min_samples_leaf.unwrap_or(1);
        let bootstrap = self.bootstrap.unwrap_or(true);
        let objective = match classes {
            0 => Objective::SquaredError,
            2 => Objective::BinaryLogistic,
            _ => Objective::Softmax,
        };
        let known = classes != 1 && classes <= 256;
        check(
            "classes",
            known,
            "must be 0 (a number is learnt) or 2 to 256",
        )?;
        check("n_estimators", trees > 0, "must be at least 1")?;
        check("max_depth", max_depth <= 32, "must be at most 32")?;
        let share = self.max_features.is_none_or(fraction);
        check("max_features", share, "must be above 0 and at most 1")?;
        check("min_samples_leaf", min_leaf > 0, "must be at least 1")?;
        Ok(Recipe {
            algorithm: Algorithm::RandomForest(Forest {
                trees,
                max_depth,
                max_features,
                min_leaf,
                bootstrap,
                classes,
                class_weights: self.class_weights.clone().unwrap_or_default(),
            }),
            rounds: trees,
            unit: "Tree",
            metrics: objective.metrics(),
            hyper: vec![
                ("classes", json!(classes)),
                ("n_estimators", json!(trees)),
                ("max_depth", json!(max_depth)),
                ("max_features", json!(max_features)),
                ("min_samples_leaf", json!(min_leaf)),
                ("bootstrap", json!(bootstrap)),
            ],
        })
    }
}

impl LogisticConfig {
    /// What is trained; what the host would refuse is refused here, with the member's name.
    pub(crate) fn recipe(&self) -> Result<Recipe, TaskError> {
        let l2 = self.l2.unwrap_or(1.0);
        let max_iterations = self.max_iter.unwrap_or(100);
        let tolerance = self.tol.unwrap_or(1e-8);
        let standardize = self.standardize.unwrap_or(true);
        check("l2", not_negative(l2), "must not be negative")?;
        check("max_iter", max_iterations > 0, "must be at least 1")?;
        check("tol", positive(tolerance), "must be above 0")?;
        Ok(Recipe {
            algorithm: Algorithm::Logistic(Linear {
                l2,
                max_iterations,
                tolerance,
                standardize,
            }),
            rounds: max_iterations,
            unit: "Iteration",
            metrics: Objective::BinaryLogistic.metrics(),
            hyper: vec![
                ("l2", json!(l2)),
                ("max_iter", json!(max_iterations)),
                ("tol", json!(tolerance)),
                ("standardize", json!(standardize)),
            ],
        })
    }
}

impl MlpConfig {
    /// What is trained; what the host would refuse is refused here, with the member's name.
    pub(crate) fn recipe(&self) -> Result<Recipe, TaskError> {
        let hidden = self.hidden_layer_sizes.clone().unwrap_or_else(|| vec![64, 32]);
        let epochs = self.epochs.unwrap_or(20);
        let batch = self.batch_size.unwrap_or(256);
        let learning_rate = self.learning_rate.unwrap_or(1e-3);
        let weight_decay = self.weight_decay.unwrap_or(0.0);
        self.objective.check_classes(self.classes)?;
        let sizes = hidden.iter().all(|size| *size > 0);
        check("hidden_layer_sizes", sizes, "must each be at least 1")?;
        check("epochs", epochs > 0, "must be at least 1")?;
        check("batch_size", batch > 0, "must be at least 1")?;
        check("learning_rate", positive(learning_rate), "must be above 0")?;
        let decay = not_negative(weight_decay);
        check("weight_decay", decay, "must not be negative")?;
        Ok(Recipe {
            algorithm: Algorithm::Mlp(Mlp {
                objective: self.objective.told(),
                classes: self.classes,
                hidden: hidden.clone(),
                epochs,
                batch,
                learning_rate,
                weight_decay,
            }),
            rounds: epochs,
            unit: "Epoch",
            metrics: self.objective.metrics(),
            hyper: vec![
                ("objective", json!(self.objective.word())),
                ("hidden_layer_sizes", json!(hidden)),
                ("epochs", json!(epochs)),
                ("batch_size", json!(batch)),
                ("learning_rate", json!(learning_rate)),
                ("weight_decay", json!(weight_decay)),
            ],
        })
    }
}
