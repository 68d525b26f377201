//! The run state machine against what Airflow answered, and against its own laws.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test a panic is the answer"
)]

mod clearing;
mod groups;
mod laws;
mod mapping;
mod oracle;
mod past;
mod people;
mod rows;
mod semantics;
mod sensors;
mod speed;
mod stopping;
mod support;
mod vectors;
