//! The model's own bytes: magic, format version, a JSON header, then packed nodes, all little-endian. The same model has the same
//! bytes, always. Reading checks everything: no bytes can make a tree that loops or points outside.

use super::{Model, Node, Tree};
use crate::config::{MAX_ROUNDS, Objective};
use crate::data::MAX_FEATURES;
use crate::error::TrainError;
use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 8] = b"airlock\x01";
const FORMAT: u32 = 1;
/// Bytes of a node.
const NODE_BYTES: usize = 24;
/// The most nodes of a tree that is read.
const NODES_MAX: usize = 1 << 17;
/// The largest header, bytes.
const HEADER_BYTES_MAX: usize = 16 << 20;

#[derive(Serialize, Deserialize)]
struct Header {
    objective: Objective,
    base_score: f32,
    features: Vec<String>,
    trees: Vec<u32>,
}

impl Model {
    /// The model's own format.
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = Header {
            objective: self.objective,
            base_score: self.base_score,
            features: self.features.clone(),
            trees: self
                .trees
                .iter()
                .map(|tree| u32::try_from(tree.nodes.len()).unwrap_or(u32::MAX))
                .collect(),
        };
        // Strings and numbers always serialise.
        let header = serde_json::to_vec(&header).unwrap_or_default();
        let mut bytes = MAGIC.to_vec();
        bytes.extend(FORMAT.to_le_bytes());
        bytes.extend(
            u32::try_from(header.len())
                .unwrap_or(u32::MAX)
                .to_le_bytes(),
        );
        bytes.extend(header);
        for node in self.trees.iter().flat_map(|tree| &tree.nodes) {
            let feature = node.feature << 1 | u32::from(node.default_left);
            bytes.extend(feature.to_le_bytes());
            bytes.extend(node.left.to_le_bytes());
            for number in [node.threshold, node.value, node.gain, node.cover] {
                bytes.extend(number.to_le_bytes());
            }
        }
        bytes
    }

    /// Reads [`Model::to_bytes`].
    ///
    /// # Errors
    /// [`TrainError::Data`] for anything that is no whole model of a format that this version reads.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TrainError> {
        let mut rest = bytes;
        if take(&mut rest, MAGIC.len())? != MAGIC {
            return Err(broken("they do not begin as a model does"));
        }
        let format = number(&mut rest)?;
        if format != FORMAT {
            return Err(broken(&format!(
                "they have format {format}, this version reads {FORMAT}"
            )));
        }
        let length = number(&mut rest)? as usize;
        if length > HEADER_BYTES_MAX {
            return Err(broken("the header is too large"));
        }
        let header: Header = serde_json::from_slice(take(&mut rest, length)?)
            .map_err(|error| broken(&format!("the header: {error}")))?;
        check_header(&header)?;
        let trees: Result<Vec<Tree>, TrainError> = header
            .trees
            .iter()
            .map(|nodes| tree(&mut rest, *nodes as usize, header.features.len()))
            .collect();
        let trees = trees?;
        if !rest.is_empty() {
            return Err(broken("something follows the last tree"));
        }
        Ok(Self {
            objective: header.objective,
            base_score: header.base_score,
            features: header.features,
            trees,
        })
    }
}

fn broken(why: &str) -> TrainError {
    TrainError::Data(format!("the bytes are no model: {why}"))
}

fn check_header(header: &Header) -> Result<(), TrainError> {
    let probability = header.base_score > 0.0 && header.base_score < 1.0;
    if !header.base_score.is_finite()
        || (header.objective == Objective::BinaryLogistic && !probability)
    {
        return Err(broken("the base score is out of range"));
    }
    if header.features.is_empty()
        || header.features.len() > MAX_FEATURES
        || header.trees.len() > MAX_ROUNDS as usize
    {
        return Err(broken("too many or too few features or trees"));
    }
    Ok(())
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], TrainError> {
    let (head, tail) = rest
        .split_at_checked(count)
        .ok_or_else(|| broken("they end early"))?;
    *rest = tail;
    Ok(head)
}

fn number(rest: &mut &[u8]) -> Result<u32, TrainError> {
    let bytes = take(rest, 4)?
        .try_into()
        .map_err(|_| broken("they end early"))?;
    Ok(u32::from_le_bytes(bytes))
}

fn tree(rest: &mut &[u8], count: usize, features: usize) -> Result<Tree, TrainError> {
    if count == 0 || count > NODES_MAX || rest.len() < count * NODE_BYTES {
        return Err(broken("a tree has too many or too few nodes"));
    }
    let mut nodes = Vec::with_capacity(count);
    for place in 0..count {
        let packed = number(rest)?;
        let left = number(rest)?;
        let mut real = || number(rest).map(f32::from_bits);
        let (threshold, value, gain, cover) = (real()?, real()?, real()?, real()?);
        let node = Node {
            feature: packed >> 1,
            default_left: packed & 1 == 1,
            left,
            threshold,
            value,
            gain,
            cover,
        };
        // Children come later than their parent, so following them ends.
        let points_on = left == 0 || (left as usize > place && (left as usize) < count - 1);
        let is_known = (node.feature as usize) < features;
        if !points_on || !is_known || !value.is_finite() || threshold.is_nan() {
            return Err(broken("a node points nowhere"));
        }
        nodes.push(node);
    }
    Ok(Tree { nodes })
}
