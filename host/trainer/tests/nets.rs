//! Logistic regression and the multi-layer perceptron: they find what is there, give the same bytes for any number of threads, can be
//! stopped and resumed, and refuse what they cannot train.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]
#![expect(clippy::cast_possible_truncation, reason = "test data is f32")]

mod common;

use airlock_trainer::metrics::evaluate;
use airlock_trainer::{
    Algorithm, Config, EarlyStop, Event, Linear, Matrix, Metric, Mlp, Model, Objective, StopReason,
    TrainError, start,
};
use common::Random;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

fn matrix(columns: Vec<Vec<f32>>, label: Vec<f32>, weight: Option<Vec<f32>>) -> Arc<Matrix> {
    let named = columns
        .into_iter()
        .enumerate()
        .map(|(n, values)| (format!("f{n}"), values))
        .collect();
    common::matrix(named, label, weight)
}

/// Four columns of very different sizes, one of them with missing values, one noise; the label follows the others by chance.
fn chances(rows: usize, seed: u64) -> Arc<Matrix> {
    let mut random = Random(seed);
    let mut columns = vec![Vec::new(); 4];
    let mut label = Vec::new();
    for _ in 0..rows {
        let x: Vec<f64> = (0..4).map(|_| random.next() * 2.0 - 1.0).collect();
        let margin = 2.0 * x[0] - 1.5 * x[1] + x[2] - 0.5;
        label.push(f32::from(u8::from(
            random.next() < 1.0 / (1.0 + (-margin).exp()),
        )));
        let values = [
            x[0] as f32,
            (1e6 + 1e5 * x[1]) as f32,
            (1e-6 * x[2]) as f32,
            x[3] as f32,
        ];
        for (column, value) in columns.iter_mut().zip(values) {
            column.push(value);
        }
        if random.next() < 0.1 {
            *columns[2].last_mut().unwrap() = f32::NAN;
        }
    }
    matrix(columns, label, None)
}

/// Points of two intertwined half circles, which no plane parts.
fn spiral(rows: usize, classes: usize, seed: u64) -> Arc<Matrix> {
    let mut random = Random(seed);
    let mut columns = vec![Vec::new(); 2];
    let mut label = Vec::new();
    for row in 0..rows {
        let class = row % classes;
        let radius = 0.2 + 0.8 * random.next();
        let turn = class as f64 / classes as f64 * std::f64::consts::TAU;
        let angle = turn + 4.0 * radius + 0.1 * (random.next() - 0.5);
        columns[0].push((radius * angle.cos()) as f32);
        columns[1].push((radius * angle.sin()) as f32);
        label.push(class as f32);
    }
    matrix(columns, label, None)
}

fn logistic() -> Config {
    Config::of(Algorithm::Logistic(Linear::default()))
}

fn mlp(settings: Mlp) -> Config {
    Config::of(Algorithm::Mlp(settings))
}

fn train(data: &Arc<Matrix>, config: Config, threads: usize) -> Arc<Model> {
    let run = start(data.clone(), None, config, threads).unwrap();
    run.wait().unwrap();
    run.model().unwrap()
}

fn accuracy(model: &Model, data: &Matrix) -> f64 {
    let scores = model.score(data).unwrap();
    evaluate(Metric::Accuracy, &scores, data.label().unwrap())
}

/// The gradient of the loss in raw coefficients and the intercept, computed the slow way.
fn slopes(model: &Model, columns: &[Vec<f32>], label: &[f32], weight: &[f32], l2: f64) -> Vec<f64> {
    let (coefficients, intercept) = model.coefficients().unwrap();
    let moments = |values: &Vec<f32>| {
        let there: Vec<f64> = values
            .iter()
            .filter(|x| !x.is_nan())
            .map(|x| f64::from(*x))
            .collect();
        let count = there.len().max(1) as f64;
        let mean = there.iter().sum::<f64>() / count;
        let variance = there.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        (mean, variance.sqrt())
    };
    let moments: Vec<(f64, f64)> = columns.iter().map(moments).collect();
    let value = |feature: usize, row: usize| {
        let x = f64::from(columns[feature][row]);
        if x.is_nan() { moments[feature].0 } else { x }
    };
    let mut slopes = vec![0.0; columns.len() + 1];
    for row in 0..label.len() {
        let sum: f64 = coefficients
            .iter()
            .enumerate()
            .map(|(feature, (_, c))| c * value(feature, row))
            .sum();
        let p = 1.0 / (1.0 + (-(sum + intercept)).exp());
        let slope = f64::from(weight[row]) * (p - f64::from(label[row]));
        for feature in 0..columns.len() {
            // In standardised units, so that sizes of columns do not matter.
            let (mean, scale) = moments[feature];
            slopes[feature] += slope * (value(feature, row) - mean) / scale.max(1e-300);
        }
        *slopes.last_mut().unwrap() += slope;
    }
    for (feature, (_, c)) in coefficients.iter().enumerate() {
        slopes[feature] += l2 * c * moments[feature].1;
    }
    slopes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_logistic_regression_ends_where_the_gradient_is_zero(
        seed in any::<u64>(), rows in 20_usize..300, features in 1_usize..6, l2 in 0.01_f64..100.0
    ) {
        let mut random = Random(seed);
        let columns: Vec<Vec<f32>> = (0..features)
            .map(|n| {
                let size = 10_f64.powf(n as f64 * 2.0 - 4.0);
                (0..rows).map(|_| if random.next() < 0.05 { f32::NAN } else { (size * random.next()) as f32 }).collect()
            })
            .collect();
        let mut label: Vec<f32> = (0..rows).map(|_| f32::from(u8::from(random.next() < 0.3))).collect();
        (label[0], label[1]) = (0.0, 1.0);
        let weight: Vec<f32> = (0..rows).map(|_| random.next() as f32 * 3.0).collect();
        let data = matrix(columns.clone(), label.clone(), Some(weight.clone()));
        let settings = Linear { l2, tolerance: 1e-12, ..Linear::default() };
        let model = train(&data, Config::of(Algorithm::Logistic(settings)), 1);
        let total: f64 = weight.iter().map(|w| f64::from(*w)).sum();
        for slope in slopes(&model, &columns, &label, &weight, l2) {
            prop_assert!(slope.abs() / total < 1e-8, "{slope} of {total}");
        }
    }
}

#[test]
fn a_logistic_regression_finds_the_coefficients_of_its_data() {
    let data = chances(60_000, 1);
    let settings = Linear {
        l2: 0.0,
        ..Linear::default()
    };
    let model = train(&data, Config::of(Algorithm::Logistic(settings)), 2);
    let (coefficients, _) = model.coefficients().unwrap();
    for ((name, found), wanted) in coefficients.iter().zip([2.0, -1.5e-5, 1e6, 0.0]) {
        let unit = if wanted == 0.0 { 1.0_f64 } else { wanted };
        assert!(
            (found - wanted).abs() / unit.abs() < 0.06,
            "{name}: {found}, not {wanted}"
        );
    }
    assert!(model.rounds() < 15, "{} steps", model.rounds());
    assert_eq!(model.importance().last().unwrap().0, "f3");
}

#[test]
fn the_penalty_is_on_raw_columns_where_nothing_is_standardised() {
    let data = chances(5_000, 2);
    let coefficient = |standardize, l2| {
        let settings = Linear {
            l2,
            standardize,
            ..Linear::default()
        };
        let model = train(&data, Config::of(Algorithm::Logistic(settings)), 1);
        model.coefficients().unwrap().0[2].1
    };
    // f2 is so small that any penalty on its raw coefficient leaves nothing of it.
    assert!(coefficient(true, 1.0) > 5e5);
    assert!(coefficient(false, 1.0).abs() < 1.0);
    assert!((coefficient(false, 0.0) / coefficient(true, 0.0) - 1.0).abs() < 1e-6);
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let data = chances(20_000, 3);
    let net = Mlp {
        epochs: 3,
        batch: 300,
        hidden: vec![16, 9],
        ..Mlp::default()
    };
    for config in [logistic(), mlp(net)] {
        let one = train(&data, config.clone(), 1).to_bytes();
        for threads in [2, 3, 7] {
            assert!(
                one == train(&data, config.clone(), threads).to_bytes(),
                "{threads} threads"
            );
        }
    }
}

#[test]
fn a_network_learns_xor() {
    let corners = [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)];
    let rows = corners.iter().cycle().take(400);
    let (x, y): (Vec<f32>, Vec<f32>) = rows.clone().copied().unzip();
    let label = rows.map(|(x, y)| f32::from(u8::from(x != y))).collect();
    let data = matrix(vec![x, y], label, None);
    let plane = train(&data, logistic(), 1);
    assert!(accuracy(&plane, &data) < 0.8);
    let settings = Mlp {
        hidden: vec![8],
        epochs: 60,
        batch: 16,
        learning_rate: 0.02,
        ..Mlp::default()
    };
    assert_eq!(accuracy(&train(&data, mlp(settings), 1), &data), 1.0);
}

#[test]
fn a_network_tells_the_arms_of_a_spiral_apart() {
    let settings = Mlp {
        objective: Objective::Softmax,
        classes: 3,
        hidden: vec![32, 32],
        epochs: 60,
        batch: 32,
        learning_rate: 0.01,
        ..Mlp::default()
    };
    let model = train(&spiral(1_500, 3, 4), mlp(settings), 2);
    let fresh = spiral(1_500, 3, 5);
    assert!(
        accuracy(&model, &fresh) > 0.97,
        "{}",
        accuracy(&model, &fresh)
    );
    for row in model.score(&fresh).unwrap().chunks_exact(3) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
}

#[test]
fn a_network_fits_large_values() {
    let mut random = Random(6);
    let x: Vec<f32> = (0..3_000).map(|_| random.next() as f32 * 6.0).collect();
    let y: Vec<f32> = x.iter().map(|x| 1e5 + 1e4 * x.sin()).collect();
    let data = matrix(vec![x], y.clone(), None);
    let settings = Mlp {
        objective: Objective::SquaredError,
        hidden: vec![32, 32],
        epochs: 60,
        batch: 32,
        learning_rate: 0.005,
        ..Mlp::default()
    };
    let scores = train(&data, mlp(settings), 1).score(&data).unwrap();
    let error = evaluate(Metric::Rmse, &scores, &y);
    assert!(error < 500.0, "{error}");
}

/// Trains with a checkpoint after every round; yields all checkpoints and the model.
fn checkpoints(
    data: &Arc<Matrix>,
    valid: Option<&Arc<Matrix>>,
    config: Config,
) -> (Vec<Vec<u8>>, Arc<Model>) {
    let config = Config {
        checkpoint_every_ms: Some(0),
        ..config
    };
    let mut all = Vec::new();
    // One round at a time, so that no checkpoint is overtaken by the next before it is read.
    let rounds = match &config.algorithm {
        Algorithm::Mlp(settings) => settings.epochs,
        _ => 6,
    };
    let mut from = None;
    for round in 1..=rounds {
        let mut config = Config {
            resume_from: from.clone(),
            ..config.clone()
        };
        match &mut config.algorithm {
            Algorithm::Mlp(settings) => settings.epochs = round,
            Algorithm::Logistic(settings) => settings.max_iterations = round,
            _ => unreachable!("only nets are trained here"),
        }
        let run = start(data.clone(), valid.cloned(), config, 1).unwrap();
        run.wait().unwrap();
        while let Some(event) = run.next(Duration::ZERO) {
            if let Event::Checkpointed(bytes) = event {
                from = Some(bytes);
            }
        }
        all.extend(from.clone());
    }
    let run = start(data.clone(), valid.cloned(), config, 1).unwrap();
    run.wait().unwrap();
    (all, run.model().unwrap())
}

#[test]
fn a_run_that_goes_on_from_any_checkpoint_is_bit_identical() {
    let (data, valid) = (chances(3_000, 7), chances(1_000, 8));
    let net = Mlp {
        epochs: 5,
        batch: 128,
        hidden: vec![8],
        weight_decay: 0.01,
        ..Mlp::default()
    };
    let stop = EarlyStop {
        metric: Metric::LogLoss,
        rounds: 2,
        min_delta: 0.002,
    };
    let stopping = Config {
        early_stop: Some(stop),
        ..mlp(net.clone())
    };
    let cases = [
        (logistic(), None),
        (mlp(net), None),
        (stopping, Some(&valid)),
    ];
    for (config, valid) in cases {
        let (checkpoints, whole) = checkpoints(&data, valid, config.clone());
        assert!(checkpoints.len() > 2);
        for checkpoint in checkpoints {
            let config = Config {
                resume_from: Some(checkpoint),
                ..config.clone()
            };
            let run = start(data.clone(), valid.cloned(), config, 2).unwrap();
            run.wait().unwrap();
            assert!(run.model().unwrap().to_bytes() == whole.to_bytes());
        }
    }
}

#[test]
fn a_checkpoint_of_other_rows_or_settings_is_refused() {
    let data = chances(500, 9);
    let net = Mlp {
        epochs: 2,
        hidden: vec![4],
        ..Mlp::default()
    };
    let (checkpoints, model) = checkpoints(&data, None, mlp(net.clone()));
    let go_on = |data: Arc<Matrix>, settings: Mlp, bytes: Vec<u8>| {
        let config = Config {
            resume_from: Some(bytes),
            ..mlp(Mlp {
                epochs: 4,
                ..settings
            })
        };
        start(data, None, config, 1).and_then(|run| run.wait())
    };
    let last = checkpoints.last().unwrap();
    go_on(data.clone(), net.clone(), last.clone()).unwrap();
    assert!(go_on(chances(500, 10), net.clone(), last.clone()).is_err());
    let wider = Mlp {
        hidden: vec![5],
        ..net.clone()
    };
    let error = go_on(data.clone(), wider, last.clone())
        .unwrap_err()
        .to_string();
    assert!(error.contains("hidden"), "{error}");
    let error = go_on(data.clone(), net.clone(), model.to_bytes())
        .unwrap_err()
        .to_string();
    assert!(error.contains("no checkpoint"), "{error}");
    let mut random = Random(19);
    for _ in 0..500 {
        let mut flipped = last.clone();
        random.next();
        let place = (random.0 >> 32) as usize % last.len();
        flipped[place] ^= 1 << ((random.0 >> 20) % 8);
        // A weight may be another one; a panic it may not be.
        let is_lost = matches!(
            go_on(data.clone(), net.clone(), flipped),
            Err(TrainError::WorkerLost(_))
        );
        assert!(!is_lost, "byte {place}");
    }
    for length in 0..last.len() {
        assert!(
            go_on(data.clone(), net.clone(), last[..length].to_vec()).is_err(),
            "{length} bytes"
        );
    }
}

#[test]
fn metrics_are_told_and_an_early_stop_keeps_the_best_epoch() {
    let (data, valid) = (chances(400, 11), chances(2_000, 12));
    let settings = Mlp {
        hidden: vec![64, 64],
        epochs: 300,
        batch: 16,
        learning_rate: 0.01,
        ..Mlp::default()
    };
    let config = Config {
        metrics: vec![Metric::LogLoss],
        metric_every: 1,
        early_stop: Some(EarlyStop {
            metric: Metric::LogLoss,
            rounds: 5,
            min_delta: 0.0,
        }),
        ..mlp(settings)
    };
    let run = start(data, Some(valid.clone()), config, 2).unwrap();
    let outcome = run.wait().unwrap();
    assert_eq!(outcome.reason, StopReason::EarlyStopped);
    let mut losses = Vec::new();
    while let Some(event) = run.next(Duration::ZERO) {
        if let Event::Progress(point) = event {
            losses.push((point.round, point.valid.unwrap()));
        }
    }
    // The last point is that of the model, told once more at the end.
    let (best, least) = losses.pop().unwrap();
    assert_eq!(best, outcome.best_round);
    assert_eq!(losses.len(), best as usize + 5);
    assert!(losses.iter().all(|(_, loss)| *loss >= least));
    let scores = run.model().unwrap().score(&valid).unwrap();
    assert_eq!(
        evaluate(Metric::LogLoss, &scores, valid.label().unwrap()),
        least
    );
}

#[test]
fn a_cancelled_run_yields_a_model() {
    let settings = Mlp {
        epochs: 100_000,
        ..Mlp::default()
    };
    let run = start(chances(2_000, 13), None, mlp(settings), 2).unwrap();
    run.cancel();
    assert_eq!(run.wait().unwrap().reason, StopReason::Cancelled);
    assert!(run.model().unwrap().rounds() < 100_000);
}

#[test]
fn a_network_that_diverges_says_so() {
    let columns = common::table(500, 1, 14);
    let label = columns[0].1.clone();
    let data = common::matrix(columns, label, None);
    let settings = Mlp {
        objective: Objective::SquaredError,
        hidden: vec![64; 16],
        epochs: 500,
        learning_rate: 10.0,
        ..Mlp::default()
    };
    let ended = start(data, None, mlp(settings), 1).unwrap().wait();
    assert!(
        matches!(&ended, Err(TrainError::Invalid(text)) if text.contains("learning_rate")),
        "{ended:?}"
    );
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let data = chances(100, 15);
    let refused = |config: Config| {
        start(data.clone(), None, config, 1)
            .unwrap_err()
            .to_string()
    };
    let net = |change: fn(&mut Mlp)| {
        let mut settings = Mlp::default();
        change(&mut settings);
        mlp(settings)
    };
    let plane = |change: fn(&mut Linear)| {
        let mut settings = Linear::default();
        change(&mut settings);
        Config::of(Algorithm::Logistic(settings))
    };
    let cases = [
        (net(|s| s.epochs = 0), "epochs"),
        (net(|s| s.batch = 0), "batch"),
        (net(|s| s.learning_rate = f64::NAN), "learning_rate"),
        (net(|s| s.weight_decay = -1.0), "weight_decay"),
        (net(|s| s.hidden = vec![0]), "hidden"),
        (net(|s| s.hidden = vec![4_096; 3]), "hidden"),
        (net(|s| s.classes = 3), "classes"),
        (net(|s| s.objective = Objective::Softmax), "classes"),
        (plane(|s| s.l2 = -1.0), "l2"),
        (plane(|s| s.max_iterations = 0), "max_iterations"),
        (plane(|s| s.tolerance = 0.0), "tolerance"),
    ];
    for (config, name) in cases {
        let error = refused(config);
        assert!(error.contains(name), "{name}: {error}");
    }
}

#[test]
fn constant_and_missing_columns_and_outliers_hurt_nothing() {
    let data = chances(2_000, 16);
    let mut columns: Vec<Vec<f32>> = vec![vec![f32::NAN; 2_000], vec![7.0; 2_000]];
    let mut random = Random(17);
    columns.push((0..2_000).map(|_| random.next() as f32).collect());
    columns[2][5] = 3e38;
    columns[2][6] = -3e38;
    let data = matrix(columns, data.label().unwrap().to_vec(), None);
    let mut fresh = vec![vec![f32::NAN, 1.0, -1e30], vec![8.0, 7.0, -3e38]];
    fresh.push(vec![3e38, f32::NAN, 0.0]);
    let fresh = matrix(fresh, vec![0.0; 3], None);
    let net = mlp(Mlp {
        epochs: 2,
        ..Mlp::default()
    });
    for config in [logistic(), net] {
        let model = train(&data, config, 1);
        assert!(
            model
                .score(&fresh)
                .unwrap()
                .iter()
                .all(|p| (0.0..=1.0).contains(p))
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn models_survive_their_bytes_and_damage_is_refused(flip in any::<prop::sample::Index>(), by in 1_u8.., cut in any::<prop::sample::Index>()) {
        let data = chances(60, 18);
        let net = mlp(Mlp { epochs: 1, hidden: vec![3], ..Mlp::default() });
        for config in [logistic(), net] {
            let model = train(&data, config, 1);
            let bytes = model.to_bytes();
            prop_assert_eq!(&*model, &Model::from_bytes(&bytes).unwrap());
            prop_assert!(Model::from_bytes(&bytes[..cut.index(bytes.len())]).is_err());
            let mut flipped = bytes.clone();
            flipped[flip.index(bytes.len())] ^= by;
            // A changed number may still be a model, but then one that scores.
            if let Ok(other) = Model::from_bytes(&flipped) && other.feature_names() == model.feature_names() {
                prop_assert_eq!(other.score(&data).unwrap().len(), 60);
            }
        }
    }
}

#[test]
fn a_logistic_regression_that_ran_out_of_steps_says_so() {
    let warnings = |max_iterations| {
        let settings = Linear {
            max_iterations,
            ..Linear::default()
        };
        let config = Config::of(Algorithm::Logistic(settings));
        let run = start(chances(500, 20), None, config, 1).unwrap();
        run.wait().unwrap();
        std::iter::from_fn(|| run.next(Duration::ZERO))
            .filter(
                |event| matches!(event, Event::Warning(text) if text.contains("max_iterations")),
            )
            .count()
    };
    assert_eq!((warnings(1), warnings(100)), (1, 0));
}
