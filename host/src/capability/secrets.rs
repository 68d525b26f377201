//! `airlock:operator/secrets`: hands out placeholders. The value is looked up when a guest asks, under its grant; it goes into the
//! vault and never into the guest.

use super::granted::Granted;
use super::vault::Vault;
use super::{Answer, blocking};
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::sandbox::ports::SecretsPort;
use async_trait::async_trait;
use std::sync::Arc;

/// The largest secret, bytes.
pub const SECRET_BYTES_MAX: usize = 16 << 10;

/// Where values come from.
pub trait SecretSource: Send + Sync {
    /// The value, or none where there is none. May block. The error must not hold the value.
    fn value(&self, name: &str) -> Result<Option<String>, String>;
}

/// The secrets that one attempt may use.
pub(super) struct Secrets {
    pub(super) grants: Arc<Granted>,
    pub(super) source: Arc<dyn SecretSource>,
    pub(super) vault: Vault,
}

#[async_trait]
impl SecretsPort for Secrets {
    async fn placeholder(&self, name: String) -> Answer<String> {
        let Some(hosts) = self.grants.secrets.get(&name).cloned() else {
            let shown: String = name.chars().take(100).collect();
            return Err(CapabilityError::Denied(format!(
                "no grant covers secret {shown:?}; it needs `secrets` with this name and the hosts it may go to"
            )));
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(CapabilityError::Invalid(format!(
                "secret name {name:?}: only ASCII letters, digits and '_' are allowed"
            )));
        }
        if let Some(known) = self.vault.placeholder(&name) {
            return Ok(known);
        }
        let (source, vault) = (Arc::clone(&self.source), self.vault.clone());
        blocking(move || {
            let value = look_up(&*source, &name)?;
            let placeholder = vault.stand_in(&name, value, hosts);
            placeholder.map_err(|error| CapabilityError::Unavailable(error.to_string()))
        })
        .await
    }
}

fn look_up(source: &dyn SecretSource, name: &str) -> Answer<String> {
    match source.value(name) {
        Ok(Some(value)) if value.is_empty() || value.len() > SECRET_BYTES_MAX => {
            Err(CapabilityError::Invalid(format!(
                "secret {name:?} is empty or over {SECRET_BYTES_MAX} bytes"
            )))
        }
        Ok(Some(value)) => Ok(value),
        Ok(None) => Err(CapabilityError::NotFound(format!(
            "secret {name:?} is not set; `airlock variables set {name} -` or `airlock connections set {name} --conn-uri URI` keeps it (of a connection, its password), or set AIRLOCK_SECRET_{name} for the host"
        ))),
        Err(reason) => Err(CapabilityError::Unavailable(format!(
            "secret {name:?} cannot be read: {reason}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::vault::PLACEHOLDER_PREFIX;
    use super::*;
    use airlock_core::grant::Grants;

    struct Fixed;
    impl SecretSource for Fixed {
        fn value(&self, name: &str) -> Result<Option<String>, String> {
            Ok((name == "TOKEN").then(|| "value-of-token".to_owned()))
        }
    }

    fn secrets() -> Secrets {
        let names = ["TOKEN", "UNSET", "bad-name"];
        let granted = names.map(|name| (name.to_owned(), vec!["h".to_owned()]));
        let grants = Grants {
            secrets: granted.into(),
            ..Grants::default()
        };
        Secrets {
            grants: Arc::new(grants.into()),
            source: Arc::new(Fixed),
            vault: Vault::default(),
        }
    }

    #[tokio::test]
    async fn a_placeholder_is_random_in_each_attempt_and_fixed_inside_one() {
        let (one, two) = (secrets(), secrets());
        let first = one.placeholder("TOKEN".into()).await.unwrap();
        assert_eq!(one.placeholder("TOKEN".into()).await.unwrap(), first);
        assert_ne!(two.placeholder("TOKEN".into()).await.unwrap(), first);
        assert!(!first.contains("value-of-token"));
        assert_eq!(first.len(), PLACEHOLDER_PREFIX.len() + 32);
    }

    #[tokio::test]
    async fn refusals_say_what_would_help() {
        let one = secrets();
        let denied = one.placeholder("OTHER".into()).await;
        assert!(matches!(denied, Err(CapabilityError::Denied(text)) if text.contains("`secrets`")));
        let unset = one.placeholder("UNSET".into()).await;
        assert!(
            matches!(unset, Err(CapabilityError::NotFound(text)) if text.contains("AIRLOCK_SECRET_UNSET"))
        );
        let bad = one.placeholder("bad-name".into()).await;
        assert!(matches!(bad, Err(CapabilityError::Invalid(_))));
    }
}
