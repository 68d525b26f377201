//! Versions: registered by operators, made by clients, described, deleted, searched.

use super::models::upsert;
use super::{Registry, VERSIONS_MAX, no_version, with_aliases};
use crate::store::Table;
use crate::tracking::artifacts::{ArtifactOwner, parse_artifact_uri};
use crate::tracking::model::{
    ModelVersion, NewModelVersion, Stage, Versions, origin_key, version_key,
};
use crate::tracking::run::run_key;
use crate::tracking::runs::{remove, require_blob};
use crate::tracking::search::{self, MODEL_VERSIONS, Page, Request, Size};
use crate::tracking::{
    Actor, ITEMS_PER_CALL_MAX, REGISTRY_TEXT_CHARS_MAX, SEARCH_RESULTS_MAX, TrackingError,
    check_count, check_name, check_own_tag, check_tags, check_text, codec, parse_digest,
};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The longest source or link of a version, characters.
const SOURCE_CHARS_MAX: usize = 4_000;

/// The bytes that a client's source names, as far as they are Airlock's.
#[derive(Debug, Default)]
struct Content {
    artifact: String,
    is_list: bool,
    model_id: Option<String>,
}

impl Registry {
    /// Registers a version. The same run and artifact again yield the version that is there. `stamps` are tags in the host's own
    /// word.
    pub fn register(
        &self,
        actor: &Actor,
        name: &str,
        run_id: &str,
        artifact: &str,
        tags: &[(String, String)],
        stamps: &[(String, String)],
    ) -> Result<ModelVersion, TrackingError> {
        check_name("run id", run_id)?;
        check_count("tags in one call", tags.len(), ITEMS_PER_CALL_MAX)?;
        check_tags(tags, REGISTRY_TEXT_CHARS_MAX)?;
        require_blob(&*self.store, artifact)?;
        if self
            .store
            .get(Table::TrackingRun, &run_key(run_id))?
            .is_none()
        {
            return Err(TrackingError::NotFound(format!(
                "there is no run {run_id:?} that could have made model {name:?}"
            )));
        }
        let source = self.source_of(run_id, artifact)?;
        let number = self.change(actor, name, true, |draft| {
            let origin = origin_key(name, run_id, artifact);
            if let Some(row) = self.store.get(Table::ModelVersion, &origin)? {
                return Ok((
                    codec::decode::<u32>("a version's origin", &row.value)?,
                    None,
                ));
            }
            let version = draft.next_version()?;
            let record = ModelVersion {
                run_id: run_id.to_owned(),
                artifact: artifact.to_owned(),
                source: source.clone(),
                tags: tags.iter().chain(stamps).cloned().collect(),
                ..ModelVersion::new(actor, name, version, draft.now)
            };
            draft.write(version_key(name, Some(version)), Some(0), &record)?;
            draft.write(origin, Some(0), &version)?;
            Ok((version, Some(registered(&record))))
        })?;
        self.require(name, number)
    }

    /// Where a run has these bytes, as clients name it; where it does not name them, all that it has.
    fn source_of(&self, run_id: &str, artifact: &str) -> Result<String, TrackingError> {
        let tracking = self.tracking();
        let owner = ArtifactOwner::Run(run_id.to_owned());
        let experiment_id = tracking.experiment_of_artifacts(&owner)?;
        let root = crate::tracking::run::artifact_uri(&experiment_id, run_id);
        let all = tracking.artifacts_below(&owner, "")?;
        let found = all.into_iter().find(|(_, known)| known.sha256 == artifact);
        Ok(found.map_or(root.clone(), |(path, _)| format!("{root}/{path}")))
    }

    /// Makes a version for a client: another one every time.
    pub fn create_version(
        &self,
        actor: &Actor,
        name: &str,
        new: &NewModelVersion,
    ) -> Result<ModelVersion, TrackingError> {
        check_tags(&new.tags, REGISTRY_TEXT_CHARS_MAX)?;
        check_text("a description", &new.description, REGISTRY_TEXT_CHARS_MAX)?;
        check_text("a source", &new.source, SOURCE_CHARS_MAX)?;
        check_text("a link", &new.run_link, SOURCE_CHARS_MAX)?;
        let run_id = new.run_id.clone().unwrap_or_default();
        if !run_id.is_empty() {
            check_name("run id", &run_id)?;
        }
        let content = self.content_of(&new.source)?;
        let number = self.change(actor, name, false, |draft| {
            let version = draft.next_version()?;
            let record = ModelVersion {
                run_id: run_id.clone(),
                artifact: content.artifact.clone(),
                is_list: content.is_list,
                source: new.source.clone(),
                run_link: new.run_link.clone(),
                model_id: new.model_id.clone().or_else(|| content.model_id.clone()),
                description: new.description.clone(),
                tags: new.tags.iter().cloned().collect(),
                ..ModelVersion::new(actor, name, version, draft.now)
            };
            draft.write(version_key(name, Some(version)), Some(0), &record)?;
            Ok((version, Some(registered(&record))))
        })?;
        self.require(name, number)
    }

    /// The bytes behind a source: a version keeps saying which they were, whatever becomes of the paths.
    fn content_of(&self, source: &str) -> Result<Content, TrackingError> {
        let Some((owner, folder)) = owner_of(source) else {
            return Ok(Content::default());
        };
        let model_id = match &owner {
            ArtifactOwner::LoggedModel(id) => Some(id.clone()),
            ArtifactOwner::Run(_) => None,
        };
        let tracking = self.tracking();
        let mut files = tracking.artifacts_below(&owner, &folder)?;
        files.sort_by(|left, right| left.0.cmp(&right.0));
        if files.is_empty() && !folder.is_empty() {
            let file = match crate::tracking::check_artifact_path(&folder) {
                Ok(()) => tracking.artifact(&owner, &folder)?,
                Err(_) => None,
            };
            return Ok(Content {
                artifact: file.map(|file| file.sha256).unwrap_or_default(),
                is_list: false,
                model_id,
            });
        }
        if files.is_empty() {
            return Ok(Content {
                model_id,
                ..Content::default()
            });
        }
        let skip = if folder.is_empty() {
            0
        } else {
            folder.len() + 1
        };
        let mut list = String::new();
        for (path, file) in &files {
            let path = path.get(skip..).unwrap_or_default();
            // Writing to a string cannot fail.
            let _ = writeln!(list, "{}  {path}", file.sha256);
        }
        Ok(Content {
            artifact: self.store.put_blob(list.as_bytes())?.to_string(),
            is_list: true,
            model_id,
        })
    }

    /// Describes a version.
    pub fn update_version(
        &self,
        actor: &Actor,
        name: &str,
        version: u32,
        description: &str,
    ) -> Result<ModelVersion, TrackingError> {
        check_text("a description", description, REGISTRY_TEXT_CHARS_MAX)?;
        self.change_version(actor, name, version, "model_version.update", |record| {
            let from = std::mem::replace(&mut record.description, description.to_owned());
            Ok((from != description).then(|| (json!(from), json!(description))))
        })
    }

    /// Upserts tags of a version.
    pub fn set_version_tags(
        &self,
        actor: &Actor,
        name: &str,
        version: u32,
        tags: &[(String, String)],
    ) -> Result<ModelVersion, TrackingError> {
        check_tags(tags, REGISTRY_TEXT_CHARS_MAX)?;
        self.change_version(actor, name, version, "model_version.set_tags", |record| {
            upsert(&mut record.tags, tags)
        })
    }

    /// Removes a tag of a version; one that is not there is no error.
    pub fn delete_version_tag(
        &self,
        actor: &Actor,
        name: &str,
        version: u32,
        key: &str,
    ) -> Result<ModelVersion, TrackingError> {
        check_own_tag(key)?;
        self.change_version(actor, name, version, "model_version.delete_tag", |record| {
            let old = record.tags.remove(key);
            Ok(old.map(|old| (json!({ key: old }), Value::Null)))
        })
    }

    fn change_version(
        &self,
        actor: &Actor,
        name: &str,
        version: u32,
        action: &'static str,
        edit: impl Fn(&mut ModelVersion) -> Result<Option<(Value, Value)>, TrackingError>,
    ) -> Result<ModelVersion, TrackingError> {
        self.change(actor, name, false, |draft| {
            let (mut record, row_version) = self
                .read(name, version)?
                .ok_or_else(|| no_version(name, version))?;
            let Some((from, to)) = edit(&mut record)? else {
                return Ok(((), None));
            };
            record.updated_ms = Some(draft.now);
            // Aliases live in the model's record alone.
            record.aliases.clear();
            let key = version_key(name, Some(version));
            draft.write(key, Some(row_version), &record)?;
            Ok(((), Some((action, format!("{name}/{version}"), from, to))))
        })?;
        self.require(name, version)
    }

    /// Deletes a version, with the aliases that point at it. Its number is never given again; its past stays in the trail.
    pub fn delete_version(
        &self,
        actor: &Actor,
        name: &str,
        version: u32,
    ) -> Result<(), TrackingError> {
        self.change(actor, name, false, |draft| {
            let (record, row_version) = self
                .read(name, version)?
                .ok_or_else(|| no_version(name, version))?;
            let key = version_key(name, Some(version));
            draft
                .rows
                .push((Table::ModelVersion, remove(key, Some(row_version))));
            let origin = origin_key(name, &record.run_id, &record.artifact);
            let of_it = self.store.get(Table::ModelVersion, &origin)?;
            if let Some(row) = of_it
                && codec::decode::<u32>("a version's origin", &row.value)? == version
            {
                draft
                    .rows
                    .push((Table::ModelVersion, remove(origin, None)));
            }
            draft.model.aliases.retain(|_, points_at| *points_at != version);
            draft
                .model
                .promotions
                .retain(|promotion| promotion.version != version);
            let from = json!({"stage": record.stage, "aliases": record.aliases, "run_id": record.run_id, "artifact": record.artifact});
            let subject = format!("{name}/{version}");
            let trail = ("model_version.delete", subject, from, Value::Null);
            Ok(((), Some(trail)))
        })
    }

    /// Reads one version, with its aliases.
    pub fn version(&self, name: &str, version: u32) -> Result<Option<ModelVersion>, TrackingError> {
        check_name("model", name)?;
        Ok(self.read(name, version)?.map(|(record, _)| record))
    }

    /// The bytes of a version's artifact.
    pub fn artifact(&self, name: &str, version: u32) -> Result<Vec<u8>, TrackingError> {
        let record = self.require(name, version)?;
        let found = match parse_digest(&record.artifact) {
            Some(digest) => self.store.get_blob(&digest)?,
            None => None,
        };
        found.ok_or_else(|| {
            TrackingError::NotFound(format!(
                "the artifact {:?} of {name:?} version {version} is not in the store",
                record.artifact
            ))
        })
    }

    /// Reads a version that must be there.
    pub fn require_version(&self, name: &str, version: u32) -> Result<ModelVersion, TrackingError> {
        self.require(name, version)
    }

    /// The version that an alias points at.
    pub fn version_by_alias(
        &self,
        name: &str,
        alias: &str,
    ) -> Result<Option<ModelVersion>, TrackingError> {
        let version = self
            .model(name)?
            .and_then(|model| model.aliases.get(alias).copied());
        version.map_or(Ok(None), |number| self.version(name, number))
    }

    /// All versions, oldest first.
    pub fn versions(&self, name: &str) -> Result<Vec<ModelVersion>, TrackingError> {
        check_name("model", name)?;
        let Some((model, _)) = self.find(name)? else {
            return Ok(Vec::new());
        };
        let prefix = version_key(name, None);
        self.store
            .scan(Table::ModelVersion, &prefix, None, VERSIONS_MAX)?
            .iter()
            .map(|row| {
                Ok(with_aliases(
                    codec::decode("a model version", &row.value)?,
                    &model,
                ))
            })
            .collect()
    }

    /// Versions of any model that a run made, by name and number. Reads every version.
    pub fn versions_of_run(&self, run_id: &str) -> Result<Vec<ModelVersion>, TrackingError> {
        let mut found = Vec::new();
        for model in self.all_models()? {
            let versions = self.versions(&model.name)?;
            found.extend(
                versions
                    .into_iter()
                    .filter(|record| record.run_id == run_id),
            );
        }
        Ok(found)
    }

    /// Versions of all models that fulfil a filter, in an order, what changed last first without one. Reads every version.
    pub fn search_versions(
        &self,
        filter: &str,
        order_by: &[String],
        max: usize,
        token: Option<&str>,
    ) -> Result<Page<ModelVersion>, TrackingError> {
        let size = Size {
            max,
            limit: SEARCH_RESULTS_MAX,
            token,
        };
        let request = Request::parse(MODEL_VERSIONS, filter, order_by, "versions", size)?;
        let mut all = Vec::new();
        for model in self.all_models()? {
            let versions = self.versions(&model.name)?.into_iter().map(|record| {
                let id = format!("{}/{:010}", record.name, record.version);
                (record, id)
            });
            all.extend(versions);
        }
        let page = search::search(&Versions, all.iter(), &request);
        Ok(Page {
            items: page
                .items
                .into_iter()
                .map(|(record, _)| record.clone())
                .collect(),
            next_page_token: page.next_page_token,
        })
    }
}

impl super::Draft {
    fn next_version(&mut self) -> Result<u32, TrackingError> {
        let version = self.model.latest_version + 1;
        check_count("versions of a model", version as usize, VERSIONS_MAX)?;
        self.model.latest_version = version;
        Ok(version)
    }
}

impl ModelVersion {
    fn new(actor: &Actor, name: &str, version: u32, now: i64) -> Self {
        Self {
            name: name.to_owned(),
            version,
            stage: Stage::None,
            run_id: String::new(),
            artifact: String::new(),
            is_list: false,
            source: String::new(),
            run_link: String::new(),
            model_id: None,
            description: String::new(),
            tags: [].into(),
            user_id: actor.id.clone(),
            created_ms: now,
            stage_ms: now,
            updated_ms: None,
            aliases: Vec::new(),
        }
    }
}

/// What the trail says of a new version: all that an audit needs after the version is gone.
fn registered(record: &ModelVersion) -> (&'static str, String, Value, Value) {
    let to = json!({
        "run_id": record.run_id,
        "artifact": record.artifact,
        "stage": record.stage,
        "source": record.source,
        "tags": record.tags,
    });
    let subject = format!("{}/{}", record.name, record.version);
    ("model_version.register", subject, Value::Null, to)
}

/// Whose artifacts a client's source is, and the folder or file below.
fn owner_of(source: &str) -> Option<(ArtifactOwner, String)> {
    if let Some(id) = source.strip_prefix("models:/m-") {
        let owner = ArtifactOwner::LoggedModel(format!("m-{id}"));
        return Some((owner, String::new()));
    }
    if let Some(rest) = source.strip_prefix("runs:/") {
        let (run_id, folder) = rest.trim_start_matches('/').split_once('/')?;
        return Some((ArtifactOwner::Run(run_id.to_owned()), folder.to_owned()));
    }
    let rest = source.strip_prefix("mlflow-artifacts:")?;
    let path = match rest.strip_prefix("//") {
        // A server's name stands before the path.
        Some(rest) => rest.split_once('/')?.1,
        None => rest.strip_prefix('/')?,
    };
    let (_, owner, below) = parse_artifact_uri(path)?;
    Some((owner, below.trim_end_matches('/').to_owned()))
}
