//! Why an operator cannot be had.

use crate::registry::{RegistryError, TrustError};
use crate::sandbox::LoadError;
use std::path::PathBuf;

/// Why an operator cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// No plugin of that name.
    #[error("no plugin is called {name:?}; there are: {known}")]
    UnknownPlugin {
        /// As asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The plugin has no such operator.
    #[error("plugin {plugin:?} has no operator {operator:?}; it has: {known}")]
    UnknownOperator {
        /// Which plugin.
        plugin: String,
        /// As asked for.
        operator: String,
        /// What it has.
        known: String,
    },
    /// The component cannot be loaded.
    #[error("plugin {name:?} cannot be loaded from {from}: {source}")]
    Load {
        /// Which plugin.
        name: String,
        /// File, or `the airlock binary`.
        from: String,
        /// What is wrong with it.
        source: LoadError,
    },
    /// The component of a DAG's version is not in the store any more.
    #[error(
        "the component {name} ({sha256}) of this DAG's version is not in the store; register its file again"
    )]
    Lost {
        /// What it called itself.
        name: String,
        /// Its digest, in hex.
        sha256: String,
    },
    /// The file or folder cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Its component is not on this machine, or not what the lock file says.
    #[error("plugin {name:?} of {lock} is not here: {what}")]
    NotHere {
        /// Which plugin.
        name: String,
        /// The lock file.
        lock: PathBuf,
        /// What was found.
        what: String,
    },
    /// A rule of the person who runs the host forbids it.
    #[error("plugin {name:?} is refused: {refusal}")]
    Refused {
        /// Which plugin.
        name: String,
        /// Which rule.
        refusal: Refusal,
    },
    /// The lock file cannot be read.
    #[error(transparent)]
    Lock(#[from] RegistryError),
}

/// A rule that forbids a plugin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The component is another one than the one that was agreed to.
    #[error("{from} has the SHA-256 {found}, and airlock.lock was agreed to for {agreed}")]
    OtherComponent {
        /// Where it lies.
        from: String,
        /// Its digest.
        found: String,
        /// The digest that was agreed to.
        agreed: String,
    },
    /// Nobody who is trusted vouches for it.
    #[error(transparent)]
    Untrusted(#[from] TrustError),
    /// It imports what it was not granted at all.
    #[error("it imports {import}, and {by} does not grant it `{capability}`")]
    NotGranted {
        /// What it imports.
        import: String,
        /// The member of its grants that would open it.
        capability: &'static str,
        /// The file that denies it.
        by: String,
    },
}
