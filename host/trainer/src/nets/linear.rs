//! A logistic regression: a weighted sum of standardised values through the sigmoid. Owns its scores; refuses to train itself.

use super::scaler::Scaler;
use crate::data::Matrix;
use crate::math;

/// Rows that are scored together.
const SCORE_ROWS: usize = 1_024;

/// The trained model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Linear {
    /// Steps of its training.
    pub(crate) rounds: u32,
    pub(crate) scaler: Scaler,
    /// One a feature, of its standardised values.
    pub(crate) coefficients: Vec<f64>,
    pub(crate) intercept: f64,
}

impl Linear {
    /// The probability of class 1 of each row.
    #[expect(clippy::cast_possible_truncation, reason = "scores are f32")]
    pub(crate) fn scores(&self, data: &Matrix) -> Vec<f32> {
        let margins = self.margins(data).into_iter();
        margins.map(|margin| math::sigmoid(margin) as f32).collect()
    }

    /// Log-odds of each row: the intercept, then the features in their order.
    fn margins(&self, data: &Matrix) -> Vec<f64> {
        let mut margins = vec![self.intercept; data.rows()];
        // By blocks of rows, so that the margins of a block stay in the cache over all features.
        for (block, margins) in margins.chunks_mut(SCORE_ROWS).enumerate() {
            let begin = block * SCORE_ROWS;
            for (feature, coefficient) in self.coefficients.iter().enumerate() {
                let values = &data.raw(feature)[begin..begin + margins.len()];
                for (margin, x) in margins.iter_mut().zip(values) {
                    *margin += coefficient * self.scaler.standard(feature, *x);
                }
            }
        }
        margins
    }

    /// Coefficients of raw columns, and the intercept where all of them are 0.
    pub(crate) fn raw(&self) -> (Vec<f64>, f64) {
        let scales = self.coefficients.iter().zip(&self.scaler.scale);
        let raw: Vec<f64> = scales.map(|(c, scale)| c / scale).collect();
        let shift: f64 = raw
            .iter()
            .zip(&self.scaler.mean)
            .map(|(c, mean)| c * mean)
            .sum();
        (raw, self.intercept - shift)
    }

    /// How far a feature moves the log-odds over one standard deviation.
    pub(crate) fn importance(&self) -> Vec<f64> {
        self.coefficients.iter().map(|c| c.abs()).collect()
    }
}
