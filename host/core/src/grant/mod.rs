//! Grants: what a guest may do. Sets of patterns that only ever narrow when combined.
//! It refuses to resolve names, open files or look at the environment.

mod address;
mod capability;
mod host;
mod mailbox;
mod narrow;
mod policy;
#[cfg(test)]
mod policy_tests;
mod request;
mod storage;
#[cfg(test)]
mod tests;
mod tighten;

pub use address::{is_global, is_metadata};
pub use capability::{Asks, Capability, shut_imports};
pub use host::{HostError, HostPattern, canonical_host};
pub use mailbox::{AddressError, AddressPattern};
pub use policy::{Effective, Policy, PolicyError, Reach, effective};
pub use request::{Denied, GrantError, PATTERNS_MAX, Request, allows_host, allows_name};
pub use storage::{URI_BYTES_MAX, UriError, normalise_prefix, normalise_uri};
pub use tighten::Use;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a task may do. Everything that is absent is denied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grants {
    /// Hosts that may be called, `host`, `host:port` or `*.domain`; a private address must be named literally.
    pub http: Vec<String>,
    /// URI prefixes that may be read and written, each ending in `/`, for example `s3://data/` or `file://./data/`.
    pub storage: Vec<String>,
    /// URI prefixes that may only be read.
    pub storage_read: Vec<String>,
    /// Experiments that may be logged to; `*` is any.
    pub tracking: Vec<String>,
    /// Registered models that may be changed; `*` is any.
    pub models: Vec<String>,
    /// Whether the host may be asked to train, and on what.
    pub training: Option<TrainingGrant>,
    /// DAGs whose run states may be read; `*` is any.
    pub dag_state: Vec<String>,
    /// DAGs whose runs may be triggered; `*` is any. Their run states may be read too.
    pub trigger_dags: Vec<String>,
    /// Secrets by name, each with the hosts it may be sent to.
    pub secrets: BTreeMap<String, Vec<String>>,
    /// Addresses that mails may go to: `ml@example.com`, `*@example.com`, or `*` for any.
    pub email: Vec<String>,
    /// Bytes of the scratch folder that a command-line program may have; absent is no folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scratch_bytes: Option<u64>,
    /// Limits of one attempt; absent members take the host's defaults and can only lower them.
    pub limits: Limits,
}

/// Permission to train.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingGrant {
    /// Threads at most.
    pub threads: u32,
    /// Host memory at most, bytes.
    pub memory_bytes: u64,
}

impl Default for TrainingGrant {
    fn default() -> Self {
        Self {
            threads: 1,
            memory_bytes: 2 << 30,
        }
    }
}

/// Limits of one attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Total linear memory of the attempt, bytes.
    pub memory_bytes: Option<u64>,
    /// Bytes of log kept; further lines are dropped with one line that says so.
    pub log_bytes: Option<u64>,
    /// Bytes of the value it may return.
    pub output_bytes: Option<u64>,
}
