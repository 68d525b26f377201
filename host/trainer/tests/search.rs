//! Searches: one matrix, many settings, each variant what it would be alone.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod common;

use airlock_trainer::{
    Algorithm, Config, Forest, Gbdt, Matrix, Metric, StopReason, TrainError, start, start_search,
};
use common::{matrix, table};
use std::sync::Arc;

fn data() -> Arc<Matrix> {
    let columns = table(2_000, 5, 1);
    let label = columns[0].1.iter().map(|x| f32::from(u8::from(*x > 0.2)));
    let label = label.collect();
    matrix(columns, label, None)
}

fn variants() -> Vec<Config> {
    let mut configs: Vec<Config> = (1..6_u8)
        .map(|depth| {
            Config::gbdt(Gbdt {
                rounds: 10,
                max_depth: depth,
                ..Gbdt::default()
            })
        })
        .collect();
    let forest = Forest {
        trees: 4,
        classes: 2,
        ..Forest::default()
    };
    configs.push(Config::of(Algorithm::RandomForest(forest)));
    configs
}

#[test]
fn a_search_gives_in_order_what_single_runs_give() {
    let data = data();
    let alone = variants().into_iter().map(|config| {
        let run = start(data.clone(), None, config, 1).unwrap();
        run.wait().unwrap();
        run.model().unwrap().to_bytes()
    });
    let alone: Vec<Vec<u8>> = alone.collect();
    for (threads, parallel) in [(1, 1), (2, 4), (5, 2), (3, 100)] {
        let runs = start_search(&data, None, variants(), threads, parallel).unwrap();
        assert_eq!(runs.len(), alone.len());
        for (run, alone) in runs.into_iter().zip(&alone) {
            let run = run.unwrap();
            run.wait().unwrap();
            assert!(
                run.model().unwrap().to_bytes() == *alone,
                "{threads} threads, {parallel} at once"
            );
        }
    }
}

#[test]
fn a_variant_that_cannot_be_trained_has_its_own_error() {
    let mut configs = variants();
    configs[1] = Config::gbdt(Gbdt {
        max_depth: 77,
        ..Gbdt::default()
    });
    configs[3].metrics = vec![Metric::Auc];
    let runs = start_search(&data(), None, configs, 2, 2).unwrap();
    for (number, run) in runs.into_iter().enumerate() {
        if number == 1 {
            let error = run.unwrap_err();
            assert!(matches!(error, TrainError::Invalid(_)), "{error}");
            assert!(error.to_string().contains("max_depth is 77"), "{error}");
        } else {
            assert_eq!(run.unwrap().wait().unwrap().reason, StopReason::Completed);
        }
    }
    assert!(matches!(
        start_search(&data(), None, variants(), 0, 1),
        Err(TrainError::Invalid(_))
    ));
    assert!(matches!(
        start_search(&data(), None, variants(), 1, 0),
        Err(TrainError::Invalid(_))
    ));
    assert!(
        start_search(&data(), None, Vec::new(), 1, 1)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn dropping_and_cancelling_variants_ends_a_search() {
    let endless = || {
        Config::gbdt(Gbdt {
            rounds: 100_000,
            ..Gbdt::default()
        })
    };
    let configs = (0..6).map(|_| endless()).collect();
    let mut runs = start_search(&data(), None, configs, 2, 2).unwrap();
    // One that runs, and one that waits.
    drop(runs.remove(0));
    drop(runs.pop());
    for run in &runs {
        run.as_ref().unwrap().cancel();
    }
    for run in &runs {
        let outcome = run.as_ref().unwrap().wait().unwrap();
        assert_eq!(outcome.reason, StopReason::Cancelled);
        assert!(run.as_ref().unwrap().model().is_some());
    }
}
