//! Random forests: any kind of data and settings, on any number of cards, in any order.

use super::*;
use crate::forest::backend_on_cards;

fn forest() -> Forest {
    Forest {
        trees: 3,
        max_depth: 0,
        max_features: 0.0,
        min_leaf: 1,
        bootstrap: true,
        classes: 2,
        class_weights: Vec::new(),
    }
}

fn of(forest: &Forest) -> Config {
    Config {
        algorithm: Algorithm::RandomForest(forest.clone()),
        metrics: Vec::new(),
        ..config(settings())
    }
}

fn assert_same_forest(orders: &[u64], data: &Arc<Matrix>, forest: &Forest) {
    let Some(gpus) = cards(orders) else {
        return;
    };
    let plan = plan(data, None, of(forest));
    let backend = backend_on_cards(&plan, forest, gpus).unwrap();
    let quiet = Quiet::default();
    let trained = drive(backend, vec![plan.variant(&quiet)])
        .pop()
        .unwrap()
        .unwrap();
    let expected = on_processor(data, None, of(forest));
    assert!(trained.model == *expected, "{orders:?} {forest:?}");
    assert!(trained.model.to_bytes() == expected.to_bytes());
    assert!(trained.spent.peak_device > 0);
}

#[test]
fn every_kind_of_column_gives_the_forest_of_the_processor() {
    for (number, column) in ALL.iter().enumerate() {
        let data = matrix(300, &[*column, Column::Random, *column], 2, number as u64);
        assert_same_forest(&[0], &data, &forest());
    }
}

#[test]
fn classes_values_weights_and_limits_give_the_forest_of_the_processor() {
    let classes = Forest {
        classes: 4,
        class_weights: vec![1.0, 0.3, 2.0, 5.0],
        min_leaf: 3,
        ..forest()
    };
    assert_same_forest(&[0], &matrix(700, &ALL, 4, 11), &classes);
    let values = Forest {
        classes: 0,
        max_features: 0.7,
        max_depth: 5,
        ..forest()
    };
    let weighted = Arc::new(Matrix::build(input(700, &ALL, 0, 12, true)).unwrap());
    assert_same_forest(&[0], &weighted, &values);
    let whole = Forest {
        bootstrap: false,
        max_features: 1.0,
        trees: 1,
        ..forest()
    };
    assert_same_forest(&[0], &matrix(700, &ALL, 2, 13), &whole);
}

#[test]
fn no_order_and_no_number_of_cards_changes_a_forest() {
    let data = matrix(600, &ALL, 3, 14);
    let forest = Forest {
        classes: 3,
        trees: 5,
        ..forest()
    };
    for orders in [&[7][..], &[21], &[0, 3], &[0, 0, 0]] {
        assert_same_forest(orders, &data, &forest);
    }
}

#[test]
fn a_card_with_little_memory_grows_fewer_trees_at_a_time() {
    let data = matrix(400, &ALL, 2, 15);
    let Some(small) = Emulator::new(0, 100_000) else {
        return;
    };
    let plan = plan(&data, None, of(&forest()));
    let backend = backend_on_cards(&plan, &forest(), vec![Box::new(small)]).unwrap();
    let quiet = Quiet::default();
    let trained = drive(backend, vec![plan.variant(&quiet)])
        .pop()
        .unwrap()
        .unwrap();
    assert!(trained.model.to_bytes() == on_processor(&data, None, of(&forest())).to_bytes());
    let tiny = Emulator::new(0, 10_000).unwrap();
    let refused = backend_on_cards(&plan, &forest(), vec![Box::new(tiny)]).err();
    assert!(
        matches!(refused, Some(TrainError::OutOfMemory { .. })),
        "{refused:?}"
    );
}

#[test]
fn ties_go_as_on_the_processor() {
    let forest = Forest {
        bootstrap: false,
        max_features: 1.0,
        max_depth: 1,
        ..forest()
    };
    assert_same_forest(&[0], &ties(), &forest);
}
