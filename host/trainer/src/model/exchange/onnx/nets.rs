//! Logistic regression and the multi-layer perceptron as `Gemm`, `Relu` and what stands before and after them. ONNX computes in
//! f32 where a logistic regression is f64 here, so scores agree to about 1e-6 and not to the bit.

use super::graph::{Graph, float, integer};
use super::proto::{FLOAT, INT64};
use crate::config::Objective;
use crate::nets::{Linear, Mlp, REACH, Scaler, layers};

#[expect(clippy::cast_possible_truncation, reason = "ONNX computes in f32")]
fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|x| *x as f32).collect()
}

/// Missing values to the mean, then to standard deviations from it; yields the name of the result.
fn standardise(graph: &mut Graph, scaler: &Scaler) -> &'static str {
    let features = scaler.mean.len();
    graph.constant("mean", &[features], narrow(&scaler.mean));
    graph.constant("scale", &[features], narrow(&scaler.scale));
    graph.node("IsNaN", &["features"], "missing", vec![]);
    graph.node("Where", &["missing", "mean", "features"], "present", vec![]);
    graph.node("Sub", &["present", "mean"], "centred", vec![]);
    graph.node("Div", &["centred", "scale"], "standard", vec![]);
    "standard"
}

/// Labels and probabilities from the probability of class 1.
fn binary(graph: &mut Graph, probability: &str) {
    graph.constant("one", &[1], vec![1.0]);
    graph.node("Sub", &["one", probability], "other", vec![]);
    graph.node(
        "Concat",
        &["other", probability],
        "probabilities",
        vec![integer("axis", 1)],
    );
    classes(graph, 2);
}

/// The label is the class with the highest probability; of equals the first.
fn classes(graph: &mut Graph, count: usize) {
    let attributes = vec![integer("axis", 1), integer("keepdims", 0)];
    graph.node("ArgMax", &["probabilities"], "label", attributes);
    graph.output("label", INT64, None);
    graph.output("probabilities", FLOAT, Some(count));
}

#[expect(clippy::cast_possible_truncation, reason = "ONNX computes in f32")]
pub(super) fn add_linear(graph: &mut Graph, model: &Linear) {
    let input = standardise(graph, &model.scaler);
    graph.constant(
        "coefficients",
        &[model.coefficients.len(), 1],
        narrow(&model.coefficients),
    );
    graph.constant("intercept", &[1], vec![model.intercept as f32]);
    graph.node(
        "Gemm",
        &[input, "coefficients", "intercept"],
        "margin",
        vec![],
    );
    graph.node("Sigmoid", &["margin"], "probability", vec![]);
    binary(graph, "probability");
}

#[expect(clippy::cast_possible_truncation, reason = "ONNX computes in f32")]
pub(super) fn add_mlp(graph: &mut Graph, model: &Mlp) {
    let standard = standardise(graph, &model.scaler);
    graph.constant("lowest", &[], vec![-REACH]);
    graph.constant("highest", &[], vec![REACH]);
    graph.node("Clip", &[standard, "lowest", "highest"], "input", vec![]);
    let layers = layers(&model.widths);
    let mut value = "input".to_owned();
    for (place, layer) in layers.iter().enumerate() {
        let (weights, bias) = (format!("weights_{place}"), format!("bias_{place}"));
        let (made, shut) = (format!("layer_{place}"), format!("relu_{place}"));
        graph.constant(
            &weights,
            &[layer.inputs, layer.outputs],
            model.parameters[layer.weights()].to_vec(),
        );
        graph.constant(
            &bias,
            &[layer.outputs],
            model.parameters[layer.bias()].to_vec(),
        );
        graph.node(
            "Gemm",
            &[&value, &weights, &bias],
            &made,
            vec![float("alpha", 1.0)],
        );
        value = made;
        if place + 1 < layers.len() {
            graph.node("Relu", &[&value], &shut, vec![]);
            value = shut;
        }
    }
    match model.objective {
        Objective::BinaryLogistic => {
            graph.node("Sigmoid", &[&value], "probability", vec![]);
            binary(graph, "probability");
        }
        Objective::Softmax => {
            graph.node(
                "Softmax",
                &[&value],
                "probabilities",
                vec![integer("axis", 1)],
            );
            classes(graph, model.outputs());
        }
        Objective::SquaredError => {
            graph.constant("unit", &[1], vec![model.target.1 as f32]);
            graph.constant("offset", &[1], vec![model.target.0 as f32]);
            graph.node("Mul", &[&value, "unit"], "scaled", vec![]);
            graph.node("Add", &["scaled", "offset"], "variable", vec![]);
            graph.output("variable", FLOAT, Some(model.outputs()));
        }
    }
}
