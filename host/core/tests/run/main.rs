//! The run state machine against what Airflow answered, and against its own laws.

mod laws;
mod mapping;
mod oracle;
mod semantics;
mod sensors;
mod speed;
mod stopping;
mod support;
mod vectors;
