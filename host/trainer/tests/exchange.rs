//! Models as files of other programs: what goes out and comes in again scores the same, and a damaged or hostile file is an error and
//! never a panic. Whether the other programs agree is asked of themselves, in tests/python.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use airlock_trainer::{
    Algorithm, Config, Format, Gbdt, Linear, Matrix, MatrixInput, Mlp, Model, Objective,
    TrainError, start,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

fn draw(state: &mut u64) -> f32 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    f32::from(u16::try_from(*state >> 48).unwrap()) / 65_536.0
}

/// Three columns, one with missing values; labels 0, 1 and 2.
fn data(rows: usize) -> Arc<Matrix> {
    let mut state = 7;
    let mut columns: Vec<(String, Vec<f32>)> =
        ["age", "amount paid", "größe"].map(|name| (name.to_owned(), Vec::new())).into();
    let mut label = Vec::new();
    for _ in 0..rows {
        let x = [draw(&mut state), draw(&mut state), draw(&mut state)];
        label.push((2.99 * (0.5 * x[0] + 0.5 * x[1])).floor());
        for ((_, values), x) in columns.iter_mut().zip(x) {
            values.push(x);
        }
        if draw(&mut state) < 0.1 {
            *columns[1].1.last_mut().unwrap() = f32::NAN;
        }
    }
    let input = MatrixInput {
        columns,
        label: Some(label),
        weight: None,
        max_bins: 40,
    };
    Arc::new(Matrix::build(input).unwrap())
}

/// The same rows with labels 0 and 1.
fn binary(data: &Matrix) -> Arc<Matrix> {
    let label = data.label().unwrap().iter().map(|y| y.min(1.0)).collect();
    let rows = data.rows();
    let again = self::data(rows);
    drop(again);
    let mut state = 7;
    let mut columns: Vec<(String, Vec<f32>)> =
        data.feature_names().iter().map(|name| (name.clone(), Vec::new())).collect();
    for _ in 0..rows {
        for (_, values) in &mut columns {
            values.push(draw(&mut state));
        }
        if draw(&mut state) < 0.1 {
            *columns[1].1.last_mut().unwrap() = f32::NAN;
        }
    }
    let input = MatrixInput {
        columns,
        label: Some(label),
        weight: None,
        max_bins: 40,
    };
    Arc::new(Matrix::build(input).unwrap())
}
