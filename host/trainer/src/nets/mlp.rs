//! A multi-layer perceptron: standardised values, hidden layers with `ReLU`, one linear layer at the end. Owns its shape and its way
//! forward, the same additions in the same order in training, in scoring and in a guest; refuses to train itself.

use super::scaler::Scaler;
use crate::config::Objective;
use crate::data::Matrix;
use crate::math;
use std::ops::Range;

/// Standard deviations from the mean at which a value is cut off. No training value is: of `n` values none lies further than
/// `sqrt(n)` from their mean, and a matrix has at most 2^30 rows.
pub(crate) const REACH: f32 = 32_768.0;
/// Rows that are scored together.
const SCORE_ROWS: usize = 256;
/// Rows that go through a layer together, so that its weights are read once for all of them.
const TILE_ROWS: usize = 8;

/// One layer's place in the parameters: `inputs * outputs` weights, the weights of one input side by side, then `outputs` biases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    begin: usize,
}

impl Layer {
    pub(crate) fn weights(&self) -> Range<usize> {
        self.begin..self.begin + self.inputs * self.outputs
    }

    pub(crate) fn bias(&self) -> Range<usize> {
        let begin = self.weights().end;
        begin..begin + self.outputs
    }
}

/// The layers between `widths`, of which the first is the number of features.
pub(crate) fn layers(widths: &[usize]) -> Vec<Layer> {
    let mut begin = 0;
    let layer = |[inputs, outputs]: &[usize; 2]| {
        let layer = Layer {
            inputs: *inputs,
            outputs: *outputs,
            begin,
        };
        begin = layer.bias().end;
        layer
    };
    widths.array_windows().map(layer).collect()
}

/// The trained model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mlp {
    pub(crate) objective: Objective,
    /// Epochs of its training.
    pub(crate) rounds: u32,
    pub(crate) scaler: Scaler,
    /// Features, hidden layers, outputs.
    pub(crate) widths: Vec<usize>,
    /// All layers, one after the other; see [`Layer`].
    pub(crate) parameters: Vec<f32>,
    /// What an output of 0 and of 1 mean, as `(offset, unit)`: the labels' mean and spread for squared-error, else 0 and 1.
    pub(crate) target: (f64, f64),
}

impl Mlp {
    pub(crate) fn outputs(&self) -> usize {
        self.widths.last().copied().unwrap_or(1)
    }

    /// The outputs of each row, one row after the other.
    pub(crate) fn margins(&self, data: &Matrix) -> Vec<f64> {
        let layers = layers(&self.widths);
        let mut margins = Vec::with_capacity(data.rows() * self.outputs());
        let mut memory = Memory::default();
        for begin in (0..data.rows()).step_by(SCORE_ROWS) {
            let rows = begin..data.rows().min(begin + SCORE_ROWS);
            memory.input.clear();
            memory.input.resize(rows.len() * data.features(), 0.0);
            standardise(&self.scaler, data, rows.clone(), &mut memory.input);
            let outputs = memory.forward(&layers, &self.parameters, rows.len());
            let (offset, unit) = self.target;
            margins.extend(outputs.iter().map(|z| f64::from(*z) * unit + offset));
        }
        margins
    }

    /// What margins mean as scores.
    #[expect(clippy::cast_possible_truncation, reason = "scores are f32")]
    pub(crate) fn scores(&self, mut margins: Vec<f64>) -> Vec<f32> {
        match self.objective {
            Objective::SquaredError => {}
            Objective::BinaryLogistic => {
                for margin in &mut margins {
                    *margin = math::sigmoid(*margin);
                }
            }
            Objective::Softmax => margins
                .chunks_exact_mut(self.outputs())
                .for_each(math::softmax),
        }
        margins.into_iter().map(|score| score as f32).collect()
    }

    /// How strongly a feature enters the first layer: the root of the sum of its squared weights.
    pub(crate) fn importance(&self) -> Vec<f64> {
        let Some(first) = layers(&self.widths).first().copied() else {
            return Vec::new();
        };
        let length = |weights: &[f32]| {
            let squares: f64 = weights.iter().map(|w| f64::from(*w) * f64::from(*w)).sum();
            squares.sqrt()
        };
        self.parameters[first.weights()]
            .chunks_exact(first.outputs)
            .map(length)
            .collect()
    }
}

/// Fills `input`, row by row, with the standardised values of `rows`.
#[expect(clippy::cast_possible_truncation, reason = "the network is f32")]
pub(crate) fn standardise(scaler: &Scaler, data: &Matrix, rows: Range<usize>, input: &mut [f32]) {
    let features = scaler.features();
    for feature in 0..features {
        let cells = input.iter_mut().skip(feature).step_by(features);
        for (cell, x) in cells.zip(&data.raw(feature)[rows.clone()]) {
            *cell = (scaler.standard(feature, *x) as f32).clamp(-REACH, REACH);
        }
    }
}

/// Room for a way forward: the input, then what each layer made of it.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) input: Vec<f32>,
    pub(crate) made: Vec<Vec<f32>>,
}

impl Memory {
    /// Sends the input's `rows` rows through all layers; yields the last one's outputs.
    pub(crate) fn forward(&mut self, layers: &[Layer], parameters: &[f32], rows: usize) -> &[f32] {
        self.made.resize_with(layers.len(), Vec::new);
        for (place, layer) in layers.iter().enumerate() {
            let (before, after) = self.made.split_at_mut(place);
            let input = before.last().unwrap_or(&self.input);
            let Some(output) = after.first_mut() else {
                continue;
            };
            output.clear();
            for _ in 0..rows {
                output.extend_from_slice(&parameters[layer.bias()]);
            }
            affine(layer, &parameters[layer.weights()], input, output);
            if place + 1 < layers.len() {
                for z in output.iter_mut() {
                    *z = if *z > 0.0 { *z } else { 0.0 };
                }
            }
        }
        self.made.last().map_or(&[], Vec::as_slice)
    }
}

/// Adds `input * weights` to `output`: for each output the inputs in their order, whatever the tile.
fn affine(layer: &Layer, weights: &[f32], input: &[f32], output: &mut [f32]) {
    let tiles = input.chunks(TILE_ROWS * layer.inputs);
    for (input, output) in tiles.zip(output.chunks_mut(TILE_ROWS * layer.outputs)) {
        for (place, weights) in weights.chunks_exact(layer.outputs).enumerate() {
            let values = input.iter().skip(place).step_by(layer.inputs);
            for (x, output) in values.zip(output.chunks_exact_mut(layer.outputs)) {
                for (z, w) in output.iter_mut().zip(weights) {
                    *z += x * w;
                }
            }
        }
    }
}
