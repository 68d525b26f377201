//! Training on NVIDIA cards: the same integers as on the processor, so the same model bytes, whatever the number of cards. Owns the
//! device's memory, the order of launches and the kernels; refuses to decide what is trained and when it ends.

mod backend;
mod card;
#[cfg(test)]
mod emulator;
mod exchange;
mod gpu;
mod lanes;
mod layout;
mod shape;
#[cfg(test)]
mod tests;
mod tree;
