//! Airlock's trainer: matrices in, models and scores out. It owns how training is done; it refuses files, networks, guests and the
//! store. `exact` is a promise: the same matrix and settings give the same model bytes on any number of threads.

mod config;
mod data;
pub mod device;
mod error;
mod gbdt;
mod math;
pub mod metrics;
mod model;
mod nets;
mod run;
mod threads;

pub use config::*;
pub use data::{MAX_BINS, MAX_FEATURES, MAX_ROWS, Matrix, MatrixInput, MemoryNeed};
pub use error::TrainError;
pub use model::Model;
pub use run::{EVENTS_MAX, Run, start};
