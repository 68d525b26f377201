//! Training of a multi-layer perceptron by minibatches, with decoupled weight decay. A batch is cut into pieces by its size alone and
//! their gradients are added in order, and rows are shuffled by a counter-based hash: any number of threads gives the same bits,
//! and a run that goes on from a checkpoint draws the same batches.
//!
//! Sources: Kingma and Ba, "Adam" (2015), algorithm 1; Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019),
//! algorithm 2; initial weights as in He et al., "Delving Deep into Rectifiers" (2015), uniform.

use super::mlp::{Layer, Mlp, layers, standardise};
use super::rounds::Learner;
use super::scaler::Scaler;
use super::slopes::{Shared, piece};
use super::widths;
use crate::config::{Mlp as Settings, Objective};
use crate::data::Matrix;
use crate::error::TrainError;
use crate::math;
use crate::model::Body;
use crate::threads::Pool;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;
/// Fewest rows of a piece of a batch.
const PIECE_ROWS: usize = 32;
/// Most pieces of a batch: each holds a gradient of its own.
const PIECES_MAX: usize = 16;
/// The hash's stream of initial weights; epochs are the streams from 0.
const WEIGHTS_STREAM: u64 = u64::MAX;

/// What Adam remembers between two batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Moments {
    first: Vec<f32>,
    second: Vec<f32>,
    /// The two decay rates to the power of the steps so far.
    powers: (f64, f64),
}

impl Moments {
    fn new(count: usize) -> Self {
        Self {
            first: vec![0.0; count],
            second: vec![0.0; count],
            powers: (1.0, 1.0),
        }
    }

    /// Whether this can go on with `count` parameters.
    fn fits(&self, count: usize) -> bool {
        let is_finite = |values: &[f32]| values.iter().all(|x| x.is_finite());
        self.first.len() == count
            && self.second.len() == count
            && is_finite(&self.first)
            && is_finite(&self.second)
            && self.second.iter().all(|v| *v >= 0.0)
            && (0.0..=1.0).contains(&self.powers.0)
            && (0.0..=1.0).contains(&self.powers.1)
    }
}

/// Training in progress.
pub(crate) struct Adam {
    settings: Settings,
    seed: u64,
    shared: Shared,
    model: Mlp,
    parameters: Vec<f32>,
    moments: Moments,
    /// Epochs so far, of this run and those it goes on from.
    epochs: u32,
}

impl Adam {
    /// Begins anew, or where `from` was after its epochs.
    ///
    /// # Errors
    /// [`TrainError::Data`] where `from` has another shape.
    pub(crate) fn new(
        settings: &Settings,
        seed: u64,
        data: Arc<Matrix>,
        from: Option<(Mlp, Moments)>,
    ) -> Result<Self, TrainError> {
        let model = empty(settings, &data);
        let layers = layers(&model.widths);
        let count = layers.last().map_or(0, |layer| layer.bias().end);
        let (parameters, moments, epochs) = match from {
            None => (initial(&layers, seed), Moments::new(count), 0),
            Some((before, moments)) => {
                let same = (&before.widths, &before.scaler, before.target)
                    == (&model.widths, &model.scaler, model.target);
                if !same || !moments.fits(count) {
                    return Err(TrainError::Data(
                        "the checkpoint in resume_from is of a network of another shape or of other values; resume with the settings and the rows it was made with"
                            .to_owned(),
                    ));
                }
                (before.parameters, moments, before.rounds)
            }
        };
        let mut input = vec![0.0; data.rows() * data.features()];
        standardise(&model.scaler, &data, 0..data.rows(), &mut input);
        let shared = Shared {
            objective: settings.objective,
            layers,
            input,
            target: targets(&data, model.target),
            data,
        };
        Ok(Self {
            settings: settings.clone(),
            seed,
            shared,
            model,
            parameters,
            moments,
            epochs,
        })
    }

    /// The summed gradient of a batch and its summed weight.
    fn gradient(&self, batch: &[u32], pool: &Pool) -> Result<(Vec<f32>, f64), TrainError> {
        let length = PIECE_ROWS.max(batch.len().div_ceil(PIECES_MAX));
        let pieces = batch.chunks(length).collect();
        let parts = pool.map(pieces, |rows| piece(&self.shared, &self.parameters, rows))?;
        let mut parts = parts.into_iter();
        let (mut sum, mut weight) = parts.next().unwrap_or_default();
        for (part, own) in parts {
            weight += own;
            for (sum, g) in sum.iter_mut().zip(&part) {
                *sum += g;
            }
        }
        Ok((sum, weight))
    }

    #[expect(clippy::cast_possible_truncation, reason = "the network is f32")]
    fn step(&mut self, gradient: &[f32], weight: f64) {
        let powers = &mut self.moments.powers;
        *powers = (powers.0 * BETA_1, powers.1 * BETA_2);
        let rate = self.settings.learning_rate;
        let step = (rate / (1.0 - powers.0)) as f32;
        let unbias = (1.0 / (1.0 - powers.1)) as f32;
        let (scale, epsilon) = ((1.0 / weight) as f32, EPSILON as f32);
        let (keep_1, keep_2) = (BETA_1 as f32, BETA_2 as f32);
        let keep = (1.0 - rate * self.settings.weight_decay) as f32;
        let parameters = &mut self.parameters;
        for layer in &self.shared.layers {
            for weight in &mut parameters[layer.weights()] {
                *weight *= keep;
            }
        }
        let moments = self.moments.first.iter_mut().zip(&mut self.moments.second);
        for ((parameter, g), (first, second)) in parameters.iter_mut().zip(gradient).zip(moments) {
            let g = g * scale;
            *first = keep_1 * *first + (1.0 - keep_1) * g;
            *second = keep_2 * *second + (1.0 - keep_2) * (g * g);
            *parameter -= step * *first / ((*second * unbias).sqrt() + epsilon);
        }
    }
}

impl Learner for Adam {
    fn rounds(&self) -> usize {
        self.epochs as usize
    }

    fn is_done(&self) -> bool {
        false
    }

    /// Shows every row to the network once.
    fn round(&mut self, pool: &Pool) -> Result<(), TrainError> {
        let rows = self.shared.data.rows();
        let order = shuffled(rows, self.seed, u64::from(self.epochs));
        for batch in order.chunks(self.settings.batch as usize) {
            let (gradient, weight) = self.gradient(batch, pool)?;
            if weight > 0.0 {
                self.step(&gradient, weight);
            }
        }
        self.epochs += 1;
        if self.parameters.iter().all(|w| w.is_finite()) {
            return Ok(());
        }
        Err(TrainError::Invalid(format!(
            "the network diverged in epoch {}: its weights are no numbers any more; lower learning_rate, which is {}",
            self.epochs, self.settings.learning_rate
        )))
    }

    fn body(&self) -> Body {
        Body::Mlp(Mlp {
            rounds: self.epochs,
            parameters: self.parameters.clone(),
            ..self.model.clone()
        })
    }

    fn moments(&self) -> Option<&Moments> {
        Some(&self.moments)
    }

    fn unfinished(&self) -> Option<String> {
        None
    }
}

/// The model without parameters.
fn empty(settings: &Settings, data: &Matrix) -> Mlp {
    let target = if settings.objective == Objective::SquaredError {
        super::scaler::moments(data.label().unwrap_or_default())
    } else {
        (0.0, 1.0)
    };
    Mlp {
        objective: settings.objective,
        rounds: 0,
        scaler: Scaler::fit(data),
        widths: widths(settings, data.features()),
        parameters: Vec::new(),
        target,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the network is f32")]
fn targets(data: &Matrix, (offset, unit): (f64, f64)) -> Vec<f32> {
    let labels = data.label().unwrap_or_default().iter();
    labels
        .map(|y| ((f64::from(*y) - offset) / unit) as f32)
        .collect()
}

/// Uniform within `sqrt(6 / inputs)` before a `ReLU` and `sqrt(3 / inputs)` before the end; biases are 0.
#[expect(clippy::cast_possible_truncation, reason = "the network is f32")]
fn initial(layers: &[Layer], seed: u64) -> Vec<f32> {
    let count = layers.last().map_or(0, |layer| layer.bias().end);
    let mut parameters = vec![0.0; count];
    for (place, layer) in layers.iter().enumerate() {
        let spread = if place + 1 < layers.len() { 6.0 } else { 3.0 };
        let limit = (spread / layer.inputs as f64).sqrt();
        for place in layer.weights() {
            let drawn = math::hash3(seed, WEIGHTS_STREAM, place as u64) >> 11;
            let uniform = drawn as f64 / (1_u64 << 53) as f64;
            parameters[place] = ((2.0 * uniform - 1.0) * limit) as f32;
        }
    }
    parameters
}

/// All rows in the order of `epoch`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a matrix has at most 2^30 rows"
)]
fn shuffled(rows: usize, seed: u64, epoch: u64) -> Vec<u32> {
    let mut drawn: Vec<(u64, u32)> = (0..rows as u32)
        .map(|row| (math::hash3(seed, epoch, u64::from(row)), row))
        .collect();
    drawn.sort_unstable();
    drawn.into_iter().map(|(_, row)| row).collect()
}
