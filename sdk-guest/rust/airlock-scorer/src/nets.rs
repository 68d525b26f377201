//! Logistic regression and the multi-layer perceptron, addition for addition as the host scores them.

use crate::bytes::Bytes;
use crate::{Error, FEATURES_MAX, OUTPUTS_MAX, Objective, math};

/// Standard deviations from the mean at which a network cuts a value off.
const REACH: f32 = 32_768.0;
/// Most layers with the input: as the host's `MAX_HIDDEN` and two.
const WIDTHS_MAX: usize = 18;
/// The host's `MAX_FEATURES`; hidden layers are narrower.
const WIDTH_MAX: usize = FEATURES_MAX;

/// Means, then scales, of all features.
#[derive(Debug, Clone, Copy)]
struct Scaler<'a> {
    numbers: Bytes<'a>,
    features: usize,
}

impl Scaler<'_> {
    fn standard(&self, feature: usize, x: f32) -> f64 {
        if x.is_nan() {
            return 0.0;
        }
        let mean = self.numbers.f64(8 * feature);
        let scale = self.numbers.f64(8 * (self.features + feature));
        (f64::from(x) - mean) / scale
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Linear<'a> {
    intercept: f64,
    scaler: Scaler<'a>,
    coefficients: Bytes<'a>,
}

impl<'a> Linear<'a> {
    pub(crate) fn new(body: Bytes<'a>, features: usize) -> Result<Self, Error> {
        if body.len() != 16 + 24 * features {
            return Err(Error::Damaged);
        }
        let part = |at, length| body.part(at, length).ok_or(Error::Damaged);
        Ok(Self {
            intercept: body.f64(8),
            scaler: Scaler {
                numbers: part(16, 16 * features)?,
                features,
            },
            coefficients: part(16 + 16 * features, 8 * features)?,
        })
    }

    #[expect(clippy::cast_possible_truncation, reason = "scores are f32")]
    pub(crate) fn score(&self, row: &[f32], out: &mut [f32]) {
        let mut margin = self.intercept;
        for (feature, x) in row.iter().enumerate() {
            margin += self.coefficients.f64(8 * feature) * self.scaler.standard(feature, *x);
        }
        if let Some(score) = out.first_mut() {
            *score = math::sigmoid(margin) as f32;
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Mlp<'a> {
    pub(crate) objective: Objective,
    pub(crate) outputs: usize,
    /// Of the widest layer.
    pub(crate) width: usize,
    layers: usize,
    widths: Bytes<'a>,
    target: (f64, f64),
    scaler: Scaler<'a>,
    parameters: Bytes<'a>,
}

impl<'a> Mlp<'a> {
    pub(crate) fn new(body: Bytes<'a>, features: usize) -> Result<Self, Error> {
        let count = body.count(8);
        if !(2..=WIDTHS_MAX).contains(&count) {
            return Err(Error::Damaged);
        }
        let part = |at, length| body.part(at, length).ok_or(Error::Damaged);
        let widths = part(12, 4 * count)?;
        let (mut parameters, mut width) = (0_u64, 0);
        for layer in 0..count {
            let own = widths.count(4 * layer);
            if own == 0 || own > WIDTH_MAX {
                return Err(Error::Damaged);
            }
            width = width.max(own);
            if layer > 0 {
                let inputs = widths.count(4 * layer - 4) as u64;
                parameters += (inputs + 1) * own as u64;
            }
        }
        // The head has an even number of 32-bit numbers.
        let begin = 4 * (3 + count).next_multiple_of(2);
        let numbers = begin + 16 + 16 * features;
        let outputs = widths.count(4 * count - 4);
        let is_whole = body.len() as u64 == numbers as u64 + 4 * parameters;
        if widths.count(0) != features || outputs > OUTPUTS_MAX || !is_whole {
            return Err(Error::Damaged);
        }
        Ok(Self {
            objective: Objective::of(body.u32(0))?,
            outputs,
            width,
            layers: count - 1,
            widths,
            target: (body.f64(begin), body.f64(begin + 8)),
            scaler: Scaler {
                numbers: part(begin + 16, 16 * features)?,
                features,
            },
            parameters: part(numbers, body.len() - numbers)?,
        })
    }

    /// `scratch` has twice the widest layer.
    #[expect(clippy::cast_possible_truncation, reason = "the network is f32")]
    pub(crate) fn score(&self, row: &[f32], scratch: &mut [f32], out: &mut [f32]) {
        let (mut input, mut output) = scratch.split_at_mut(self.width);
        for (feature, (z, x)) in input.iter_mut().zip(row).enumerate() {
            *z = (self.scaler.standard(feature, *x) as f32).clamp(-REACH, REACH);
        }
        let mut begin = 0;
        for layer in 0..self.layers {
            let widths = (
                self.widths.count(4 * layer),
                self.widths.count(4 * layer + 4),
            );
            self.affine(begin, widths, input, output);
            begin += 4 * (widths.0 + 1) * widths.1;
            if layer + 1 < self.layers {
                for z in output.iter_mut().take(widths.1) {
                    *z = if *z > 0.0 { *z } else { 0.0 };
                }
            }
            core::mem::swap(&mut input, &mut output);
        }
        let mut room = [0.0; OUTPUTS_MAX];
        let Some(margins) = room.get_mut(..self.outputs) else {
            return;
        };
        for (margin, z) in margins.iter_mut().zip(&*input) {
            *margin = f64::from(*z) * self.target.1 + self.target.0;
        }
        self.objective.link(margins);
        for (score, margin) in out.iter_mut().zip(margins) {
            *score = *margin as f32;
        }
    }

    /// For each output its bias, then its inputs in their order.
    fn affine(
        &self,
        begin: usize,
        (inputs, outputs): (usize, usize),
        input: &[f32],
        output: &mut [f32],
    ) {
        let bias = begin + 4 * inputs * outputs;
        for (place, z) in output.iter_mut().take(outputs).enumerate() {
            *z = self.parameters.f32(bias + 4 * place);
        }
        let mut at = begin;
        for x in input.iter().take(inputs) {
            for z in output.iter_mut().take(outputs) {
                *z += x * self.parameters.f32(at);
                at += 4;
            }
        }
    }
}
