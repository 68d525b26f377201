//! XGBoost's JSON model, out and in. Three rules make a file read alike by 2.1 and later: the right child follows the left one,
//! `base_score` is a scalar in the shortest form of its f32, and the split is `x < split_condition`.

mod document;
mod read;
mod write;

pub(super) use read::read;
pub(super) use write::{Base, write};
