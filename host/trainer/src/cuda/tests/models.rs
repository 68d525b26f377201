//! Whole models: any data, settings, variants, cards and orders.

use super::*;

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
fn ties_go_as_on_the_processor() {
    let gbdt = Gbdt {
        base_score: Some(0.5),
        min_child_weight: 0.0,
        ..settings()
    };
    assert_same(&[0], &ties(), None, &[config(gbdt)]);
}
