//! The record of an experiment, its id, and the keys it lives under.

use super::codec;
use super::search::{Rows, Value};
use crate::store::Row;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// The experiment that is always there.
pub const DEFAULT_EXPERIMENT_ID: &str = "0";
/// Its name.
const DEFAULT_EXPERIMENT: &str = "Default";

/// Whether something was deleted. What is deleted stays readable and can be restored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lifecycle {
    /// In use.
    #[default]
    Active,
    /// Deleted.
    Deleted,
}

/// What a search shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ViewType {
    /// What is in use.
    #[default]
    ActiveOnly,
    /// What was deleted.
    DeletedOnly,
    /// Both.
    All,
}

impl ViewType {
    pub(super) fn shows(self, lifecycle: Lifecycle) -> bool {
        match self {
            Self::ActiveOnly => lifecycle == Lifecycle::Active,
            Self::DeletedOnly => lifecycle == Lifecycle::Deleted,
            Self::All => true,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::ActiveOnly => "active",
            Self::DeletedOnly => "deleted",
            Self::All => "all",
        }
    }
}

/// An experiment: a name that runs gather under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Experiment {
    /// A number as text; follows from the name that it was made with.
    #[serde(default)]
    pub experiment_id: String,
    /// Its name.
    pub name: String,
    /// When it was made, milliseconds since the epoch.
    pub created_ms: i64,
    /// When its name, tags or lifecycle last changed; `None`: never.
    #[serde(default)]
    pub updated_ms: Option<i64>,
    /// Whether it was deleted.
    #[serde(default)]
    pub lifecycle: Lifecycle,
    /// Upserted.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// What ids of its operators' runs and keys of all its runs are made of; never changes. Empty: the name.
    #[serde(default)]
    pub(super) seed: String,
}

impl Experiment {
    /// A new one. `turn` counts those of the same name that were renamed away.
    pub(super) fn new(name: &str, turn: u32, now: i64) -> Self {
        let seed = match turn {
            0 => name.to_owned(),
            turn => format!("{name}\u{1}{turn}"),
        };
        Self {
            experiment_id: experiment_id(&seed),
            name: name.to_owned(),
            created_ms: now,
            updated_ms: None,
            lifecycle: Lifecycle::Active,
            tags: BTreeMap::new(),
            seed,
        }
    }

    /// The one that is always there, before anything changed it.
    pub(super) fn default_one() -> Self {
        Self::new(DEFAULT_EXPERIMENT, 0, 0)
    }

    /// Reads a row; what an older Airlock wrote has no id and no seed.
    pub(super) fn read(row: &Row) -> Result<Self, super::TrackingError> {
        let mut record: Self = codec::decode("an experiment", &row.value)?;
        if record.seed.is_empty() {
            record.seed.clone_from(&record.name);
        }
        if record.experiment_id.is_empty() {
            record.experiment_id = experiment_id(&record.seed);
        }
        Ok(record)
    }

    /// Where its artifacts are, as clients name it.
    pub fn artifact_location(&self) -> String {
        format!("mlflow-artifacts:/{}", self.experiment_id)
    }
}

/// The id that follows from a seed: at most 18 digits, as MLflow's own are.
pub(super) fn experiment_id(seed: &str) -> String {
    if seed == DEFAULT_EXPERIMENT {
        return DEFAULT_EXPERIMENT_ID.to_owned();
    }
    let digest = Sha256::digest([b"experiment\0", seed.as_bytes()].concat());
    let number = digest
        .iter()
        .take(8)
        .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    // 18 digits without a zero in front.
    (number % 900_000_000_000_000_000 + 100_000_000_000_000_000).to_string()
}

/// Key of an experiment in `Table::Experiment`: its name, which has no control characters.
pub(super) fn name_key(name: &str) -> Vec<u8> {
    name.as_bytes().to_vec()
}

/// Key in `Table::Experiment` of the name that an id has.
pub(super) fn id_key(experiment_id: &str) -> Vec<u8> {
    [b"\0i", experiment_id.as_bytes()].concat()
}

/// Behind every id's key and before every name's.
pub(super) const BEFORE_NAMES: &[u8] = b"\0j";

/// A list of experiments as a search sees it.
pub(super) struct Experiments;

impl Rows for Experiments {
    type Row = Experiment;
    type Slot = super::search::Field;

    fn slot(&self, field: &super::search::Field) -> Self::Slot {
        field.clone()
    }

    fn any(&self, row: &Experiment, slot: &Self::Slot, test: &dyn Fn(Value<'_>) -> bool) -> bool {
        test(self.value(row, slot))
    }

    fn value<'r>(&'r self, row: &'r Experiment, slot: &Self::Slot) -> Value<'r> {
        use super::search::Entity;
        match (slot.entity, slot.key.as_str()) {
            (Entity::Tag, key) => tag(&row.tags, key),
            (Entity::Attribute, "name") => Value::Text(&row.name),
            (Entity::Attribute, "experiment_id") => Value::Text(&row.experiment_id),
            (Entity::Attribute, "creation_time") => time(row.created_ms),
            (Entity::Attribute, "last_update_time") => {
                time(row.updated_ms.unwrap_or(row.created_ms))
            }
            _ => Value::Absent,
        }
    }

    fn tie<'r>(&self, row: &'r Experiment) -> (i64, &'r str) {
        (row.created_ms, &row.experiment_id)
    }
}

/// A tag's value in a search.
pub(super) fn tag<'r>(tags: &'r BTreeMap<String, String>, key: &str) -> Value<'r> {
    tags.get(key)
        .map_or(Value::Absent, |value| Value::Text(value))
}

/// A time in a search.
#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds since the epoch have 41 bits for centuries"
)]
pub(super) fn time(ms: i64) -> Value<'static> {
    Value::Number(ms as f64)
}
