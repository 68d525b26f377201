//! Which names look like secrets: Airflow's list and Airflow's rule. It refuses to look at values.

use serde_json::Value;

/// What is shown in the place of a secret.
pub const HIDDEN: &str = "***";

/// Airflow's `DEFAULT_SENSITIVE_FIELDS`.
const SENSITIVE: [&str; 14] = [
    "access_token",
    "api_key",
    "apikey",
    "authorization",
    "keyfile_dict",
    "passphrase",
    "passwd",
    "password",
    "private_key",
    "proxies",
    "proxy",
    "secret",
    "service_account",
    "token",
];

/// Whether a variable, a member of `extra` or a field with this name holds a secret.
pub fn is_sensitive(name: &str) -> bool {
    let name = name.trim().to_lowercase().replace('-', "_");
    SENSITIVE.iter().any(|part| name.contains(part))
}

/// The same JSON with every member hidden whose name looks like a secret, at any depth.
#[must_use]
pub fn hide_extra(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| match member {
                Value::Null => (name.clone(), Value::Null),
                _ if is_sensitive(name) => (name.clone(), Value::from(HIDDEN)),
                _ => (name.clone(), hide_extra(member)),
            })
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(hide_extra).collect(),
        plain => plain.clone(),
    }
}
