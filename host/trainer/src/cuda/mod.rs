//! Training on NVIDIA cards: the same integers as on the processor, so the same model bytes, whatever the number of cards. Owns the
//! device's memory, the order of launches and the kernels; refuses to decide what is trained and when it ends.

mod backend;
mod card;
mod discover;
mod driver;
#[cfg(test)]
mod emulator;
mod exchange;
mod gpu;
mod images;
mod lanes;
mod layout;
mod shape;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use discover::list;
pub(crate) use backend::open;
pub(crate) use lanes::not_on_cards;
pub(crate) use driver::is_present as is_driver_present;
pub(crate) use images::COMPUTE_MIN;

/// Compute capability: major and minor version.
pub(crate) type Compute = (u8, u8);
