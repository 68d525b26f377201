//! Logistic regression by Newton's method: each step solves the Hessian's equation by conjugate gradients, which needs products
//! with the Hessian and never the Hessian, so that 16,384 features are no other case than 30. The loss is
//! `sum of weight * log-loss + l2 / 2 * |coefficients|^2`, scikit-learn's with `C = 1 / l2`; the intercept carries no penalty.
//!
//! Source: Nocedal and Wright, "Numerical Optimization" (2006), algorithm 7.1 (line-search Newton-CG).

use super::adam::Moments;
use super::blocks::{blocks, dot};
use super::landscape::{Landscape, Shared, add_scaled, combine, gather, look, weight};
use super::linear::Linear;
use super::rounds::Learner;
use super::scaler::Scaler;
use crate::config::Linear as Settings;
use crate::data::Matrix;
use crate::error::TrainError;
use crate::math;
use crate::model::Body;
use crate::threads::Pool;
use std::sync::Arc;

/// Most products with the Hessian for one step.
const PRODUCTS_MAX: usize = 250;
/// Most halvings of a step.
const HALVINGS_MAX: usize = 30;
/// The share of the predicted decrease that a step must reach (Armijo's rule).
const DECREASE: f64 = 1e-4;

/// Training in progress. Its state is the point alone: a step depends on nothing else that came before it.
pub(crate) struct Newton {
    shared: Shared,
    tolerance: f64,
    /// Coefficients of standardised values, then the intercept.
    point: Vec<f64>,
    here: Landscape,
    steps: u32,
    /// No step lowers the loss any more: the point is as good as this arithmetic can tell.
    stuck: bool,
}

impl Newton {
    /// Begins at `from`, or at nothing but the intercept of the labels' mean.
    ///
    /// # Errors
    /// [`TrainError::WorkerLost`] when a thread is lost.
    pub(crate) fn new(
        settings: &Settings,
        data: Arc<Matrix>,
        from: Option<&Linear>,
        pool: &Pool,
    ) -> Result<Self, TrainError> {
        let scaler = Scaler::fit(&data);
        // Without standardisation the penalty is that of raw coefficients, written in standardised ones: the search itself
        // always walks in standardised space, where no unit of a column can make it slow.
        let own = |scale: &f64| {
            if settings.standardize {
                settings.l2
            } else {
                settings.l2 / (scale * scale)
            }
        };
        let mut penalty: Vec<f64> = scaler.scale.iter().map(own).collect();
        penalty.push(0.0);
        if from.is_some_and(|model| model.scaler != scaler) {
            return Err(TrainError::Data(
                "the checkpoint in resume_from is of other values; resume with the rows it was made with".to_owned(),
            ));
        }
        let weight_sum = (0..data.rows()).map(|row| weight(&data, row)).sum();
        let point = from.map_or_else(|| origin(&data, weight_sum), point_of);
        let shared = Shared {
            data,
            scaler,
            penalty,
            weight_sum,
        };
        let here = look(&shared, &point, pool)?;
        Ok(Self {
            shared,
            tolerance: settings.tolerance,
            point,
            here,
            steps: from.map_or(0, |model| model.rounds),
            stuck: false,
        })
    }

    /// The largest component of the gradient for one unit of weight.
    fn slope(&self) -> f64 {
        let largest = self
            .here
            .gradient
            .iter()
            .fold(0.0, |most: f64, g| most.max(g.abs()));
        largest / self.shared.weight_sum.max(f64::MIN_POSITIVE)
    }

    /// Goes down as far as Armijo's rule lets; false where no step lowers the loss.
    fn step(&mut self, pool: &Pool) -> Result<bool, TrainError> {
        let direction = self.direction(pool)?;
        let descent = dot(&direction, &self.here.gradient);
        let mut length = 1.0;
        for _ in 0..HALVINGS_MAX {
            let moved = |(x, d): (&f64, &f64)| x + length * d;
            let point: Vec<f64> = self.point.iter().zip(&direction).map(moved).collect();
            let there = look(&self.shared, &point, pool)?;
            if there.loss <= self.here.loss + DECREASE * length * descent {
                // An equal loss is no step: a run that goes on from here must not count one either.
                let improves = there.loss < self.here.loss;
                if improves {
                    (self.point, self.here) = (point, there);
                }
                return Ok(improves);
            }
            length *= 0.5;
        }
        Ok(false)
    }

    /// Solves `hessian * direction = -gradient` as exactly as this distance from the end is worth.
    fn direction(&self, pool: &Pool) -> Result<Vec<f64>, TrainError> {
        let gradient = &self.here.gradient;
        let length = dot(gradient, gradient).sqrt();
        let relative = length / self.shared.weight_sum.max(f64::MIN_POSITIVE);
        let enough = length * relative.sqrt().min(0.1);
        let scales = self.scales();
        let precondition =
            |r: &[f64]| -> Vec<f64> { r.iter().zip(&scales).map(|(r, scale)| r / scale).collect() };
        let mut direction = vec![0.0; gradient.len()];
        let mut residual: Vec<f64> = gradient.iter().map(|g| -g).collect();
        let mut search = precondition(&residual);
        let mut norm = dot(&residual, &search);
        for _ in 0..PRODUCTS_MAX {
            let product = self.product(&search, pool)?;
            let bend = dot(&search, &product);
            // A flat direction has no minimum to step to; what was found so far still descends.
            if bend <= norm * f64::EPSILON {
                break;
            }
            let step = norm / bend;
            add_scaled(&mut direction, step, &search);
            add_scaled(&mut residual, -step, &product);
            if dot(&residual, &residual).sqrt() <= enough {
                break;
            }
            let ready = precondition(&residual);
            let next = dot(&residual, &ready);
            let turn = next / norm;
            norm = next;
            for (s, r) in search.iter_mut().zip(ready) {
                *s = r + turn * *s;
            }
        }
        if direction.iter().all(|d| *d == 0.0) {
            direction = precondition(&residual);
        }
        Ok(direction)
    }

    /// About the Hessian's diagonal: standardised columns have a mean square of 1.
    fn scales(&self) -> Vec<f64> {
        let curvature: f64 = self
            .here
            .curvature
            .iter()
            .flat_map(|block| block.iter())
            .sum();
        let least = self.shared.weight_sum.max(1.0) * 1e-12;
        let of = |penalty: &f64| (penalty + curvature).max(least);
        self.shared.penalty.iter().map(of).collect()
    }

    /// The Hessian times `vector`.
    fn product(&self, vector: &[f64], pool: &Pool) -> Result<Vec<f64>, TrainError> {
        let shared = &self.shared;
        let items: Vec<_> = blocks(shared.data.rows())
            .into_iter()
            .zip(&self.here.curvature)
            .collect();
        let parts = pool.map(items, |(rows, curvature)| {
            let mut along = combine(shared, vector, &rows);
            for (u, s) in along.iter_mut().zip(curvature) {
                *u *= s;
            }
            gather(shared, &along, &rows)
        })?;
        let penalties = shared.penalty.iter().zip(vector);
        let mut product: Vec<f64> = penalties.map(|(penalty, v)| penalty * v).collect();
        for part in parts {
            add_scaled(&mut product, 1.0, &part);
        }
        Ok(product)
    }
}

impl Learner for Newton {
    fn rounds(&self) -> usize {
        self.steps as usize
    }

    fn is_done(&self) -> bool {
        self.stuck || self.slope() <= self.tolerance
    }

    fn round(&mut self, pool: &Pool) -> Result<(), TrainError> {
        self.stuck = !self.step(pool)?;
        self.steps += u32::from(!self.stuck);
        Ok(())
    }

    fn body(&self) -> Body {
        let (intercept, coefficients) = self.point.split_last().unwrap_or((&0.0, &[]));
        Body::Linear(Linear {
            rounds: self.steps,
            scaler: self.shared.scaler.clone(),
            coefficients: coefficients.to_vec(),
            intercept: *intercept,
        })
    }

    fn moments(&self) -> Option<&Moments> {
        None
    }

    fn unfinished(&self) -> Option<String> {
        Some(format!(
            "the logistic regression did not reach its tolerance: after {} steps the gradient is {:e}, not {:e}; raise max_iterations, or l2 where a plane parts the classes",
            self.steps,
            self.slope(),
            self.tolerance
        ))
    }
}

/// Log-odds of the labels' weighted mean.
fn origin(data: &Matrix, weight_sum: f64) -> Vec<f64> {
    let labels = data.label().unwrap_or_default();
    let positive = |(row, y): (usize, &f32)| weight(data, row) * f64::from(*y);
    let positives: f64 = labels.iter().enumerate().map(positive).sum();
    let share = (positives / weight_sum.max(f64::MIN_POSITIVE)).clamp(1e-6, 1.0 - 1e-6);
    let mut point = vec![0.0; data.features()];
    point.push(math::ln(share / (1.0 - share)));
    point
}

fn point_of(model: &Linear) -> Vec<f64> {
    let mut point = model.coefficients.clone();
    point.push(model.intercept);
    point
}
