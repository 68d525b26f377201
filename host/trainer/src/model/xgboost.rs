//! XGBoost's JSON model. Three rules make it read alike by 2.1 and later: the right child follows the left one, `base_score` is a
//! scalar in the shortest form of its f32, and the split is `x < split_condition`.

use super::{Body, Model, Node, Tree};
use crate::config::Objective;
use serde_json::{Value, json};

/// XGBoost's parent of a root.
const NO_PARENT: i64 = 2_147_483_647;

impl Model {
    /// The model as XGBoost's JSON document, for every reader of that format.
    pub fn to_xgboost_json(&self) -> String {
        let count = self.features.len().to_string();
        let Body::Trees(ensemble) = &self.body;
        let trees: Vec<Value> = ensemble
            .trees
            .iter()
            .enumerate()
            .map(|(id, tree)| document(tree, id, &count))
            .collect();
        let (objective, parameter) = match ensemble.objective {
            Objective::BinaryLogistic => ("binary:logistic", "reg_loss_param"),
            _ => ("reg:squarederror", "reg_loss_param"),
        };
        let model = json!({
            "version": [2, 1, 4],
            "learner": {
                "attributes": {},
                "feature_names": self.features,
                "feature_types": vec!["float"; self.features.len()],
                "gradient_booster": {
                    "name": "gbtree",
                    "model": {
                        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": trees.len().to_string()},
                        "iteration_indptr": (0..=trees.len()).collect::<Vec<_>>(),
                        "tree_info": vec![0; trees.len()],
                        "trees": trees,
                    },
                },
                "learner_model_param": {
                    "base_score": format!("{:E}", ensemble.base_scores.first().copied().unwrap_or_default()),
                    "boost_from_average": "1",
                    "num_class": "0",
                    "num_feature": count,
                    "num_target": "1",
                },
                "objective": {"name": objective, parameter: {"scale_pos_weight": "1"}},
            },
        });
        model.to_string()
    }
}

fn document(tree: &Tree, id: usize, features: &str) -> Value {
    let of = |value: &dyn Fn(&Node) -> Value| tree.nodes.iter().map(value).collect::<Vec<Value>>();
    let is_leaf = |node: &Node| node.left == 0;
    let mut parents = vec![NO_PARENT; tree.nodes.len()];
    for (place, node) in tree
        .nodes
        .iter()
        .enumerate()
        .filter(|(_, node)| !is_leaf(node))
    {
        for child in [node.left as usize, node.left as usize + 1] {
            parents[child] = i64::try_from(place).unwrap_or(NO_PARENT);
        }
    }
    json!({
        "id": id,
        "base_weights": of(&|node| json!(node.value)),
        "categories": [], "categories_nodes": [], "categories_segments": [], "categories_sizes": [],
        "default_left": of(&|node| json!(i32::from(node.default_left))),
        "left_children": of(&|node| if is_leaf(node) { json!(-1) } else { json!(node.left) }),
        "right_children": of(&|node| if is_leaf(node) { json!(-1) } else { json!(node.left + 1) }),
        "loss_changes": of(&|node| json!(node.gain)),
        "parents": parents,
        "split_conditions": of(&|node| if is_leaf(node) { json!(node.value) } else { json!(node.threshold) }),
        "split_indices": of(&|node| json!(node.feature)),
        "split_type": vec![0; tree.nodes.len()],
        "sum_hessian": of(&|node| json!(node.cover)),
        "tree_param": {
            "num_deleted": "0", "num_feature": features, "num_nodes": tree.nodes.len().to_string(), "size_leaf_vector": "1",
        },
    })
}
