//! What the service has: plugins, pools, variables, connections; questions that wait for a person; the audit log.

pub(super) mod audit;
pub(super) mod connections;
pub(super) mod plugin_use;
pub(super) mod plugins;
pub(super) mod pools;
pub(super) mod questions;
pub(super) mod variables;
