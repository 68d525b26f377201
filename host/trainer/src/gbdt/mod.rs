//! Gradient boosting on integer histograms. Gradients are 15-bit integers, their sums are exact, so the order of adding them, and
//! with it the number of threads, cannot change a model. Real numbers appear only where an integer sum becomes a gain or a leaf,
//! in one fixed order of IEEE operations. Refuses libm and fused multiply-add.
//!
//! Sources: histogram subtraction and leaf-wise growth as in LightGBM (Ke et al., 2017), gains, missing values and the split
//! rule `x < cut` as in XGBoost (Chen and Guestrin, 2016), integer gradients as in "Quantized Training of GBDT" (Shi et al., 2022).

mod cpu;
mod device;
mod gradient;
mod grow;
mod histogram;
mod part;
mod plan;
mod sample;
mod split;

pub(crate) use cpu::Cpu;
#[cfg(test)]
pub(crate) use device::gradients_at_base;
pub(crate) use device::{Nodes, Scales};
pub(crate) use plan::plan;
