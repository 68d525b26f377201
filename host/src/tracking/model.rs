//! The records of registered models and their versions, and the keys they live under.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt;

/// Where a version stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// Just registered.
    None,
    /// Under test.
    Staging,
    /// In use.
    Production,
    /// No longer in use.
    Archived,
}

impl fmt::Display for Stage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::None => "None",
            Self::Staging => "Staging",
            Self::Production => "Production",
            Self::Archived => "Archived",
        })
    }
}

/// A model that has versions. Its row's version serialises every change of it and of its versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredModel {
    /// Its name.
    pub name: String,
    /// When it was made, milliseconds since the epoch.
    pub created_ms: i64,
    /// The number of its newest version; versions are 1 to this, without gaps.
    pub latest_version: u32,
    /// Versions by alias.
    pub aliases: BTreeMap<String, u32>,
    /// Which versions entered Production, oldest first, the newest `PROMOTIONS_MAX` of them; a rollback goes back along it.
    pub promotions: Vec<Promotion>,
}

/// The most promotions that a model remembers for rollback; the audit trail has them all.
pub const PROMOTIONS_MAX: usize = 256;

/// A version entered Production.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    /// Which.
    pub version: u32,
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
}

/// A version of a registered model. Only stage and aliases ever change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelVersion {
    /// The model's name.
    pub name: String,
    /// From 1, dense.
    pub version: u32,
    /// Where it stands.
    pub stage: Stage,
    /// The tracking run that made it.
    pub run_id: String,
    /// SHA-256 of its bytes in hex.
    pub artifact: String,
    /// As registered.
    pub tags: BTreeMap<String, String>,
    /// When it was registered, milliseconds since the epoch.
    pub created_ms: i64,
    /// When its stage last changed, milliseconds since the epoch.
    pub stage_ms: i64,
    /// Filled in when read.
    #[serde(default)]
    pub aliases: Vec<String>,
}

/// Key of a version in `Table::ModelVersion`. Without a number: the prefix of all.
pub(super) fn version_key(name: &str, version: Option<u32>) -> Vec<u8> {
    let mut key = [b"v", name.as_bytes(), &[0]].concat();
    key.extend(version.iter().flat_map(|number| number.to_be_bytes()));
    key
}

/// Key in `Table::ModelVersion` of the number that a run's artifact was registered as.
pub(super) fn origin_key(name: &str, run_id: &str, artifact: &str) -> Vec<u8> {
    let origin = Sha256::digest([run_id.as_bytes(), &[0], artifact.as_bytes()].concat());
    [b"o", name.as_bytes(), &[0], origin.as_slice()].concat()
}
