//! Model files of other programs: one door out, one door in. A file that comes in is somebody else's: each reader bounds what it
//! keeps by the size of the file and refuses what it does not know, with a word on what to do. Refuses to touch files itself.

mod lightgbm;
mod onnx;
mod safetensors;
mod xgboost;

use super::Model;
use crate::error::TrainError;

/// The largest file that is read, bytes.
pub const IMPORT_BYTES_MAX: usize = 1 << 29;

/// A kind of model file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// This trainer's own: every model, every bit. Out and in.
    Airlock,
    /// XGBoost's JSON with `base_score` as one number, read by 2.1 and later. Trees, out and in.
    XgboostJson,
    /// The same with `base_score` as a list, as XGBoost writes it from 3.1 on and hessboost wants it. Trees, out and in.
    XgboostJsonVector,
    /// LightGBM's text, version 4. Trees, out.
    LightgbmText,
    /// ONNX, operator sets `ai.onnx` 17 and `ai.onnx.ml` 3. Every model, out. Input `features`; outputs `label` and `probabilities`
    /// of a classifier, `variable` of a regression.
    Onnx,
    /// Named tensors with weights as `PyTorch` lays them out. Logistic regression and multi-layer perceptron, out and in.
    Safetensors,
}

impl Format {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Airlock => "airlock",
            Self::XgboostJson => "xgboost-json",
            Self::XgboostJsonVector => "xgboost-json-vector",
            Self::LightgbmText => "lightgbm-text",
            Self::Onnx => "onnx",
            Self::Safetensors => "safetensors",
        }
    }
}

impl Model {
    /// The model as a file of `format`.
    ///
    /// # Errors
    /// [`TrainError::Invalid`] where the format has no words for this kind of model; the text names formats that have.
    pub fn export(&self, format: Format) -> Result<Vec<u8>, TrainError> {
        match format {
            Format::Airlock => Ok(self.to_bytes()),
            Format::XgboostJson => xgboost::write(self, xgboost::Base::Scalar),
            Format::XgboostJsonVector => xgboost::write(self, xgboost::Base::Vector),
            Format::LightgbmText => lightgbm::write(self),
            Format::Onnx => Ok(onnx::write(self)),
            Format::Safetensors => safetensors::write(self),
        }
    }

    /// Reads a file of `format`.
    ///
    /// # Errors
    /// [`TrainError::Data`] for bytes that are no such file or are damaged, [`TrainError::Invalid`] for a format that is only
    /// written, or a model that this trainer cannot hold.
    pub fn import(format: Format, bytes: &[u8]) -> Result<Self, TrainError> {
        if bytes.len() > IMPORT_BYTES_MAX {
            return Err(TrainError::Data(format!(
                "a model file of {} bytes is over the limit of {IMPORT_BYTES_MAX}",
                bytes.len()
            )));
        }
        match format {
            Format::Airlock => Self::from_bytes(bytes),
            Format::XgboostJson | Format::XgboostJsonVector => xgboost::read(bytes),
            Format::Safetensors => safetensors::read(bytes),
            Format::LightgbmText | Format::Onnx => Err(TrainError::Invalid(format!(
                "{} is written and not read here; save the model as airlock, xgboost-json or safetensors to read it again",
                format.name()
            ))),
        }
    }
}

/// The answer to a kind of model that `format` has no words for.
fn unfit(format: Format, instead: &str) -> TrainError {
    TrainError::Invalid(format!(
        "{} cannot hold this kind of model; use {instead}",
        format.name()
    ))
}
