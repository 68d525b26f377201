//! Bad input, each through the door that a guest uses: an error of the right kind that says what was needed and what was found, never a
//! panic.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod common;

use airlock_trainer::{
    Algorithm, Config, EarlyStop, Event, Forest, Gbdt, Matrix, MatrixInput, Metric, Objective,
    TrainError, start,
};
use common::{matrix, table};
use std::sync::Arc;
use std::time::Duration;

fn input(label: Option<Vec<f32>>) -> MatrixInput {
    MatrixInput {
        columns: table(6, 3, 1),
        label,
        weight: None,
        max_bins: 16,
    }
}

fn labelled(label: &[f32]) -> Arc<Matrix> {
    Arc::new(Matrix::build(input(Some(label.to_vec()))).unwrap())
}

fn two_classes() -> Arc<Matrix> {
    labelled(&[0.0, 1.0, 0.0, 1.0, 1.0, 0.0])
}

/// The text of the error, which must be about the data.
fn data_error(train: &Arc<Matrix>, valid: Option<&Arc<Matrix>>, config: Config) -> String {
    let error = start(train.clone(), valid.cloned(), config, 1).unwrap_err();
    assert!(matches!(error, TrainError::Data(_)), "{error:?}");
    error.to_string()
}

/// The text of the error, which must be about the settings.
fn setting_error(train: &Arc<Matrix>, config: Config) -> String {
    let error = start(train.clone(), None, config, 1).unwrap_err();
    assert!(matches!(error, TrainError::Invalid(_)), "{error:?}");
    error.to_string()
}

fn gbdt() -> Config {
    Config::gbdt(Gbdt::default())
}

fn softmax(classes: u32) -> Config {
    Config::gbdt(Gbdt {
        objective: Objective::Softmax,
        classes,
        ..Gbdt::default()
    })
}

fn forest(classes: u32) -> Config {
    Config::of(Algorithm::RandomForest(Forest {
        classes,
        ..Forest::default()
    }))
}

fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word} is not in: {text}");
    }
}

#[test]
fn a_matrix_without_a_label() {
    let unlabelled = Arc::new(Matrix::build(input(None)).unwrap());
    for config in [gbdt(), softmax(3), forest(0), forest(2)] {
        says(&data_error(&unlabelled, None, config), &["no label"]);
    }
}

#[test]
fn labels_that_are_missing_infinite_or_no_class() {
    for bad in [f32::NAN, f32::INFINITY] {
        let label = Some(vec![0.0, 1.0, bad, 0.0, 1.0, 1.0]);
        let text = Matrix::build(input(label)).unwrap_err().to_string();
        says(&text, &["row 2", "missing or infinite"]);
    }
    let half = labelled(&[0.0, 1.0, 0.5, 0.0, 1.0, 1.0]);
    says(
        &data_error(&half, None, gbdt()),
        &["labels 0 and 1", "row 2", "0.5"],
    );
    says(
        &data_error(&half, None, forest(2)),
        &["labels 0 and 1", "row 2", "0.5"],
    );
    says(
        &data_error(&half, None, softmax(3)),
        &["0 to 2", "row 2", "0.5"],
    );
    let many = labelled(&[0.0, 1.0, 2.0, 3.0, 1.0, 1.0]);
    says(
        &data_error(&many, None, softmax(3)),
        &["0 to 2", "row 3", "has 3"],
    );
    says(
        &data_error(&many, None, forest(3)),
        &["0 to 2", "row 3", "has 3"],
    );
    let negative = labelled(&[0.0, -1.0, 2.0, 0.0, 1.0, 1.0]);
    says(&data_error(&negative, None, softmax(3)), &["row 1", "-1"]);
    says(
        &data_error(&two_classes(), Some(&many), gbdt()),
        &["validation", "row 2"],
    );
}

#[test]
fn one_class_only() {
    let ones = labelled(&[1.0; 6]);
    for config in [gbdt(), softmax(3), forest(2), forest(4)] {
        says(
            &data_error(&ones, None, config),
            &["two classes", "all 6 labels are 1"],
        );
    }
    // A constant is a fine answer of a regression.
    let squared = Config::gbdt(Gbdt {
        objective: Objective::SquaredError,
        ..Gbdt::default()
    });
    for config in [squared, forest(0)] {
        let run = start(ones.clone(), None, config, 1).unwrap();
        run.wait().unwrap();
        let scores = run.model().unwrap().score(&ones).unwrap();
        assert!(scores.iter().all(|score| (score - 1.0).abs() < 1e-6));
    }
}

#[test]
fn infinite_values_and_no_rows() {
    let mut infinite = input(None);
    infinite.columns[1].1[3] = f32::NEG_INFINITY;
    let text = Matrix::build(infinite).unwrap_err().to_string();
    says(&text, &["f1", "row 3", "-inf"]);
    let empty = MatrixInput {
        columns: vec![("x".to_owned(), Vec::new())],
        label: Some(Vec::new()),
        weight: None,
        max_bins: 16,
    };
    let text = Matrix::build(empty).unwrap_err().to_string();
    says(&text, &["0 rows"]);
}

#[test]
fn features_that_teach_nothing() {
    let label = vec![0.0, 1.0, 0.0, 1.0];
    let null = || ("null".to_owned(), vec![f32::NAN; 4]);
    let constant = || ("constant".to_owned(), vec![3.0; 4]);
    let useless = matrix(vec![null(), constant()], label.clone(), None);
    for config in [gbdt(), forest(2), forest(0)] {
        says(
            &data_error(&useless, None, config),
            &["all 2 features are constant", "null, constant"],
        );
    }
    let useful = ("x".to_owned(), vec![0.0, 1.0, 0.0, 1.0]);
    let mixed = matrix(vec![null(), useful, constant()], label, None);
    for config in [gbdt(), forest(2)] {
        let run = start(mixed.clone(), None, config, 1).unwrap();
        run.wait().unwrap();
        let mut warned = false;
        while let Some(event) = run.next(Duration::ZERO) {
            if let Event::Warning(text) = event {
                says(&text, &["2 features", "null, constant"]);
                warned = true;
            }
        }
        assert!(warned);
    }
}

#[test]
fn weights_that_are_all_zero() {
    let columns = table(3, 2, 4);
    let weightless = matrix(columns, vec![0.0, 1.0, 1.0], Some(vec![0.0; 3]));
    says(
        &data_error(&weightless, None, gbdt()),
        &["weight over 0", "all 3"],
    );
    says(
        &data_error(&weightless, None, forest(2)),
        &["weight over 0", "all 3"],
    );
}

#[test]
fn one_row_and_one_bin() {
    let two = matrix(vec![("x".to_owned(), vec![1.0, 2.0])], vec![0.0, 1.0], None);
    for config in [gbdt(), forest(2), forest(0), softmax(2)] {
        let run = start(two.clone(), None, config, 3).unwrap();
        run.wait().unwrap();
        assert!(
            run.model()
                .unwrap()
                .score(&two)
                .unwrap()
                .iter()
                .all(|score| score.is_finite())
        );
    }
    let one = matrix(vec![("x".to_owned(), vec![1.0])], vec![0.0], None);
    says(&data_error(&one, None, gbdt()), &["two classes"]);
}

#[test]
fn settings_out_of_range() {
    let train = two_classes();
    let with = |change: &dyn Fn(&mut Gbdt)| {
        let mut gbdt = Gbdt::default();
        change(&mut gbdt);
        setting_error(&train, Config::gbdt(gbdt))
    };
    says(&with(&|g| g.rounds = 0), &["rounds is 0", "1 to 100000"]);
    says(
        &with(&|g| g.learning_rate = f64::NAN),
        &["learning_rate is NaN", "over 0"],
    );
    says(&with(&|g| g.max_depth = 33), &["max_depth is 33"]);
    says(
        &with(&|g| g.max_depth = 0),
        &["max_depth is 0", "lossguide"],
    );
    says(&with(&|g| g.max_leaves = 1), &["max_leaves is 1"]);
    says(&with(&|g| g.subsample = 1.5), &["subsample is 1.5"]);
    says(&with(&|g| g.l2 = -1.0), &["l2 is -1"]);
    says(
        &with(&|g| g.scale_pos_weight = 0.0),
        &["scale_pos_weight is 0"],
    );
    says(
        &with(&|g| g.base_score = Some(1.0)),
        &["base_score is 1", "probability"],
    );
    says(&with(&|g| g.classes = 2), &["classes is 2", "softmax"]);
    says(
        &with(&|g| g.class_weights = vec![1.0; 3]),
        &["a list of 3", "2 numbers"],
    );
    says(
        &with(&|g| g.class_weights = vec![1.0, -1.0]),
        &["class_weights is -1"],
    );
    for classes in [0, 1, 257] {
        let found = format!("classes is {classes}");
        says(
            &setting_error(&train, softmax(classes)),
            &[&found, "2 to 256"],
        );
    }
}

#[test]
fn settings_of_a_forest_and_of_a_run_out_of_range() {
    let train = two_classes();
    says(&setting_error(&train, forest(1)), &["classes is 1"]);
    let with = |change: &dyn Fn(&mut Forest)| {
        let mut forest = Forest {
            classes: 2,
            ..Forest::default()
        };
        change(&mut forest);
        setting_error(&train, Config::of(Algorithm::RandomForest(forest)))
    };
    says(&with(&|f| f.trees = 0), &["trees is 0"]);
    says(&with(&|f| f.min_leaf = 0), &["min_leaf is 0"]);
    says(&with(&|f| f.max_features = 1.01), &["max_features is 1.01"]);
    let stop = EarlyStop {
        metric: Metric::Auc,
        rounds: 0,
        min_delta: 0.0,
    };
    says(
        &setting_error(
            &train,
            Config {
                early_stop: Some(stop),
                ..gbdt()
            },
        ),
        &["early_stop.rounds is 0"],
    );
    assert!(matches!(
        start(train.clone(), None, gbdt(), 0),
        Err(TrainError::Invalid(_))
    ));
    assert!(matches!(
        start(train, None, gbdt(), 257),
        Err(TrainError::Invalid(_))
    ));
}

#[test]
fn metrics_that_do_not_fit() {
    let classes = labelled(&[0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
    for metric in [Metric::Auc, Metric::AveragePrecision, Metric::Rmse] {
        for config in [softmax(3), forest(3)] {
            let config = Config {
                metrics: vec![metric],
                ..config
            };
            says(
                &setting_error(&classes, config),
                &[metric.word(), "accuracy and log-loss"],
            );
        }
    }
    let values = labelled(&[0.0, 1.0, 2.5, 0.0, 1.0, 2.0]);
    let config = Config {
        metrics: vec![Metric::LogLoss],
        ..forest(0)
    };
    says(
        &setting_error(&values, config),
        &["log-loss", "2.5", "rmse"],
    );
}

#[test]
fn an_early_stop_without_what_it_watches() {
    let train = two_classes();
    let config = |metric| Config {
        early_stop: Some(EarlyStop {
            metric,
            rounds: 3,
            min_delta: 0.0,
        }),
        ..gbdt()
    };
    says(
        &setting_error(&train, config(Metric::Auc)),
        &["validation matrix with a label"],
    );
    let ones = labelled(&[1.0; 6]);
    says(
        &data_error(&train, Some(&ones), config(Metric::Auc)),
        &["both classes", "all 6 labels are 1"],
    );
}

#[test]
fn a_validation_matrix_of_other_features() {
    let other = matrix(vec![("y".to_owned(), vec![1.0, 2.0])], vec![0.0, 1.0], None);
    says(
        &data_error(&two_classes(), Some(&other), gbdt()),
        &["has the features y", "f0, f1, f2"],
    );
}
