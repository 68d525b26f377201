//! Registered models themselves: made, described, renamed, deleted, searched, and their aliases.

use super::{Draft, Registry, VERSIONS_MAX, no_version};
use crate::store::Table;
use crate::tracking::audit::RENAMED;
use crate::tracking::model::{ModelVersion, Models, RegisteredModel, origin_prefix, version_key};
use crate::tracking::runs::{put, remove};
use crate::tracking::search::{self, MODELS, Page, Request, Size};
use crate::tracking::{
    Actor, ITEMS_PER_RUN_MAX, REGISTRY_TEXT_CHARS_MAX, SEARCH_RESULTS_MAX, TrackingError,
    check_count, check_name, check_own_tag, check_tags, check_text, codec,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// How many rows one read takes.
const PAGE: usize = 1_000;
/// The most versions of a model that can get another name: all of them are written in one commit.
pub(super) const RENAME_VERSIONS_MAX: usize = 10_000;

impl Registry {
    /// Makes a model without versions. One of this name is an error.
    pub fn create_model(
        &self,
        actor: &Actor,
        name: &str,
        description: &str,
        tags: &[(String, String)],
    ) -> Result<RegisteredModel, TrackingError> {
        check_tags(tags, REGISTRY_TEXT_CHARS_MAX)?;
        check_text("a description", description, REGISTRY_TEXT_CHARS_MAX)?;
        if name.contains(['/', ':']) {
            return Err(TrackingError::Invalid(format!(
                "Invalid value {name:?} for parameter 'name' supplied: Registered model name cannot contain '/' or ':'"
            )));
        }
        self.change(actor, name, true, |draft| {
            if draft.row_version != 0 {
                return Err(TrackingError::AlreadyExists(format!(
                    "Registered Model (name={name}) already exists"
                )));
            }
            description.clone_into(&mut draft.model.description);
            draft.model.tags = tags.iter().cloned().collect();
            let to = json!({"description": description, "tags": draft.model.tags});
            let trail = ("registered_model.create", name.to_owned(), Value::Null, to);
            Ok((draft.model.clone(), Some(trail)))
        })
    }

    /// Describes a model.
    pub fn update_model(
        &self,
        actor: &Actor,
        name: &str,
        description: &str,
    ) -> Result<RegisteredModel, TrackingError> {
        check_text("a description", description, REGISTRY_TEXT_CHARS_MAX)?;
        self.change(actor, name, false, |draft| {
            let from = std::mem::replace(&mut draft.model.description, description.to_owned());
            let trail = (from != description).then(|| {
                let subject = name.to_owned();
                (
                    "registered_model.update",
                    subject,
                    json!(from),
                    json!(description),
                )
            });
            Ok(((), trail))
        })?;
        self.require_model(name)
    }

    /// Gives a model another name, with all its versions and its past, in one commit.
    pub fn rename_model(
        &self,
        actor: &Actor,
        name: &str,
        new_name: &str,
    ) -> Result<RegisteredModel, TrackingError> {
        check_name("model", new_name)?;
        self.change(actor, name, false, |draft| {
            if new_name == name {
                return Ok(((), None));
            }
            if self.find(new_name)?.is_some() {
                return Err(TrackingError::AlreadyExists(format!(
                    "Registered Model (name={new_name}) already exists"
                )));
            }
            self.move_versions(draft, new_name)?;
            new_name.clone_into(&mut draft.model.name);
            draft.renamed_from = Some(name.to_owned());
            let trail = (RENAMED, new_name.to_owned(), json!(name), json!(new_name));
            Ok(((), Some(trail)))
        })?;
        self.require_model(new_name)
    }

    fn move_versions(&self, draft: &mut Draft, new_name: &str) -> Result<(), TrackingError> {
        let name = draft.model.name.clone();
        let versions = self.versions(&name)?;
        check_count(
            "versions of a model that gets another name",
            versions.len(),
            RENAME_VERSIONS_MAX,
        )?;
        for record in versions {
            let number = Some(record.version);
            draft.rows.push((
                Table::ModelVersion,
                remove(version_key(&name, number), None),
            ));
            let moved = ModelVersion {
                name: new_name.to_owned(),
                aliases: Vec::new(),
                ..record
            };
            draft.write(version_key(new_name, number), Some(0), &moved)?;
        }
        let prefix = origin_prefix(&name);
        for row in self
            .store
            .scan(Table::ModelVersion, &prefix, None, VERSIONS_MAX)?
        {
            let origin = row.key.get(prefix.len()..).unwrap_or_default();
            let key = [origin_prefix(new_name).as_slice(), origin].concat();
            let number: u32 = codec::decode("a version's origin", &row.value)?;
            draft
                .rows
                .push((Table::ModelVersion, put(key, None, &number)?));
            draft
                .rows
                .push((Table::ModelVersion, remove(row.key, None)));
        }
        Ok(())
    }

    /// Deletes a model with its versions. Its past stays in the trail, and the bytes that the trail names stay.
    pub fn delete_model(&self, actor: &Actor, name: &str) -> Result<(), TrackingError> {
        self.change(actor, name, false, |draft| {
            let mut versions = Map::new();
            for record in self.versions(name)? {
                let key = version_key(name, Some(record.version));
                draft.rows.push((Table::ModelVersion, remove(key, None)));
                versions.insert(record.version.to_string(), json!(record.stage));
            }
            let origins = origin_prefix(name);
            for row in self
                .store
                .scan(Table::ModelVersion, &origins, None, VERSIONS_MAX)?
            {
                draft
                    .rows
                    .push((Table::ModelVersion, remove(row.key, None)));
            }
            draft.is_deleted = true;
            let from = json!({"versions": versions, "aliases": draft.model.aliases});
            let trail = (
                "registered_model.delete",
                name.to_owned(),
                from,
                Value::Null,
            );
            Ok(((), Some(trail)))
        })
    }

    /// Upserts tags of a model.
    pub fn set_model_tags(
        &self,
        actor: &Actor,
        name: &str,
        tags: &[(String, String)],
    ) -> Result<(), TrackingError> {
        check_tags(tags, REGISTRY_TEXT_CHARS_MAX)?;
        self.change(actor, name, false, |draft| {
            let changed = upsert(&mut draft.model.tags, tags)?;
            let trail =
                changed.map(|(from, to)| ("registered_model.set_tags", name.to_owned(), from, to));
            Ok(((), trail))
        })
    }

    /// Removes a tag of a model; one that is not there is no error.
    pub fn delete_model_tag(
        &self,
        actor: &Actor,
        name: &str,
        key: &str,
    ) -> Result<(), TrackingError> {
        check_own_tag(key)?;
        self.change(actor, name, false, |draft| {
            let old = draft.model.tags.remove(key);
            let trail = old.map(|old| {
                let from = json!({ key: old });
                (
                    "registered_model.delete_tag",
                    name.to_owned(),
                    from,
                    Value::Null,
                )
            });
            Ok(((), trail))
        })
    }

    /// Points an alias at a version.
    pub fn set_alias(
        &self,
        actor: &Actor,
        name: &str,
        alias: &str,
        version: u32,
    ) -> Result<(), TrackingError> {
        check_name("alias", alias)?;
        self.change(actor, name, false, |draft| {
            self.read(name, version)?
                .ok_or_else(|| no_version(name, version))?;
            let old = draft.model.aliases.insert(alias.to_owned(), version);
            check_count(
                "aliases of a model",
                draft.model.aliases.len(),
                ITEMS_PER_RUN_MAX,
            )?;
            let trail = (old != Some(version)).then(|| {
                let subject = format!("{name}@{alias}");
                ("model.set_alias", subject, json!(old), json!(version))
            });
            Ok(((), trail))
        })
    }

    /// Removes an alias; one that is not there is no error.
    pub fn delete_alias(
        &self,
        actor: &Actor,
        name: &str,
        alias: &str,
    ) -> Result<(), TrackingError> {
        self.change(actor, name, false, |draft| {
            let old = draft.model.aliases.remove(alias);
            let trail = old.map(|version| {
                let subject = format!("{name}@{alias}");
                ("model.delete_alias", subject, json!(version), Value::Null)
            });
            Ok(((), trail))
        })
    }

    /// Reads a model.
    pub fn model(&self, name: &str) -> Result<Option<RegisteredModel>, TrackingError> {
        check_name("model", name)?;
        Ok(self.find(name)?.map(|(model, _)| model))
    }

    /// Reads a model that must be there.
    pub fn require_model(&self, name: &str) -> Result<RegisteredModel, TrackingError> {
        self.model(name)?.ok_or_else(|| {
            TrackingError::NotFound(format!("Registered Model with name={name} not found"))
        })
    }

    /// Up to `max` models in the order of their names, after a name.
    pub fn models(
        &self,
        after: Option<&str>,
        max: usize,
    ) -> Result<Vec<RegisteredModel>, TrackingError> {
        self.store
            .scan(Table::Model, b"", after.map(str::as_bytes), max)?
            .iter()
            .map(|row| codec::decode("a model", &row.value))
            .collect()
    }

    /// Every model.
    pub(super) fn all_models(&self) -> Result<Vec<RegisteredModel>, TrackingError> {
        let mut all: Vec<RegisteredModel> = Vec::new();
        loop {
            let after = all.last().map(|model| model.name.clone());
            let page = self.models(after.as_deref(), PAGE)?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    /// Models that fulfil a filter, in an order, by name without one.
    pub fn search_models(
        &self,
        filter: &str,
        order_by: &[String],
        max: usize,
        token: Option<&str>,
    ) -> Result<Page<RegisteredModel>, TrackingError> {
        let size = Size {
            max,
            limit: SEARCH_RESULTS_MAX,
            token,
        };
        let request = Request::parse(MODELS, filter, order_by, "models", size)?;
        let all = self.all_models()?;
        let page = search::search(&Models, all.iter(), &request);
        Ok(Page {
            items: page.items.into_iter().cloned().collect(),
            next_page_token: page.next_page_token,
        })
    }
}

/// Upserts tags and yields what changed, before and after.
pub(super) fn upsert(
    tags: &mut BTreeMap<String, String>,
    new: &[(String, String)],
) -> Result<Option<(Value, Value)>, TrackingError> {
    let (mut from, mut to) = (Map::new(), Map::new());
    for (key, value) in new {
        let old = tags.insert(key.clone(), value.clone());
        if old.as_ref() != Some(value) {
            from.insert(key.clone(), json!(old));
            to.insert(key.clone(), json!(value));
        }
    }
    check_count("tags of a model or version", tags.len(), ITEMS_PER_RUN_MAX)?;
    Ok((!to.is_empty()).then(|| (from.into(), to.into())))
}
