//! From XGBoost's document to our trees: any numbering of nodes becomes ours, and what is no tree is refused.

use super::document::{Document, LearnerParam, TreeDocument, Trees};
use crate::config::{MAX_CLASSES, MAX_ROUNDS, Objective};
use crate::data::MAX_FEATURES;
use crate::error::TrainError;
use crate::model::{Body, Ensemble, Model, NODES_MAX, Node, Tree};
use std::collections::VecDeque;

pub(in crate::model::exchange) fn read(bytes: &[u8]) -> Result<Model, TrainError> {
    let document: Document =
        serde_json::from_slice(bytes).map_err(|error| broken(&error.to_string()))?;
    let learner = document.learner;
    let objective = objective(&learner.objective.name)?;
    if learner.feature_types.iter().any(|kind| kind == "c") {
        return Err(unknown("it has categorical features"));
    }
    let features = names(learner.feature_names, &learner.learner_model_param)?;
    let outputs = outputs(objective, &learner.learner_model_param)?;
    let booster = learner.gradient_booster;
    let grove = booster
        .model
        .filter(|_| booster.name == "gbtree")
        .ok_or_else(|| unknown(&format!("its booster is {}, not gbtree", booster.name)))?;
    let base_scores = base_scores(&learner.learner_model_param.base_score, objective, outputs)?;
    let trees = trees(&grove, outputs, features.len())?;
    Ok(Model {
        features,
        origin: None,
        body: Body::Trees(Ensemble {
            objective,
            base_scores,
            average: false,
            trees,
        }),
    })
}

fn broken(why: &str) -> TrainError {
    TrainError::Data(format!("this is no XGBoost JSON model: {why}"))
}

fn unknown(why: &str) -> TrainError {
    TrainError::Invalid(format!(
        "this XGBoost model cannot be read here: {why}; trees over numbers with binary:logistic, reg:squarederror or multi:softprob can"
    ))
}

fn objective(name: &str) -> Result<Objective, TrainError> {
    match name {
        "binary:logistic" => Ok(Objective::BinaryLogistic),
        "reg:squarederror" | "reg:linear" => Ok(Objective::SquaredError),
        "multi:softprob" | "multi:softmax" => Ok(Objective::Softmax),
        other => Err(unknown(&format!("its objective is {other}"))),
    }
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, TrainError> {
    let wrong = || broken(&format!("{name} is {text:?}, which is no number that fits"));
    text.trim().parse().map_err(|_| wrong())
}

/// The names in the file, or `f0`, `f1` and so on where it has none.
fn names(names: Vec<String>, param: &LearnerParam) -> Result<Vec<String>, TrainError> {
    let count: usize = number("num_feature", &param.num_feature)?;
    if count == 0 || count > MAX_FEATURES {
        return Err(broken(&format!(
            "it has {count} features; 1 to {MAX_FEATURES} can be read"
        )));
    }
    if names.is_empty() {
        return Ok((0..count).map(|feature| format!("f{feature}")).collect());
    }
    if names.len() != count {
        return Err(broken(&format!(
            "it names {} features and has {count}",
            names.len()
        )));
    }
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort_unstable();
    match sorted.array_windows().find(|[one, other]| one == other) {
        Some([name, _]) => Err(broken(&format!("feature {name} is there twice"))),
        None => Ok(names),
    }
}

fn outputs(objective: Objective, param: &LearnerParam) -> Result<usize, TrainError> {
    let classes: u32 = number("num_class", &param.num_class)?;
    let targets: u32 = number("num_target", &param.num_target)?;
    let count = match objective {
        Objective::Softmax => classes,
        _ => targets.max(1),
    };
    let known = if objective == Objective::Softmax {
        2..=MAX_CLASSES
    } else {
        1..=1
    };
    if !known.contains(&count) {
        return Err(unknown(&format!("it has {count} outputs")));
    }
    Ok(count as usize)
}

/// One number for all outputs, or a list of one number each.
fn base_scores(text: &str, objective: Objective, outputs: usize) -> Result<Vec<f32>, TrainError> {
    let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
    let parts: Vec<&str> = inner.split(',').take(outputs + 1).collect();
    let scores: Vec<f32> = parts
        .iter()
        .map(|part| number("base_score", part))
        .collect::<Result<_, _>>()?;
    let scores = match scores.as_slice() {
        [one] => vec![*one; outputs],
        _ if scores.len() == outputs => scores,
        _ => {
            return Err(broken(
                "base_score has more or fewer numbers than the model outputs",
            ));
        }
    };
    let fits = |score: &f32| match objective {
        Objective::BinaryLogistic => *score > 0.0 && *score < 1.0,
        _ => score.is_finite(),
    };
    if scores.iter().all(fits) {
        Ok(scores)
    } else {
        Err(broken(&format!("base_score {text} is out of range")))
    }
}

/// Trees in our order: one for each output, then the next of each. Every output must have as many.
fn trees(grove: &Trees, outputs: usize, features: usize) -> Result<Vec<Tree>, TrainError> {
    let count = grove.trees.len();
    if grove.tree_info.len() != count || count / outputs > MAX_ROUNDS as usize {
        return Err(broken(
            "it has too many trees, or tree_info is of another length",
        ));
    }
    let mut by_output: Vec<VecDeque<Tree>> = vec![VecDeque::new(); outputs];
    for (place, (tree, output)) in grove.trees.iter().zip(&grove.tree_info).enumerate() {
        let own = by_output.get_mut(*output as usize).ok_or_else(|| {
            broken(&format!(
                "tree {place} belongs to output {output}, which is not there"
            ))
        })?;
        let tree =
            renumbered(tree, features).map_err(|why| broken(&format!("tree {place}: {why}")))?;
        own.push_back(tree);
    }
    if by_output.iter().any(|own| own.len() * outputs != count) {
        return Err(unknown("its outputs have different numbers of trees"));
    }
    let mut trees = Vec::with_capacity(count);
    for _ in 0..count / outputs {
        trees.extend(by_output.iter_mut().filter_map(VecDeque::pop_front));
    }
    Ok(trees)
}

/// The nodes that can be reached, level by level, so that the right child follows the left one. A node that is reached twice is an
/// error, which also ends every loop.
fn renumbered(tree: &TreeDocument, features: usize) -> Result<Tree, String> {
    let count = tree.left_children.len();
    let lengths = [
        tree.right_children.len(),
        tree.split_conditions.len(),
        tree.split_indices.len(),
        tree.default_left.len(),
    ];
    if count == 0 || count > NODES_MAX || lengths.iter().any(|length| *length != count) {
        return Err(format!(
            "it has {count} nodes in columns of lengths {lengths:?}; 1 to {NODES_MAX} in equal ones can be read"
        ));
    }
    if !tree.categories.is_empty()
        || !tree.categories_nodes.is_empty()
        || !["0", "1"].contains(&tree.tree_param.size_leaf_vector.as_str())
    {
        return Err(
            "it has categorical splits or leaves that are vectors, which cannot be read".to_owned(),
        );
    }
    let mut reached = vec![false; count];
    let mut nodes = Vec::new();
    let mut waiting = VecDeque::from([0]);
    // The place that the next child gets: those reached so far come first.
    let mut next = 1_u32;
    while let Some(place) = waiting.pop_front() {
        let again = reached
            .get_mut(place)
            .ok_or_else(|| format!("there is no node {place}"))?;
        if std::mem::replace(again, true) {
            return Err(format!("node {place} has two parents"));
        }
        let children = [
            tree.left_children.get(place),
            tree.right_children.get(place),
        ];
        let [Some(left), Some(right)] = children
            .map(|child| child.copied().unwrap_or(-1))
            .map(|child| usize::try_from(child).ok())
        else {
            nodes.push(node(tree, place, 0, features)?);
            continue;
        };
        waiting.extend([left, right]);
        nodes.push(node(tree, place, next, features)?);
        next += 2;
    }
    Ok(Tree { nodes })
}

fn node(tree: &TreeDocument, place: usize, left: u32, features: usize) -> Result<Node, String> {
    let number = |column: &[f32]| column.get(place).copied().unwrap_or_default();
    let cut = number(&tree.split_conditions);
    let feature = tree.split_indices.get(place).copied().unwrap_or_default();
    let is_leaf = left == 0;
    if !cut.is_finite() {
        return Err(format!("node {place} has {cut} as its cut or value"));
    }
    if !is_leaf && feature as usize >= features {
        return Err(format!(
            "node {place} splits feature {feature} of {features}"
        ));
    }
    let finite = |x: f32| if x.is_finite() { x } else { 0.0 };
    Ok(Node {
        feature: if is_leaf { 0 } else { feature },
        threshold: if is_leaf { 0.0 } else { cut },
        default_left: tree.default_left.get(place).is_some_and(|flag| *flag != 0),
        left,
        value: if is_leaf { cut } else { 0.0 },
        gain: finite(number(&tree.loss_changes)),
        cover: finite(number(&tree.sum_hessian)),
    })
}
