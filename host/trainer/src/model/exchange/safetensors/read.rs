//! From tensors to nets. Every length is checked against the file before anything is taken from it.

use super::{About, Header, KEY};
use crate::data::MAX_FEATURES;
use crate::error::TrainError;
use crate::model::{Body, Model};
use crate::nets::{Linear, Mlp, Scaler, check_widths};

/// The largest header that is read, bytes.
const HEADER_BYTES_MAX: usize = 16 << 20;

pub(in crate::model::exchange) fn read(bytes: &[u8]) -> Result<Model, TrainError> {
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
