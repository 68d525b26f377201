//! A trained model: what it was trained on, and a body that scores. It explains itself, and turns into bytes and back. It refuses
//! to change.

mod codec;
mod exchange;
mod origin;
mod trees;
mod walk;

pub(crate) use codec::{NODES_MAX, Reader, broken};
pub use exchange::{Format, IMPORT_BYTES_MAX};
pub(crate) use origin::Origin;
pub(crate) use trees::{BLOCK_ROWS, Ensemble, Node, Tree, base_margin};

use crate::config::Objective;
use crate::data::Matrix;
use crate::error::TrainError;
use crate::nets::{Linear, Mlp};
use sha2::{Digest, Sha256};

/// A trained model.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    pub(crate) features: Vec<String>,
    /// Absent in models that were not trained here, and in those of format 1.
    pub(crate) origin: Option<Origin>,
    pub(crate) body: Body,
}

/// What scores, by its kind.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Body {
    /// Boosted trees or a forest.
    Trees(Ensemble),
    /// A logistic regression.
    Linear(Linear),
    /// A multi-layer perceptron.
    Mlp(Mlp),
}

impl Model {
    /// The features, in the order in which a matrix must have them.
    pub fn feature_names(&self) -> &[String] {
        &self.features
    }

    /// What scores mean.
    pub fn objective(&self) -> Objective {
        match &self.body {
            Body::Trees(trees) => trees.objective,
            Body::Linear(_) => Objective::BinaryLogistic,
            Body::Mlp(mlp) => mlp.objective,
        }
    }

    /// Numbers that the model says of each row: one for each class of a softmax, else one.
    pub fn outputs(&self) -> usize {
        match &self.body {
            Body::Trees(trees) => trees.outputs(),
            Body::Linear(_) => 1,
            Body::Mlp(mlp) => mlp.outputs(),
        }
    }

    /// Rounds of training that the model holds: trees of each output, Newton steps, or epochs.
    pub fn rounds(&self) -> usize {
        match &self.body {
            Body::Trees(trees) => trees.rounds(),
            Body::Linear(linear) => linear.rounds as usize,
            Body::Mlp(mlp) => mlp.rounds as usize,
        }
    }

    /// SHA-256 of [`Model::to_bytes`].
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.to_bytes()).into()
    }

    /// [`Model::outputs`] numbers a row, row by row: a probability, a value, or the probability of each class.
    ///
    /// # Errors
    /// [`TrainError::Data`] where the features are not those of the model, in its order.
    pub fn score(&self, data: &Matrix) -> Result<Vec<f32>, TrainError> {
        self.fits(data)?;
        Ok(match &self.body {
            Body::Trees(trees) => trees.scores(&trees.margins(data)),
            Body::Linear(linear) => linear.scores(data),
            Body::Mlp(mlp) => mlp.scores(mlp.margins(data)),
        })
    }

    /// How much each feature that is used counts, highest first, then by name. For trees the sum of the gains of its splits.
    pub fn importance(&self) -> Vec<(String, f64)> {
        let weights = match &self.body {
            Body::Trees(trees) => trees.gains(self.features.len()),
            Body::Linear(linear) => linear.importance(),
            Body::Mlp(mlp) => mlp.importance(),
        };
        let named = self.features.iter().cloned().zip(weights);
        let mut used: Vec<(String, f64)> = named.filter(|(_, weight)| *weight > 0.0).collect();
        used.sort_by(|one, other| other.1.total_cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        used
    }

    /// The coefficients of a logistic regression in units of its raw columns, by feature, and its intercept for columns at 0; none
    /// for every other model.
    pub fn coefficients(&self) -> Option<(Vec<(String, f64)>, f64)> {
        let Body::Linear(linear) = &self.body else {
            return None;
        };
        let (raw, intercept) = linear.raw();
        Some((self.features.iter().cloned().zip(raw).collect(), intercept))
    }

    /// # Errors
    /// [`TrainError::Data`] where the features are not those of the model, in its order.
    pub(crate) fn fits(&self, data: &Matrix) -> Result<(), TrainError> {
        if data.feature_names() == self.features {
            return Ok(());
        }
        Err(TrainError::Data(format!(
            "the model was trained on the features {}; the matrix has {}",
            self.features.join(", "),
            data.feature_names().join(", ")
        )))
    }
}
