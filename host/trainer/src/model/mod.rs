//! A trained model: trees over raw values. It scores, explains itself, and turns into bytes and back. It refuses to change.

mod codec;
mod xgboost;

use crate::config::Objective;
use crate::data::Matrix;
use crate::error::TrainError;
use crate::gbdt::base_margin;
use crate::math;
use sha2::{Digest, Sha256};

/// A node. A leaf has `left == 0`; otherwise rows with `x < threshold` go to `left`, the rest to `left + 1`, missing ones by
/// `default_left`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Node {
    pub(crate) feature: u32,
    pub(crate) threshold: f32,
    pub(crate) default_left: bool,
    pub(crate) left: u32,
    /// The leaf's contribution to the margin, shrinkage included.
    pub(crate) value: f32,
    pub(crate) gain: f32,
    /// Sum of hessians.
    pub(crate) cover: f32,
}

/// A tree; its first node is the root, and children come after their parents.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tree {
    pub(crate) nodes: Vec<Node>,
}

impl Tree {
    /// Adds each row's leaf to its margin.
    pub(crate) fn add_to(&self, data: &Matrix, margins: &mut [f64]) {
        for (row, margin) in margins.iter_mut().enumerate() {
            *margin += f64::from(self.leaf(|feature| data.raw(feature)[row]));
        }
    }

    fn leaf(&self, value: impl Fn(usize) -> f32) -> f32 {
        let mut node = self.nodes[0];
        while node.left != 0 {
            let x = value(node.feature as usize);
            let goes_left = if x.is_nan() {
                node.default_left
            } else {
                x < node.threshold
            };
            node = self.nodes[node.left as usize + usize::from(!goes_left)];
        }
        node.value
    }
}

/// A trained model.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    pub(crate) objective: Objective,
    /// A probability for binary-logistic, a value otherwise.
    pub(crate) base_score: f32,
    pub(crate) features: Vec<String>,
    pub(crate) trees: Vec<Tree>,
}

impl Model {
    pub(crate) fn empty(objective: Objective, base_score: f32, features: Vec<String>) -> Self {
        Self {
            objective,
            base_score,
            features,
            trees: Vec::new(),
        }
    }

    /// The features, in the order in which a matrix must have them.
    pub fn feature_names(&self) -> &[String] {
        &self.features
    }

    /// Trees.
    pub fn rounds(&self) -> usize {
        self.trees.len()
    }

    /// SHA-256 of [`Model::to_bytes`].
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.to_bytes()).into()
    }

    /// One score a row: a probability for binary-logistic, a value for squared-error.
    ///
    /// # Errors
    /// [`TrainError::Data`] where the features are not those of the model, in its order.
    pub fn score(&self, data: &Matrix) -> Result<Vec<f32>, TrainError> {
        Ok(self
            .margins(data)?
            .into_iter()
            .map(|margin| self.score_of(margin))
            .collect())
    }

    /// The sum of gains of each feature that is used, highest first, then by name.
    pub fn importance(&self) -> Vec<(String, f64)> {
        let mut gains = vec![0.0; self.features.len()];
        for node in self
            .trees
            .iter()
            .flat_map(|tree| &tree.nodes)
            .filter(|node| node.left != 0)
        {
            gains[node.feature as usize] += f64::from(node.gain);
        }
        let named = self.features.iter().cloned().zip(gains);
        let mut used: Vec<(String, f64)> = named.filter(|(_, gain)| *gain > 0.0).collect();
        used.sort_by(|one, other| other.1.total_cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        used
    }

    pub(crate) fn margins(&self, data: &Matrix) -> Result<Vec<f64>, TrainError> {
        if data.feature_names() != self.features {
            let wanted = self.features.join(", ");
            return Err(TrainError::Data(format!(
                "the model was trained on the features {wanted}; the matrix has others"
            )));
        }
        let mut margins = vec![base_margin(self.objective, self.base_score); data.rows()];
        for tree in &self.trees {
            tree.add_to(data, &mut margins);
        }
        Ok(margins)
    }

    #[expect(clippy::cast_possible_truncation, reason = "scores are f32")]
    pub(crate) fn score_of(&self, margin: f64) -> f32 {
        match self.objective {
            Objective::BinaryLogistic => math::sigmoid(margin) as f32,
            _ => margin as f32,
        }
    }
}
