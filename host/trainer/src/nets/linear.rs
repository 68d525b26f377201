//! A logistic regression: a weighted sum of standardised values through the sigmoid. Owns its scores; refuses to train itself.

use super::scaler::Scaler;
use crate::data::Matrix;

/// Rows that are scored together.
const SCORE_ROWS: usize = 1_024;

/// The trained model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Linear {
    pub(crate) scaler: Scaler,
    /// One a feature, of its standardised values.
    pub(crate) coefficients: Vec<f64>,
    pub(crate) intercept: f64,
}

impl Linear {
    /// Log-odds of each row: the intercept, then the features in their order.
    pub(crate) fn margins(&self, data: &Matrix) -> Vec<f64> {
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

    /// How far a feature moves the log-odds over one standard deviation.
    pub(crate) fn importance(&self) -> Vec<f64> {
        self.coefficients.iter().map(|c| c.abs()).collect()
    }
}
