//! Softmax: classes are told apart, whatever the number of threads.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use airlock_trainer::metrics::evaluate;
use airlock_trainer::{Config, Gbdt, Matrix, MatrixInput, Metric, Model, Objective, start};
use std::sync::Arc;

/// Three classes by the angle of a point, with a noise column.
fn pie(rows: u32) -> Arc<Matrix> {
    let x = |n: u32, step: u32| (n * step % 997) as f32 / 498.5 - 1.0;
    let column = |step: u32| (0..rows).map(|n| x(n, step)).collect::<Vec<f32>>();
    let class = |n: u32| {
        (x(n, 7).atan2(x(n, 31)) / 2.1 + 1.5)
            .floor()
            .clamp(0.0, 2.0)
    };
    let input = MatrixInput {
        columns: vec![
            ("x".to_owned(), column(7)),
            ("y".to_owned(), column(31)),
            ("noise".to_owned(), column(113)),
        ],
        label: Some((0..rows).map(class).collect()),
        weight: None,
        max_bins: 64,
    };
    Arc::new(Matrix::build(input).unwrap())
}

fn train(data: &Arc<Matrix>, gbdt: Gbdt, threads: usize) -> Arc<Model> {
    let run = start(Arc::clone(data), None, Config::gbdt(gbdt), threads).unwrap();
    run.wait().unwrap();
    run.model().unwrap()
}

fn settings() -> Gbdt {
    Gbdt {
        objective: Objective::Softmax,
        classes: 3,
        rounds: 20,
        max_depth: 4,
        learning_rate: 0.3,
        ..Gbdt::default()
    }
}

#[test]
fn a_softmax_tells_classes_apart_and_its_probabilities_sum_to_one() {
    let data = pie(9_000);
    let model = train(&data, settings(), 1);
    assert_eq!((model.outputs(), model.rounds()), (3, 20));
    let scores = model.score(&data).unwrap();
    assert_eq!(scores.len(), 3 * data.rows());
    assert!(
        scores
            .chunks_exact(3)
            .all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-5)
    );
    let accuracy = evaluate(Metric::Accuracy, &scores, data.label().unwrap());
    assert!(accuracy > 0.97, "{accuracy}");
    assert_eq!(*model, Model::from_bytes(&model.to_bytes()).unwrap());
}

#[test]
fn a_softmax_is_the_same_bytes_for_any_number_of_threads() {
    let data = pie(20_000);
    let gbdt = Gbdt {
        subsample: 0.7,
        column_sample: 0.7,
        class_weights: vec![1.0, 3.5, 0.2],
        ..settings()
    };
    let one = train(&data, gbdt.clone(), 1).to_bytes();
    assert!(one == train(&data, gbdt, 3).to_bytes());
}
