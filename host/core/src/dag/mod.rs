//! The DAG: from text to a validated graph.

pub mod spec;
