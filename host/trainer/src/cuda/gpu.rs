//! What training asks of a device: memory, copies and launches, in the order in which they were asked for. Refuses to know whose
//! device it is; the CUDA driver is one implementation, the emulator of the tests another.

use super::layout::{Job, Plain, bytes, bytes_mut};
use crate::error::TrainError;
use std::any::Any;

/// A kernel of `kernels/*.cu`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kernel {
    Advance,
    Begin,
    Shares,
    Residuals,
    Gradients,
    Root,
    Histogram,
    SplitSearch,
    Plan,
    Partition,
    Children,
    Update,
    ForestBegin,
    ForestDraw,
    ForestRows,
    ForestNext,
    ForestLevel,
    ProbeAtomics,
}

impl Kernel {
    /// All of them, each at its own number.
    pub(crate) const ALL: [Self; 18] = [
        Self::Advance,
        Self::Begin,
        Self::Shares,
        Self::Residuals,
        Self::Gradients,
        Self::Root,
        Self::Histogram,
        Self::SplitSearch,
        Self::Plan,
        Self::Partition,
        Self::Children,
        Self::Update,
        Self::ForestBegin,
        Self::ForestDraw,
        Self::ForestRows,
        Self::ForestNext,
        Self::ForestLevel,
        Self::ProbeAtomics,
    ];

    /// Its name in the module.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Advance => "advance",
            Self::Begin => "begin",
            Self::Shares => "shares",
            Self::Residuals => "residuals",
            Self::Gradients => "gradients",
            Self::Root => "root",
            Self::Histogram => "histogram",
            Self::SplitSearch => "split_search",
            Self::Plan => "plan",
            Self::Partition => "partition",
            Self::Children => "children",
            Self::Update => "update",
            Self::ForestBegin => "forest_begin",
            Self::ForestDraw => "forest_draw",
            Self::ForestRows => "forest_rows",
            Self::ForestNext => "forest_next",
            Self::ForestLevel => "forest_level",
            Self::ProbeAtomics => "probe_atomics",
        }
    }

    /// Threads of its blocks: what its source was written for.
    pub(crate) fn threads(self) -> u32 {
        match self {
            Self::SplitSearch => 128,
            _ => 256,
        }
    }
}

/// One launch: a grid of `blocks` x `lanes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Launch {
    pub(crate) kernel: Kernel,
    pub(crate) blocks: u32,
    pub(crate) lanes: u32,
    pub(crate) step: u32,
}

/// A piece of a device's memory; it is given back on drop.
pub(crate) struct Memory {
    /// On the device; 0 for none.
    pub(crate) address: u64,
    pub(crate) bytes: usize,
    #[expect(dead_code, reason = "gives the memory back when it is dropped")]
    /// What gives it back.
    pub(crate) owner: Box<dyn Any + Send>,
}

impl Memory {
    /// No memory at all.
    pub(crate) fn none() -> Self {
        Self {
            address: 0,
            bytes: 0,
            owner: Box::new(()),
        }
    }
}

/// A device with the kernels on it. Everything happens in the order of the calls; errors of a launch may come with a later call, at
/// the latest with [`Gpu::synchronise`].
pub(crate) trait Gpu: Send {
    /// Multiprocessors, by which launches are sized.
    fn processors(&self) -> u32;

    /// Bytes that could be allocated now.
    fn free_bytes(&self) -> Result<u64, TrainError>;

    /// Memory that holds anything.
    ///
    /// # Errors
    /// [`TrainError::OutOfMemory`].
    fn alloc(&self, bytes: usize) -> Result<Memory, TrainError>;

    /// Writes `from` at the byte `at`.
    fn upload(&self, to: &Memory, at: usize, from: &[u8]) -> Result<(), TrainError>;

    /// Reads from the byte `at`, after everything that was launched.
    fn download(&self, from: &Memory, at: usize, to: &mut [u8]) -> Result<(), TrainError>;

    fn launch(&self, launch: Launch, job: &Job) -> Result<(), TrainError>;

    /// Waits for everything, and yields what went wrong in it.
    fn synchronise(&self) -> Result<(), TrainError>;
}

/// Memory that holds `values`; none for none.
pub(crate) fn hold<T: Plain>(gpu: &dyn Gpu, values: &[T]) -> Result<Memory, TrainError> {
    if values.is_empty() {
        return Ok(Memory::none());
    }
    let memory = gpu.alloc(size_of_val(values))?;
    gpu.upload(&memory, 0, bytes(values))?;
    Ok(memory)
}

/// `count` values from the place `at`, counted in values.
pub(crate) fn fetch<T: Plain>(
    gpu: &dyn Gpu,
    from: &Memory,
    at: usize,
    count: usize,
) -> Result<Vec<T>, TrainError> {
    let mut values = vec![T::default(); count];
    gpu.download(from, at * size_of::<T>(), bytes_mut(&mut values))?;
    Ok(values)
}

/// Writes `values` from the place `at`, counted in values.
pub(crate) fn store<T: Plain>(
    gpu: &dyn Gpu,
    to: &Memory,
    at: usize,
    values: &[T],
) -> Result<(), TrainError> {
    gpu.upload(to, at * size_of::<T>(), bytes(values))
}

/// Whether `length` bytes from `at` lie within a piece of memory of so many bytes.
pub(crate) fn within(memory: &Memory, at: usize, length: usize) -> Result<(), TrainError> {
    if at
        .checked_add(length)
        .is_some_and(|end| end <= memory.bytes)
    {
        return Ok(());
    }
    Err(TrainError::WorkerLost(format!(
        "a copy of {length} bytes at {at} does not fit {} bytes of device memory; please report this",
        memory.bytes
    )))
}
