//! What can be asked about each kind of record.

use super::{Entity, Field};

/// Whether a field holds numbers or texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Text,
}

/// An attribute: its one name, its other names, what it holds.
type Attribute = (&'static str, &'static [&'static str], Kind);

/// What a kind of record has.
#[derive(Debug, Clone, Copy)]
pub(in crate::tracking) struct Schema {
    attributes: &'static [Attribute],
    entities: &'static [Entity],
}

/// Runs.
pub(in crate::tracking) const RUNS: Schema = Schema {
    attributes: &[
        ("run_id", &["id"], Kind::Text),
        ("run_name", &["Run name", "name", "Run Name"], Kind::Text),
        ("status", &["Status"], Kind::Text),
        ("user_id", &["User", "user"], Kind::Text),
        (
            "start_time",
            &["created", "Created", "Start Time"],
            Kind::Number,
        ),
        ("end_time", &["End Time"], Kind::Number),
    ],
    entities: &[
        Entity::Attribute,
        Entity::Metric,
        Entity::Param,
        Entity::Tag,
        Entity::Dataset,
    ],
};

/// Experiments.
pub(in crate::tracking) const EXPERIMENTS: Schema = Schema {
    attributes: &[
        ("name", &[], Kind::Text),
        ("experiment_id", &[], Kind::Text),
        ("creation_time", &["creation_timestamp"], Kind::Number),
        (
            "last_update_time",
            &["last_updated_timestamp"],
            Kind::Number,
        ),
    ],
    entities: &[Entity::Attribute, Entity::Tag],
};

/// Registered models.
pub(in crate::tracking) const MODELS: Schema = Schema {
    attributes: &[
        ("name", &[], Kind::Text),
        (
            "creation_timestamp",
            &["creation_time", "timestamp"],
            Kind::Number,
        ),
        ("last_updated_timestamp", &[], Kind::Number),
    ],
    entities: &[Entity::Attribute, Entity::Tag],
};

/// Versions of registered models.
pub(in crate::tracking) const MODEL_VERSIONS: Schema = Schema {
    attributes: &[
        ("name", &[], Kind::Text),
        ("version_number", &["version"], Kind::Number),
        ("run_id", &[], Kind::Text),
        ("source_path", &["source"], Kind::Text),
        ("stage", &["current_stage"], Kind::Text),
        (
            "creation_timestamp",
            &["creation_time", "timestamp"],
            Kind::Number,
        ),
        ("last_updated_timestamp", &[], Kind::Number),
    ],
    entities: &[Entity::Attribute, Entity::Tag],
};

/// Logged models.
pub(in crate::tracking) const LOGGED_MODELS: Schema = Schema {
    attributes: &[
        ("name", &[], Kind::Text),
        ("model_id", &[], Kind::Text),
        ("model_type", &[], Kind::Text),
        ("status", &[], Kind::Text),
        ("source_run_id", &[], Kind::Text),
        (
            "creation_timestamp",
            &["creation_time", "creation_timestamp_ms"],
            Kind::Number,
        ),
        (
            "last_updated_timestamp",
            &["last_updated_timestamp_ms"],
            Kind::Number,
        ),
    ],
    entities: &[
        Entity::Attribute,
        Entity::Metric,
        Entity::Param,
        Entity::Tag,
    ],
};

/// What is known of a dataset.
const DATASET_FIELDS: [&str; 3] = ["name", "digest", "context"];

impl Schema {
    /// The field of these words, or what could stand there.
    pub(super) fn field(self, entity: Option<&str>, key: &str) -> Result<Field, String> {
        let entity = match entity {
            None | Some("attribute" | "attributes" | "attr" | "run") => Some(Entity::Attribute),
            Some("metric" | "metrics") => Some(Entity::Metric),
            Some("param" | "params" | "parameter" | "parameters") => Some(Entity::Param),
            Some("tag" | "tags") => Some(Entity::Tag),
            Some("dataset" | "datasets") => Some(Entity::Dataset),
            Some(_) => None,
        };
        let entity = entity
            .filter(|entity| self.entities.contains(entity))
            .ok_or_else(|| self.allowed())?;
        let key = match entity {
            Entity::Attribute => self.attribute(key).map(|(name, ..)| *name),
            Entity::Dataset => DATASET_FIELDS.into_iter().find(|field| *field == key),
            _ => Some(key),
        };
        let key = key.filter(|key| !key.is_empty()).map(str::to_owned);
        let key = key.ok_or_else(|| self.allowed())?;
        Ok(Field { entity, key })
    }

    fn attribute(self, key: &str) -> Option<&'static Attribute> {
        let mut all = self.attributes.iter();
        all.find(|(name, others, _)| *name == key || others.contains(&key))
    }

    /// What the field holds.
    pub(super) fn kind(self, field: &Field) -> Kind {
        match field.entity {
            Entity::Attribute => self
                .attribute(&field.key)
                .map_or(Kind::Text, |(.., kind)| *kind),
            Entity::Metric => Kind::Number,
            Entity::Param | Entity::Tag | Entity::Dataset => Kind::Text,
        }
    }

    /// Everything that may be named here.
    pub(super) fn allowed(self) -> String {
        let names = self.attributes.iter().map(|(name, ..)| *name);
        let mut all: Vec<&str> = names.collect();
        for entity in self.entities {
            all.push(match entity {
                Entity::Attribute => continue,
                Entity::Metric => "metrics.KEY",
                Entity::Param => "params.KEY",
                Entity::Tag => "tags.KEY",
                Entity::Dataset => "datasets.name, datasets.digest, datasets.context",
            });
        }
        format!("allowed are {}", all.join(", "))
    }
}
