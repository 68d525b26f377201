//! Trees as one `TreeEnsembleClassifier` or `TreeEnsembleRegressor`. A forest's leaves are divided by the number of trees, so that
//! the sum is the mean.

use super::graph::{Graph, floats, int, integer, integers, string, strings};
use super::proto::{AttributeProto, FLOAT, INT64};
use crate::config::Objective;
use crate::model::{Ensemble, Node, Tree, base_margin};

/// The operator set of trees.
pub(super) const DOMAIN: &str = "ai.onnx.ml";

pub(super) fn add(graph: &mut Graph, ensemble: &Ensemble) {
    let outputs = ensemble.outputs();
    let share = if ensemble.average {
        ensemble.rounds().max(1)
    } else {
        1
    };
    let is_regression = ensemble.objective == Objective::SquaredError;
    let mut attributes = splits(&ensemble.trees);
    attributes.extend(leaves(&ensemble.trees, outputs, share, is_regression));
    attributes.push(floats("base_values", bases(ensemble)));
    let transform = match ensemble.objective {
        Objective::BinaryLogistic if !ensemble.average => "LOGISTIC",
        Objective::Softmax if !ensemble.average => "SOFTMAX",
        _ => "NONE",
    };
    attributes.push(string("post_transform", transform));
    if is_regression {
        attributes.push(integer("n_targets", int(outputs)));
        attributes.push(string("aggregate_function", "SUM"));
        graph.node_of(
            DOMAIN,
            "TreeEnsembleRegressor",
            &["features"],
            &["variable"],
            attributes,
        );
        graph.output("variable", FLOAT, Some(outputs));
        return;
    }
    let classes = outputs.max(2);
    attributes.push(integers(
        "classlabels_int64s",
        (0..classes).map(int).collect(),
    ));
    let names = ["label", "probabilities"];
    graph.node_of(
        DOMAIN,
        "TreeEnsembleClassifier",
        &["features"],
        &names,
        attributes,
    );
    graph.output("label", INT64, None);
    graph.output("probabilities", FLOAT, Some(classes));
}

#[expect(clippy::cast_possible_truncation, reason = "ONNX sums in f32")]
fn bases(ensemble: &Ensemble) -> Vec<f32> {
    let base = |score: &f32| {
        if ensemble.average {
            *score
        } else {
            base_margin(ensemble.objective, *score) as f32
        }
    };
    ensemble.base_scores.iter().map(base).collect()
}

/// Every node, with the number of its tree and its place in it.
fn nodes(trees: &[Tree]) -> impl Iterator<Item = (usize, usize, &Node)> {
    let numbered = |(tree, nodes): (usize, &'_ Tree)| (tree, nodes.nodes.len());
    let places = trees.iter().enumerate().map(numbered);
    let places = places.flat_map(|(tree, count)| (0..count).map(move |place| (tree, place)));
    let nodes = trees.iter().flat_map(|tree| &tree.nodes);
    places
        .zip(nodes)
        .map(|((tree, place), node)| (tree, place, node))
}

fn splits(trees: &[Tree]) -> Vec<AttributeProto> {
    let ids = |of: fn(usize, usize, &Node) -> usize| {
        nodes(trees)
            .map(|(tree, place, node)| int(of(tree, place, node)))
            .collect()
    };
    let is_leaf = |node: &Node| node.left == 0;
    let modes: Vec<&str> = nodes(trees)
        .map(|(_, _, node)| if is_leaf(node) { "LEAF" } else { "BRANCH_LT" })
        .collect();
    let cut = |node: &Node| if is_leaf(node) { 0.0 } else { node.threshold };
    vec![
        integers("nodes_treeids", ids(|tree, _, _| tree)),
        integers("nodes_nodeids", ids(|_, place, _| place)),
        integers("nodes_featureids", ids(|_, _, node| node.feature as usize)),
        strings("nodes_modes", &modes),
        floats(
            "nodes_values",
            nodes(trees).map(|(_, _, node)| cut(node)).collect(),
        ),
        integers("nodes_truenodeids", ids(|_, _, node| node.left as usize)),
        integers(
            "nodes_falsenodeids",
            ids(|_, _, node| node.left as usize + usize::from(node.left != 0)),
        ),
        integers(
            "nodes_missing_value_tracks_true",
            ids(|_, _, node| usize::from(node.default_left && node.left != 0)),
        ),
    ]
}

/// Leaves by the names that a classifier and a regression have for them.
#[expect(clippy::cast_possible_truncation, reason = "ONNX sums in f32")]
fn leaves(
    trees: &[Tree],
    outputs: usize,
    share: usize,
    is_regression: bool,
) -> Vec<AttributeProto> {
    let prefix = if is_regression { "target" } else { "class" };
    let leaves = || nodes(trees).filter(|(_, _, node)| node.left == 0);
    let ids = |of: &dyn Fn(usize, usize) -> usize| {
        leaves()
            .map(|(tree, place, _)| int(of(tree, place)))
            .collect()
    };
    let value = |node: &Node| (f64::from(node.value) / share as f64) as f32;
    vec![
        integers(&format!("{prefix}_treeids"), ids(&|tree, _| tree)),
        integers(&format!("{prefix}_nodeids"), ids(&|_, place| place)),
        integers(&format!("{prefix}_ids"), ids(&|tree, _| tree % outputs)),
        floats(
            &format!("{prefix}_weights"),
            leaves().map(|(_, _, node)| value(node)).collect(),
        ),
    ]
}
