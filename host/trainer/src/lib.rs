//! Airlock trainer: the words that its host speaks. Training itself is not in this tree yet: `start` refuses.

mod config;
mod data;
pub mod device;
mod error;
pub mod metrics {
    //! How good scores are.
    use crate::Metric;

    /// Not in this tree yet: every metric is NaN.
    pub fn evaluate(_: Metric, _: &[f32], _: &[f32]) -> f64 {
        f64::NAN
    }
}

pub use config::*;
pub use data::{Matrix, MatrixInput, MemoryNeed};
pub use error::TrainError;

use std::sync::Arc;
use std::time::Duration;

fn absent<T>() -> Result<T, TrainError> {
    Err(TrainError::Invalid("training is not in this tree yet".to_owned()))
}

/// A run. There are none.
#[derive(Debug)]
pub enum Run {}

/// A model. There are none.
#[derive(Debug)]
pub enum Model {}

/// Refuses.
pub fn start(_: Arc<Matrix>, _: Option<Arc<Matrix>>, _: Config, _: usize) -> Result<Run, TrainError> {
    absent()
}

#[expect(missing_docs, reason = "never called")]
impl Run {
    pub fn next(&self, _: Duration) -> Option<Event> {
        match *self {}
    }
    pub fn cancel(&self) {
        match *self {}
    }
    pub fn wait(&self) -> Result<RunOutcome, TrainError> {
        match *self {}
    }
    pub fn model(&self) -> Option<Arc<Model>> {
        match *self {}
    }
}

#[expect(missing_docs, reason = "never called")]
impl Model {
    pub fn from_bytes(_: &[u8]) -> Result<Self, TrainError> {
        absent()
    }
    pub fn to_bytes(&self) -> Vec<u8> {
        match *self {}
    }
    pub fn to_xgboost_json(&self) -> String {
        match *self {}
    }
    pub fn digest(&self) -> [u8; 32] {
        match *self {}
    }
    pub fn score(&self, _: &Matrix) -> Result<Vec<f32>, TrainError> {
        match *self {}
    }
    pub fn importance(&self) -> Vec<(String, f64)> {
        match *self {}
    }
}
