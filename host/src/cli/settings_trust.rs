//! `[plugin_policy]` of `airlock.toml`: whose signatures count, and what no plugin may go beyond.

use crate::registry::Trust;
use airlock_core::grant::Policy;
use serde::Deserialize;
use std::collections::BTreeMap;

/// As it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PluginPolicy {
    require_signature: bool,
    trusted_keys: BTreeMap<String, String>,
    at_most: Option<toml::Table>,
}

/// Reads the table; the error says what is wrong in it.
pub(super) fn trust(value: toml::Value) -> Result<Trust, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("[plugin_policy]: {error}");
    let read: PluginPolicy = value.try_into().map_err(|error| wrong(&error))?;
    let at_most = read.at_most.map(at_most).transpose();
    let at_most = at_most.map_err(|error| wrong(&error))?;
    if read.require_signature && read.trusted_keys.is_empty() {
        return Err(wrong(
            &"`require_signature` needs `trusted_keys`, a table of names and public keys",
        ));
    }
    Trust::new(read.require_signature, read.trusted_keys, at_most).map_err(|error| wrong(&error))
}

/// What is not named is not narrowed.
fn at_most(named: toml::Table) -> Result<Policy, String> {
    let mut whole = toml::Table::try_from(Policy::whole()).map_err(|error| error.to_string())?;
    whole.extend(named);
    let policy: Policy = whole
        .try_into()
        .map_err(|error: toml::de::Error| format!("at_most: {error}"))?;
    policy
        .validate()
        .map_err(|error| format!("at_most: {error}"))?;
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use airlock_core::grant::Reach;

    fn read(text: &str) -> Result<Trust, String> {
        trust(toml::Value::Table(text.parse().unwrap()))
    }

    #[test]
    fn what_is_not_named_is_not_narrowed() {
        let trust = read("at_most = {http = [\"hooks.slack.com\"], training = false}").unwrap();
        let most = trust.at_most.unwrap();
        assert_eq!(most.http, Reach::AtMost(vec!["hooks.slack.com".to_owned()]));
        assert_eq!(most.storage, Reach::Whole(true));
        assert!(!most.training.is_open());
    }

    #[test]
    fn mistakes_are_told() {
        for (text, told) in [
            ("require_signature = true", "trusted_keys"),
            ("trusted_keys = {me = \"RW\"}", "no public key"),
            ("require = true", "unknown field"),
            ("at_most = {htp = true}", "unknown field"),
            ("at_most = {http = [\"192.168.1.*\"]}", "192.168.1.*"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}
