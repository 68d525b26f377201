//! The wish for a device.

use serde::{Deserialize, Serialize};

/// Which device a run wishes for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Device {
    /// The processor.
    Cpu,
    /// A GPU or nothing.
    Gpu(GpuWish),
    /// A GPU where there is one that fits, else the processor.
    Best,
}

/// What a GPU must have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GpuWish {
    /// Part of the product name.
    pub name: Option<String>,
    /// Bytes.
    pub min_memory: Option<u64>,
    /// Compute capability.
    pub min_compute: Option<(u8, u8)>,
    /// How many cards.
    pub count: u8,
    /// Fraction of one card, 0.0 to 1.0.
    pub share: f32,
}
