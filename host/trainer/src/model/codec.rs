//! The model's own bytes, all little-endian. Format 2: magic, format, kind of body, bytes of the header, number of features, bytes
//! of the body (64 bits), a JSON header (spaces to a multiple of eight bytes), the body, and in a checkpoint the state of its training. A
//! scorer may pass over the header. Format 1 (one output, boosting only) is still read. The same model has the same bytes,
//! always. Reading checks everything: no bytes can make a tree that loops or points outside.

use super::{Body, Ensemble, Model, Node, Origin, Tree};
use crate::config::{MAX_CLASSES, MAX_ROUNDS, Objective};
use crate::data::MAX_FEATURES;
use crate::error::TrainError;
use crate::nets::{Linear, Mlp};
use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 8] = b"airlock\x01";
const FORMAT: u32 = 2;
const FORMAT_OF_ONE_OUTPUT: u32 = 1;
/// The kinds of bodies.
const TREES: u32 = 1;
const LINEAR: u32 = 2;
const MLP: u32 = 3;
/// Bytes of a node.
const NODE_BYTES: usize = 24;
/// The most nodes of a tree that is read.
pub(crate) const NODES_MAX: usize = 1 << 26;
/// The largest header, bytes.
const HEADER_BYTES_MAX: usize = 16 << 20;

#[derive(Serialize, Deserialize)]
struct Header {
    features: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    origin: Option<Origin>,
}

/// The header of format 1.
#[derive(Deserialize)]
struct OldHeader {
    objective: Objective,
    base_score: f32,
    features: Vec<String>,
    trees: Vec<u32>,
}

impl Model {
    /// The model's own format.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_checkpoint(&[])
    }

    /// The model with `state`, what its training needs to go on exactly, after it.
    pub(crate) fn to_checkpoint(&self, state: &[u8]) -> Vec<u8> {
        let header = Header {
            features: self.features.clone(),
            origin: self.origin.clone(),
        };
        // Strings and numbers always serialise.
        let mut header = serde_json::to_vec(&header).unwrap_or_default();
        header.resize(header.len().next_multiple_of(8), b' ');
        let (kind, body) = match &self.body {
            Body::Trees(trees) => (TREES, trees.to_bytes()),
            Body::Linear(linear) => (LINEAR, linear.to_bytes()),
            Body::Mlp(mlp) => (MLP, mlp.to_bytes()),
        };
        let mut bytes = MAGIC.to_vec();
        for number in [
            FORMAT,
            kind,
            count(header.len()),
            count(self.features.len()),
        ] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend((body.len() as u64).to_le_bytes());
        bytes.extend(header);
        bytes.extend(body);
        bytes.extend(state);
        bytes
    }

    /// Reads [`Model::to_bytes`], or a checkpoint without the state of its training.
    ///
    /// # Errors
    /// [`TrainError::Data`] for anything that is no whole model of a format that this version reads.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TrainError> {
        Self::from_checkpoint(bytes).map(|(model, _)| model)
    }

    /// Reads [`Model::to_checkpoint`]: the model and the state, which is empty in a model that is no checkpoint.
    pub(crate) fn from_checkpoint(bytes: &[u8]) -> Result<(Self, &[u8]), TrainError> {
        let mut reader = Reader::new(bytes);
        if reader.take(MAGIC.len())? != MAGIC {
            return Err(broken("they do not begin as a model does"));
        }
        match reader.u32()? {
            FORMAT => {}
            FORMAT_OF_ONE_OUTPUT => return Ok((old(&mut reader)?, &[])),
            format => {
                return Err(broken(&format!(
                    "they have format {format}, this version reads {FORMAT_OF_ONE_OUTPUT} and {FORMAT}"
                )));
            }
        }
        let (kind, length, features) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let body = usize::try_from(reader.u64()?).map_err(|_| broken("the body is too large"))?;
        let header: Header = header(&mut reader, length)?;
        check_features(&header.features)?;
        if header.features.len() != features as usize {
            return Err(broken("the header has another number of features"));
        }
        let mut reader_of_body = Reader::new(reader.take(body)?);
        let body = match kind {
            TREES => Body::Trees(Ensemble::read(&mut reader_of_body, header.features.len())?),
            LINEAR => Body::Linear(Linear::read(&mut reader_of_body, header.features.len())?),
            MLP => Body::Mlp(Mlp::read(&mut reader_of_body, header.features.len())?),
            _ => return Err(broken(&format!("this version knows no kind {kind}"))),
        };
        reader_of_body.done()?;
        let model = Self {
            features: header.features,
            origin: header.origin,
            body,
        };
        Ok((model, reader.rest()))
    }
}

impl Ensemble {
    /// Objective, outputs, whether to average, number of trees, the base scores, the nodes of each tree, then all nodes: 32 bits
    /// each, and [`NODE_BYTES`] a node.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let head = [
            self.objective.number(),
            count(self.outputs()),
            u32::from(self.average),
            count(self.trees.len()),
        ];
        let nodes = self.trees.iter().map(|tree| count(tree.nodes.len()));
        let scores = self.base_scores.iter().map(|score| score.to_bits());
        for number in head.into_iter().chain(scores).chain(nodes) {
            bytes.extend(number.to_le_bytes());
        }
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

    fn read(reader: &mut Reader<'_>, features: usize) -> Result<Self, TrainError> {
        let objective = Objective::of(reader.u32()?)?;
        let (outputs, average, trees) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let several = objective == Objective::Softmax;
        if average > 1
            || !(if several { 2..=MAX_CLASSES } else { 1..=1 }).contains(&outputs)
            || trees > MAX_ROUNDS
            || trees % outputs != 0
        {
            return Err(broken("the head of the trees is out of range"));
        }
        let base_scores: Vec<f32> = reader.many(outputs as usize, Reader::f32)?;
        let counts: Vec<u32> = reader.many(trees as usize, Reader::u32)?;
        let ensemble = Self {
            objective,
            base_scores,
            average: average == 1,
            trees: read_trees(reader, &counts, features)?,
        };
        ensemble.check_base_scores()?;
        Ok(ensemble)
    }

    fn check_base_scores(&self) -> Result<(), TrainError> {
        let probability = self.objective == Objective::BinaryLogistic && !self.average;
        let bad =
            |score: &&f32| !score.is_finite() || (probability && !(**score > 0.0 && **score < 1.0));
        match self.base_scores.iter().find(bad) {
            Some(score) => Err(broken(&format!("the base score {score} is out of range"))),
            None => Ok(()),
        }
    }
}

impl Objective {
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::BinaryLogistic => 1,
            Self::SquaredError => 2,
            Self::Softmax => 3,
        }
    }

    pub(crate) fn of(number: u32) -> Result<Self, TrainError> {
        match number {
            1 => Ok(Self::BinaryLogistic),
            2 => Ok(Self::SquaredError),
            3 => Ok(Self::Softmax),
            _ => Err(broken(&format!("this version knows no objective {number}"))),
        }
    }
}

/// What is too many for 32 bits is too many for every limit, too.
fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

pub(crate) fn broken(why: &str) -> TrainError {
    TrainError::Data(format!("the bytes are no model: {why}"))
}

fn old(reader: &mut Reader<'_>) -> Result<Model, TrainError> {
    let length = reader.u32()?;
    let header: OldHeader = header(reader, length)?;
    check_features(&header.features)?;
    if header.trees.len() > MAX_ROUNDS as usize || header.objective == Objective::Softmax {
        return Err(broken("too many trees or outputs for their format"));
    }
    let trees = read_trees(reader, &header.trees, header.features.len())?;
    reader.done()?;
    let ensemble = Ensemble {
        objective: header.objective,
        base_scores: vec![header.base_score],
        average: false,
        trees,
    };
    ensemble.check_base_scores()?;
    Ok(Model {
        features: header.features,
        origin: None,
        body: Body::Trees(ensemble),
    })
}

fn header<'a, T: Deserialize<'a>>(reader: &mut Reader<'a>, length: u32) -> Result<T, TrainError> {
    if length as usize > HEADER_BYTES_MAX {
        return Err(broken("the header is too large"));
    }
    serde_json::from_slice(reader.take(length as usize)?)
        .map_err(|error| broken(&format!("the header: {error}")))
}

fn check_features(features: &[String]) -> Result<(), TrainError> {
    if features.is_empty() || features.len() > MAX_FEATURES {
        return Err(broken("too many or too few features"));
    }
    Ok(())
}

/// Reads numbers and refuses to read past the end.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], TrainError> {
        let (head, tail) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| broken("they end early"))?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TrainError> {
        let (head, tail) = self
            .0
            .split_first_chunk()
            .ok_or_else(|| broken("they end early"))?;
        self.0 = tail;
        Ok(*head)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, TrainError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, TrainError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn f32(&mut self) -> Result<f32, TrainError> {
        self.array().map(f32::from_le_bytes)
    }

    /// Reads `count` numbers; takes no memory before it is known that so many bytes are there.
    pub(crate) fn many<T>(
        &mut self,
        count: usize,
        read: impl Fn(&mut Self) -> Result<T, TrainError>,
    ) -> Result<Vec<T>, TrainError> {
        if count > self.0.len() {
            return Err(broken("they end early"));
        }
        (0..count).map(|_| read(self)).collect()
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn done(&self) -> Result<(), TrainError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(broken("something follows their end"))
        }
    }
}

fn read_trees(
    reader: &mut Reader<'_>,
    counts: &[u32],
    features: usize,
) -> Result<Vec<Tree>, TrainError> {
    let tree = |nodes: &u32| read_tree(reader, *nodes as usize, features);
    counts.iter().map(tree).collect()
}

fn read_tree(reader: &mut Reader<'_>, count: usize, features: usize) -> Result<Tree, TrainError> {
    if count == 0 || count > NODES_MAX || reader.0.len() < count * NODE_BYTES {
        return Err(broken("a tree has too many or too few nodes"));
    }
    let mut nodes = Vec::with_capacity(count);
    for place in 0..count {
        let (packed, left) = (reader.u32()?, reader.u32()?);
        let node = Node {
            feature: packed >> 1,
            default_left: packed & 1 == 1,
            left,
            threshold: reader.f32()?,
            value: reader.f32()?,
            gain: reader.f32()?,
            cover: reader.f32()?,
        };
        // Children come later than their parent, so following them ends.
        let points_on = left == 0 || (left as usize > place && (left as usize) < count - 1);
        let is_known = (node.feature as usize) < features;
        if !points_on || !is_known || !node.value.is_finite() || node.threshold.is_nan() {
            return Err(broken("a node points nowhere"));
        }
        nodes.push(node);
    }
    Ok(Tree { nodes })
}
