//! The host's side of every import: one file an interface. Each call goes through the grant line in `state` and then to its
//! port. These files refuse to decide anything else.

mod calendar;
mod clock;
mod dag_runs;
mod dag_state;
mod dataset;
mod email;
pub(super) mod http;
mod human;
mod log;
mod models;
mod progress;
mod requests;
mod secrets;
mod storage;
mod tracking;
mod training;
pub(super) mod wasi;
mod xcom;

use super::state::GuestState;

/// Only types, no functions.
impl super::bindings::airlock::operator::types::Host for GuestState {}
