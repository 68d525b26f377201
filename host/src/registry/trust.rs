//! Whose signatures count: what `airlock.toml` says about plugins. It refuses to know what a plugin may do.

use super::signature::{Signature, SignatureError, public_key};
use airlock_core::grant::Policy;
use std::collections::BTreeMap;

/// The operator's rules for plugins that are not part of the program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// Whether a plugin without a signature by one of `trusted_keys` is refused.
    pub require_signature: bool,
    /// Public keys, by the name of who holds them.
    trusted_keys: BTreeMap<String, String>,
    /// What no plugin may go beyond, whatever its own grants say.
    pub at_most: Option<Policy>,
}

/// Why a plugin is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// A signature is required and there is none.
    #[error("it has no signature, and `require_signature` is set")]
    Unsigned,
    /// The signature is by nobody that is trusted, or not of these bytes.
    #[error("its signature is by none of the trusted keys ({trusted}), or not of these bytes")]
    Untrusted {
        /// Names of the keys that are.
        trusted: String,
    },
}

/// What was found out about a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// There is none, and none is required.
    Unsigned,
    /// By a trusted key: its name and the key.
    Trusted(String, String),
    /// By a key that nobody said anything about; it proves nothing.
    Unknown,
}

impl Verdict {
    /// The key that vouches for it.
    pub fn signer(&self) -> Option<&str> {
        match self {
            Self::Trusted(_, key) => Some(key),
            _ => None,
        }
    }
}

impl Trust {
    /// Rules from settings; keys are checked for their form.
    pub fn new(
        require_signature: bool,
        keys: impl IntoIterator<Item = (String, String)>,
        at_most: Option<Policy>,
    ) -> Result<Self, SignatureError> {
        let keys = keys
            .into_iter()
            .map(|(name, key)| Ok((name, public_key(&key)?)));
        Ok(Self {
            require_signature,
            trusted_keys: keys.collect::<Result<_, SignatureError>>()?,
            at_most,
        })
    }

    /// The name of who holds a key.
    pub fn name_of(&self, key: &str) -> Option<&str> {
        let mut known = self.trusted_keys.iter();
        known
            .find(|(_, own)| *own == key)
            .map(|(name, _)| name.as_str())
    }

    /// Judges bytes by the signature that came with them. A signature that does not fit a trusted key is as good as none.
    pub fn judge(
        &self,
        bytes: &[u8],
        signature: Option<&Signature>,
    ) -> Result<Verdict, TrustError> {
        let Some(signature) = signature else {
            return if self.require_signature {
                Err(TrustError::Unsigned)
            } else {
                Ok(Verdict::Unsigned)
            };
        };
        let by = self
            .trusted_keys
            .iter()
            .find(|(_, key)| signature.check(bytes, key).is_ok());
        match by {
            Some((name, key)) => Ok(Verdict::Trusted(name.clone(), key.clone())),
            None if self.require_signature => Err(TrustError::Untrusted {
                trusted: if self.trusted_keys.is_empty() {
                    "there are none".to_owned()
                } else {
                    let names: Vec<&str> = self.trusted_keys.keys().map(String::as_str).collect();
                    names.join(", ")
                },
            }),
            None => Ok(Verdict::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::signature::{keygen, sign};
    use super::*;

    #[test]
    fn only_a_trusted_key_over_these_bytes_counts() {
        let folder = tempfile::tempdir().unwrap();
        let mine = keygen(&folder.path().join("me")).unwrap();
        keygen(&folder.path().join("you")).unwrap();
        let (by_me, _) = sign(b"x", &folder.path().join("me.key")).unwrap();
        let (by_you, _) = sign(b"x", &folder.path().join("you.key")).unwrap();
        let strict = Trust::new(true, [("me".to_owned(), mine.clone())], None).unwrap();
        let trusted = Verdict::Trusted("me".to_owned(), mine);
        assert_eq!(strict.judge(b"x", Some(&by_me)), Ok(trusted.clone()));
        assert_eq!(strict.judge(b"x", None), Err(TrustError::Unsigned));
        for (bytes, signature) in [(b"y", &by_me), (b"x", &by_you)] {
            let refused = strict.judge(bytes, Some(signature));
            assert!(matches!(refused, Err(TrustError::Untrusted { .. })));
        }
        let lax = Trust {
            require_signature: false,
            ..strict
        };
        assert_eq!(lax.judge(b"x", None), Ok(Verdict::Unsigned));
        assert_eq!(lax.judge(b"x", Some(&by_you)), Ok(Verdict::Unknown));
        assert_eq!(lax.judge(b"x", Some(&by_me)), Ok(trusted));
    }
}
