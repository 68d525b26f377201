//! The shape of XGBoost's JSON document, as far as its readers and this one look at it. Refuses to know what it means.

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

#[derive(Serialize, Deserialize)]
pub(super) struct Document {
    pub(super) version: [u32; 3],
    pub(super) learner: Learner,
}

#[derive(Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "XGBoost's names")]
pub(super) struct Learner {
    #[serde(skip_deserializing)]
    pub(super) attributes: Nothing,
    #[serde(default)]
    pub(super) feature_names: Vec<String>,
    #[serde(default)]
    pub(super) feature_types: Vec<String>,
    pub(super) gradient_booster: Booster,
    pub(super) learner_model_param: LearnerParam,
    pub(super) objective: Loss,
}

/// An empty object.
#[derive(Serialize, Default)]
pub(super) struct Nothing {}

#[derive(Serialize, Deserialize)]
pub(super) struct Booster {
    pub(super) name: String,
    /// Absent where the booster is none of trees alone.
    pub(super) model: Option<Trees>,
}

#[derive(Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "XGBoost's names")]
pub(super) struct Trees {
    #[serde(skip_deserializing)]
    pub(super) gbtree_model_param: TreesParam,
    #[serde(skip_deserializing)]
    pub(super) iteration_indptr: Vec<usize>,
    /// The output of each tree.
    pub(super) tree_info: Vec<u32>,
    pub(super) trees: Vec<TreeDocument>,
}

#[derive(Serialize, Default)]
pub(super) struct TreesParam {
    pub(super) num_parallel_tree: String,
    pub(super) num_trees: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct LearnerParam {
    pub(super) base_score: String,
    #[serde(default)]
    pub(super) boost_from_average: String,
    pub(super) num_class: String,
    pub(super) num_feature: String,
    #[serde(default = "one")]
    pub(super) num_target: String,
}

fn one() -> String {
    "1".to_owned()
}

#[derive(Serialize, Deserialize)]
pub(super) struct Loss {
    pub(super) name: String,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(super) reg_loss_param: Option<RegressionParam>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(super) softmax_multiclass_param: Option<SoftmaxParam>,
}

#[derive(Serialize)]
pub(super) struct RegressionParam {
    pub(super) scale_pos_weight: String,
}

#[derive(Serialize)]
pub(super) struct SoftmaxParam {
    pub(super) num_class: String,
}

/// Columns of nodes. A leaf has the left child -1, and its value where others have their cut.
#[derive(Serialize, Deserialize)]
pub(super) struct TreeDocument {
    #[serde(default)]
    pub(super) id: usize,
    #[serde(skip_deserializing)]
    pub(super) base_weights: Vec<f32>,
    #[serde(default)]
    pub(super) categories: Vec<i64>,
    #[serde(default)]
    pub(super) categories_nodes: Vec<i64>,
    #[serde(skip_deserializing)]
    pub(super) categories_segments: Vec<i64>,
    #[serde(skip_deserializing)]
    pub(super) categories_sizes: Vec<i64>,
    #[serde(deserialize_with = "flags")]
    pub(super) default_left: Vec<u8>,
    pub(super) left_children: Vec<i32>,
    pub(super) right_children: Vec<i32>,
    #[serde(default)]
    pub(super) loss_changes: Vec<f32>,
    #[serde(skip_deserializing)]
    pub(super) parents: Vec<i32>,
    pub(super) split_conditions: Vec<f32>,
    pub(super) split_indices: Vec<u32>,
    #[serde(skip_deserializing)]
    pub(super) split_type: Vec<u8>,
    #[serde(default)]
    pub(super) sum_hessian: Vec<f32>,
    pub(super) tree_param: TreeParam,
}

#[derive(Serialize, Deserialize)]
pub(super) struct TreeParam {
    #[serde(default)]
    pub(super) num_deleted: String,
    #[serde(default)]
    pub(super) num_feature: String,
    #[serde(default)]
    pub(super) num_nodes: String,
    #[serde(default = "one")]
    pub(super) size_leaf_vector: String,
}

/// Versions differ in whether a flag is a number or a truth.
struct Flag(u8);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Flag;
            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("true, false, 0 or 1")
            }
            fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Flag, E> {
                Ok(Flag(u8::from(flag)))
            }
            fn visit_u64<E: de::Error>(self, flag: u64) -> Result<Flag, E> {
                Ok(Flag(u8::from(flag != 0)))
            }
        }
        from.deserialize_any(Either)
    }
}

fn flags<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let flags = Vec::<Flag>::deserialize(from)?;
    Ok(flags.into_iter().map(|flag| flag.0).collect())
}
