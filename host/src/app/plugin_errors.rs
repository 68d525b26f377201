//! What is wrong with a plugin, as a person is told: with what to do, and an exit code.

use crate::error::{ErrorKind, UserError};
use crate::plugins::{PluginError, Refusal};
use crate::registry::{LOCK_FILE, RegistryError, SignatureError, TrustError};

impl From<PluginError> for UserError {
    fn from(error: PluginError) -> Self {
        let hint = match &error {
            PluginError::UnknownPlugin { .. } | PluginError::UnknownOperator { .. } => {
                "`airlock plugins list` shows plugins and operators".to_owned()
            }
            PluginError::NotHere { .. } => {
                "`airlock plugins install` fetches what airlock.lock names".to_owned()
            }
            PluginError::Refused { name, refusal } => advice(name, refusal),
            PluginError::Lock(_)
            | PluginError::Load { .. }
            | PluginError::Lost { .. }
            | PluginError::Read { .. } => {
                return match error {
                    PluginError::Lock(error) => error.into(),
                    PluginError::Lost { .. } | PluginError::Read { .. } => {
                        Self::new(ErrorKind::NotFound, error)
                    }
                    _ => Self::new(ErrorKind::Usage, error),
                };
            }
        };
        let kind = match &error {
            PluginError::Refused { .. } => ErrorKind::Denied,
            _ => ErrorKind::NotFound,
        };
        Self::new(kind, error).hint(hint)
    }
}

fn advice(name: &str, refusal: &Refusal) -> String {
    match refusal {
        Refusal::OtherComponent { .. } => format!(
            "`airlock plugins update {name}` shows what changed and asks; `airlock plugins install` fetches what was agreed to"
        ),
        Refusal::Untrusted(error) => untrusted(error).to_owned(),
        Refusal::NotGranted { capability, by, .. } if by.contains(LOCK_FILE) => {
            format!("`airlock plugins grant {name} {capability}` allows it")
        }
        Refusal::NotGranted { capability, .. } => {
            format!("`at_most` in [plugin_policy] of airlock.toml shuts `{capability}`")
        }
    }
}

/// What to do about a plugin that nobody vouches for.
pub(super) const fn untrusted(error: &TrustError) -> &'static str {
    match error {
        TrustError::Unsigned => {
            "ask its author for NAME.wasm.minisig, or sign it yourself with `airlock plugins sign` and a key of `trusted_keys`"
        }
        TrustError::Untrusted { .. } => {
            "if you trust who signed it, add their public key to `trusted_keys` in [plugin_policy] of airlock.toml"
        }
    }
}

impl From<RegistryError> for UserError {
    fn from(error: RegistryError) -> Self {
        let (kind, hint) = match &error {
            RegistryError::NotFound(_) => (
                ErrorKind::NotFound,
                Some("look for a mistake in the name, and for the tag in the registry"),
            ),
            RegistryError::Server { .. } => (
                ErrorKind::Usage,
                Some("nothing was changed; try again when the network and the server are well"),
            ),
            RegistryError::Unauthorized(_) => (
                ErrorKind::Denied,
                Some("`docker login REGISTRY` or its like writes down a name and a password"),
            ),
            RegistryError::NotAnArtifact { .. } => (
                ErrorKind::Usage,
                Some("`airlock plugins push` makes an artifact of a component"),
            ),
            RegistryError::WrongDigest { .. } => {
                (ErrorKind::Denied, Some("nothing of it was used"))
            }
            RegistryError::Lock { .. } => (
                ErrorKind::Usage,
                Some("restore it from version control, or mend the place that is named"),
            ),
            RegistryError::Io { action, .. } if *action == "read" || *action == "open" => {
                (ErrorKind::Usage, None)
            }
            RegistryError::Io { source, .. }
                if source.kind() == std::io::ErrorKind::AlreadyExists =>
            {
                (ErrorKind::Conflict, Some("choose another name"))
            }
            RegistryError::Io { .. } => (
                ErrorKind::Store,
                Some("nothing was agreed to; check free space and permissions, then try again"),
            ),
            RegistryError::Signature(SignatureError::Mismatch { .. }) => (ErrorKind::Denied, None),
            RegistryError::Source(_) | RegistryError::TooLarge(_) | RegistryError::Signature(_) => {
                (ErrorKind::Usage, None)
            }
        };
        let told = Self::new(kind, error);
        match hint {
            Some(hint) => told.hint(hint),
            None => told,
        }
    }
}
