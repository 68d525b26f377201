//! The DAG: from text to a validated graph.
//! `parse` never fails: it returns what it found and everything that is wrong with it, each with its place.
//! It refuses files, clocks and plugins: whether an operator exists is checked where plugins are known.

mod check_templates;
pub mod commands;
pub mod diagnostic;
pub mod digest;
mod edges;
pub mod graph;
pub mod layout;
mod names;
mod params;
mod quantity;
mod read;
mod read_callback;
mod read_dag;
mod read_deadline;
mod read_expand;
mod read_gpu;
mod read_grants;
mod read_group;
mod read_policy;
mod read_schedule;
mod read_task;
#[cfg(test)]
mod schema_tests;
pub mod spec;
mod suggest;
pub(crate) mod templates;
mod validate;
mod when;
mod yaml;

pub use diagnostic::{Diagnostic, Severity, render};
pub use digest::digest;
pub use params::{check_params, check_values};
pub use quantity::{DURATION_MAX, size};
pub use suggest::nearest;
pub use templates::TEMPLATE_BYTES_MAX;
pub use yaml::{DEPTH_MAX, NODES_MAX, TEXT_BYTES_MAX};

/// The most tasks a DAG may have.
pub const TASKS_MAX: usize = 10_000;
/// The most task groups a DAG may have.
pub const GROUPS_MAX: usize = 1_000;
/// The most direct dependencies a DAG may have: two groups can make as many as the product of their tasks.
pub const EDGES_MAX: usize = 200_000;
/// The most elements that an `expand` written in the file may make (Airflow's `max_map_length`).
pub const MAP_LENGTH_MAX: usize = 1024;
/// The JSON Schema (draft 2020-12) of a DAG file, for editors.
pub const FILE_SCHEMA: &str = include_str!("dag.schema.json");

/// What `parse` found.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The DAG; absent if and only if a diagnostic is an error.
    pub dag: Option<spec::Dag>,
    /// All errors and warnings, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// What the part of a file before a mistake in its YAML cannot tell: the rest may say it.
const UNKNOWABLE: [&str; 9] = [
    "invalid-assets",
    "invalid-deadline",
    "invalid-schedule",
    "retry-rule",
    "no-tasks",
    "empty-group",
    "missing-key",
    "unknown-task",
    "template-syntax",
];

/// Reads one DAG from YAML (or JSON, which is YAML). Never fails and never panics, whatever `text` holds.
pub fn parse(text: &str) -> Parsed {
    let mut sink = diagnostic::Sink::new();
    let dag = match yaml::load(text, &mut sink) {
        yaml::Loaded::Whole(root) => read_dag::read(&root, text, &mut sink),
        yaml::Loaded::Part(root, until) => {
            let mut part = diagnostic::Sink::new();
            read_dag::read(&root, text, &mut part);
            sink.take_errors_before(part, until, &UNKNOWABLE);
            None
        }
        yaml::Loaded::Nothing => None,
    };
    let failed = sink.has_errors();
    Parsed {
        dag: dag.filter(|_| !failed),
        diagnostics: sink.finish(),
    }
}
