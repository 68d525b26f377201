//! Data for tests, the same everywhere.

use airlock_trainer::{Matrix, MatrixInput};
use std::sync::Arc;

/// A small generator.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number from 0 to 1.
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Columns of numbers from -1 to 1; a tenth of the second one is missing.
#[expect(clippy::cast_possible_truncation, reason = "test data is f32")]
pub(crate) fn table(rows: usize, features: usize, seed: u64) -> Vec<(String, Vec<f32>)> {
    let mut random = Random(seed);
    let mut value = |feature| {
        let x = (random.next() * 2.0 - 1.0) as f32;
        if feature == 1 && random.next() < 0.1 {
            f32::NAN
        } else {
            x
        }
    };
    (0..features)
        .map(|feature| {
            let values = (0..rows).map(|_| value(feature)).collect();
            (format!("f{feature}"), values)
        })
        .collect()
}

/// A matrix of 255 bins.
pub(crate) fn matrix(
    columns: Vec<(String, Vec<f32>)>,
    label: Vec<f32>,
    weight: Option<Vec<f32>>,
) -> Arc<Matrix> {
    let input = MatrixInput {
        columns,
        label: Some(label),
        weight,
        max_bins: 255,
    };
    Arc::new(Matrix::build(input).unwrap())
}
