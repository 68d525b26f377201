//! The kernels against the processor, on the emulator: the same model bytes, whatever the data, the settings, the number of variants
//! and cards, and the order of blocks and threads. Here is what the tests share.

mod breaking;
mod forests;
mod kernels;
mod memory;
mod models;
mod runs;

use super::backend::Cuda;
use super::emulator::Emulator;
use super::gpu::Gpu;
use crate::config::*;
use crate::data::{Matrix, MatrixInput};
use crate::error::TrainError;
use crate::job::{Job as Training, TreePlan, prepare};
use crate::math::hash3;
use crate::model::Model;
use crate::rounds::{Control, Trained, drive};
use crate::run::start;
use std::sync::{Arc, Mutex};

/// Bytes of an emulated card.
const CARD: u64 = 1 << 32;

/// Never stops, and keeps checkpoints.
#[derive(Default)]
pub(super) struct Quiet {
    checkpoint: bool,
    points: Mutex<Vec<Point>>,
    checkpoints: Mutex<Vec<Vec<u8>>>,
}

impl Control for Quiet {
    fn stop(&self) -> Option<StopReason> {
        None
    }

    fn measured(&self, point: &Point) {
        self.points.lock().unwrap().push(point.clone());
    }

    fn wants_checkpoint(&self) -> bool {
        self.checkpoint
    }

    fn checkpointed(&self, bytes: Vec<u8>) {
        self.checkpoints.lock().unwrap().push(bytes);
    }
}

/// How a column looks.
#[derive(Clone, Copy)]
enum Column {
    Random,
    Skewed,
    Missing,
    AllMissing,
    Constant,
    Binary,
}

const ALL: [Column; 6] = [
    Column::Random,
    Column::Skewed,
    Column::Missing,
    Column::AllMissing,
    Column::Constant,
    Column::Binary,
];

fn draw(seed: u64, stream: u64, row: usize) -> f32 {
    (hash3(seed, stream, row as u64) >> 40) as f32 / (1_u64 << 24) as f32
}

fn value(column: Column, seed: u64, feature: usize, row: usize) -> f32 {
    let x = draw(seed, feature as u64 + 10, row);
    match column {
        Column::Random => x * 2.0 - 1.0,
        Column::Skewed => x.powi(12) * 100.0,
        Column::Missing if draw(seed, feature as u64 + 900, row) < 0.3 => f32::NAN,
        Column::Missing => x,
        Column::AllMissing => f32::NAN,
        Column::Constant => 7.0,
        Column::Binary => f32::from(u8::from(x > 0.9)),
    }
}

fn input(rows: usize, columns: &[Column], classes: u32, seed: u64, weighted: bool) -> MatrixInput {
    let columns: Vec<(String, Vec<f32>)> = columns
        .iter()
        .enumerate()
        .map(|(n, column)| {
            let values = (0..rows).map(|row| value(*column, seed, n, row)).collect();
            (format!("f{n}"), values)
        })
        .collect();
    let noisy: Vec<f32> = (0..rows)
        .map(|row| {
            let values = columns.iter().take(4).map(|(_, values)| values[row]);
            values.filter(|x| !x.is_nan()).sum::<f32>() + draw(seed, 1, row) * 0.8
        })
        .collect();
    let mut sorted = noisy.clone();
    sorted.sort_by(f32::total_cmp);
    let label = noisy.iter().map(|x| match classes {
        0 => x * 3.5 - 1.0,
        // Classes of about equal size, by rank.
        _ => (sorted.partition_point(|other| other < x) * classes as usize / rows) as f32,
    });
    let weight = |row| (draw(seed, 2, row) * 3.0).floor();
    MatrixInput {
        label: Some(label.collect()),
        weight: weighted.then(|| (0..rows).map(weight).collect()),
        columns,
        max_bins: 255,
    }
}

fn matrix(rows: usize, columns: &[Column], classes: u32, seed: u64) -> Arc<Matrix> {
    Arc::new(Matrix::build(input(rows, columns, classes, seed, false)).unwrap())
}

/// Missing values that fit both sides equally well, in two equal columns: only the order of looking decides.
fn ties() -> Arc<Matrix> {
    let x: Vec<f32> = (0..12).map(|row| [0.0, 1.0, f32::NAN][row % 3]).collect();
    let label = (0..12).map(|row| [0.0, 1.0, (row % 2) as f32][row % 3]);
    let columns = ["a", "b"].map(|name| (name.to_owned(), x.clone()));
    let input = MatrixInput {
        label: Some(label.collect()),
        columns: columns.to_vec(),
        weight: None,
        max_bins: 8,
    };
    Arc::new(Matrix::build(input).unwrap())
}

fn settings() -> Gbdt {
    Gbdt {
        rounds: 4,
        learning_rate: 0.3,
        max_depth: 4,
        ..Gbdt::default()
    }
}

fn config(gbdt: Gbdt) -> Config {
    Config {
        seed: 11,
        ..Config::gbdt(gbdt)
    }
}

fn on_processor(train: &Arc<Matrix>, valid: Option<&Arc<Matrix>>, config: Config) -> Arc<Model> {
    let run = start(train.clone(), valid.cloned(), config, 1).unwrap();
    run.wait().unwrap();
    run.model().unwrap()
}

fn plan(train: &Arc<Matrix>, valid: Option<&Arc<Matrix>>, config: Config) -> TreePlan {
    match prepare(Arc::new(config), train.clone(), valid.cloned()).unwrap() {
        Training::Trees(plan) => plan,
        Training::Alone(_) => panic!("not of trees"),
    }
}

/// Cards that are there if there is a compiler.
fn cards(orders: &[u64]) -> Option<Vec<Box<dyn Gpu>>> {
    let card = |order: &u64| Emulator::new(*order, CARD).map(|card| Box::new(card) as Box<dyn Gpu>);
    orders.iter().map(card).collect()
}

fn on_cards(
    gpus: Vec<Box<dyn Gpu>>,
    train: &Arc<Matrix>,
    valid: Option<&Arc<Matrix>>,
    configs: &[Config],
) -> Vec<Result<Trained, TrainError>> {
    let plans: Vec<TreePlan> = configs
        .iter()
        .map(|config| plan(train, valid, config.clone()))
        .collect();
    let backend = Cuda::new(gpus, &plans.iter().collect::<Vec<_>>()).unwrap();
    let quiet = Quiet::default();
    let variants = plans.iter().map(|plan| plan.variant(&quiet)).collect();
    drive(Box::new(backend), variants)
}

/// Asserts that each configuration gives the same bytes on the cards, all in one batch, as on the processor alone.
fn assert_same(
    orders: &[u64],
    train: &Arc<Matrix>,
    valid: Option<&Arc<Matrix>>,
    configs: &[Config],
) {
    let Some(gpus) = cards(orders) else {
        return;
    };
    let trained = on_cards(gpus, train, valid, configs);
    assert_eq!(trained.len(), configs.len());
    for (number, (trained, config)) in trained.into_iter().zip(configs).enumerate() {
        let model = trained.unwrap().model;
        let expected = on_processor(train, valid, config.clone());
        assert!(model.rounds() > 0);
        assert!(
            model == *expected,
            "variant {number} {orders:?}: {:?}\n{model:?}\n{expected:?}",
            config.algorithm
        );
        assert!(model.to_bytes() == expected.to_bytes(), "variant {number}");
    }
}

/// Settings that differ in everything that a variant may differ in.
fn variants(count: u64) -> Vec<Config> {
    let variant = |n: u64| Config {
        seed: n,
        ..Config::gbdt(Gbdt {
            rounds: 2 + (n % 3) as u32,
            learning_rate: 0.1 + n as f64 * 0.05,
            max_depth: 1 + (n * 5 % 6) as u8,
            max_leaves: if n % 4 == 3 { 6 } else { 0 },
            growth: if n % 5 == 4 {
                Growth::Lossguide
            } else {
                Growth::Depthwise
            },
            subsample: if n % 2 == 1 { 0.6 } else { 1.0 },
            column_sample: if n % 3 == 2 { 0.5 } else { 1.0 },
            min_child_weight: n as f64 * 0.7,
            min_gain: n as f64 * 0.01,
            l2: n as f64 * 0.3,
            scale_pos_weight: 1.0 + n as f64,
            ..Gbdt::default()
        })
    };
    (0..count).map(variant).collect()
}
