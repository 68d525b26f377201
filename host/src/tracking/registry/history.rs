//! The past of a model: every version's life, and what was where at a time, folded from the model's own part of the trail.

use super::Registry;
use crate::tracking::audit::{AuditEvent, RENAMED, RENAMED_AWAY};
use crate::tracking::model::Stage;
use crate::tracking::{Actor, TrackingError, check_name};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One thing that happened to a version.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VersionLife {
    /// Which version; `None`: the model itself.
    pub version: Option<u32>,
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
    /// Who did it.
    pub actor: Actor,
    /// What was done, for example `model_version.transition_stage`.
    pub action: String,
    /// What it means, for a person: `None -> Production`, `champion -> 3`.
    pub change: String,
    /// Why, where somebody said it.
    pub reason: Option<String>,
}

/// A version as it was at a time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VersionAt {
    /// Its number.
    pub version: u32,
    /// Where it stood.
    pub stage: Stage,
    /// Which aliases pointed at it.
    pub aliases: BTreeSet<String>,
    /// The run that made it; empty if none is known.
    pub run_id: String,
    /// SHA-256 of its bytes; empty if they are not Airlock's.
    pub artifact: String,
    /// The change that put it into its stage: who did it, when.
    pub staged: VersionLife,
}

impl Registry {
    /// Everything that happened to a model and its versions, oldest first; also to a model that is there no more. Reads as many
    /// events as the model has.
    pub fn history(&self, name: &str) -> Result<Vec<VersionLife>, TrackingError> {
        check_name("model", name)?;
        let events = self.audit().of_model(name)?;
        Ok(events.iter().map(life).collect())
    }

    /// The versions as they were at a time, by number, folded from the trail.
    pub fn versions_at(&self, name: &str, at_ms: i64) -> Result<Vec<VersionAt>, TrackingError> {
        check_name("model", name)?;
        let mut versions = BTreeMap::new();
        for event in self.audit().of_model(name)? {
            // Events are in the order of their commits, and a clock may have been set back meanwhile.
            if event.at_ms <= at_ms {
                fold(&mut versions, &event);
            }
        }
        Ok(versions.into_values().collect())
    }

    /// What was in Production at a time: the versions, ascending.
    pub fn production_at(&self, name: &str, at_ms: i64) -> Result<Vec<u32>, TrackingError> {
        let versions = self.versions_at(name, at_ms)?;
        let production = versions
            .iter()
            .filter(|version| version.stage == Stage::Production);
        Ok(production.map(|version| version.version).collect())
    }
}

/// Applies one event of a model to its versions.
fn fold(versions: &mut BTreeMap<u32, VersionAt>, event: &AuditEvent) {
    let text = |key: &str| {
        event
            .to
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let staged = life(event);
    match (event.action.as_str(), staged.version) {
        ("model_version.register", Some(version)) => {
            let new = VersionAt {
                version,
                stage: Stage::None,
                aliases: BTreeSet::new(),
                run_id: text("run_id").to_owned(),
                artifact: text("artifact").to_owned(),
                staged,
            };
            versions.insert(version, new);
        }
        ("model_version.transition_stage" | "model.rollback", Some(version)) => {
            let stage = match event.action.as_str() {
                "model.rollback" => Some(Stage::Production),
                _ => Stage::parse(text("stage")),
            };
            let archived = event.to.get("archived").and_then(Value::as_array);
            let archived = archived.into_iter().flatten().filter_map(Value::as_u64);
            for number in archived {
                let other = u32::try_from(number)
                    .ok()
                    .and_then(|number| versions.get_mut(&number));
                if let Some(other) = other {
                    other.stage = Stage::Archived;
                    other.staged = staged.clone();
                }
            }
            if let (Some(version), Some(stage)) = (versions.get_mut(&version), stage) {
                version.stage = stage;
                version.staged = staged;
            }
        }
        ("model.set_alias" | "model.delete_alias", _) => {
            let alias = event.subject.rsplit_once('@').map(|(_, alias)| alias);
            let Some(alias) = alias else { return };
            for version in versions.values_mut() {
                version.aliases.remove(alias);
            }
            let version = event
                .to
                .as_u64()
                .and_then(|number| u32::try_from(number).ok());
            if let Some(version) = version.and_then(|version| versions.get_mut(&version)) {
                version.aliases.insert(alias.to_owned());
            }
        }
        ("model_version.delete", Some(version)) => {
            versions.remove(&version);
        }
        ("registered_model.delete" | RENAMED_AWAY, _) => versions.clear(),
        _ => {}
    }
}

/// An event as a line of a life.
fn life(event: &AuditEvent) -> VersionLife {
    let number = |text: &str| text.parse::<u32>().ok();
    let of_version = event
        .subject
        .rsplit_once('/')
        .and_then(|(_, version)| number(version));
    let version = match event.action.as_str() {
        "model.set_alias" => event
            .to
            .as_u64()
            .and_then(|number| u32::try_from(number).ok()),
        "model.delete_alias" => event
            .from
            .as_u64()
            .and_then(|number| u32::try_from(number).ok()),
        action if action.starts_with("registered_model.") => None,
        _ => of_version,
    };
    let reason = event.to.get("reason").and_then(Value::as_str);
    VersionLife {
        version,
        at_ms: event.at_ms,
        actor: event.actor.clone(),
        action: event.action.clone(),
        change: change(event),
        reason: reason.map(str::to_owned),
    }
}

/// What an event means, in a few words.
fn change(event: &AuditEvent) -> String {
    let field = |value: &Value, key: &str| value.get(key).cloned().unwrap_or_default();
    let word = |value: Value| match value {
        Value::String(text) => text,
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let archived = match field(&event.to, "archived") {
        Value::Array(list) if !list.is_empty() => {
            let list: Vec<String> = list.into_iter().map(word).collect();
            format!(", archived {}", list.join(", "))
        }
        _ => String::new(),
    };
    match event.action.as_str() {
        "model_version.register" => {
            let run_id = word(field(&event.to, "run_id"));
            format!("from run {}", if run_id.is_empty() { "-" } else { &run_id })
        }
        "model_version.transition_stage" => format!(
            "{} -> {}{archived}",
            word(field(&event.from, "stage")),
            word(field(&event.to, "stage"))
        ),
        "model.rollback" => format!("back to Production{archived}"),
        "model_version.delete" => format!("was {}", word(field(&event.from, "stage"))),
        "model.set_alias" | "model.delete_alias" => {
            let alias = event
                .subject
                .rsplit_once('@')
                .map_or("", |(_, alias)| alias);
            format!(
                "@{alias} {} -> {}",
                word(event.from.clone()),
                word(event.to.clone())
            )
        }
        RENAMED | RENAMED_AWAY => {
            format!("{} -> {}", word(event.from.clone()), word(event.to.clone()))
        }
        _ => match (&event.from, &event.to) {
            (Value::Object(from), Value::Null) => keys("removed", from),
            (_, Value::Object(to)) => keys("set", to),
            _ => String::new(),
        },
    }
}

fn keys(what: &str, object: &serde_json::Map<String, Value>) -> String {
    let keys: Vec<&str> = object.keys().map(String::as_str).collect();
    format!("{what} {}", keys.join(", "))
}
