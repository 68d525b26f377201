//! The loss of a logistic regression at a point: its value, its slopes and its curvature over all rows, in blocks whose order the rows
//! decide. Refuses to know where to go from there.

use super::blocks::{blocks, dot};
use super::scaler::Scaler;
use crate::data::Matrix;
use crate::error::TrainError;
use crate::math;
use crate::threads::Pool;
use std::ops::Range;
use std::sync::Arc;

/// What every job reads.
pub(super) struct Shared {
    pub(super) data: Arc<Matrix>,
    pub(super) scaler: Scaler,
    /// Penalty of each standardised coefficient, then 0 for the intercept.
    pub(super) penalty: Vec<f64>,
    pub(super) weight_sum: f64,
}

/// The loss at a point, its gradient, and each row's curvature, by blocks.
pub(super) struct Landscape {
    pub(super) loss: f64,
    pub(super) gradient: Vec<f64>,
    pub(super) curvature: Vec<Vec<f64>>,
}

pub(super) fn weight(data: &Matrix, row: usize) -> f64 {
    data.weight().map_or(1.0, |weights| f64::from(weights[row]))
}

pub(super) fn add_scaled(sum: &mut [f64], by: f64, vector: &[f64]) {
    for (sum, x) in sum.iter_mut().zip(vector) {
        *sum += by * x;
    }
}

/// The sum of standardised values times `vector`, and its last element, for each of `rows`.
pub(super) fn combine(shared: &Shared, vector: &[f64], rows: &Range<usize>) -> Vec<f64> {
    let (constant, factors) = vector.split_last().unwrap_or((&0.0, &[]));
    let mut sums = vec![*constant; rows.len()];
    for (feature, factor) in factors.iter().enumerate() {
        for (sum, x) in sums.iter_mut().zip(&shared.data.raw(feature)[rows.clone()]) {
            *sum += factor * shared.scaler.standard(feature, *x);
        }
    }
    sums
}

/// For each feature the sum of its standardised values times `along`, then the sum of `along`.
pub(super) fn gather(shared: &Shared, along: &[f64], rows: &Range<usize>) -> Vec<f64> {
    let mut column = vec![0.0; rows.len()];
    let mut sums = Vec::with_capacity(shared.penalty.len());
    for feature in 0..shared.data.features() {
        for (z, x) in column
            .iter_mut()
            .zip(&shared.data.raw(feature)[rows.clone()])
        {
            *z = shared.scaler.standard(feature, *x);
        }
        sums.push(dot(&column, along));
    }
    column.fill(1.0);
    sums.push(dot(&column, along));
    sums
}

/// The landscape at `point`.
pub(super) fn look(shared: &Shared, point: &[f64], pool: &Pool) -> Result<Landscape, TrainError> {
    let items = blocks(shared.data.rows());
    let parts = pool.map(items, |rows| look_at(shared, point, &rows))?;
    let penalties = shared.penalty.iter().zip(point);
    let mut gradient: Vec<f64> = penalties.map(|(penalty, x)| penalty * x).collect();
    let mut loss = 0.5 * dot(&gradient, point);
    let mut curvature = Vec::with_capacity(parts.len());
    for (own, part, curves) in parts {
        loss += own;
        add_scaled(&mut gradient, 1.0, &part);
        curvature.push(curves);
    }
    Ok(Landscape {
        loss,
        gradient,
        curvature,
    })
}

/// Loss, gradient and curvatures of a block.
fn look_at(shared: &Shared, point: &[f64], rows: &Range<usize>) -> (f64, Vec<f64>, Vec<f64>) {
    let labels = shared.data.label().unwrap_or_default();
    let mut slopes = combine(shared, point, rows);
    let mut curves = Vec::with_capacity(rows.len());
    let mut loss = 0.0;
    for (row, slope) in rows.clone().zip(&mut slopes) {
        let (margin, y, own) = (*slope, f64::from(labels[row]), weight(&shared.data, row));
        // ln(1 + exp(m)) without overflow: max(m, 0) + ln(1 + exp(-|m|)).
        let e = math::exp(-margin.abs());
        loss += own * (margin.max(0.0) + math::ln(1.0 + e) - y * margin);
        let p = if margin >= 0.0 {
            1.0 / (1.0 + e)
        } else {
            e / (1.0 + e)
        };
        *slope = own * (p - y);
        curves.push(own * e / ((1.0 + e) * (1.0 + e)));
    }
    (loss, gather(shared, &slopes, rows), curves)
}
