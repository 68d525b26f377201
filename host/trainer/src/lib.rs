//! Airlock's trainer: matrices in, models and scores out. It owns how training is done; it refuses files, networks, guests and the
//! store. `exact` is a promise: the same matrix and settings give the same model bytes on any number of threads.

mod check;
mod config;
mod cuda;
mod data;
pub mod device;
mod error;
mod forest;
mod gbdt;
mod job;
mod math;
pub mod metrics;
mod model;
mod nets;
mod rounds;
mod run;
mod threads;

pub use config::*;
pub use data::{MAX_BINS, MAX_FEATURES, MAX_ROWS, Matrix, MatrixInput, MemoryNeed};
pub use error::TrainError;
pub use model::{Format, IMPORT_BYTES_MAX, Model};
pub use run::{EVENTS_MAX, MAX_VARIANTS, Run, start, start_search};
