//! Standardisation: the mean and the spread of each column, kept in the model so that it takes raw values. A missing value becomes
//! the mean, which is 0 after scaling. Refuses weights: scaling is about units, not about how much a row counts.

use crate::data::Matrix;

/// Means and standard deviations by feature.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scaler {
    pub(crate) mean: Vec<f64>,
    /// The population's standard deviation; 1 for a constant column. Never 0.
    pub(crate) scale: Vec<f64>,
}

impl Scaler {
    /// Over the rows where a feature is there.
    pub(crate) fn fit(data: &Matrix) -> Self {
        let (mean, scale) = (0..data.features())
            .map(|feature| moments(data.raw(feature)))
            .unzip();
        Self { mean, scale }
    }

    pub(crate) fn features(&self) -> usize {
        self.mean.len()
    }

    /// `x` in standard deviations from the mean.
    pub(crate) fn standard(&self, feature: usize, x: f32) -> f64 {
        if x.is_nan() {
            0.0
        } else {
            (f64::from(x) - self.mean[feature]) / self.scale[feature]
        }
    }
}

/// In two passes over one column in its order: the sum of squares of the centred values loses nothing to a large mean.
pub(super) fn moments(values: &[f32]) -> (f64, f64) {
    let there = || values.iter().filter(|x| !x.is_nan()).map(|x| f64::from(*x));
    let count = there().count();
    if count == 0 {
        return (0.0, 1.0);
    }
    let mean = there().sum::<f64>() / count as f64;
    let variance = there().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count as f64;
    let scale = variance.sqrt();
    // A spread far below the values' own rounding is a constant column that was averaged.
    let is_constant = scale <= mean.abs() * f64::from(f32::EPSILON) * 1e-3;
    (mean, if is_constant { 1.0 } else { scale })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_values_count_for_nothing_and_a_constant_has_scale_one() {
        let (mean, scale) = moments(&[1.0, f32::NAN, 3.0]);
        assert_eq!((mean, scale), (2.0, 1.0));
        assert_eq!(moments(&[f32::NAN; 3]), (0.0, 1.0));
        let (mean, scale) = moments(&[0.1; 1000]);
        assert!((mean - f64::from(0.1_f32)).abs() < 1e-12);
        assert_eq!(scale, 1.0);
    }
}
