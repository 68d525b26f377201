//! Safetensors: named tensors behind a JSON header, weights laid out as `PyTorch` does (`[outputs, inputs]`). Written by hand: the
//! format is a length, JSON and bytes, while the crate of that name draws a second hash map with other features into every build.
//! Refuses holes, overlaps and names that it does not know.

use super::{Format, unfit};
use crate::config::Objective;
use crate::data::MAX_FEATURES;
use crate::error::TrainError;
use crate::model::{Body, Model};
use crate::nets::{Linear, Mlp, Scaler, check_widths, layers};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The largest header that is read, bytes.
const HEADER_BYTES_MAX: usize = 16 << 20;
/// Tensors begin at a multiple of this.
const ALIGNMENT: usize = 8;
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

pub(super) fn write(model: &Model) -> Result<Vec<u8>, TrainError> {
    let mut file = Writer::default();
    let kind = match &model.body {
        Body::Trees(_) => {
            return Err(unfit(
                Format::Safetensors,
                "xgboost-json, lightgbm-text or onnx",
            ));
        }
        Body::Linear(linear) => file.linear(linear),
        Body::Mlp(mlp) => file.mlp(mlp),
    };
    let about = About {
        kind: kind.to_owned(),
        objective: model.objective(),
        features: model.features.clone(),
        rounds: u32::try_from(model.rounds()).unwrap_or(u32::MAX),
    };
    Ok(file.finish(&about))
}

#[derive(Default)]
struct Writer {
    tensors: BTreeMap<String, Entry>,
    bytes: Vec<u8>,
}

impl Writer {
    fn put(&mut self, name: &str, dtype: &str, shape: &[usize], bytes: impl Iterator<Item = u8>) {
        let begin = self.bytes.len();
        self.bytes.extend(bytes);
        let entry = Entry {
            dtype: dtype.to_owned(),
            shape: shape.to_vec(),
            data_offsets: [begin, self.bytes.len()],
        };
        self.tensors.insert(name.to_owned(), entry);
    }

    fn doubles(&mut self, name: &str, values: &[f64]) {
        let bytes = values.iter().flat_map(|x| x.to_le_bytes());
        self.put(name, "F64", &[values.len()], bytes);
    }

    fn scaler(&mut self, scaler: &Scaler) {
        self.doubles("scaler.mean", &scaler.mean);
        self.doubles("scaler.scale", &scaler.scale);
    }

    fn linear(&mut self, model: &Linear) -> &'static str {
        self.doubles("coefficients", &model.coefficients);
        self.doubles("intercept", &[model.intercept]);
        self.scaler(&model.scaler);
        "logistic"
    }

    fn mlp(&mut self, model: &Mlp) -> &'static str {
        // Eight-byte numbers first, so that all are aligned.
        self.scaler(&model.scaler);
        self.doubles("target", &[model.target.0, model.target.1]);
        for (place, layer) in layers(&model.widths).iter().enumerate() {
            let (weights, bias) = (
                &model.parameters[layer.weights()],
                &model.parameters[layer.bias()],
            );
            let turned = (0..layer.outputs)
                .flat_map(|output| weights.iter().skip(output).step_by(layer.outputs));
            let shape = [layer.outputs, layer.inputs];
            self.put(
                &format!("layers.{place}.weight"),
                "F32",
                &shape,
                turned.flat_map(|w| w.to_le_bytes()),
            );
            let bytes = bias.iter().flat_map(|b| b.to_le_bytes());
            self.put(
                &format!("layers.{place}.bias"),
                "F32",
                &[layer.outputs],
                bytes,
            );
        }
        "mlp"
    }

    fn finish(self, about: &About) -> Vec<u8> {
        // Strings and numbers always serialise.
        let about = serde_json::to_string(about).unwrap_or_default();
        let header = Header {
            metadata: BTreeMap::from([(KEY.to_owned(), about)]),
            tensors: self.tensors,
        };
        let mut header = serde_json::to_vec(&header).unwrap_or_default();
        header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header);
        file.extend(self.bytes);
        file
    }
}

pub(super) fn read(bytes: &[u8]) -> Result<Model, TrainError> {
    let file = File::open(bytes)?;
    let about = file.header.metadata.get(KEY).ok_or_else(|| {
        broken("its metadata has no entry `airlock`: it was not written by this trainer")
    })?;
    let about: About = serde_json::from_str(about).map_err(|error| broken(&error.to_string()))?;
    let count = about.features.len();
    if count == 0 || count > MAX_FEATURES {
        return Err(broken(&format!(
            "it has {count} features; 1 to {MAX_FEATURES} can be read"
        )));
    }
    let body = match about.kind.as_str() {
        "logistic" => Body::Linear(file.linear(&about)?),
        "mlp" => Body::Mlp(file.mlp(&about)?),
        other => {
            return Err(broken(&format!(
                "it is of kind {other}; logistic and mlp are known"
            )));
        }
    };
    Ok(Model {
        features: about.features,
        origin: None,
        body,
    })
}

fn broken(why: &str) -> TrainError {
    TrainError::Data(format!("this is no safetensors file of a model: {why}"))
}

struct File<'a> {
    header: Header,
    data: &'a [u8],
}

impl<'a> File<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, TrainError> {
        let early = || broken("it ends early");
        let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(early)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if length > HEADER_BYTES_MAX {
            return Err(broken(&format!(
                "its header has {length} bytes, over the limit of {HEADER_BYTES_MAX}"
            )));
        }
        let (header, data) = rest.split_at_checked(length).ok_or_else(early)?;
        let header: Header =
            serde_json::from_slice(header).map_err(|error| broken(&error.to_string()))?;
        let mut places: Vec<[usize; 2]> = header
            .tensors
            .values()
            .map(|entry| entry.data_offsets)
            .collect();
        places.sort_unstable();
        let mut next = 0;
        for [begin, end] in places {
            if begin != next || end < begin {
                return Err(broken("its tensors overlap or leave holes"));
            }
            next = end;
        }
        if next != data.len() {
            return Err(broken("its tensors are not as long as the file"));
        }
        Ok(Self { header, data })
    }

    fn tensor(
        &self,
        name: &str,
        dtype: &str,
        size: usize,
    ) -> Result<(&[usize], &'a [u8]), TrainError> {
        let entry = self
            .header
            .tensors
            .get(name)
            .ok_or_else(|| broken(&format!("tensor {name} is missing")))?;
        let [begin, end] = entry.data_offsets;
        let data = self
            .data
            .get(begin..end)
            .ok_or_else(|| broken("a tensor lies outside of the file"))?;
        let wanted = entry
            .shape
            .iter()
            .try_fold(size, |product, dim| product.checked_mul(*dim));
        if entry.dtype != dtype || wanted != Some(data.len()) {
            return Err(broken(&format!(
                "tensor {name} is {} of shape {:?} in {} bytes; it must be {dtype}",
                entry.dtype,
                entry.shape,
                data.len()
            )));
        }
        Ok((&entry.shape, data))
    }

    fn doubles(&self, name: &str, count: usize) -> Result<Vec<f64>, TrainError> {
        let (_, data) = self.tensor(name, "F64", 8)?;
        let values: Vec<f64> = data
            .as_chunks()
            .0
            .iter()
            .map(|x| f64::from_le_bytes(*x))
            .collect();
        if values.len() != count || values.iter().any(|x| !x.is_finite()) {
            return Err(broken(&format!(
                "tensor {name} needs {count} finite numbers"
            )));
        }
        Ok(values)
    }

    fn floats(&self, name: &str) -> Result<(&[usize], Vec<f32>), TrainError> {
        let (shape, data) = self.tensor(name, "F32", 4)?;
        let values: Vec<f32> = data
            .as_chunks()
            .0
            .iter()
            .map(|x| f32::from_le_bytes(*x))
            .collect();
        if values.iter().any(|x| !x.is_finite()) {
            return Err(broken(&format!(
                "tensor {name} holds a number that is not finite"
            )));
        }
        Ok((shape, values))
    }

    fn scaler(&self, features: usize) -> Result<Scaler, TrainError> {
        let scaler = Scaler {
            mean: self.doubles("scaler.mean", features)?,
            scale: self.doubles("scaler.scale", features)?,
        };
        if scaler.scale.iter().all(|scale| *scale > 0.0) {
            return Ok(scaler);
        }
        Err(broken("scaler.scale must be over 0"))
    }

    fn linear(&self, about: &About) -> Result<Linear, TrainError> {
        let features = about.features.len();
        Ok(Linear {
            rounds: about.rounds,
            scaler: self.scaler(features)?,
            coefficients: self.doubles("coefficients", features)?,
            intercept: self
                .doubles("intercept", 1)?
                .first()
                .copied()
                .unwrap_or_default(),
        })
    }

    /// Layers are read until one is missing; each must begin where the last one ended.
    fn mlp(&self, about: &About) -> Result<Mlp, TrainError> {
        let (features, objective) = (about.features.len(), about.objective);
        let mut widths = vec![features];
        let mut parameters = Vec::new();
        for place in 0.. {
            let (weight, bias) = (
                format!("layers.{place}.weight"),
                format!("layers.{place}.bias"),
            );
            if !self.header.tensors.contains_key(&weight) {
                break;
            }
            let (shape, values) = self.floats(&weight)?;
            let (_, bias) = self.floats(&bias)?;
            let inputs = widths.last().copied().unwrap_or_default();
            if shape != [bias.len(), inputs] || bias.is_empty() {
                return Err(broken(&format!(
                    "tensor {weight} is {shape:?}, which does not fit {inputs} inputs and {} biases",
                    bias.len()
                )));
            }
            widths.push(bias.len());
            let turned = (0..inputs).flat_map(|input| values.iter().skip(input).step_by(inputs));
            parameters.extend(turned);
            parameters.extend(bias);
        }
        check_widths(&widths, objective).map_err(|why| broken(&why))?;
        let target = self.doubles("target", 2)?;
        let [offset, unit] =
            <[f64; 2]>::try_from(target).map_err(|_| broken("target needs two numbers"))?;
        Ok(Mlp {
            objective,
            rounds: about.rounds,
            scaler: self.scaler(features)?,
            widths,
            parameters,
            target: (offset, unit),
        })
    }
}
