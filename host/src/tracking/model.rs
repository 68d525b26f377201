//! The records of registered models and their versions, and the keys they live under.

use super::experiment::{tag, time};
use super::search::{Entity, Field, Rows, Value};
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

impl Stage {
    /// Every stage, in MLflow's order.
    pub const ALL: [Self; 4] = [Self::None, Self::Staging, Self::Production, Self::Archived];

    /// MLflow's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Staging => "Staging",
            Self::Production => "Production",
            Self::Archived => "Archived",
        }
    }

    /// From MLflow's word, in whatever case.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|stage| stage.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// A model that has versions. Its row's version serialises every change of it and of its versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredModel {
    /// Its name.
    pub name: String,
    /// When it was made, milliseconds since the epoch.
    pub created_ms: i64,
    /// When it or a version of it last changed; `None`: never.
    #[serde(default)]
    pub updated_ms: Option<i64>,
    /// What it is for, in words.
    #[serde(default)]
    pub description: String,
    /// Upserted.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// The number of its newest version; numbers are never given twice.
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

/// A version of a registered model. What it is made of never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelVersion {
    /// The model's name.
    pub name: String,
    /// From 1.
    pub version: u32,
    /// Where it stands.
    pub stage: Stage,
    /// The tracking run that made it; empty if a client named none.
    pub run_id: String,
    /// SHA-256 of its bytes in hex. Of several files: of their list, a line `SHA-256  path` for each, which is a blob too. Empty:
    /// its files are not Airlock's.
    pub artifact: String,
    /// Whether `artifact` is of a list of files.
    #[serde(default)]
    pub is_list: bool,
    /// Where its files are, as clients name it.
    #[serde(default)]
    pub source: String,
    /// A link to the run, as a client gave it.
    #[serde(default)]
    pub run_link: String,
    /// The logged model that it was made from, if it was.
    #[serde(default)]
    pub model_id: Option<String>,
    /// What it is, in words.
    #[serde(default)]
    pub description: String,
    /// Upserted.
    pub tags: BTreeMap<String, String>,
    /// Who registered it.
    #[serde(default)]
    pub user_id: String,
    /// When it was registered, milliseconds since the epoch.
    pub created_ms: i64,
    /// When its stage last changed, milliseconds since the epoch.
    pub stage_ms: i64,
    /// When its description or tags last changed; `None`: never.
    #[serde(default)]
    pub updated_ms: Option<i64>,
    /// Filled in when read.
    #[serde(default)]
    pub aliases: Vec<String>,
}

impl ModelVersion {
    /// When anything of it last changed, milliseconds since the epoch.
    pub fn last_updated_ms(&self) -> i64 {
        self.updated_ms
            .unwrap_or(self.created_ms)
            .max(self.stage_ms)
    }
}

/// What a client says of a new version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewModelVersion {
    /// Where its files are.
    pub source: String,
    /// The run that made it.
    pub run_id: Option<String>,
    /// A link to the run.
    pub run_link: String,
    /// The logged model that it is.
    pub model_id: Option<String>,
    /// What it is, in words.
    pub description: String,
    /// Its first tags.
    pub tags: Vec<(String, String)>,
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
    let mut key = origin_prefix(name);
    key.extend(origin);
    key
}

/// The prefix of all such keys of a model.
pub(super) fn origin_prefix(name: &str) -> Vec<u8> {
    [b"o", name.as_bytes(), &[0]].concat()
}

/// A list of models as a search sees it.
pub(super) struct Models;

impl Rows for Models {
    type Row = RegisteredModel;
    type Slot = Field;

    fn slot(&self, field: &Field) -> Field {
        field.clone()
    }

    fn any(&self, row: &RegisteredModel, slot: &Field, test: &dyn Fn(Value<'_>) -> bool) -> bool {
        test(self.value(row, slot))
    }

    fn value<'r>(&'r self, row: &'r RegisteredModel, slot: &Field) -> Value<'r> {
        match (slot.entity, slot.key.as_str()) {
            (Entity::Tag, key) => tag(&row.tags, key),
            (Entity::Attribute, "name") => Value::Text(&row.name),
            (Entity::Attribute, "creation_timestamp") => time(row.created_ms),
            (Entity::Attribute, "last_updated_timestamp") => {
                time(row.updated_ms.unwrap_or(row.created_ms))
            }
            _ => Value::Absent,
        }
    }

    /// MLflow orders models by name.
    fn tie<'r>(&self, row: &'r RegisteredModel) -> (i64, &'r str) {
        (0, &row.name)
    }
}

/// A list of versions as a search sees it, each with what tells it from others.
pub(super) struct Versions;

impl Rows for Versions {
    type Row = (ModelVersion, String);
    type Slot = Field;

    fn slot(&self, field: &Field) -> Field {
        field.clone()
    }

    fn any(&self, row: &Self::Row, slot: &Field, test: &dyn Fn(Value<'_>) -> bool) -> bool {
        test(self.value(row, slot))
    }

    fn value<'r>(&'r self, (row, _): &'r Self::Row, slot: &Field) -> Value<'r> {
        match (slot.entity, slot.key.as_str()) {
            (Entity::Tag, key) => tag(&row.tags, key),
            (Entity::Attribute, "name") => Value::Text(&row.name),
            (Entity::Attribute, "version_number") => Value::Number(f64::from(row.version)),
            (Entity::Attribute, "run_id") => Value::Text(&row.run_id),
            (Entity::Attribute, "source_path") => Value::Text(&row.source),
            (Entity::Attribute, "stage") => Value::Text(row.stage.as_str()),
            (Entity::Attribute, "creation_timestamp") => time(row.created_ms),
            (Entity::Attribute, "last_updated_timestamp") => time(row.last_updated_ms()),
            _ => Value::Absent,
        }
    }

    /// MLflow shows the versions that changed last first.
    fn tie<'r>(&self, (row, id): &'r Self::Row) -> (i64, &'r str) {
        (row.last_updated_ms(), id)
    }
}
