//! LightGBM's text model, version 4, as `GBDT::SaveModelToString` of LightGBM 4 writes it. Rows go left where `x <= threshold`, so a
//! threshold is the f64 just under our cut; a base score is a tree of one leaf before the others.

use super::{Format, unfit};
use crate::config::Objective;
use crate::error::TrainError;
use crate::model::{Body, Ensemble, Model, Node, Tree, base_margin};
use std::fmt::Display;

/// `decision_type`: a number is compared, and NaN alone is missing.
const NAN_IS_MISSING: u8 = 2 << 2;
/// `decision_type`: a missing value goes left.
const DEFAULT_LEFT: u8 = 1 << 1;

pub(super) fn write(model: &Model) -> Result<Vec<u8>, TrainError> {
    let Body::Trees(ensemble) = &model.body else {
        return Err(unfit(Format::LightgbmText, "onnx or safetensors"));
    };
    let mut trees = Vec::new();
    if !ensemble.average {
        for score in &ensemble.base_scores {
            let base = base_margin(ensemble.objective, *score);
            trees.push(leaf_only(trees.len(), base));
        }
    }
    for tree in &ensemble.trees {
        trees.push(text(trees.len(), tree));
    }
    let sizes = list(trees.iter().map(String::len));
    let mut file = vec![header(model, ensemble), format!("tree_sizes={sizes}\n\n")];
    file.append(&mut trees);
    file.push("end of trees\n\nfeature_importances:\n\nparameters:\nend of parameters\n\npandas_categorical:null\n".to_owned());
    Ok(file.concat().into_bytes())
}

fn header(model: &Model, ensemble: &Ensemble) -> String {
    let outputs = ensemble.outputs();
    let objective = match ensemble.objective {
        _ if ensemble.average => "regression".to_owned(),
        Objective::BinaryLogistic => "binary sigmoid:1".to_owned(),
        Objective::SquaredError => "regression".to_owned(),
        Objective::Softmax => format!("multiclass num_class:{outputs}"),
    };
    // LightGBM parts names by blanks.
    let names = model.features.iter().map(|name| {
        let part = |c: char| if c.is_whitespace() { '_' } else { c };
        name.chars().map(part).collect::<String>()
    });
    let last = model.features.len().saturating_sub(1);
    let ranges = list(model.features.iter().map(|_| "none"));
    let average = if ensemble.average {
        "average_output\n"
    } else {
        ""
    };
    format!(
        "tree\nversion=v4\nnum_class={outputs}\nnum_tree_per_iteration={outputs}\nlabel_index=0\nmax_feature_idx={last}\n\
         objective={objective}\n{average}feature_names={}\nfeature_infos={ranges}\n",
        list(names)
    )
}

fn leaf_only(number: usize, value: f64) -> String {
    format!(
        "Tree={number}\nnum_leaves=1\nnum_cat=0\nleaf_value={value:?}\nis_linear=0\nshrinkage=1\n\n\n"
    )
}

/// Splits and leaves are numbered apart, each in the order of the nodes; a leaf is named by the complement of its number.
fn text(number: usize, tree: &Tree) -> String {
    let (splits, leaves): (Vec<&Node>, Vec<&Node>) = tree.nodes.iter().partition(|n| n.left != 0);
    if splits.is_empty() {
        let value = leaves.first().map_or(0.0, |leaf| f64::from(leaf.value));
        return leaf_only(number, value);
    }
    let (mut split, mut leaf) = (0_i64, 0_i64);
    let mut names = Vec::with_capacity(tree.nodes.len());
    for node in &tree.nodes {
        let counter = if node.left == 0 {
            &mut leaf
        } else {
            &mut split
        };
        names.push(if node.left == 0 { !*counter } else { *counter });
        *counter += 1;
    }
    let child = |node: &Node, side: usize| names.get(node.left as usize + side).copied();
    let side = |side: usize| list(splits.iter().filter_map(|node| child(node, side)));
    let of = |nodes: &[&Node], value: fn(&Node) -> f64| {
        list(nodes.iter().map(|node| format!("{:?}", value(node))))
    };
    let decision = |node: &&Node| NAN_IS_MISSING | if node.default_left { DEFAULT_LEFT } else { 0 };
    let zeros = |count: usize| list(std::iter::repeat_n(0, count));
    format!(
        "Tree={number}\nnum_leaves={}\nnum_cat=0\nsplit_feature={}\nsplit_gain={}\nthreshold={}\ndecision_type={}\n\
         left_child={}\nright_child={}\nleaf_value={}\nleaf_weight={}\nleaf_count={}\ninternal_value={}\ninternal_weight={}\n\
         internal_count={}\nis_linear=0\nshrinkage=1\n\n\n",
        leaves.len(),
        list(splits.iter().map(|node| node.feature)),
        of(&splits, |node| f64::from(node.gain)),
        of(&splits, |node| f64::from(node.threshold).next_down()),
        list(splits.iter().map(decision)),
        side(0),
        side(1),
        of(&leaves, |node| f64::from(node.value)),
        of(&leaves, |node| f64::from(node.cover)),
        zeros(leaves.len()),
        of(&splits, |node| f64::from(node.value)),
        of(&splits, |node| f64::from(node.cover)),
        zeros(splits.len()),
    )
}

fn list(items: impl Iterator<Item = impl Display>) -> String {
    let texts: Vec<String> = items.map(|item| item.to_string()).collect();
    texts.join(" ")
}
