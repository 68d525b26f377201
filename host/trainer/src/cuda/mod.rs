//! Training on NVIDIA cards: the same integers as on the processor, so the same model bytes, whatever the number of cards. Owns the
//! device's memory, the order of launches and the kernels; refuses to decide what is trained and when it ends.

mod backend;
mod card;
mod discover;
mod driver;
#[cfg(any(test, feature = "emulated-gpu"))]
mod emulator;
mod exchange;
mod forest;
mod gpu;
mod images;
#[cfg(any(test, feature = "emulated-gpu"))]
mod inject;
mod lanes;
mod layout;
#[cfg(any(test, feature = "emulated-gpu"))]
mod made_up;
mod probe;
mod shape;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use backend::open;
pub(crate) use driver::is_present as is_driver_present;
pub(crate) use forest::{ForestCard, Grounds, Grown};
pub(crate) use gpu::Gpu;
pub(crate) use images::COMPUTE_MIN;
pub(crate) use lanes::trains_on_cards;
pub(crate) use layout::ForestRow;
pub(crate) use probe::atomic_clocks;

/// See [`crate::device::list`].
pub(crate) fn list() -> Result<Vec<crate::device::Card>, crate::TrainError> {
    #[cfg_attr(
        not(any(test, feature = "emulated-gpu")),
        expect(unused_mut, reason = "only made-up cards are added")
    )]
    let mut cards = discover::list()?;
    #[cfg(any(test, feature = "emulated-gpu"))]
    cards.extend(made_up::cards());
    Ok(cards)
}

/// Compute capability: major and minor version.
pub(crate) type Compute = (u8, u8);
