//! What grows trees, on whatever device: it owns the margins and gradients of its variants, which come off the device only when
//! somebody measures.

use crate::error::TrainError;
use crate::model::{Ensemble, Tree};
use std::borrow::Cow;

/// Which matrix is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Train,
    Valid,
}

/// The next round of one variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Its place among the variants that the backend was made for.
    pub(crate) variant: usize,
    /// Rounds that it has already, those resumed from among them: sampling is drawn from it.
    pub(crate) round: usize,
}

/// What a backend used, besides the thread that called it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    /// CPU milliseconds of threads of its own.
    pub(crate) cpu_ms: u64,
    /// Milliseconds on a device.
    pub(crate) device_ms: u64,
    /// Bytes on a device.
    pub(crate) peak_device: u64,
}

/// Grows trees for one variant or several over one training matrix. A backend is made at the base margins of its ensembles.
pub(crate) trait Backend {
    /// Makes the margins of a variant those of `ensemble`, bit for bit as if its trees had been grown here.
    fn restart(&mut self, variant: usize, ensemble: &Ensemble) -> Result<(), TrainError>;

    /// Grows the next round of each variant in `turns` (one tree an output, in the order of outputs) and adds it to the margins of
    /// both matrices. One entry a turn, in their order.
    ///
    /// # Errors
    /// What ends every variant: the device failed or a thread was lost.
    fn grow(&mut self, turns: &[Turn]) -> Result<Vec<Vec<Tree>>, TrainError>;

    /// The margins of one matrix after the rounds so far: outputs a row, row by row; empty where there is no such matrix.
    fn margins(&mut self, variant: usize, part: Part) -> Result<Cow<'_, [f64]>, TrainError>;

    /// Ends its threads and gives back what it held.
    fn finish(self: Box<Self>) -> Spent;
}
