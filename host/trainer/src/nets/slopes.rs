//! The way back through a network: from a row's loss to the gradient of all weights. Refuses to change a weight.

use super::blocks::dot;
use super::mlp::{Layer, Memory};
use crate::config::Objective;
use crate::data::Matrix;
use crate::math;
use std::sync::Arc;

/// What every job reads and none changes.
pub(super) struct Shared {
    pub(super) objective: Objective,
    pub(super) layers: Vec<Layer>,
    /// Standardised values, row by row.
    pub(super) input: Vec<f32>,
    /// What the outputs should be: 0 or 1, a class, or a standardised value.
    pub(super) target: Vec<f32>,
    pub(super) data: Arc<Matrix>,
}

/// The gradient of some rows, summed over them, and their summed weight.
pub(super) fn piece(shared: &Shared, parameters: &[f32], rows: &[u32]) -> (Vec<f32>, f64) {
    let layers = &shared.layers;
    let features = shared.data.features();
    let mut memory = Memory::default();
    for row in rows {
        let begin = *row as usize * features;
        let values = &shared.input[begin..begin + features];
        memory.input.extend_from_slice(values);
    }
    memory.forward(layers, parameters, rows.len());
    let mut slopes = memory.made.pop().unwrap_or_default();
    let outputs = slopes.len() / rows.len().max(1);
    let mut weight = 0.0;
    for (row, outputs) in rows.iter().zip(slopes.chunks_exact_mut(outputs.max(1))) {
        weight += slope(shared, *row as usize, outputs);
    }
    let mut gradient = vec![0.0; parameters.len()];
    for (place, layer) in layers.iter().enumerate().rev() {
        let hidden = place
            .checked_sub(1)
            .and_then(|before| memory.made.get(before));
        let input = hidden.unwrap_or(&memory.input);
        add_outer(layer, input, &slopes, &mut gradient);
        if hidden.is_some() {
            slopes = backward(layer, &parameters[layer.weights()], input, &slopes);
        }
    }
    (gradient, weight)
}

/// Turns a row's outputs into the weighted slopes of its loss; yields its weight.
#[expect(clippy::cast_possible_truncation, reason = "the network is f32")]
fn slope(shared: &Shared, row: usize, outputs: &mut [f32]) -> f64 {
    let weight = shared.data.weight().map_or(1.0, |weights| weights[row]);
    let target = shared.target[row];
    match shared.objective {
        Objective::SquaredError => {
            for z in outputs {
                *z = weight * (*z - target);
            }
        }
        Objective::BinaryLogistic => {
            for z in outputs {
                *z = weight * (math::sigmoid(f64::from(*z)) as f32 - target);
            }
        }
        Objective::Softmax => {
            let mut parts: Vec<f64> = outputs.iter().map(|z| f64::from(*z)).collect();
            math::softmax(&mut parts);
            for (class, (z, p)) in outputs.iter_mut().zip(parts).enumerate() {
                let hit = if class as f32 == target { 1.0 } else { 0.0 };
                *z = weight * (p as f32 - hit);
            }
        }
    }
    f64::from(weight)
}

/// Adds the outer products of a layer's inputs and its outputs' slopes to the gradient, row by row.
fn add_outer(layer: &Layer, input: &[f32], slopes: &[f32], gradient: &mut [f32]) {
    let rows = input.chunks_exact(layer.inputs);
    for (input, slopes) in rows.zip(slopes.chunks_exact(layer.outputs)) {
        let weights = gradient[layer.weights()].chunks_exact_mut(layer.outputs);
        for (x, weights) in input.iter().zip(weights) {
            // Half of what comes out of a ReLU is 0 and adds nothing.
            if *x != 0.0 {
                for (sum, slope) in weights.iter_mut().zip(slopes) {
                    *sum += x * slope;
                }
            }
        }
        for (sum, slope) in gradient[layer.bias()].iter_mut().zip(slopes) {
            *sum += slope;
        }
    }
}

/// The slopes of a layer's inputs, which came out of a `ReLU`: none where it was shut.
fn backward(layer: &Layer, weights: &[f32], input: &[f32], slopes: &[f32]) -> Vec<f32> {
    let mut before = vec![0.0; input.len()];
    let rows = before
        .chunks_exact_mut(layer.inputs)
        .zip(input.chunks_exact(layer.inputs));
    for ((before, input), slopes) in rows.zip(slopes.chunks_exact(layer.outputs)) {
        let places = before.iter_mut().zip(input);
        for ((slope, x), weights) in places.zip(weights.chunks_exact(layer.outputs)) {
            if *x > 0.0 {
                *slope = dot(weights, slopes);
            }
        }
    }
    before
}
