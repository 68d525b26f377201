//! From columns of numbers to a binned matrix.

mod cuts;
mod matrix;
mod records;
mod shared;

pub(crate) use matrix::{LANES, MISSING};
pub use matrix::{MAX_BINS, MAX_FEATURES, MAX_ROWS, Matrix, MatrixInput, MemoryNeed};
