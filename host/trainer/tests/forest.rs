//! Random forests: they learn, weigh and resume, and their bytes do not depend on threads.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "test data is f32"
)]

mod common;

use airlock_trainer::metrics::evaluate;
use airlock_trainer::{
    Algorithm, Config, EarlyStop, Forest, Matrix, Metric, Model, StopReason, start,
};
use common::{Random, matrix, table};
use proptest::prelude::*;
use std::sync::Arc;

fn config(forest: Forest) -> Config {
    Config {
        seed: 5,
        ..Config::of(Algorithm::RandomForest(forest))
    }
}

fn train(data: &Arc<Matrix>, config: Config, threads: usize) -> Arc<Model> {
    let run = start(Arc::clone(data), None, config, threads).unwrap();
    run.wait().unwrap();
    run.model().unwrap()
}

fn small() -> Forest {
    Forest {
        trees: 12,
        ..Forest::default()
    }
}

/// Rows whose label is one of `classes` by two of four features; regression where there are none.
fn data(rows: usize, classes: u32, seed: u64) -> Arc<Matrix> {
    let columns = table(rows, 4, seed);
    let mut noise = Random(seed ^ 0x77);
    let label = (0..rows).map(|row| {
        let x = |feature: usize| columns[feature].1[row].max(-1.0);
        let value = x(0) + 0.7 * x(1) * x(2) + 0.1 * noise.next() as f32;
        match classes {
            0 => 10.0 * value - 300.0,
            2 => f32::from(u8::from(value > 0.0)),
            _ => ((value + 2.0) * classes as f32 / 4.0)
                .floor()
                .clamp(0.0, classes as f32 - 1.0),
        }
    });
    let label = label.collect();
    matrix(columns, label, None)
}

#[test]
fn a_forest_learns_classes_and_values() {
    let (two, fresh) = (data(6_000, 2, 1), data(6_000, 2, 2));
    let model = train(
        &two,
        config(Forest {
            classes: 2,
            ..small()
        }),
        2,
    );
    let auc = evaluate(
        Metric::Auc,
        &model.score(&fresh).unwrap(),
        fresh.label().unwrap(),
    );
    assert!(auc > 0.95, "{auc}");

    let (five, fresh) = (data(6_000, 5, 3), data(6_000, 5, 4));
    let model = train(
        &five,
        config(Forest {
            classes: 5,
            ..small()
        }),
        2,
    );
    assert_eq!((model.outputs(), model.rounds()), (5, 12));
    let scores = model.score(&fresh).unwrap();
    assert!(
        scores
            .chunks_exact(5)
            .all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-5)
    );
    let accuracy = evaluate(Metric::Accuracy, &scores, fresh.label().unwrap());
    assert!(accuracy > 0.8, "{accuracy}");

    let (values, fresh) = (data(6_000, 0, 5), data(6_000, 0, 6));
    let model = train(&values, config(small()), 2);
    let error = evaluate(
        Metric::Rmse,
        &model.score(&fresh).unwrap(),
        fresh.label().unwrap(),
    );
    // The labels spread by 6.
    assert!(error < 2.0, "{error}");
}

#[test]
fn without_bootstrap_a_full_tree_knows_every_row_by_heart() {
    let rows = 500;
    let columns = vec![(
        "x".to_owned(),
        (0..rows).map(|n| (n % 250) as f32).collect(),
    )];
    let label: Vec<f32> = (0..rows).map(|n| ((n % 250) * 7 % 11) as f32).collect();
    let data = matrix(columns, label.clone(), None);
    let forest = Forest {
        trees: 2,
        bootstrap: false,
        max_features: 1.0,
        ..Forest::default()
    };
    let scores = train(&data, config(forest.clone()), 1)
        .score(&data)
        .unwrap();
    assert!(
        scores
            .iter()
            .zip(&label)
            .all(|(score, label)| (score - label).abs() < 1e-5)
    );
    let classes = Forest {
        classes: 11,
        ..forest
    };
    let scores = train(&data, config(classes), 1).score(&data).unwrap();
    assert_eq!(evaluate(Metric::Accuracy, &scores, &label), 1.0);
}

#[test]
fn leaves_keep_min_leaf_rows_and_trees_their_depth() {
    let data = data(2_000, 0, 7);
    let stump = Forest {
        trees: 1,
        max_depth: 1,
        ..Forest::default()
    };
    let distinct = |forest: Forest| {
        let mut scores = train(&data, config(forest), 1).score(&data).unwrap();
        scores.sort_unstable_by(f32::total_cmp);
        scores
            .chunk_by(|one, other| one == other)
            .map(<[f32]>::len)
            .collect::<Vec<_>>()
    };
    assert_eq!(distinct(stump).len(), 2);
    let leaves = distinct(Forest {
        trees: 1,
        min_leaf: 100,
        bootstrap: false,
        ..Forest::default()
    });
    assert!(
        leaves.len() > 4 && leaves.iter().all(|rows| *rows >= 100),
        "{leaves:?}"
    );
}

#[test]
fn whole_weights_are_repeated_rows() {
    let columns = table(300, 3, 8);
    let label: Vec<f32> = columns[0]
        .1
        .iter()
        .map(|x| f32::from(u8::from(x.max(-1.0) > 0.1)))
        .collect();
    let weight: Vec<f32> = (0..300_u16).map(|row| f32::from(row % 4 + 1)).collect();
    let repeat = |values: &[f32]| -> Vec<f32> {
        values
            .iter()
            .zip(&weight)
            .flat_map(|(x, n)| std::iter::repeat_n(*x, *n as usize))
            .collect()
    };
    let repeated = columns
        .iter()
        .map(|(name, values)| (name.clone(), repeat(values)))
        .collect();
    let repeated = matrix(repeated, repeat(&label), None);
    let weighted = matrix(columns, label, Some(weight));
    let forest = Forest {
        trees: 3,
        bootstrap: false,
        max_depth: 4,
        max_features: 1.0,
        classes: 2,
        ..Forest::default()
    };
    let [one, other] = [repeated, weighted.clone()].map(|data| {
        train(&data, config(forest.clone()), 1)
            .score(&weighted)
            .unwrap()
    });
    assert!(
        one.iter()
            .zip(&other)
            .all(|(one, other)| (one - other).abs() < 1e-4)
    );
}

#[test]
fn an_early_stop_keeps_the_best_trees_and_a_resume_changes_nothing() {
    let (train_data, valid) = (data(800, 2, 9), data(800, 2, 10));
    let stop = EarlyStop {
        metric: Metric::LogLoss,
        rounds: 5,
        min_delta: 0.002,
    };
    let config = |trees, early_stop: Option<EarlyStop>, resume_from| Config {
        metrics: vec![Metric::LogLoss, Metric::Auc],
        early_stop,
        resume_from,
        ..config(Forest {
            classes: 2,
            trees,
            max_depth: 4,
            ..Forest::default()
        })
    };
    let run = |config, threads| {
        let run = start(train_data.clone(), Some(valid.clone()), config, threads).unwrap();
        (run.wait().unwrap(), run.model().unwrap())
    };
    let (outcome, whole) = run(config(400, Some(stop.clone()), None), 1);
    assert_eq!(outcome.reason, StopReason::EarlyStopped);
    assert_eq!(outcome.best_round as usize, whole.rounds());
    let (_, half) = run(config(3, None, None), 2);
    let (_, rest) = run(config(400, Some(stop), Some(half.to_bytes())), 3);
    assert!(whole.to_bytes() == rest.to_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn neither_threads_nor_a_resume_matter(
        seed in any::<u64>(), rows in 40_usize..700, classes in prop::sample::select(vec![0_u32, 2, 3, 6]),
        bootstrap in any::<bool>(), max_features in 0.0_f64..1.0, at in 1_u32..6,
    ) {
        let data = data(rows, classes, seed);
        prop_assume!(data.label().unwrap().iter().any(|y| *y != data.label().unwrap()[0]));
        let config = |trees, resume_from| Config {
            seed, resume_from,
            ..config(Forest { trees, classes, bootstrap, max_features, ..Forest::default() })
        };
        let whole = train(&data, config(6, None), 1).to_bytes();
        prop_assert!(whole == train(&data, config(6, None), 4).to_bytes());
        let part = train(&data, config(at, None), 1).to_bytes();
        prop_assert!(whole == train(&data, config(6, Some(part)), 2).to_bytes());
        prop_assert_eq!(Model::from_bytes(&whole).unwrap().to_bytes(), whole);
    }
}
