//! What training promises: the same bytes for any number of threads, models that survive their bytes, runs that can be stopped and
//! resumed, and trees that learn.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]
#![expect(clippy::cast_possible_truncation, reason = "test data is f32")]

use airlock_trainer::metrics::evaluate;
use airlock_trainer::{
    Config, Device, EarlyStop, Event, Gbdt, GpuWish, Growth, Matrix, MatrixInput, Metric, Model,
    Objective, StopReason, TrainError, start,
};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// A small generator, so that data is the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Five features, one of them noise, one with missing values; the label follows the others.
fn data(rows: usize, seed: u64) -> Matrix {
    let mut random = Random(seed);
    let mut columns: Vec<(String, Vec<f32>)> =
        (0..5).map(|n| (format!("f{n}"), Vec::new())).collect();
    let mut label = Vec::new();
    for _ in 0..rows {
        let x: Vec<f64> = (0..5).map(|_| random.next() * 2.0 - 1.0).collect();
        let score = 3.0 * x[0] - 2.0 * x[1] * x[2] + if x[3] > 0.5 { 1.5 } else { 0.0 } - 1.0;
        label.push(f32::from(u8::from(
            random.next() < 1.0 / (1.0 + (-score).exp()),
        )));
        for (n, (_, values)) in columns.iter_mut().enumerate() {
            let missing = n == 1 && random.next() < 0.1;
            values.push(if missing { f32::NAN } else { x[n] as f32 });
        }
    }
    Matrix::build(MatrixInput {
        columns,
        label: Some(label),
        weight: None,
        max_bins: 255,
    })
    .unwrap()
}

fn settings() -> Gbdt {
    Gbdt {
        rounds: 40,
        learning_rate: 0.2,
        max_depth: 4,
        ..Gbdt::default()
    }
}

fn train(data: &Arc<Matrix>, config: Config, threads: usize) -> Arc<Model> {
    let run = start(data.clone(), None, config, threads).unwrap();
    run.wait().unwrap();
    run.model().unwrap()
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let data = Arc::new(data(30_000, 1));
    for growth in [Growth::Depthwise, Growth::Lossguide] {
        let gbdt = Gbdt {
            growth,
            max_leaves: 20,
            subsample: 0.7,
            column_sample: 0.6,
            ..settings()
        };
        let config = Config {
            seed: 7,
            ..Config::gbdt(gbdt)
        };
        let one = train(&data, config.clone(), 1).to_bytes();
        for threads in [2, 3, 7] {
            assert!(
                one == train(&data, config.clone(), threads).to_bytes(),
                "{threads} threads, {growth:?}"
            );
        }
    }
}

#[test]
fn it_learns_what_is_there_and_ranks_noise_last() {
    let train_data = Arc::new(data(20_000, 2));
    let model = train(&train_data, Config::gbdt(settings()), 2);
    let fresh = data(20_000, 3);
    let auc = evaluate(
        Metric::Auc,
        &model.score(&fresh).unwrap(),
        fresh.label().unwrap(),
    );
    assert!(auc > 0.85, "{auc}");
    let importance = model.importance();
    assert_eq!(importance[0].0, "f0");
    assert_eq!(importance.last().unwrap().0, "f4");
}

#[test]
fn squared_error_fits_values() {
    let mut random = Random(4);
    let x: Vec<f32> = (0..5_000).map(|_| random.next() as f32 * 10.0).collect();
    let y: Vec<f32> = x.iter().map(|x| 1_000.0 * x.sin()).collect();
    let input = MatrixInput {
        columns: vec![("x".to_owned(), x)],
        label: Some(y.clone()),
        weight: None,
        max_bins: 255,
    };
    let gbdt = Gbdt {
        objective: Objective::SquaredError,
        rounds: 100,
        ..settings()
    };
    let data = Arc::new(Matrix::build(input).unwrap());
    let model = train(&data, Config::gbdt(gbdt), 1);
    assert!(evaluate(Metric::Rmse, &model.score(&data).unwrap(), &y) < 30.0);
}

#[test]
fn a_model_survives_its_bytes_and_scores_the_same() {
    let data = Arc::new(data(5_000, 5));
    let model = train(&data, Config::gbdt(settings()), 1);
    let read = Model::from_bytes(&model.to_bytes()).unwrap();
    assert_eq!(*model, read);
    assert_eq!(model.digest(), read.digest());
    assert_eq!(model.score(&data).unwrap(), read.score(&data).unwrap());
}

#[test]
fn a_run_that_was_stopped_and_resumed_is_bit_identical() {
    let data = Arc::new(data(8_000, 6));
    let gbdt = Gbdt {
        subsample: 0.8,
        column_sample: 0.8,
        ..settings()
    };
    let whole = train(
        &data,
        Config {
            seed: 3,
            ..Config::gbdt(gbdt.clone())
        },
        2,
    );
    let half = train(
        &data,
        Config {
            seed: 3,
            ..Config::gbdt(Gbdt {
                rounds: 17,
                ..gbdt.clone()
            })
        },
        1,
    );
    let rest = Config {
        seed: 3,
        resume_from: Some(half.to_bytes()),
        ..Config::gbdt(gbdt)
    };
    assert!(whole.to_bytes() == train(&data, rest, 2).to_bytes());
}

#[test]
fn a_cancelled_run_and_one_past_its_deadline_yield_a_model_and_say_why() {
    let data = Arc::new(data(20_000, 8));
    let endless = Gbdt {
        rounds: 100_000,
        ..settings()
    };
    let run = start(
        data.clone(),
        None,
        Config {
            checkpoint_every_ms: Some(0),
            ..Config::gbdt(endless.clone())
        },
        1,
    )
    .unwrap();
    let tree = std::iter::from_fn(|| run.next(Duration::from_mins(1)))
        .find(|event| matches!(event, Event::Checkpointed(_)));
    assert!(tree.is_some(), "no tree came");
    run.cancel();
    assert_eq!(run.wait().unwrap().reason, StopReason::Cancelled);
    assert!(run.model().unwrap().rounds() >= 1);
    let run = start(
        data,
        None,
        Config {
            time_limit_ms: Some(1),
            ..Config::gbdt(endless)
        },
        1,
    )
    .unwrap();
    assert_eq!(run.wait().unwrap().reason, StopReason::Deadline);
    assert!(run.model().is_some());
}

#[test]
fn an_early_stop_keeps_the_best_round() {
    let (train_data, valid) = (Arc::new(data(600, 9)), Arc::new(data(2_000, 10)));
    let gbdt = Gbdt {
        rounds: 2_000,
        learning_rate: 0.5,
        ..settings()
    };
    let stop = EarlyStop {
        metric: Metric::LogLoss,
        rounds: 10,
        min_delta: 0.0,
    };
    let config = Config {
        metrics: vec![Metric::LogLoss],
        metric_every: 1,
        early_stop: Some(stop),
        ..Config::gbdt(gbdt)
    };
    let run = start(train_data, Some(valid), config, 1).unwrap();
    let outcome = run.wait().unwrap();
    assert_eq!(outcome.reason, StopReason::EarlyStopped);
    assert_eq!(outcome.best_round as usize, run.model().unwrap().rounds());
    let mut measured = Vec::new();
    while let Some(event) = run.next(Duration::ZERO) {
        if let Event::Progress(point) = event {
            measured.push((point.valid.unwrap(), point.round));
        }
    }
    let best = measured
        .iter()
        .min_by(|one, other| one.partial_cmp(other).unwrap())
        .unwrap();
    assert_eq!(best.1, outcome.best_round);
}

#[test]
fn every_metric_can_end_a_training_early() {
    let (train_data, valid) = (Arc::new(data(600, 13)), Arc::new(data(2_000, 14)));
    for (objective, classes, metric) in [
        (Objective::BinaryLogistic, 0, Metric::Auc),
        (Objective::BinaryLogistic, 0, Metric::LogLoss),
        (Objective::BinaryLogistic, 0, Metric::Accuracy),
        (Objective::BinaryLogistic, 0, Metric::AveragePrecision),
        (Objective::BinaryLogistic, 0, Metric::Rmse),
        (Objective::SquaredError, 0, Metric::Rmse),
        (Objective::SquaredError, 0, Metric::Auc),
        (Objective::Softmax, 2, Metric::LogLoss),
        (Objective::Softmax, 2, Metric::Accuracy),
    ] {
        let gbdt = Gbdt {
            objective,
            classes,
            rounds: 2_000,
            learning_rate: 0.5,
            ..settings()
        };
        let stop = EarlyStop {
            metric,
            rounds: 10,
            min_delta: 0.0,
        };
        let config = Config {
            metrics: vec![metric],
            early_stop: Some(stop),
            ..Config::gbdt(gbdt)
        };
        let run = start(train_data.clone(), Some(valid.clone()), config, 1).unwrap();
        let outcome = run.wait().unwrap();
        let model = run.model().unwrap();
        assert_eq!(outcome.reason, StopReason::EarlyStopped, "{metric:?}");
        assert_eq!(outcome.best_round as usize, model.rounds());
        let scores = model.score(&valid).unwrap();
        let value = evaluate(metric, &scores, valid.label().unwrap());
        assert_eq!(outcome.metrics[0].valid, Some(value), "{metric:?}");
    }
}

#[test]
fn class_weights_move_the_scores_of_their_class() {
    let data = Arc::new(data(3_000, 15));
    let mean = |class_weights: Vec<f64>, scale_pos_weight| {
        let gbdt = Gbdt {
            class_weights,
            scale_pos_weight,
            ..settings()
        };
        let model = train(&data, Config::gbdt(gbdt), 1);
        let scores = model.score(&data).unwrap();
        scores.iter().sum::<f32>() / scores.len() as f32
    };
    let even = mean(Vec::new(), 1.0);
    assert_eq!(even, mean(vec![1.0, 1.0], 1.0));
    assert!(mean(vec![1.0, 5.0], 1.0) > even + 0.1);
    assert!(mean(vec![5.0, 1.0], 1.0) < even - 0.1);
    assert_eq!(mean(vec![1.0, 5.0], 1.0), mean(Vec::new(), 5.0));
}

#[test]
fn an_early_stop_remembers_its_best_round_over_a_resume() {
    let (train_data, valid) = (Arc::new(data(600, 9)), Arc::new(data(2_000, 10)));
    let config = |rounds, early_stop, resume_from| Config {
        early_stop,
        resume_from,
        ..Config::gbdt(Gbdt {
            rounds,
            learning_rate: 0.5,
            ..settings()
        })
    };
    let stop = EarlyStop {
        metric: Metric::LogLoss,
        rounds: 10,
        min_delta: 0.0,
    };
    let stopped = |resume_from| {
        let config = config(2_000, Some(stop.clone()), resume_from);
        let run = start(train_data.clone(), Some(valid.clone()), config, 1).unwrap();
        let outcome = run.wait().unwrap();
        assert_eq!(outcome.reason, StopReason::EarlyStopped);
        run.model().unwrap()
    };
    let whole = stopped(None);
    let best = u32::try_from(whole.rounds()).unwrap();
    // Past the best round but not over, over, and long over.
    for rounds in [best + 3, best + 10, best + 30] {
        let checkpoint = train(&train_data, config(rounds, None, None), 1).to_bytes();
        assert!(whole.to_bytes() == stopped(Some(checkpoint)).to_bytes());
    }
}

#[test]
fn weights_count_as_repeated_rows_do() {
    let twice = |values: &[f32]| values.iter().chain(values).copied().collect::<Vec<f32>>();
    let x: Vec<f32> = (0..400_i16).map(|n| f32::from(n % 40)).collect();
    let y: Vec<f32> = (0..400)
        .map(|n| f32::from(u8::from((n * 7) % 40 > 18)))
        .collect();
    let input = |x: Vec<f32>, y: Vec<f32>, weight| MatrixInput {
        columns: vec![("x".to_owned(), x)],
        label: Some(y),
        weight,
        max_bins: 64,
    };
    let repeated = Arc::new(Matrix::build(input(twice(&x), twice(&y), None)).unwrap());
    let weighted = Arc::new(Matrix::build(input(x.clone(), y, Some(vec![2.0; 400]))).unwrap());
    let scores = [repeated, weighted].map(|data| {
        train(&data, Config::gbdt(settings()), 1)
            .score(&data)
            .unwrap()
    });
    for (one, other) in scores[0].iter().zip(&scores[1]) {
        assert!((one - other).abs() < 1e-3, "{one} {other}");
    }
}

#[test]
fn what_cannot_be_trained_is_refused_with_a_reason() {
    let matrix = Arc::new(data(100, 11));
    let refused = |config: Config| start(matrix.clone(), None, config, 1).unwrap_err();
    let wish = GpuWish {
        name: None,
        min_memory: None,
        min_compute: None,
        count: 1,
        share: 1.0,
    };
    assert!(matches!(
        refused(Config {
            device: Device::Gpu(wish),
            ..Config::gbdt(settings())
        }),
        TrainError::NoDevice(_)
    ));
    assert!(matches!(
        refused(Config::gbdt(Gbdt {
            rounds: 0,
            ..settings()
        })),
        TrainError::Invalid(_)
    ));
    let unlabelled = MatrixInput {
        columns: vec![("x".to_owned(), vec![1.0, 2.0])],
        label: None,
        weight: None,
        max_bins: 8,
    };
    let unlabelled = Arc::new(Matrix::build(unlabelled).unwrap());
    assert!(matches!(
        start(unlabelled, None, Config::gbdt(settings()), 1).unwrap_err(),
        TrainError::Data(_)
    ));
    assert_eq!(
        train(
            &matrix,
            Config {
                device: Device::Best,
                ..Config::gbdt(settings())
            },
            1
        )
        .rounds(),
        40
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn threads_never_matter(seed in any::<u64>(), rows in 2_usize..9_000, depth in 1_u8..7, subsample in 0.2_f64..1.0) {
        let data = Arc::new(data(rows, seed));
        let config = Config { seed, ..Config::gbdt(Gbdt { rounds: 3, max_depth: depth, subsample, ..settings() }) };
        prop_assert!(train(&data, config.clone(), 1).to_bytes() == train(&data, config, 3).to_bytes());
    }
}
