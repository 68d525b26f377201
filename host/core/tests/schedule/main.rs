//! When runs are made: row by row of Airflow's semantics, and as laws.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test a panic is the answer"
)]

mod asset_runs;
mod backfills;
mod laws;
mod support;
mod timed;
