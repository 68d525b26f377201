//! Who asks a registry: what `docker login` and its like wrote down. It refuses to run credential helpers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci_client::secrets::RegistryAuth;
use serde_json::Value;
use std::path::PathBuf;

/// Name and password for a registry from `config.json` of `$DOCKER_CONFIG` or `~/.docker`; without, nobody in particular asks.
pub(super) fn credentials(registry: &str) -> RegistryAuth {
    let folder = std::env::var_os("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker")));
    let known = folder
        .and_then(|folder| std::fs::read_to_string(folder.join("config.json")).ok())
        .and_then(|text| read(&text, registry));
    match known {
        Some((name, password)) => RegistryAuth::Basic(name, password),
        None => RegistryAuth::Anonymous,
    }
}

fn read(text: &str, registry: &str) -> Option<(String, String)> {
    let config: Value = serde_json::from_str(text).ok()?;
    let auth = config.get("auths")?.get(registry)?.get("auth")?.as_str()?;
    let decoded = String::from_utf8(STANDARD.decode(auth).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_gets_its_own_password_and_no_other() {
        let text = r#"{"auths": {"registry.example": {"auth": "bWU6cDp3"}, "broken.example": {"auth": "?"}}}"#;
        let found = read(text, "registry.example");
        assert_eq!(found, Some(("me".to_owned(), "p:w".to_owned())));
        assert_eq!(read(text, "other.example"), None);
        assert_eq!(read(text, "broken.example"), None);
        assert_eq!(read("no JSON", "registry.example"), None);
    }
}
