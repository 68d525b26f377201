//! A guest's scorer reads the trainer's bytes and gives the trainer's bits, for every kind of model; and damaged bytes are an error
//! or a score, never a panic or an endless walk.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod common;

use airlock_scorer::{Error, Scorer};
use airlock_trainer::{
    Algorithm, Config, Forest, Gbdt, Linear, Matrix, MatrixInput, Mlp, Model, Objective, start,
};
use common::{Random, matrix, table};
use proptest::prelude::*;
use std::sync::Arc;

const FEATURES: usize = 4;

/// Every kind of model, small.
fn algorithms() -> Vec<Algorithm> {
    let gbdt = |objective, classes| {
        Algorithm::Gbdt(Gbdt {
            objective,
            classes,
            rounds: 12,
            max_depth: 4,
            ..Gbdt::default()
        })
    };
    let forest = |classes| {
        Algorithm::RandomForest(Forest {
            trees: 7,
            max_depth: 6,
            classes,
            ..Forest::default()
        })
    };
    let mlp = |objective, classes, hidden| {
        Algorithm::Mlp(Mlp {
            objective,
            classes,
            hidden,
            epochs: 2,
            ..Mlp::default()
        })
    };
    vec![
        gbdt(Objective::BinaryLogistic, 0),
        gbdt(Objective::SquaredError, 0),
        gbdt(Objective::Softmax, 3),
        forest(2),
        forest(3),
        forest(0),
        Algorithm::Logistic(Linear::default()),
        mlp(Objective::BinaryLogistic, 0, vec![7, 5]),
        mlp(Objective::Softmax, 3, vec![9]),
        mlp(Objective::SquaredError, 0, vec![]),
    ]
}

fn train(algorithm: Algorithm, seed: u64) -> Arc<Model> {
    let classes = match &algorithm {
        Algorithm::Gbdt(settings) => settings.classes,
        Algorithm::RandomForest(settings) => settings.classes,
        Algorithm::Mlp(settings) => settings.classes,
        Algorithm::Logistic(_) => 2,
    };
    let columns = table(300, FEATURES, seed);
    let levels = if classes == 3 { 3.0 } else { 2.0 };
    let level = |x: &f32| (((x + 1.0) / 2.0 * levels).floor()).clamp(0.0, levels - 1.0);
    let label = columns[0].1.iter().map(level).collect();
    let run = start(matrix(columns, label, None), None, Config::of(algorithm), 1).unwrap();
    run.wait().unwrap();
    run.model().unwrap()
}

/// Rows near the training's, far from them, on zeros of both signs, and with missing values.
fn rows(count: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut random = Random(seed);
    let mut value = || match random.next() {
        kind if kind < 0.1 => f32::NAN,
        kind if kind < 0.15 => 0.0,
        kind if kind < 0.2 => -0.0,
        kind if kind < 0.25 => 3e38,
        kind if kind < 0.3 => -1e-40,
        #[expect(clippy::cast_possible_truncation, reason = "test data is f32")]
        _ => (random.next() * 3.0 - 1.5) as f32,
    };
    (0..count)
        .map(|_| (0..FEATURES).map(|_| value()).collect())
        .collect()
}

fn as_matrix(rows: &[Vec<f32>]) -> Matrix {
    let column = |feature: usize| rows.iter().map(|row| row[feature]).collect();
    Matrix::build(MatrixInput {
        columns: (0..FEATURES)
            .map(|feature| (format!("f{feature}"), column(feature)))
            .collect(),
        label: None,
        weight: None,
        max_bins: 16,
    })
    .unwrap()
}

fn score(scorer: &Scorer<'_>, rows: &[Vec<f32>]) -> Vec<u32> {
    let mut scratch = vec![0.0; scorer.scratch()];
    let mut out = vec![0.0; scorer.outputs()];
    let mut bits = Vec::new();
    for row in rows {
        scorer.score(row, &mut scratch, &mut out).unwrap();
        bits.extend(out.iter().map(|score| score.to_bits()));
    }
    bits
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 25, ..ProptestConfig::default() })]

    #[test]
    fn a_guest_scores_the_bits_that_the_host_scores(seed in any::<u64>()) {
        let rows = rows(200, seed ^ 1);
        let data = as_matrix(&rows);
        for algorithm in algorithms() {
            let name = format!("{algorithm:?}");
            let model = train(algorithm, seed);
            let bytes = model.to_bytes();
            let scorer = Scorer::new(&bytes).unwrap();
            prop_assert_eq!((scorer.features(), scorer.outputs()), (FEATURES, model.outputs()));
            let ours: Vec<u32> = model.score(&data).unwrap().iter().map(|score| score.to_bits()).collect();
            prop_assert_eq!(score(&scorer, &rows), ours, "{}", name);
        }
    }

    #[test]
    fn damaged_bytes_end_in_an_error_or_a_score(kind in 0_usize..10, flips in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 0..4), cut in any::<prop::sample::Index>()) {
        let mut bytes = train(algorithms().remove(kind), 5).to_bytes();
        prop_assert!(Scorer::new(&bytes[..cut.index(bytes.len())]).is_err());
        for (place, by) in flips {
            let place = place.index(bytes.len());
            bytes[place] ^= by;
        }
        if let Ok(scorer) = Scorer::new(&bytes) {
            let row = vec![0.5; scorer.features()];
            let mut scratch = vec![0.0; scorer.scratch()];
            let mut out = vec![0.0; scorer.outputs()];
            prop_assert_eq!(scorer.score(&row, &mut scratch, &mut out), Ok(()));
        }
    }
}

#[test]
fn a_call_that_cannot_be_answered_says_why() {
    let bytes = train(algorithms().remove(7), 6).to_bytes();
    let scorer = Scorer::new(&bytes).unwrap();
    let mut scratch = vec![0.0; scorer.scratch()];
    let mut out = [9.0];
    let row = [0.0; FEATURES];
    assert_eq!(
        scorer.score(&row[1..], &mut scratch, &mut out),
        Err(Error::Row)
    );
    assert_eq!(
        scorer.score(&[f32::INFINITY; FEATURES], &mut scratch, &mut out),
        Err(Error::Infinite)
    );
    assert_eq!(
        scorer.score(&row, &mut scratch[1..], &mut out),
        Err(Error::Room)
    );
    assert_eq!(scorer.score(&row, &mut scratch, &mut []), Err(Error::Room));
    assert_eq!(out, [9.0]);
    assert_eq!(Scorer::new(b"no model").unwrap_err(), Error::NoModel);
    assert!(
        std::str::from_utf8(scorer.header())
            .unwrap()
            .contains("\"f3\"")
    );
}
