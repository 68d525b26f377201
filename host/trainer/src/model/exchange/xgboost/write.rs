//! From our trees to XGBoost's document.

use super::document::{
    Booster, Document, Learner, LearnerParam, Loss, Nothing, RegressionParam, SoftmaxParam,
    TreeDocument, TreeParam, Trees, TreesParam,
};
use crate::config::Objective;
use crate::error::TrainError;
use crate::model::exchange::{Format, unfit};
use crate::model::{Body, Ensemble, Model, Node, Tree};

/// XGBoost's parent of a root.
const NO_PARENT: i32 = i32::MAX;

/// How `base_score` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::model::exchange) enum Base {
    /// One number. Where outputs begin apart, each begins with a tree of one leaf instead.
    Scalar,
    /// A list in brackets, one number an output.
    Vector,
}

pub(in crate::model::exchange) fn write(model: &Model, base: Base) -> Result<Vec<u8>, TrainError> {
    let Body::Trees(ensemble) = &model.body else {
        return Err(unfit(Format::XgboostJson, "onnx or safetensors"));
    };
    let (base_score, first) = base_score(ensemble, base);
    let share = if ensemble.average {
        ensemble.rounds().max(1)
    } else {
        1
    };
    let features = model.features.len().to_string();
    let mut trees: Vec<TreeDocument> = first
        .iter()
        .map(|leaf| document(leaf, 1, &features))
        .collect();
    trees.extend(
        ensemble
            .trees
            .iter()
            .map(|tree| document(tree, share, &features)),
    );
    for (id, tree) in trees.iter_mut().enumerate() {
        tree.id = id;
    }
    let outputs = ensemble.outputs();
    let is_softmax = ensemble.objective == Objective::Softmax && !ensemble.average;
    let (num_class, num_target) = if is_softmax {
        (outputs, 1)
    } else {
        (0, outputs)
    };
    let document = Document {
        version: if base == Base::Vector {
            [3, 1, 0]
        } else {
            [2, 1, 4]
        },
        learner: Learner {
            attributes: Nothing {},
            feature_names: model.features.clone(),
            feature_types: vec!["float".to_owned(); model.features.len()],
            gradient_booster: Booster {
                name: "gbtree".to_owned(),
                model: Some(grove(trees, outputs)),
            },
            learner_model_param: LearnerParam {
                base_score,
                boost_from_average: "1".to_owned(),
                num_class: num_class.to_string(),
                num_feature: features,
                num_target: num_target.to_string(),
            },
            objective: loss(ensemble),
        },
    };
    serde_json::to_vec(&document).map_err(|error| {
        TrainError::Invalid(format!("the model cannot be written as JSON: {error}"))
    })
}

fn grove(trees: Vec<TreeDocument>, outputs: usize) -> Trees {
    let of = |place: usize| u32::try_from(place % outputs).unwrap_or(0);
    Trees {
        gbtree_model_param: TreesParam {
            num_parallel_tree: "1".to_owned(),
            num_trees: trees.len().to_string(),
        },
        iteration_indptr: (0..=trees.len()).step_by(outputs).collect(),
        tree_info: (0..trees.len()).map(of).collect(),
        trees,
    }
}

/// What stands in `base_score`, and the trees that stand for it where it cannot say it.
fn base_score(ensemble: &Ensemble, base: Base) -> (String, Vec<Tree>) {
    let scores = if ensemble.average {
        vec![0.0; ensemble.outputs()]
    } else {
        ensemble.base_scores.clone()
    };
    if base == Base::Vector {
        let texts: Vec<String> = scores.iter().map(|score| format!("{score:E}")).collect();
        return (format!("[{}]", texts.join(",")), Vec::new());
    }
    match scores.as_slice() {
        [one, others @ ..] if others.iter().all(|other| other == one) => {
            (format!("{one:E}"), Vec::new())
        }
        _ => (
            format!("{:E}", 0.0),
            scores.iter().map(|score| leaf(*score)).collect(),
        ),
    }
}

fn leaf(value: f32) -> Tree {
    Tree {
        nodes: vec![Node {
            feature: 0,
            threshold: 0.0,
            default_left: false,
            left: 0,
            value,
            gain: 0.0,
            cover: 0.0,
        }],
    }
}

/// A forest is a regression on its mean: its leaves are divided by the number of trees, and no link follows.
fn loss(ensemble: &Ensemble) -> Loss {
    let (name, is_softmax) = match ensemble.objective {
        _ if ensemble.average => ("reg:squarederror", false),
        Objective::BinaryLogistic => ("binary:logistic", false),
        Objective::SquaredError => ("reg:squarederror", false),
        Objective::Softmax => ("multi:softprob", true),
    };
    Loss {
        name: name.to_owned(),
        reg_loss_param: (!is_softmax).then(|| RegressionParam {
            scale_pos_weight: "1".to_owned(),
        }),
        softmax_multiclass_param: is_softmax.then(|| SoftmaxParam {
            num_class: ensemble.outputs().to_string(),
        }),
    }
}

/// A tree whose leaves are divided by `share`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "leaves are f32 in the file"
)]
fn document(tree: &Tree, share: usize, features: &str) -> TreeDocument {
    let nodes = &tree.nodes;
    let is_leaf = |node: &Node| node.left == 0;
    let child = |node: &Node, side: u32| match i32::try_from(node.left + side) {
        Ok(place) if !is_leaf(node) => place,
        _ => -1,
    };
    let value = |node: &Node| (f64::from(node.value) / share as f64) as f32;
    let mut parents = vec![NO_PARENT; nodes.len()];
    for (place, node) in nodes.iter().enumerate().filter(|(_, node)| !is_leaf(node)) {
        for child in [node.left as usize, node.left as usize + 1] {
            if let Some(parent) = parents.get_mut(child) {
                *parent = i32::try_from(place).unwrap_or(NO_PARENT);
            }
        }
    }
    let numbers = |of: &dyn Fn(&Node) -> f32| nodes.iter().map(of).collect();
    TreeDocument {
        id: 0,
        base_weights: numbers(&value),
        categories: Vec::new(),
        categories_nodes: Vec::new(),
        categories_segments: Vec::new(),
        categories_sizes: Vec::new(),
        default_left: nodes
            .iter()
            .map(|node| u8::from(node.default_left))
            .collect(),
        left_children: nodes.iter().map(|node| child(node, 0)).collect(),
        right_children: nodes.iter().map(|node| child(node, 1)).collect(),
        loss_changes: numbers(&|node| node.gain),
        parents,
        split_conditions: numbers(&|node| {
            if is_leaf(node) {
                value(node)
            } else {
                node.threshold
            }
        }),
        split_indices: nodes.iter().map(|node| node.feature).collect(),
        split_type: vec![0; nodes.len()],
        sum_hessian: numbers(&|node| node.cover),
        tree_param: TreeParam {
            num_deleted: "0".to_owned(),
            num_feature: features.to_owned(),
            num_nodes: nodes.len().to_string(),
            size_leaf_vector: "1".to_owned(),
        },
    }
}
