//! Safetensors: named tensors behind a JSON header, weights laid out as `PyTorch` does (`[outputs, inputs]`). Written by hand: the
//! format is a length, JSON and bytes, while the crate of that name draws a second hash map with other features into every build.
//! Refuses holes, overlaps and names that it does not know.

mod read;
mod write;

pub(super) use read::read;
pub(super) use write::write;

use crate::config::Objective;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The one entry of the metadata that is ours.
const KEY: &str = "airlock";

#[derive(Serialize, Deserialize)]
struct Header {
    #[serde(rename = "__metadata__", default)]
    metadata: BTreeMap<String, String>,
    #[serde(flatten)]
    tensors: BTreeMap<String, Entry>,
}

#[derive(Serialize, Deserialize, Clone)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// What tensors cannot say.
#[derive(Serialize, Deserialize)]
struct About {
    kind: String,
    objective: Objective,
    features: Vec<String>,
    rounds: u32,
}
