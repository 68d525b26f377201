//! Going on from a checkpoint: the same bytes as without an interruption, and a reason where data or settings are others.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]
#![expect(clippy::cast_possible_truncation, reason = "test data is f32")]

mod common;

use airlock_trainer::{
    Algorithm, Config, EarlyStop, Event, Forest, Gbdt, Growth, Matrix, Metric, Model, Objective,
    StopReason, start,
};
use common::{Random, matrix, table};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// Labels 0 to `classes` less one, by two features and chance.
fn data(rows: usize, classes: u32, seed: u64) -> Arc<Matrix> {
    let columns = table(rows, 4, seed);
    let mut noise = Random(seed ^ 5);
    let top = f64::from(classes - 1);
    let label = (0..rows).map(|row| {
        let value = f64::from(columns[0].1[row] + columns[2].1[row]) + noise.next();
        if row < classes as usize {
            // Every class is there.
            row as f32
        } else {
            ((value + 2.0) / 5.0 * f64::from(classes))
                .floor()
                .clamp(0.0, top) as f32
        }
    });
    let label = label.collect();
    matrix(columns, label, None)
}

fn settings(classes: u32) -> Gbdt {
    Gbdt {
        objective: if classes > 2 {
            Objective::Softmax
        } else {
            Objective::BinaryLogistic
        },
        classes: if classes > 2 { classes } else { 0 },
        rounds: 12,
        learning_rate: 0.3,
        max_depth: 3,
        subsample: 0.7,
        column_sample: 0.6,
        ..Gbdt::default()
    }
}

fn trained(data: &[Arc<Matrix>; 2], config: Config, threads: usize) -> Arc<Model> {
    let [train, valid] = data;
    let run = start(train.clone(), Some(valid.clone()), config, threads).unwrap();
    run.wait().unwrap();
    run.model().unwrap()
}

fn refused(train: &Arc<Matrix>, config: Config) -> String {
    start(train.clone(), None, config, 1)
        .unwrap_err()
        .to_string()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_resumed_run_is_the_uninterrupted_one(
        seed in any::<u64>(), classes in 2_u32..5, at in 1_u32..12, lossguide in any::<bool>(), early in any::<bool>(),
    ) {
        let data = [data(500, classes, seed), data(300, classes, seed ^ 1)];
        let growth = if lossguide { Growth::Lossguide } else { Growth::Depthwise };
        let stop = EarlyStop { metric: Metric::LogLoss, rounds: 2, min_delta: 0.0 };
        let config = |rounds, resume_from: Option<Vec<u8>>, stops: bool| Config {
            seed,
            resume_from,
            early_stop: Some(stop.clone()).filter(|_| stops),
            ..Config::gbdt(Gbdt { rounds, growth, max_leaves: 6, ..settings(classes) })
        };
        let whole = trained(&data, config(12, None, early), 2).to_bytes();
        let part = trained(&data, config(at, None, false), 1).to_bytes();
        prop_assert!(whole == trained(&data, config(12, Some(part), early), 3).to_bytes());
    }
}

#[test]
fn the_last_checkpoint_of_a_cancelled_run_leads_to_the_same_model() {
    let data = [data(4_000, 2, 1), data(1_000, 2, 2)];
    let config = |resume_from| Config {
        checkpoint_every_ms: Some(0),
        resume_from,
        ..Config::gbdt(Gbdt {
            rounds: 60,
            ..settings(2)
        })
    };
    let whole = trained(&data, config(None), 1).to_bytes();
    let run = start(data[0].clone(), None, config(None), 1).unwrap();
    let mut last = None;
    while let Some(event) = run.next(Duration::from_mins(1)) {
        if let Event::Checkpointed(bytes) = event {
            last = Some(bytes);
            run.cancel();
        }
    }
    let outcome = run.wait().unwrap();
    assert!(outcome.reason == StopReason::Cancelled || outcome.best_round == 60);
    assert!(last.is_some());
    assert!(whole == trained(&data, config(last), 2).to_bytes());
}

#[test]
fn a_checkpoint_of_other_settings_says_which() {
    let train = data(300, 2, 3);
    let both = [train.clone(), train.clone()];
    let checkpoint = trained(&both, Config::gbdt(settings(2)), 1).to_bytes();
    let config = |gbdt: Gbdt, seed| Config {
        seed,
        resume_from: Some(checkpoint.clone()),
        ..Config::gbdt(gbdt)
    };
    let text = refused(
        &train,
        config(
            Gbdt {
                max_depth: 5,
                l2: 2.5,
                ..settings(2)
            },
            4,
        ),
    );
    for difference in [
        "max_depth was 3 and is 5",
        "l2 was 1.0 and is 2.5",
        "seed was 0 and is 4",
    ] {
        assert!(text.contains(difference), "{text}");
    }
    let forest = Config {
        resume_from: Some(checkpoint.clone()),
        ..Config::of(Algorithm::RandomForest(Forest {
            classes: 2,
            ..Forest::default()
        }))
    };
    let text = refused(&train, forest);
    assert!(
        text.contains("algorithm was gbdt and is random-forest;"),
        "{text}"
    );
    // How long it goes on and what is measured may differ.
    let longer = Config {
        metrics: vec![Metric::Auc],
        ..config(
            Gbdt {
                rounds: 15,
                ..settings(2)
            },
            0,
        )
    };
    assert_eq!(trained(&both, longer, 1).rounds(), 15);
}

#[test]
fn a_checkpoint_of_other_data_is_refused() {
    let train = data(300, 2, 3);
    let both = [train.clone(), train.clone()];
    let config = |resume_from| Config {
        resume_from,
        ..Config::gbdt(settings(2))
    };
    let checkpoint = trained(&both, config(None), 1).to_bytes();
    let text = refused(&data(300, 2, 4), config(Some(checkpoint.clone())));
    assert!(text.contains("the training matrix was"), "{text}");
    let renamed = matrix(
        vec![("other".to_owned(), vec![0.0, 1.0])],
        vec![0.0, 1.0],
        None,
    );
    let text = refused(&renamed, config(Some(checkpoint.clone())));
    assert!(
        text.contains("f0, f1, f2, f3") && text.contains("other"),
        "{text}"
    );
    let text = refused(&train, config(Some(checkpoint[..100].to_vec())));
    assert!(text.contains("no model"), "{text}");
}

#[test]
fn a_model_of_format_1_is_read_and_scored_but_not_resumed() {
    let header = br#"{"objective":"binary-logistic","base_score":0.5,"features":["f0","f1","f2","f3"],"trees":[3]}"#;
    let mut bytes = b"airlock\x01".to_vec();
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(u32::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header);
    // The root parts f2 at 0.25, missing values go left; then both leaves.
    for (feature, left, threshold, value) in [
        (5_u32, 1_u32, 0.25_f32, 0.0_f32),
        (0, 0, 0.0, -1.0),
        (0, 0, 0.0, 2.0),
    ] {
        bytes.extend(feature.to_le_bytes());
        bytes.extend(left.to_le_bytes());
        for number in [threshold, value, 1.0, 1.0] {
            bytes.extend(number.to_le_bytes());
        }
    }
    let model = Model::from_bytes(&bytes).unwrap();
    let train = data(50, 2, 6);
    let low = 1.0 / (1.0 + 1.0_f32.exp());
    let scores = model.score(&train).unwrap();
    assert!(scores.iter().any(|score| (score - low).abs() < 1e-6));
    assert_eq!(model, Model::from_bytes(&model.to_bytes()).unwrap());
    let text = refused(
        &train,
        Config {
            resume_from: Some(bytes),
            ..Config::gbdt(settings(2))
        },
    );
    assert!(
        text.contains("does not say what it was trained on"),
        "{text}"
    );
}
