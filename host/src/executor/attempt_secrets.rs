//! Secrets as one attempt may have them: its templates get variables, connections and, under a grant, placeholders for passwords;
//! its guest gets placeholders. What a template gets in the clear and looks secret by its name is hidden in what the attempt leaves.

use crate::capability::{ConnectionSource, SecretSource, Vault};
use crate::secrets::{self, Secrets, hide_extra, is_sensitive};
use airlock_core::grant::Grants;
use airlock_core::template::{Connection, Lookup};
use std::collections::BTreeMap;
use std::sync::Arc;

/// See the module's documentation.
pub(super) struct AttemptSecrets {
    secrets: Arc<Secrets>,
    /// The secrets that are granted, with the hosts that each may go to.
    granted: BTreeMap<String, Vec<String>>,
    vault: Vault,
}

impl AttemptSecrets {
    pub(super) fn new(secrets: Arc<Secrets>, grants: &Grants, vault: Vault) -> Self {
        Self {
            secrets,
            granted: grants.secrets.clone(),
            vault,
        }
    }

    fn stand_in(&self, name: &str, value: String, hosts: &[String]) -> Result<String, String> {
        self.vault
            .stand_in(name, value, hosts.to_vec())
            .map_err(|error| error.to_string())
    }
}

impl Lookup for AttemptSecrets {
    fn variable(&self, key: &str) -> Result<Option<String>, String> {
        let found = self.secrets.variable(key);
        let Some(found) = found.map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        let value = found.value.value;
        if let Some(hosts) = self.granted.get(key) {
            return self.stand_in(key, value, hosts).map(Some);
        }
        if is_sensitive(key) {
            self.vault.mask(&value);
        }
        Ok(Some(value))
    }

    fn connection(&self, conn_id: &str) -> Result<Option<Connection>, String> {
        let found = self.secrets.connection(conn_id);
        let found = found.map_err(|error| error.to_string())?;
        Ok(found.map(|found| {
            let kept = found.value;
            Connection {
                extra: hide_extra(&kept.extra),
                conn_type: kept.conn_type,
                description: kept.description,
                host: kept.host,
                login: kept.login,
                port: kept.port,
                schema: kept.schema,
            }
        }))
    }

    fn password(&self, conn_id: &str) -> Result<Option<String>, String> {
        let Some(hosts) = self.granted.get(conn_id) else {
            return Err(format!(
                "no grant covers the password of connection {conn_id:?}; it needs `secrets: {{{conn_id}: [HOST]}}` with the hosts it may go to"
            ));
        };
        let found = self.secrets.connection(conn_id);
        let found = found.map_err(|error| error.to_string())?;
        match found.and_then(|found| found.value.password) {
            // A variable may have the connection's name; this is the other secret.
            Some(password) => {
                let name = format!("conn.{conn_id}.password");
                self.stand_in(&name, password, hosts).map(Some)
            }
            None => Ok(None),
        }
    }

    fn variable_keys(&self) -> Vec<String> {
        self.secrets.variable_keys()
    }

    fn connection_ids(&self) -> Vec<String> {
        self.secrets.connection_ids()
    }
}

impl ConnectionSource for AttemptSecrets {
    fn storage_connection(&self, conn_id: &str) -> Result<Option<secrets::Connection>, String> {
        let found = self.secrets.connection(conn_id);
        let found = found.map_err(|error| error.to_string())?;
        Ok(found.map(|found| found.value))
    }
}

impl SecretSource for AttemptSecrets {
    /// What the host's environment has under `AIRLOCK_SECRET_<NAME>`; else the variable of this name; else the password of the
    /// connection of this name.
    fn value(&self, name: &str) -> Result<Option<String>, String> {
        match std::env::var(format!("AIRLOCK_SECRET_{name}")) {
            Ok(value) => return Ok(Some(value)),
            Err(std::env::VarError::NotPresent) => {}
            Err(std::env::VarError::NotUnicode(_)) => return Err("it is not UTF-8".to_owned()),
        }
        let variable = self.secrets.variable(name);
        if let Some(found) = variable.map_err(|error| error.to_string())? {
            return Ok(Some(found.value.value));
        }
        let connection = self.secrets.connection(name);
        let connection = connection.map_err(|error| error.to_string())?;
        Ok(connection.and_then(|found| found.value.password))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::Variable;
    use crate::store::MemoryStore;

    fn attempt(granted: &[&str]) -> AttemptSecrets {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(Arc::new(MemoryStore::default()), folder.path(), None);
        let set = |key: &str, value: &str| {
            let value = value.to_owned();
            let variable = Variable {
                value,
                description: None,
            };
            secrets.set_variable(key, &variable).unwrap();
        };
        set("bucket", "plain-value");
        set("slack_token", "variable-secret");
        let uri = "http://robot:password-secret@h:80?api_key=extra-secret&region=eu";
        let connection = crate::secrets::Connection::parse(uri).unwrap();
        secrets.set_connection("slack", &connection).unwrap();
        let grants = Grants {
            secrets: granted
                .iter()
                .map(|name| ((*name).to_owned(), vec!["h".to_owned()]))
                .collect(),
            ..Grants::default()
        };
        AttemptSecrets::new(Arc::new(secrets), &grants, Vault::default())
    }

    #[test]
    fn a_password_is_a_placeholder_under_a_grant_and_nothing_without_one() {
        let refused = attempt(&[]).password("slack").unwrap_err();
        assert!(refused.contains("secrets: {slack: [HOST]}"), "{refused}");
        let granted = attempt(&["slack"]);
        let placeholder = granted.password("slack").unwrap().unwrap();
        assert!(placeholder.starts_with("airlock-secret-"));
        assert_eq!(granted.password("slack").unwrap().unwrap(), placeholder);
        assert_eq!(granted.vault.redact("it is password-secret"), "it is ***");
        let connection = granted.connection("slack").unwrap().unwrap();
        let extra = serde_json::json!({"api_key": "***", "region": "eu"});
        assert_eq!(connection.extra, extra);
        assert_eq!(connection.login.as_deref(), Some("robot"));
    }

    #[test]
    fn a_variable_that_looks_secret_is_hidden_in_what_the_attempt_leaves() {
        let attempt = attempt(&[]);
        let value = attempt.variable("slack_token").unwrap().unwrap();
        assert_eq!(value, "variable-secret");
        assert_eq!(attempt.vault.redact("x variable-secret"), "x ***");
        attempt.variable("bucket").unwrap();
        assert_eq!(attempt.vault.redact("plain-value"), "plain-value");
    }

    #[test]
    fn a_granted_variable_is_a_placeholder_in_templates_too() {
        let attempt = attempt(&["slack_token"]);
        let value = attempt.variable("slack_token").unwrap().unwrap();
        assert!(value.starts_with("airlock-secret-"));
    }

    #[test]
    fn i15_a_guest_gets_a_variable_or_the_password_of_a_connection() {
        let attempt = attempt(&[]);
        let value = |name| SecretSource::value(&attempt, name).unwrap();
        assert_eq!(value("slack_token").as_deref(), Some("variable-secret"));
        assert_eq!(value("slack").as_deref(), Some("password-secret"));
        assert_eq!(value("nowhere"), None);
    }
}
