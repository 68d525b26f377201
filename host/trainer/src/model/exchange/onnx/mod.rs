//! Models as ONNX, for every runtime that reads it. Input `features`, one row a row; a classifier says `label` and `probabilities`,
//! as scikit-learn's converters have it, a regression says `variable`.

mod graph;
mod nets;
mod proto;
mod trees;

use crate::model::{Body, Model};
use graph::Graph;
use prost::Message;
use proto::{ModelProto, OperatorSetIdProto, StringStringEntryProto};

/// ONNX's own version of the file, and those of its two operator sets. Four years old on purpose: every runtime in use reads them.
const IR_VERSION: i64 = 8;
const OPERATORS: i64 = 17;
const TREE_OPERATORS: i64 = 3;

pub(super) fn write(model: &Model) -> Vec<u8> {
    let mut graph = Graph::default();
    graph.0.name = Some("airlock".to_owned());
    graph.input("features", model.features.len());
    match &model.body {
        Body::Trees(ensemble) => trees::add(&mut graph, ensemble),
        Body::Linear(linear) => nets::add_linear(&mut graph, linear),
        Body::Mlp(mlp) => nets::add_mlp(&mut graph, mlp),
    }
    let set = |domain: &str, version| OperatorSetIdProto {
        domain: Some(domain.to_owned()),
        version: Some(version),
    };
    let file = ModelProto {
        ir_version: Some(IR_VERSION),
        producer_name: Some("airlock".to_owned()),
        producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        graph: Some(graph.0),
        opset_import: vec![set("", OPERATORS), set(trees::DOMAIN, TREE_OPERATORS)],
        metadata_props: vec![StringStringEntryProto {
            key: Some("feature_names".to_owned()),
            value: Some(serde_json::json!(model.features).to_string()),
        }],
    };
    file.encode_to_vec()
}
