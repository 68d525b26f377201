//! Feature matrices: cut points, bins and raw values. Refuses rows that cannot be ordered.

mod cuts;
mod matrix;

pub use matrix::{MAX_BINS, MAX_FEATURES, MAX_ROWS, Matrix, MatrixInput, MemoryNeed};
pub(crate) use matrix::{GROUP, MISSING};
