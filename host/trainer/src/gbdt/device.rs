//! What a device must know to compute what the processor does, and the check that it did: nodes are made here from the integer sums
//! that come off the device, by the same code as on the processor.

use super::gradient::{Gradients, Sum};
use super::sample;
use super::split::Rules;
use crate::config::Gbdt;
use crate::data::Matrix;
use crate::error::TrainError;
use crate::model::Node;

/// Numbers that follow from the settings and the data.
pub(crate) struct Scales {
    pub(crate) g_scale: f64,
    pub(crate) h_scale: f64,
    /// By label, with classes; empty otherwise.
    pub(crate) class_weights: Vec<f64>,
    /// Of the sigmoid.
    pub(crate) table: Vec<f64>,
    /// A row is drawn when its hash is at most this.
    pub(crate) sample_limit: u64,
    /// Features that a tree sees.
    pub(crate) features_wanted: usize,
    /// Least hessian of a child, in quanta.
    pub(crate) min_h: i64,
}

impl Scales {
    pub(crate) fn new(gbdt: &Gbdt, data: &Matrix) -> Self {
        let gradients = Gradients::new(gbdt, data);
        let features = data.features();
        let rules = Rules::new(gbdt, 1.0 / gradients.g_scale, 1.0 / gradients.h_scale);
        Self {
            min_h: rules.min_h,
            g_scale: gradients.g_scale,
            h_scale: gradients.h_scale,
            class_weights: gradients.class_weights,
            table: gradients.table,
            sample_limit: sample::threshold(gbdt.subsample),
            features_wanted: if gbdt.column_sample < 1.0 {
                sample::wanted(features, gbdt.column_sample)
            } else {
                features
            },
        }
    }
}

/// Makes the nodes of one tree.
pub(crate) struct Nodes {
    rules: Rules,
    learning_rate: f64,
}

impl Nodes {
    /// Of a tree whose quanta of gradient and hessian are so many units.
    pub(crate) fn new(gbdt: &Gbdt, g_unit: f64, h_unit: f64) -> Self {
        Self {
            rules: Rules::new(gbdt, g_unit, h_unit),
            learning_rate: gbdt.learning_rate,
        }
    }

    /// A leaf over rows of which the sums are `g` and `h`, as the processor makes it. `value` is what the device added to the margins.
    ///
    /// # Errors
    /// [`TrainError::DeviceFault`] where the device came to another value.
    #[expect(clippy::cast_possible_truncation, reason = "a model holds f32 values")]
    pub(crate) fn leaf(&self, g: i64, h: i64, value: f32) -> Result<Node, TrainError> {
        let total = Sum { g, h };
        let own = (self.rules.leaf(total) * self.learning_rate) as f32;
        if own.to_bits() != value.to_bits() {
            return Err(TrainError::DeviceFault(format!(
                "it computed a leaf of {value} where the sums make {own}; its memory or arithmetic is broken"
            )));
        }
        Ok(Node {
            feature: 0,
            threshold: 0.0,
            default_left: false,
            left: 0,
            value,
            gain: 0.0,
            cover: self.rules.hessian(total) as f32,
        })
    }
}

/// Gradients and hessians of every row for each output, as the processor computes them.
#[cfg(test)]
pub(crate) fn gradients_at_base(
    gbdt: &Gbdt,
    data: &Matrix,
    margins: &[f64],
) -> Vec<Vec<(i64, i64)>> {
    let mut packed = vec![vec![0; data.rows()]; gbdt.outputs()];
    let pool = crate::threads::Pool::new(1).unwrap();
    let mut gradients = Gradients::new(gbdt, data);
    gradients
        .compute(&pool, data, margins, &mut packed)
        .unwrap();
    let sums = |words: Vec<u64>| {
        let sums = words.into_iter().map(super::gradient::unpack);
        sums.map(|sum| (sum.g, sum.h)).collect()
    };
    packed.into_iter().map(sums).collect()
}
