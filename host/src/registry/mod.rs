//! Where plugins come from and which ones may run: sources (files, URLs, OCI registries), digests, signatures, the components
//! that this host keeps and `airlock.lock`, which says what was agreed to. It refuses to compile, run or ask anybody: bytes go
//! in and out, and what a component asks for is told to it.
//!
//! ```text
//! source --fetch--> bytes + signature --(somebody looks, somebody agrees)--> components/SHA-256 --> airlock.lock
//! ```

mod components;
mod credentials;
mod fetch;
mod lock;
mod oci;
mod signature;
mod source;
mod trust;

pub use components::Components;
pub use fetch::{Fetched, fetch};
pub use lock::{LOCK_FILE, Lock, LockFile, Locked, PLUGINS_MAX};
pub use oci::push;
pub use signature::{Signature, SignatureError, keygen, sign};
pub use source::{OciRef, Source, SourceError};
pub use trust::{Trust, TrustError, Verdict};

use std::path::PathBuf;

/// The largest component that is fetched, bytes.
pub const FETCH_BYTES_MAX: u64 = 64 << 20;
/// The largest signature that is read, bytes.
const SIGNATURE_BYTES_MAX: u64 = 16 << 10;

/// Why a plugin cannot be had from where it is, or kept.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The source makes no sense.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Nothing is there.
    #[error("there is nothing at {0}")]
    NotFound(String),
    /// A server or a registry did not do what it was asked.
    #[error("{from} did not answer as it should: {reason}")]
    Server {
        /// Which.
        from: String,
        /// In its words, or the network's.
        reason: String,
    },
    /// It wants a name and a password, or refuses the ones it got.
    #[error("{0} wants to know who asks")]
    Unauthorized(String),
    /// What is there is no plugin.
    #[error("{from} is no WebAssembly artifact: {reason}")]
    NotAnArtifact {
        /// Where.
        from: String,
        /// What it is instead.
        reason: String,
    },
    /// Over `FETCH_BYTES_MAX`.
    #[error("what is at {0} has over {FETCH_BYTES_MAX} bytes, the limit of a component")]
    TooLarge(String),
    /// Bytes are not those that their digest says.
    #[error("what is at {at} has the SHA-256 {found}, not {expected}: it was changed or damaged")]
    WrongDigest {
        /// Where.
        at: String,
        /// What they should be.
        expected: String,
        /// What they are.
        found: String,
    },
    /// The lock file is not one.
    #[error("{path} is no lock file of this version of Airlock: {reason}")]
    Lock {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with its place.
        reason: String,
    },
    /// A file or folder refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A signature or a key is broken, or does not belong to the component.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

fn refused(
    action: &'static str,
    path: &std::path::Path,
) -> impl FnOnce(std::io::Error) -> RegistryError {
    let path = path.to_owned();
    move |source| RegistryError::Io {
        action,
        path,
        source,
    }
}
