//! Models as files of other programs: what goes out and comes in again scores the same, and a damaged or hostile file is an error and
//! never a panic. Whether the other programs agree is asked of themselves, in tests/python.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use airlock_trainer::{
    Algorithm, Config, Format, Gbdt, Linear, Matrix, MatrixInput, Mlp, Model, Objective,
    TrainError, start,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

fn draw(state: &mut u64) -> f32 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    f32::from(u16::try_from(*state >> 48).unwrap()) / 65_536.0
}

/// Three columns, one with missing values; labels 0 to `classes - 1`.
fn data(rows: usize, classes: u8) -> Arc<Matrix> {
    let mut state = 7;
    let mut columns: Vec<(String, Vec<f32>)> = ["age", "amount paid", "größe"]
        .map(|name| (name.to_owned(), Vec::new()))
        .into();
    let mut label = Vec::new();
    for _ in 0..rows {
        let x = [draw(&mut state), draw(&mut state), draw(&mut state)];
        let share = 0.7 * x[0] + 0.3 * x[1];
        label.push(
            (share * f32::from(classes))
                .floor()
                .min(f32::from(classes - 1)),
        );
        for ((_, values), x) in columns.iter_mut().zip(x) {
            values.push(x);
        }
        if draw(&mut state) < 0.1 {
            *columns[1].1.last_mut().unwrap() = f32::NAN;
        }
    }
    let input = MatrixInput {
        columns,
        label: Some(label),
        weight: None,
        max_bins: 40,
    };
    Arc::new(Matrix::build(input).unwrap())
}

fn train(data: &Arc<Matrix>, algorithm: Algorithm) -> Arc<Model> {
    let run = start(data.clone(), None, Config::of(algorithm), 1).unwrap();
    run.wait().unwrap();
    run.model().unwrap()
}

fn boosted(objective: Objective) -> (Arc<Matrix>, Arc<Model>) {
    let is_softmax = objective == Objective::Softmax;
    let data = data(400, if is_softmax { 3 } else { 2 });
    let settings = Gbdt {
        objective,
        classes: if is_softmax { 3 } else { 0 },
        rounds: 8,
        max_depth: 4,
        ..Gbdt::default()
    };
    let model = train(&data, Algorithm::Gbdt(settings));
    (data, model)
}

fn nets() -> Vec<(Arc<Matrix>, Arc<Model>)> {
    let mlp = |objective, classes| {
        Algorithm::Mlp(Mlp {
            objective,
            classes,
            hidden: vec![5, 4],
            epochs: 2,
            ..Mlp::default()
        })
    };
    let (two, three) = (data(300, 2), data(300, 3));
    [
        (&two, Algorithm::Logistic(Linear::default())),
        (&two, mlp(Objective::BinaryLogistic, 0)),
        (&three, mlp(Objective::Softmax, 3)),
        (&three, mlp(Objective::SquaredError, 0)),
    ]
    .into_iter()
    .map(|(data, algorithm)| (data.clone(), train(data, algorithm)))
    .collect()
}

fn again(model: &Model, format: Format) -> Model {
    Model::import(format, &model.export(format).unwrap()).unwrap()
}

#[test]
fn trees_come_back_from_xgboost_json_and_score_the_same_bits() {
    for objective in [
        Objective::BinaryLogistic,
        Objective::SquaredError,
        Objective::Softmax,
    ] {
        let (data, model) = boosted(objective);
        for format in [
            Format::XgboostJson,
            Format::XgboostJsonVector,
            Format::Airlock,
        ] {
            let read = again(&model, format);
            assert_eq!(read.feature_names(), model.feature_names());
            assert_eq!(
                read.importance(),
                model.importance(),
                "{objective:?} {format:?}"
            );
            assert_eq!(
                read.score(&data).unwrap(),
                model.score(&data).unwrap(),
                "{objective:?} {format:?}"
            );
        }
    }
}

#[test]
fn nets_come_back_from_safetensors_and_score_the_same_bits() {
    for (data, model) in nets() {
        for format in [Format::Safetensors, Format::Airlock] {
            let read = again(&model, format);
            assert_eq!(read.rounds(), model.rounds());
            assert_eq!(read.score(&data).unwrap(), model.score(&data).unwrap());
        }
        assert_eq!(
            model.export(Format::Safetensors).unwrap(),
            model.export(Format::Safetensors).unwrap()
        );
    }
}

#[test]
fn a_format_without_words_for_a_model_names_those_that_have() {
    let (_, trees) = boosted(Objective::BinaryLogistic);
    let (_, net) = nets().remove(0);
    let refused = |model: &Model, format: Format| model.export(format).unwrap_err().to_string();
    assert!(refused(&trees, Format::Safetensors).contains("xgboost-json"));
    for format in [
        Format::XgboostJson,
        Format::XgboostJsonVector,
        Format::LightgbmText,
    ] {
        assert!(refused(&net, format).contains("safetensors"));
    }
    for format in [Format::Onnx, Format::LightgbmText] {
        let error = Model::import(format, b"").unwrap_err();
        assert!(
            matches!(&error, TrainError::Invalid(text) if text.contains("xgboost-json")),
            "{error}"
        );
    }
}

type Change = fn(&mut Value);

/// The exported document with `change` applied.
fn changed(change: impl Fn(&mut Value)) -> Result<Model, TrainError> {
    let (_, model) = boosted(Objective::BinaryLogistic);
    let bytes = model.export(Format::XgboostJson).unwrap();
    let mut document: Value = serde_json::from_slice(&bytes).unwrap();
    change(&mut document);
    Model::import(Format::XgboostJson, &serde_json::to_vec(&document).unwrap())
}

fn tree(document: &mut Value) -> &mut Value {
    &mut document["learner"]["gradient_booster"]["model"]["trees"][0]
}

#[test]
fn other_numberings_of_nodes_and_other_words_for_flags_are_read() {
    let (data, model) = boosted(Objective::BinaryLogistic);
    let read = changed(|document| {
        for tree in document["learner"]["gradient_booster"]["model"]["trees"]
            .as_array_mut()
            .unwrap()
        {
            reverse(tree);
        }
        document["learner"]["feature_names"] = json!(["age", "amount paid", "größe"]);
        let score = &mut document["learner"]["learner_model_param"]["base_score"];
        *score = json!(format!("[{}]", score.as_str().unwrap()));
    });
    assert_eq!(
        read.unwrap().score(&data).unwrap(),
        model.score(&data).unwrap()
    );
}

/// Numbers all nodes but the root from the end, and writes flags as truths.
fn reverse(tree: &mut Value) {
    let count = tree["left_children"].as_array().unwrap().len();
    let other = |place: usize| if place == 0 { 0 } else { count - place };
    for name in [
        "left_children",
        "right_children",
        "split_conditions",
        "split_indices",
        "default_left",
        "loss_changes",
        "sum_hessian",
    ] {
        let old = tree[name].as_array().unwrap().clone();
        let mut new = old.clone();
        for (place, value) in old.into_iter().enumerate() {
            new[other(place)] = value;
        }
        if name.ends_with("children") {
            for child in &mut new {
                if let Some(place) = child.as_u64() {
                    *child = json!(other(usize::try_from(place).unwrap()));
                }
            }
        }
        if name == "default_left" {
            for flag in &mut new {
                *flag = json!(flag.as_u64() == Some(1));
            }
        }
        tree[name] = json!(new);
    }
}

#[test]
#[expect(
    clippy::semicolon_if_nothing_returned,
    reason = "a list of changes, one a line"
)]
fn hostile_xgboost_documents_are_refused_with_a_reason() {
    let cases: Vec<(&str, Change)> = vec![
        ("two parents", |d| tree(d)["left_children"][1] = json!(0)),
        ("two parents", |d| {
            tree(d)["right_children"][0] = tree(d)["left_children"][0].clone()
        }),
        ("no node", |d| {
            tree(d)["left_children"][0] = json!(1_000_000)
        }),
        ("columns of lengths", |d| {
            tree(d)["split_conditions"] = json!([1.0])
        }),
        ("nodes", |d| tree(d)["left_children"] = json!([])),
        ("splits feature", |d| tree(d)["split_indices"][0] = json!(3)),
        ("categorical", |d| tree(d)["categories"] = json!([1])),
        ("vectors", |d| {
            tree(d)["tree_param"]["size_leaf_vector"] = json!("3")
        }),
        ("XGBoost", |d| tree(d)["left_children"][0] = json!(1.5)),
        ("XGBoost", |d| tree(d)["default_left"][0] = json!("yes")),
        ("categorical", |d| {
            d["learner"]["feature_types"] = json!(["c", "float", "float"])
        }),
        ("dart", |d| {
            d["learner"]["gradient_booster"]["name"] = json!("dart")
        }),
        ("rank:pairwise", |d| {
            d["learner"]["objective"]["name"] = json!("rank:pairwise")
        }),
        ("base_score", |d| {
            d["learner"]["learner_model_param"]["base_score"] = json!("NaN")
        }),
        ("base_score", |d| {
            d["learner"]["learner_model_param"]["base_score"] = json!("2E0")
        }),
        ("base_score", |d| {
            d["learner"]["learner_model_param"]["base_score"] = json!("[1E-1,2E-1]")
        }),
        ("features", |d| {
            d["learner"]["learner_model_param"]["num_feature"] = json!("0")
        }),
        ("features", |d| {
            d["learner"]["learner_model_param"]["num_feature"] = json!("4000000000")
        }),
        ("num_feature", |d| {
            d["learner"]["learner_model_param"]["num_feature"] = json!("-1")
        }),
        ("outputs", |d| {
            d["learner"]["learner_model_param"]["num_target"] = json!("2")
        }),
        ("output 9", |d| {
            d["learner"]["gradient_booster"]["model"]["tree_info"][0] = json!(9)
        }),
        ("tree_info", |d| {
            d["learner"]["gradient_booster"]["model"]["tree_info"] = json!([])
        }),
        ("twice", |d| {
            d["learner"]["feature_names"] = json!(["a", "a", "b"])
        }),
    ];
    for (word, change) in cases {
        let error = changed(change).unwrap_err().to_string();
        assert!(error.contains(word), "{word}: {error}");
    }
    let deep = "[".repeat(1_000_000);
    assert!(Model::import(Format::XgboostJson, deep.as_bytes()).is_err());
}

#[test]
#[expect(
    clippy::semicolon_if_nothing_returned,
    reason = "a list of changes, one a line"
)]
fn hostile_safetensors_are_refused_with_a_reason() {
    let (_, net) = nets().remove(1);
    let bytes = net.export(Format::Safetensors).unwrap();
    let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut header = header.clone();
        change(&mut header);
        let header = serde_json::to_vec(&header).unwrap();
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header);
        file.extend(&bytes[8 + length..]);
        Model::import(Format::Safetensors, &file)
            .unwrap_err()
            .to_string()
    };
    let cases: Vec<(&str, Change)> = vec![
        ("overlap", |h| {
            h["layers.0.bias"]["data_offsets"] = h["layers.0.weight"]["data_offsets"].clone()
        }),
        ("layers.0.bias", |h| {
            h["layers.0.bias"]["dtype"] = json!("F64")
        }),
        ("layers.0.weight", |h| {
            h["layers.0.weight"]["shape"] = json!([u64::MAX, u64::MAX])
        }),
        ("layers.0.weight", |h| {
            h["layers.0.weight"]["shape"] = json!([3, 5])
        }),
        ("metadata", |h| h["__metadata__"] = json!({})),
        ("safetensors", |h| {
            h["__metadata__"] = json!({"airlock": "{}"})
        }),
    ];
    for (word, change) in cases {
        let error = refused(&change);
        assert!(error.contains(word), "{word}: {error}");
    }
    for head in [u64::MAX, 1 << 40, bytes.len() as u64] {
        let mut file = bytes.clone();
        file[..8].copy_from_slice(&head.to_le_bytes());
        assert!(Model::import(Format::Safetensors, &file).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn damage_is_never_a_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..4), cut in any::<prop::sample::Index>(), kind in 0_usize..3) {
        let (data, model, format) = match kind {
            0 => { let (data, model) = boosted(Objective::Softmax); (data, model, Format::XgboostJson) }
            1 => { let (data, model) = boosted(Objective::BinaryLogistic); (data, model, Format::Airlock) }
            _ => { let (data, model) = nets().remove(1); (data, model, Format::Safetensors) }
        };
        let bytes = model.export(format).unwrap();
        prop_assert!(Model::import(format, &bytes[..cut.index(bytes.len())]).is_err());
        let mut damaged = bytes.clone();
        for (place, by) in flips {
            damaged[place.index(bytes.len())] ^= by;
        }
        if let Ok(read) = Model::import(format, &damaged) && read.feature_names() == model.feature_names() {
            prop_assert_eq!(read.score(&data).unwrap().len(), data.rows() * read.outputs());
        }
    }

    #[test]
    fn random_bytes_are_no_model(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for format in [Format::Airlock, Format::XgboostJson, Format::Safetensors] {
            prop_assert!(Model::import(format, &bytes).is_err());
        }
    }
}
