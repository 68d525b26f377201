//! From nets to tensors.

use super::{About, Entry, Header, KEY};
use crate::error::TrainError;
use crate::model::exchange::{Format, unfit};
use crate::model::{Body, Model};
use crate::nets::{Linear, Mlp, Scaler, layers};
use std::collections::BTreeMap;

/// Tensors begin at a multiple of this.
const ALIGNMENT: usize = 8;

pub(in crate::model::exchange) fn write(model: &Model) -> Result<Vec<u8>, TrainError> {
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
