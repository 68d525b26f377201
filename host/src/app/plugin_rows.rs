//! Plugins as programs read them.

use super::App;
use crate::error::UserError;
use crate::store::Digest;
use serde::Serialize;
use serde_json::Value;

/// A plugin.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PluginRow {
    /// Its name.
    pub name: String,
    /// As it says itself.
    pub version: String,
    /// SHA-256 of its component, in hex.
    pub digest: String,
    /// The interfaces that it imports: its request for capabilities.
    pub imports: Vec<String>,
    /// Its operators.
    pub operators: Vec<OperatorRow>,
}

/// An operator of a plugin.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OperatorRow {
    /// Its name inside the plugin.
    pub name: String,
    /// One line.
    pub summary: String,
    /// The JSON Schema of its config.
    pub config_schema: Value,
}

impl App {
    /// Every plugin, by name.
    pub fn plugin_rows(&self) -> Result<Vec<PluginRow>, UserError> {
        let mut rows = Vec::new();
        for name in self.plugins.names() {
            let plugin = self.plugins.load(&name)?;
            let operators = plugin.operators().iter().map(|operator| OperatorRow {
                name: operator.name.clone(),
                summary: operator.summary.clone(),
                config_schema: serde_json::from_str(&operator.config_schema).unwrap_or_default(),
            });
            rows.push(PluginRow {
                name: plugin.name().to_owned(),
                version: plugin.version().to_owned(),
                digest: Digest(*plugin.digest()).to_string(),
                imports: plugin.imports().iter().map(ToString::to_string).collect(),
                operators: operators.collect(),
            });
        }
        rows.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(rows)
    }
}

/// SHA-256 of a text.
pub fn digest_of(text: &str) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(text.as_bytes()).into()
}
