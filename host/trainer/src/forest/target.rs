//! Labels and weights as integers. Owns their scales, which depend on the matrix and the settings alone.

use crate::config::{Forest, Objective};
use crate::data::Matrix;
use crate::math;

/// Bits of the heaviest row's weight; without weights every row weighs one.
const WEIGHT_BITS: i32 = 20;
/// Bits of a sum, its sign left out.
const SUM_BITS: i32 = 62;
/// Most bits of a label of a regression: more than an f32 has.
const LABEL_BITS_MAX: i32 = 30;

/// One row's part in every sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Row {
    /// In quanta; 0 leaves the row out.
    pub(super) weight: u32,
    /// The class where there are several; the label in quanta otherwise.
    pub(super) label: i32,
}

/// The labels of a forest.
#[derive(Debug)]
pub(super) struct Labels {
    pub(super) rows: Vec<Row>,
    /// Weight of one quantum.
    pub(super) weight_unit: f64,
    /// A label is its quanta times `unit`, and `middle`.
    pub(super) unit: f64,
    pub(super) middle: f64,
}

impl Labels {
    pub(super) fn of(forest: &Forest, data: &Matrix) -> Self {
        let labels = data.label().unwrap_or_default();
        let (weights, weight_unit) = weights(forest, data, labels);
        let (middle, unit) = if forest.objective() == Objective::SquaredError {
            scale(labels, weight_unit < 1.0)
        } else {
            (0.0, 1.0)
        };
        let rows = labels.iter().zip(weights).map(|(label, weight)| Row {
            weight,
            label: quantise(f64::from(*label), middle, unit),
        });
        Self {
            rows: rows.collect(),
            weight_unit,
            unit,
            middle,
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the scale keeps a label under 2^30 quanta"
)]
fn quantise(label: f64, middle: f64, unit: f64) -> i32 {
    ((label - middle) / unit).round() as i32
}

/// Middle and quantum of the labels: a power of two, so that whole labels stay whole where the bits suffice.
fn scale(labels: &[f32], weighted: bool) -> (f64, f64) {
    let (low, high) = labels
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), label| {
            (low.min(f64::from(*label)), high.max(f64::from(*label)))
        });
    let middle = low.midpoint(high).round();
    let reach = (high - middle).max(middle - low).max(1e-30);
    let weight_bits = if weighted { WEIGHT_BITS } else { 0 };
    // Twice the rows: a draw repeats rows, but never draws more than there are.
    let row_bits = math::ceil_log2(labels.len() as f64) + 1;
    let bits = (SUM_BITS - weight_bits - row_bits).min(LABEL_BITS_MAX);
    (middle, math::pow2(math::ceil_log2(reach) - bits))
}

/// Weights in quanta and the weight of a quantum; one each where nobody is weighted.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most 2^WEIGHT_BITS; labels of classes are whole"
)]
fn weights(forest: &Forest, data: &Matrix, labels: &[f32]) -> (Vec<u32>, f64) {
    if data.weight().is_none() && forest.class_weights.is_empty() {
        return (vec![1; labels.len()], 1.0);
    }
    let weight = |(row, label): (usize, &f32)| {
        let own = data.weight().map_or(1.0, |weights| f64::from(weights[row]));
        own * forest
            .class_weights
            .get(*label as usize)
            .copied()
            .unwrap_or(1.0)
    };
    let weights: Vec<f64> = labels.iter().enumerate().map(weight).collect();
    let heaviest = weights.iter().copied().fold(0.0, f64::max).max(1e-30);
    let unit = heaviest / math::pow2(WEIGHT_BITS);
    let quanta = weights.iter().map(|weight| {
        if *weight > 0.0 {
            // A row that counts keeps at least one quantum.
            ((weight / unit).round() as u32).max(1)
        } else {
            0
        }
    });
    (quanta.collect(), unit)
}
