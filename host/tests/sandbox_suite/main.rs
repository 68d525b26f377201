//! The sandbox against real components, well-behaved and hostile. After each hostile one a neighbour that runs beside it must
//! end well.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

mod bench;
mod commands;
mod corpus;
mod hostile;
mod interrupt;
mod load;
mod outcomes;
mod support;
