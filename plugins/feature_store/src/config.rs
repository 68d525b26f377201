//! What is joined to what. Names are Feast's where Feast has one.

use airlock_sdk::dataset::{Column, ColumnKind, Table};
use airlock_sdk::prelude::*;
use airlock_sdk::time::{Span, Timestamp};
use std::collections::BTreeSet;

/// The most feature tables of one join.
const TABLES_MAX: usize = 100;

/// Which features each event sees.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PointInTimeJoin {
    /// The entity table: a row an event. Its columns come first in the output, its rows keep their order.
    pub(crate) entities: String,
    /// The columns that say whom an event is about: integers, texts, booleans or timestamps.
    pub(crate) entity_keys: Vec<String>,
    /// The entity table's column of timestamps.
    #[serde(default = "event_timestamp")]
    pub(crate) event_timestamp: String,
    /// Where the features come from.
    pub(crate) features: Vec<FeatureTable>,
    /// Where the joined table goes; it is replaced.
    pub(crate) output: String,
}

/// A table of features: a row each time that they changed. Its rows may be in any order.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FeatureTable {
    /// The table.
    pub(crate) uri: String,
    /// Its key columns, in the order of the entity table's; absent: they have the same names.
    pub(crate) entity_keys: Option<Vec<String>>,
    /// From when a row holds.
    #[serde(default = "event_timestamp")]
    pub(crate) timestamp_field: String,
    /// When a row was written: of two rows of one key and timestamp the one that was written later holds. Without it, or where it is
    /// the same or null in both, the one that comes later in the table does.
    pub(crate) created_timestamp_column: Option<String>,
    /// For how long a row holds, its last moment included; absent: until the next one.
    pub(crate) ttl: Option<Span>,
    /// The features; absent: all columns but keys and timestamps.
    pub(crate) columns: Option<Vec<String>>,
    /// Put before the features' names in the output.
    #[serde(default)]
    pub(crate) prefix: String,
}

/// The newest features of every entity.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Materialize {
    /// The features.
    pub(crate) source: FeatureTable,
    /// The columns that say whom a row is about.
    pub(crate) entity_keys: Vec<String>,
    /// What is later does not count; absent: the end of the run's data interval, else its logical date, else now.
    pub(crate) as_of: Option<Timestamp>,
    /// Where the online table goes: keys, timestamp and features, one row an entity. It is replaced.
    pub(crate) output: String,
}

fn event_timestamp() -> String {
    "event_timestamp".into()
}

impl PointInTimeJoin {
    pub(crate) fn check(&self) -> Result<(), TaskError> {
        if self.entity_keys.is_empty() {
            return Err(TaskError::invalid(
                "entity_keys",
                "names at least one column",
            ));
        }
        if self.features.is_empty() || self.features.len() > TABLES_MAX {
            let message = format!("has 1 to {TABLES_MAX} tables");
            return Err(TaskError::invalid("features", message));
        }
        Ok(())
    }
}

/// A table whose columns are known to be there and of the right kinds.
pub(crate) struct Source {
    pub(crate) table: Table,
    pub(crate) keys: Vec<Column>,
    pub(crate) timestamp: String,
    pub(crate) created: Option<String>,
    /// Microseconds; none is without end.
    pub(crate) ttl: Option<i64>,
    pub(crate) features: Vec<Column>,
    pub(crate) prefix: String,
}

impl FeatureTable {
    /// Opens the table. `field` is its place in the config, `keys` are the entity's.
    pub(crate) fn open(&self, field: &str, keys: &[String]) -> Result<Source, TaskError> {
        let table = Table::open(&self.uri)
            .map_err(|error| TaskError::from(error).context(&format!("open {}", self.uri)))?;
        let schema = table.schema();
        let of = |member: &str| format!("{field}.{member}");
        let names = self.entity_keys.as_deref().unwrap_or(keys);
        if names.len() != keys.len() {
            let message = format!(
                "names {} columns, the entity has {}",
                names.len(),
                keys.len()
            );
            return Err(TaskError::invalid(of("entity_keys"), message));
        }
        let keys = key_columns(&schema, &of("entity_keys"), names)?;
        timestamps(&schema, &of("timestamp_field"), &self.timestamp_field)?;
        let created = self.created_timestamp_column.as_ref();
        if let Some(created) = created {
            timestamps(&schema, &of("created_timestamp_column"), created)?;
        }
        let mut taken: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        taken.insert(&self.timestamp_field);
        taken.extend(created.map(String::as_str));
        let features = match &self.columns {
            Some(columns) => columns
                .iter()
                .map(|name| find(&schema, &of("columns"), name).cloned())
                .collect::<Result<_, _>>()?,
            None => schema
                .iter()
                .filter(|column| !taken.contains(column.name.as_str()))
                .cloned()
                .collect(),
        };
        let micros = |ttl: Span| i64::try_from(ttl.0.as_micros()).unwrap_or(i64::MAX);
        Ok(Source {
            keys,
            timestamp: self.timestamp_field.clone(),
            created: created.cloned(),
            ttl: self.ttl.map(micros),
            features,
            prefix: self.prefix.clone(),
            table,
        })
    }
}

impl Source {
    /// The features as they are called in the output.
    pub(crate) fn named(&self) -> impl Iterator<Item = Column> + '_ {
        self.features.iter().map(|feature| Column {
            name: format!("{}{}", self.prefix, feature.name),
            kind: feature.kind,
        })
    }
}

fn find<'a>(schema: &'a [Column], field: &str, name: &str) -> Result<&'a Column, TaskError> {
    let found = schema.iter().find(|column| column.name == name);
    found.ok_or_else(|| TaskError::invalid(field, format!("the table has no column `{name}`")))
}

/// The key columns. Floats are refused: what is nearly equal would be somebody else.
pub(crate) fn key_columns(
    schema: &[Column],
    field: &str,
    names: &[String],
) -> Result<Vec<Column>, TaskError> {
    let column = |name: &String| {
        let column = find(schema, field, name)?;
        match column.kind {
            ColumnKind::Float64 | ColumnKind::Float64List => Err(TaskError::invalid(
                field,
                format!("column `{name}` holds floats, which are no keys"),
            )),
            _ => Ok(column.clone()),
        }
    };
    names.iter().map(column).collect()
}

/// Refuses a column that holds no timestamps: a plain number does not say its unit.
pub(crate) fn timestamps(schema: &[Column], field: &str, name: &str) -> Result<(), TaskError> {
    match find(schema, field, name)?.kind {
        ColumnKind::Timestamp => Ok(()),
        _ => Err(TaskError::invalid(
            field,
            format!("column `{name}` holds no timestamps"),
        )),
    }
}

/// Refuses keys whose kinds differ: no value of one could equal one of the other.
pub(crate) fn same_kinds(field: &str, one: &[Column], other: &[Column]) -> Result<(), TaskError> {
    let mut pairs = one.iter().zip(other);
    match pairs.find(|(one, other)| one.kind != other.kind) {
        None => Ok(()),
        Some((one, other)) => Err(TaskError::invalid(
            field,
            format!(
                "column `{}` and the entity table's `{}` hold values of different kinds",
                one.name, other.name
            ),
        )),
    }
}
