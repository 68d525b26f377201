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
}

impl Scales {
    pub(crate) fn new(gbdt: &Gbdt, data: &Matrix) -> Self {
        let gradients = Gradients::new(gbdt, data);
        let features = data.features();
        Self {
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

/// A leaf over rows of which the sums are `(g, h)`, as the processor makes it. `value` is what the device added to the margins.
///
/// # Errors
/// [`TrainError::DeviceFault`] where the device came to another value.
#[expect(clippy::cast_possible_truncation, reason = "a model holds f32 values")]
pub(crate) fn node(
    gbdt: &Gbdt,
    units: (f64, f64),
    sums: (i64, i64),
    value: f32,
) -> Result<Node, TrainError> {
    let rules = Rules {
        l2: gbdt.l2,
        min_gain: gbdt.min_gain,
        min_child_weight: gbdt.min_child_weight,
        g_unit: units.0,
        h_unit: units.1,
    };
    let total = Sum {
        g: sums.0,
        h: sums.1,
    };
    let own = (rules.leaf(total) * gbdt.learning_rate) as f32;
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
        cover: rules.hessian(total) as f32,
    })
}
