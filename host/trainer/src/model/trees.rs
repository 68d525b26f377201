//! Trees over raw values, and what many of them say together. Owns the meaning of a node and the order of adding; refuses to know
//! how trees are grown.

use super::walk::Walk;
use super::{Body, Model};
use crate::config::Objective;
use crate::data::Matrix;
use crate::error::TrainError;
use crate::math;
use crate::threads::Pool;

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
    /// Sum of hessians; of a forest, of weights.
    pub(crate) cover: f32,
}

/// A tree; its first node is the root, and children come after their parents.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tree {
    pub(crate) nodes: Vec<Node>,
}

impl Tree {
    /// Adds the leaf of rows `first` and following to one of their `outputs` margins, which lie row by row.
    pub(crate) fn add_to(
        &self,
        data: &Matrix,
        first: usize,
        margins: &mut [f64],
        output: usize,
        outputs: usize,
    ) {
        let own = margins.iter_mut().skip(output).step_by(outputs);
        for (row, margin) in (first..).zip(own) {
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

/// Rows that one thread scores at a time.
pub(crate) const BLOCK_ROWS: usize = 4_096;

/// Trees that say `outputs` numbers together. Tree `n` belongs to output `n % outputs`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ensemble {
    pub(crate) objective: Objective,
    /// One an output, from which its margin begins: a probability for binary-logistic, a margin for softmax, a value otherwise.
    /// Zeros in a forest.
    pub(crate) base_scores: Vec<f32>,
    /// A forest: the score is the mean over the trees of an output, and no link follows. Otherwise boosting: the sum, and a link.
    pub(crate) average: bool,
    pub(crate) trees: Vec<Tree>,
}

impl Ensemble {
    /// Goes on from the trees of a checkpoint of the same origin.
    ///
    /// # Errors
    /// [`TrainError::Data`] where the bytes contradict what they say of themselves.
    pub(crate) fn take_trees_of(&mut self, model: Model) -> Result<(), TrainError> {
        let Body::Trees(other) = model.body else {
            return Err(TrainError::Data(
                "the checkpoint in resume_from contradicts itself: it holds no trees, and its settings are of trees"
                    .to_owned(),
            ));
        };
        if (other.objective, other.average, &other.base_scores)
            != (self.objective, self.average, &self.base_scores)
        {
            return Err(TrainError::Data(
                "the checkpoint in resume_from contradicts itself: its trees are not of the settings that it names; it is damaged"
                    .to_owned(),
            ));
        }
        self.trees = other.trees;
        Ok(())
    }

    pub(crate) fn outputs(&self) -> usize {
        self.base_scores.len().max(1)
    }

    /// Trees of each output.
    pub(crate) fn rounds(&self) -> usize {
        self.trees.len() / self.outputs()
    }

    /// The margins of `rows` rows before the first tree, row by row.
    pub(crate) fn base_margins(&self, rows: usize) -> Vec<f64> {
        let base = |score: &f32| {
            if self.average {
                f64::from(*score)
            } else {
                base_margin(self.objective, *score)
            }
        };
        let row: Vec<f64> = self.base_scores.iter().map(base).collect();
        row.repeat(rows)
    }

    /// `outputs` sums a row. `data` has the features of the trees.
    pub(crate) fn margins(&self, data: &Matrix) -> Vec<f64> {
        let mut margins = self.base_margins(data.rows());
        self.add_trees(&self.trees, data, 0, &mut margins);
        margins
    }

    /// Adds the trees from number `from` on, which begins a round, to the margins of all rows of `data`, which has the features of the trees.
    ///
    /// # Errors
    /// [`TrainError::WorkerLost`] when a thread was lost.
    pub(crate) fn add(
        &self,
        from: usize,
        pool: &Pool,
        data: &Matrix,
        margins: &mut [f64],
    ) -> Result<(), TrainError> {
        let length = BLOCK_ROWS * self.outputs();
        let trees = self.trees.get(from..).unwrap_or_default();
        let walk = Walk::new(trees, self.outputs());
        let blocks = margins.chunks_mut(length).enumerate().collect();
        pool.map(blocks, |(number, margins): (usize, &mut [f64])| {
            walk.add(data, number * BLOCK_ROWS, margins);
        })?;
        Ok(())
    }

    /// Adds whole rounds of trees to the margins of rows `first` and following. Each margin is added to in the order of the trees,
    /// whatever the blocks.
    pub(crate) fn add_trees(
        &self,
        trees: &[Tree],
        data: &Matrix,
        first: usize,
        margins: &mut [f64],
    ) {
        Walk::new(trees, self.outputs()).add(data, first, margins);
    }

    /// What margins over all trees of this ensemble mean as scores.
    pub(crate) fn scores(&self, margins: &[f64]) -> Vec<f32> {
        self.scores_after(margins, self.rounds())
    }

    /// What margins over the trees of the first `rounds` rounds mean as scores.
    #[expect(clippy::cast_possible_truncation, reason = "scores are f32")]
    pub(crate) fn scores_after(&self, margins: &[f64], rounds: usize) -> Vec<f32> {
        if self.average {
            let trees = rounds.max(1) as f64;
            return margins.iter().map(|sum| (sum / trees) as f32).collect();
        }
        match self.objective {
            Objective::BinaryLogistic => {
                let score = |margin: &f64| math::sigmoid(*margin) as f32;
                margins.iter().map(score).collect()
            }
            Objective::SquaredError => margins.iter().map(|margin| *margin as f32).collect(),
            Objective::Softmax => {
                let mut scores = Vec::with_capacity(margins.len());
                let mut row = vec![0.0; self.outputs()];
                for margins in margins.chunks_exact(self.outputs()) {
                    row.copy_from_slice(margins);
                    math::softmax(&mut row);
                    scores.extend(row.iter().map(|p| *p as f32));
                }
                scores
            }
        }
    }

    /// The sum of gains of each of `features` features.
    pub(crate) fn gains(&self, features: usize) -> Vec<f64> {
        let mut gains = vec![0.0; features];
        let nodes = self.trees.iter().flat_map(|tree| &tree.nodes);
        for node in nodes.filter(|node| node.left != 0) {
            gains[node.feature as usize] += f64::from(node.gain);
        }
        gains
    }
}

/// The margin that a base score stands for.
pub(crate) fn base_margin(objective: Objective, base_score: f32) -> f64 {
    let score = f64::from(base_score);
    match objective {
        Objective::BinaryLogistic => math::ln(score / (1.0 - score)),
        Objective::SquaredError | Objective::Softmax => score,
    }
}
