//! The kernels against the processor, on the emulator: the same model bytes, whatever the data, the settings, the number of variants
//! and cards, and the order of blocks and threads.

use super::backend::Cuda;
use super::emulator::{self, Emulator};
use super::gpu::Gpu;
use super::inject::{Break, Inject, Plan};
use super::layout::*;
use crate::config::*;
use crate::data::{Matrix, MatrixInput};
use crate::error::TrainError;
use crate::job::{Job as Training, TreePlan, prepare};
use crate::math::hash3;
use crate::model::Model;
use crate::rounds::{Control, Trained, drive};
use crate::run::{start, start_search};
use std::sync::{Arc, Mutex};
use std::time::Duration;

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

#[test]
fn the_layout_is_that_of_the_kernels() {
    let Some(sizes) = emulator::layout() else {
        return;
    };
    let own = [
        size_of::<Settings>(),
        size_of::<State>(),
        size_of::<Node>(),
        size_of::<Item>(),
        CANDIDATE_BYTES as usize,
        size_of::<Job>(),
        size_of::<Sum>(),
        size_of::<Gradient>(),
        size_of::<Head>(),
    ];
    assert_eq!(sizes.map(|size| size as usize), own);
    assert!(emulator::has_all_kernels());
}

#[test]
fn every_kind_of_column_gives_the_bytes_of_the_processor() {
    for (number, column) in ALL.iter().enumerate() {
        let data = matrix(900, &[*column, Column::Random, *column], 2, number as u64);
        assert_same(&[0], &data, None, &[config(settings())]);
    }
    assert_same(
        &[0],
        &matrix(3_000, &ALL, 2, 9),
        None,
        &[config(settings())],
    );
}

#[test]
fn every_objective_and_way_of_growing_gives_the_bytes_of_the_processor() {
    let both = |gbdt: Gbdt| {
        let lossguide = Gbdt {
            growth: Growth::Lossguide,
            max_leaves: 9,
            ..gbdt.clone()
        };
        [config(gbdt), config(lossguide)]
    };
    let logistic = Gbdt {
        scale_pos_weight: 2.5,
        ..settings()
    };
    assert_same(&[0], &matrix(1_500, &ALL, 2, 21), None, &both(logistic));
    let squared = Gbdt {
        objective: Objective::SquaredError,
        ..settings()
    };
    assert_same(&[0], &matrix(1_500, &ALL, 0, 22), None, &both(squared));
    let softmax = Gbdt {
        objective: Objective::Softmax,
        classes: 3,
        class_weights: vec![1.0, 0.5, 4.0],
        rounds: 2,
        ..settings()
    };
    assert_same(&[0], &matrix(1_500, &ALL, 3, 23), None, &both(softmax));
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

#[test]
fn any_number_of_variants_in_one_batch_gives_the_bytes_of_each_alone() {
    let data = matrix(1_200, &ALL, 2, 31);
    for count in [1, 4, 12] {
        assert_same(&[0], &data, None, &variants(count));
    }
}

#[test]
fn the_order_of_blocks_and_threads_cannot_change_a_model() {
    let data = matrix(2_500, &ALL, 2, 41);
    for order in [1, 77] {
        assert_same(&[order], &data, None, &variants(3));
    }
    let softmax = Gbdt {
        objective: Objective::Softmax,
        classes: 3,
        rounds: 1,
        subsample: 0.8,
        ..settings()
    };
    assert_same(&[5], &matrix(2_500, &ALL, 3, 42), None, &[config(softmax)]);
}

#[test]
fn any_number_of_cards_gives_the_bytes_of_one() {
    let data = matrix(1_500, &ALL, 2, 51);
    for orders in [&[0, 0][..], &[3, 0, 9]] {
        assert_same(orders, &data, None, &variants(3));
    }
    let squared = Gbdt {
        objective: Objective::SquaredError,
        subsample: 0.7,
        ..settings()
    };
    assert_same(&[0, 0], &matrix(700, &ALL, 0, 52), None, &[config(squared)]);
    let softmax = Gbdt {
        objective: Objective::Softmax,
        classes: 4,
        rounds: 2,
        ..settings()
    };
    assert_same(&[0, 0], &matrix(700, &ALL, 4, 53), None, &[config(softmax)]);
}

#[test]
fn a_tree_over_no_row_takes_the_first_one_on_any_number_of_cards() {
    let gbdt = Gbdt {
        subsample: 1e-6,
        ..settings()
    };
    let data = matrix(60, &ALL, 2, 61);
    for orders in [&[0][..], &[0, 0]] {
        assert_same(orders, &data, None, &[config(gbdt.clone())]);
    }
}

#[test]
fn few_rows_and_more_cards_than_rows_are_no_trouble() {
    let squared = Gbdt {
        objective: Objective::SquaredError,
        min_child_weight: 0.0,
        ..settings()
    };
    for rows in [2, 3, 33] {
        let data = matrix(rows, &[Column::Random, Column::Missing], 0, 71);
        assert_same(&[0], &data, None, &[config(squared.clone())]);
        assert_same(&[0, 0, 0, 0], &data, None, &[config(squared.clone())]);
    }
}

#[test]
fn weights_many_features_and_heavy_tails_give_the_bytes_of_the_processor() {
    let columns: Vec<Column> = ALL.iter().cycle().take(37).copied().collect();
    let input = input(800, &columns, 0, 81, true);
    let squared = Gbdt {
        objective: Objective::SquaredError,
        column_sample: 0.4,
        ..settings()
    };
    let data = Arc::new(Matrix::build(input).unwrap());
    assert_same(&[0], &data, None, &[config(squared)]);
}

/// 32-bit sums hold 2^15 rows of the largest gradient: more must be cut into tiles.
#[test]
fn more_rows_of_the_largest_gradient_than_one_sum_holds_do_not_overflow() {
    let rows = 70_000;
    let x: Vec<f32> = (0..rows)
        .map(|row| if row < 10 { 1.0 } else { 0.0 })
        .collect();
    let input = MatrixInput {
        label: Some(x.iter().map(|x| x * 1000.0 - 500.0).collect()),
        columns: vec![("x".to_owned(), x)],
        weight: None,
        max_bins: 4,
    };
    let gbdt = Gbdt {
        objective: Objective::SquaredError,
        base_score: Some(0.0),
        rounds: 1,
        max_depth: 2,
        ..settings()
    };
    let data = Arc::new(Matrix::build(input).unwrap());
    assert_same(&[0], &data, None, &[config(gbdt)]);
}

#[test]
fn a_resumed_model_is_that_of_an_uninterrupted_run() {
    let Some(gpus) = cards(&[0]) else {
        return;
    };
    let data = matrix(1_000, &ALL, 2, 91);
    let gbdt = |rounds| Gbdt {
        rounds,
        subsample: 0.8,
        column_sample: 0.7,
        ..settings()
    };
    let half = on_cards(gpus, &data, None, &[config(gbdt(3))])
        .pop()
        .unwrap()
        .unwrap();
    let rest = Config {
        resume_from: Some(half.model.to_bytes()),
        ..config(gbdt(6))
    };
    // Resumed on the device as on the processor, from a checkpoint of either.
    for orders in [&[0][..], &[0, 0]] {
        assert_same(orders, &data, None, &[rest.clone()]);
    }
    let gpus = cards(&[0]).unwrap();
    let resumed = on_cards(gpus, &data, None, &[rest]).pop().unwrap().unwrap();
    let whole = on_processor(&data, None, config(gbdt(6)));
    assert!(resumed.model.to_bytes() == whole.to_bytes());
}

#[test]
fn early_stops_and_measurements_are_those_of_the_processor() {
    let train = matrix(400, &ALL, 2, 101);
    let own_cuts = matrix(500, &ALL, 2, 102);
    let same_cuts =
        Arc::new(Matrix::build_with_cuts_of(&train, input(500, &ALL, 2, 102, false)).unwrap());
    for valid in [own_cuts, same_cuts] {
        let stop = EarlyStop {
            metric: Metric::LogLoss,
            rounds: 2,
            min_delta: 0.0,
        };
        let gbdt = Gbdt {
            rounds: 30,
            learning_rate: 0.9,
            ..settings()
        };
        let config = Config {
            metrics: vec![Metric::Auc, Metric::LogLoss],
            metric_every: 2,
            early_stop: Some(stop),
            ..config(gbdt)
        };
        let other = Config {
            early_stop: None,
            ..self::config(settings())
        };
        assert_same(&[0], &train, Some(&valid), &[config.clone(), other]);
        let Some(gpus) = cards(&[0]) else {
            return;
        };
        let trained = on_cards(gpus, &train, Some(&valid), &[config.clone()])
            .pop()
            .unwrap()
            .unwrap();
        let run = start(train.clone(), Some(valid.clone()), config, 1).unwrap();
        let outcome = run.wait().unwrap();
        assert_eq!(trained.reason, outcome.reason);
        assert_eq!(trained.reason, StopReason::EarlyStopped);
        assert_eq!(trained.points, outcome.metrics);
    }
}

#[test]
fn what_a_card_cannot_hold_is_refused_before_anything_is_allocated() {
    let Some(small) = Emulator::new(0, 10_000) else {
        return;
    };
    let data = matrix(500, &ALL, 2, 111);
    let plan = plan(&data, None, config(settings()));
    let plans = [&plan];
    let refused = Cuda::new(vec![Box::new(small)], &plans).err().unwrap();
    let TrainError::OutOfMemory { needed, available } = refused else {
        panic!("{refused}");
    };
    assert_eq!(available, 10_000);
    // What was said to be needed is what is used.
    let exact = Emulator::new(0, needed).unwrap();
    assert!(Cuda::new(vec![Box::new(exact)], &plans).is_ok());
    let less = Emulator::new(0, needed - 1).unwrap();
    assert!(matches!(
        Cuda::new(vec![Box::new(less)], &plans),
        Err(TrainError::OutOfMemory { .. })
    ));
}

fn broken(plan: Plan) -> Option<Vec<Box<dyn Gpu>>> {
    let card = cards(&[0])?.pop()?;
    Some(vec![Box::new(Inject::new(card, plan))])
}

#[test]
fn a_fault_ends_the_run_and_its_checkpoint_goes_on_elsewhere_to_the_same_bytes() {
    let data = matrix(500, &ALL, 2, 121);
    let gbdt = Gbdt {
        rounds: 6,
        subsample: 0.9,
        ..settings()
    };
    let plan_text = Plan::parse("fault@80").unwrap();
    let Some(gpus) = broken(plan_text) else {
        return;
    };
    let quiet = Quiet {
        checkpoint: true,
        ..Quiet::default()
    };
    let plan = plan(&data, None, config(gbdt.clone()));
    let backend = Cuda::new(gpus, &[&plan]).unwrap();
    let ended = drive(Box::new(backend), vec![plan.variant(&quiet)])
        .pop()
        .unwrap();
    assert!(
        matches!(ended, Err(TrainError::DeviceFault(_))),
        "{ended:?}"
    );
    let checkpoint = quiet.checkpoints.lock().unwrap().last().cloned().unwrap();
    let rounds = Model::from_bytes(&checkpoint).unwrap().rounds();
    assert!((1..6).contains(&rounds), "{rounds}");
    let whole = on_processor(&data, None, config(gbdt.clone()));
    let rest = Config {
        resume_from: Some(checkpoint),
        ..config(gbdt)
    };
    let moved = on_cards(cards(&[0]).unwrap(), &data, None, &[rest.clone()])
        .pop()
        .unwrap()
        .unwrap();
    assert!(moved.model.to_bytes() == whole.to_bytes());
    assert!(on_processor(&data, None, rest).to_bytes() == whole.to_bytes());
}

#[test]
fn memory_that_runs_out_while_it_is_taken_is_a_typed_error() {
    let data = matrix(100, &ALL, 2, 131);
    let plan = plan(&data, None, config(settings()));
    for at in 1..20 {
        let Some(gpus) = broken(Plan {
            what: Break::OutOfMemory,
            at,
        }) else {
            return;
        };
        let refused = Cuda::new(gpus, &[&plan]).err();
        assert!(
            matches!(refused, Some(TrainError::OutOfMemory { .. })),
            "{at}: {refused:?}"
        );
    }
}

#[test]
fn plans_of_breaking_are_read() {
    assert_eq!(
        Plan::parse("hang@4"),
        Some(Plan {
            what: Break::Hang,
            at: 4
        })
    );
    assert_eq!(
        Plan::parse("exit@1"),
        Some(Plan {
            what: Break::Exit,
            at: 1
        })
    );
    assert_eq!(Plan::parse("melt@1"), None);
    assert_eq!(Plan::parse("fault"), None);
}

fn wish(count: u8) -> Device {
    Device::Gpu(GpuWish {
        name: Some("Emulated".to_owned()),
        min_memory: None,
        min_compute: None,
        count,
        share: 1.0,
    })
}

#[test]
fn runs_and_searches_train_on_the_cards_that_their_wishes_get() {
    if emulator::library().is_none() {
        return;
    }
    let data = matrix(400, &ALL, 2, 141);
    let configs: Vec<Config> = variants(5)
        .into_iter()
        .enumerate()
        .map(|(n, config)| Config {
            device: match n {
                0..3 => wish(1),
                3 => wish(2),
                _ => Device::Cpu,
            },
            ..config
        })
        .collect();
    let expected: Vec<_> = configs
        .iter()
        .map(|config| {
            on_processor(
                &data,
                None,
                Config {
                    device: Device::Cpu,
                    ..config.clone()
                },
            )
            .to_bytes()
        })
        .collect();
    let runs = start_search(&data, None, configs.clone(), 2, 2).unwrap();
    for (number, run) in runs.into_iter().enumerate() {
        let run = run.unwrap();
        run.wait().unwrap();
        assert!(
            run.model().unwrap().to_bytes() == expected[number],
            "variant {number}"
        );
        let Some(Event::Started(granted)) = run.next(Duration::ZERO) else {
            panic!("it did not say where");
        };
        let names = ["emulated card 0", "emulated card 0, emulated card 1", "cpu"];
        assert_eq!(granted.device, names[number.saturating_sub(2)]);
    }
    let missing = start(
        data.clone(),
        None,
        Config {
            device: wish(3),
            ..config(settings())
        },
        1,
    );
    assert!(missing.unwrap_err().to_string().contains("too few fit"));
}

#[test]
fn a_batch_that_does_not_fit_at_once_trains_in_parts() {
    if emulator::library().is_none() {
        return;
    }
    // Deep trees over many features: hundreds of megabytes of histograms each.
    let columns: Vec<Column> = ALL.iter().cycle().take(64).copied().collect();
    let data = matrix(2_100, &columns, 2, 151);
    let config = Config {
        device: wish(1),
        ..config(Gbdt {
            rounds: 1,
            max_depth: 12,
            max_leaves: 1_500,
            min_child_weight: 500.0,
            ..settings()
        })
    };
    let expected = on_processor(
        &data,
        None,
        Config {
            device: Device::Cpu,
            ..config.clone()
        },
    );
    let runs = start_search(&data, None, vec![config; 3], 1, 1).unwrap();
    for run in runs {
        let run = run.unwrap();
        run.wait().unwrap();
        assert!(run.model().unwrap().to_bytes() == expected.to_bytes());
    }
}
