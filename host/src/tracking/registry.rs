//! The model registry: versions, stages, aliases, promotion and rollback. Every change is one commit that expects the version
//! of the model's row, so two promotions at once end with exactly one version in Production and both in the trail.

use super::audit::AuditEvent;
use super::codec;
use super::model::{
    ModelVersion, PROMOTIONS_MAX, Promotion, RegisteredModel, Stage, origin_key, version_key,
};
use super::run::run_key;
use super::runs::{TRIES_MAX, check_pairs, contended, parse_digest, put, require_blob};
use super::{Actor, Audit, Clock, ITEMS_PER_RUN_MAX, TrackingError, check_count, check_name};
use crate::store::{Commit, CommitError, RowWrite, Store, Table};
use serde_json::{Value, json};
use std::sync::Arc;

/// The most versions of one model.
pub const VERSIONS_MAX: usize = 100_000;
/// How many audit events one read takes when the past is folded.
const AUDIT_PAGE: usize = 1_000;

/// Registered models and their versions. Blocks: not for async threads.
#[derive(Clone)]
pub struct Registry {
    store: Arc<dyn Store>,
    clock: Clock,
}

/// A model as read, and the edits of one change on it.
struct Draft {
    model: RegisteredModel,
    /// 0: it is new.
    row_version: u64,
    rows: Vec<(Table, RowWrite)>,
    now: i64,
}

/// What a change did, for the trail. `None`: there was nothing to change.
type Done<T> = (T, Option<(&'static str, String, Value, Value)>);

impl Registry {
    /// Over this store, with this clock.
    pub fn new(store: Arc<dyn Store>, clock: Clock) -> Self {
        Self { store, clock }
    }

    /// Registers a version. The same run and artifact again yield the version that is there.
    pub fn register(
        &self,
        actor: &Actor,
        name: &str,
        run_id: &str,
        artifact: &str,
        tags: &[(String, String)],
    ) -> Result<ModelVersion, TrackingError> {
        check_name("run id", run_id)?;
        check_pairs("tags", tags)?;
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
        let number = self.change(actor, name, true, |draft| {
            let origin = origin_key(name, run_id, artifact);
            if let Some(row) = self.store.get(Table::ModelVersion, &origin)? {
                return Ok((
                    codec::decode::<u32>("a version's origin", &row.value)?,
                    None,
                ));
            }
            let version = draft.model.latest_version + 1;
            check_count("versions of a model", version as usize, VERSIONS_MAX)?;
            draft.model.latest_version = version;
            let record = ModelVersion {
                name: name.to_owned(),
                version,
                stage: Stage::None,
                run_id: run_id.to_owned(),
                artifact: artifact.to_owned(),
                tags: tags.iter().cloned().collect(),
                created_ms: draft.now,
                stage_ms: draft.now,
                aliases: Vec::new(),
            };
            draft.write(version_key(name, Some(version)), Some(0), &record)?;
            draft.write(origin, Some(0), &version)?;
            let to = json!({"run_id": run_id, "artifact": artifact, "stage": Stage::None});
            let subject = format!("{name}/{version}");
            Ok((
                version,
                Some(("model_version.register", subject, Value::Null, to)),
            ))
        })?;
        self.require(name, number)
    }

    /// Moves a version; with `archive_existing` whatever else was in that stage becomes archived, in the same commit.
    pub fn transition_stage(
        &self,
        actor: &Actor,
        name: &str,
        version: u32,
        stage: Stage,
        archive_existing: bool,
    ) -> Result<ModelVersion, TrackingError> {
        if archive_existing && matches!(stage, Stage::None | Stage::Archived) {
            return Err(TrackingError::Invalid(format!(
                "archiving what is in stage {stage} makes no sense; only Staging and Production can be taken over"
            )));
        }
        self.change(actor, name, false, |draft| {
            let moved = self.move_to(draft, version, stage, archive_existing)?;
            let trail = moved.map(|(from, archived)| {
                let to = json!({"stage": stage, "archived": archived});
                let subject = format!("{name}/{version}");
                (
                    "model_version.transition_stage",
                    subject,
                    json!({"stage": from}),
                    to,
                )
            });
            if trail.is_some() && stage == Stage::Production {
                draft.promoted(version);
            }
            Ok(((), trail))
        })?;
        self.require(name, version)
    }

    /// Takes what is in Production out and puts the version that was there before it back.
    pub fn rollback(&self, actor: &Actor, name: &str) -> Result<ModelVersion, TrackingError> {
        self.go_back(actor, name, None)
    }

    /// The same where `from` is in Production; where it is not (any more) nothing changes. Yields what is in Production.
    pub fn rollback_from(
        &self,
        actor: &Actor,
        name: &str,
        from: u32,
    ) -> Result<ModelVersion, TrackingError> {
        self.go_back(actor, name, Some(from))
    }

    fn go_back(
        &self,
        actor: &Actor,
        name: &str,
        from: Option<u32>,
    ) -> Result<ModelVersion, TrackingError> {
        let version = self.change(actor, name, false, |draft| {
            let current = self.in_stage(name, Stage::Production)?;
            let is_current = |number: u32| current.iter().any(|record| record.version == number);
            if from.is_some_and(|from| !is_current(from)) {
                let newest = current.last().ok_or_else(|| {
                    TrackingError::NotFound(format!("model {name:?} has no version in Production"))
                })?;
                return Ok((newest.version, None));
            }
            while draft
                .model
                .promotions
                .last()
                .is_some_and(|promotion| is_current(promotion.version))
            {
                draft.model.promotions.pop();
            }
            let Some(previous) = draft.model.promotions.last().copied() else {
                return Err(TrackingError::NotFound(format!(
                    "model {name:?} has no earlier Production version to go back to; promote one with a stage transition"
                )));
            };
            let moved = self.move_to(draft, previous.version, Stage::Production, true)?;
            let from: Vec<u32> = current.iter().map(|record| record.version).collect();
            let trail = moved.map(|(_, archived)| {
                let to = json!({"production": previous.version, "archived": archived});
                let from = json!({"production": from});
                ("model.rollback", format!("{name}/{}", previous.version), from, to)
            });
            Ok((previous.version, trail))
        })?;
        self.require(name, version)
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

    /// Reads one version, with its aliases.
    pub fn version(&self, name: &str, version: u32) -> Result<Option<ModelVersion>, TrackingError> {
        check_name("model", name)?;
        Ok(self.read(name, version)?.map(|(record, _)| record))
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

    /// The newest version in each of these stages, in the order of the stages.
    pub fn latest_versions(
        &self,
        name: &str,
        stages: &[Stage],
    ) -> Result<Vec<ModelVersion>, TrackingError> {
        let versions = self.versions(name)?;
        let newest = |stage: &Stage| versions.iter().rev().find(|record| record.stage == *stage);
        Ok(stages.iter().filter_map(newest).cloned().collect())
    }

    /// The bytes of a version's artifact.
    pub fn artifact(&self, name: &str, version: u32) -> Result<Vec<u8>, TrackingError> {
        let record = self
            .version(name, version)?
            .ok_or_else(|| no_version(name, version))?;
        let found = match parse_digest(&record.artifact) {
            Some(digest) => self.store.get_blob(&digest)?,
            None => None,
        };
        found.ok_or_else(|| {
            TrackingError::NotFound(format!(
                "the artifact {} of {name:?} version {version} is not in the store",
                record.artifact
            ))
        })
    }

    /// What was in Production at a time: the versions, ascending, folded from the audit trail.
    pub fn production_at(&self, name: &str, at_ms: i64) -> Result<Vec<u32>, TrackingError> {
        check_name("model", name)?;
        let audit = Audit::new(Arc::clone(&self.store));
        let (mut from, mut production) = (0, std::collections::BTreeSet::new());
        loop {
            let page = audit.read(from, AUDIT_PAGE)?;
            let Some((last, _)) = page.last() else {
                return Ok(production.into_iter().collect());
            };
            from = last + 1;
            for (_, event) in page.iter().filter(|(_, event)| event.at_ms <= at_ms) {
                fold_production(name, event, &mut production);
            }
        }
    }

    /// Moves a version and yields its old stage and what was archived; none where nothing changes.
    fn move_to(
        &self,
        draft: &mut Draft,
        version: u32,
        stage: Stage,
        archive_existing: bool,
    ) -> Result<Option<(Stage, Vec<u32>)>, TrackingError> {
        let name = draft.model.name.clone();
        let (mut record, row_version) = self
            .read(&name, version)?
            .ok_or_else(|| no_version(&name, version))?;
        let mut archived = Vec::new();
        if archive_existing {
            for other in self.in_stage(&name, stage)? {
                if other.version != version {
                    let number = other.version;
                    let other = other.moved(Stage::Archived, draft.now);
                    draft.write(version_key(&name, Some(number)), None, &other)?;
                    archived.push(number);
                }
            }
        }
        let from = record.stage;
        if from == stage && archived.is_empty() {
            return Ok(None);
        }
        record = record.moved(stage, draft.now);
        draft.write(
            version_key(&name, Some(version)),
            Some(row_version),
            &record,
        )?;
        Ok(Some((from, archived)))
    }

    fn in_stage(&self, name: &str, stage: Stage) -> Result<Vec<ModelVersion>, TrackingError> {
        let mut versions = self.versions(name)?;
        versions.retain(|record| record.stage == stage);
        Ok(versions)
    }

    /// Reads the model, edits a draft and commits it until nobody was faster. Everything that `edit` reads is guarded by the
    /// version of the model's row, which every commit of this registry expects and writes.
    fn change<T>(
        &self,
        actor: &Actor,
        name: &str,
        may_create: bool,
        edit: impl Fn(&mut Draft) -> Result<Done<T>, TrackingError>,
    ) -> Result<T, TrackingError> {
        check_name("model", name)?;
        for _ in 0..TRIES_MAX {
            let mut draft = self.draft(name, may_create)?;
            let (answer, trail) = edit(&mut draft)?;
            let Some((action, subject, from, to)) = trail else {
                return Ok(answer);
            };
            let event = AuditEvent {
                at_ms: draft.now,
                actor: actor.clone(),
                action: action.to_owned(),
                subject,
                from,
                to,
            };
            match self.store.commit(draft.commit(&event)?) {
                Ok(_) => return Ok(answer),
                Err(CommitError::WrongVersion { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(contended("model", name))
    }

    fn draft(&self, name: &str, may_create: bool) -> Result<Draft, TrackingError> {
        let now = (self.clock)();
        let (model, row_version) = match self.find(name)? {
            Some(found) => found,
            None if may_create => (
                RegisteredModel {
                    name: name.to_owned(),
                    created_ms: now,
                    latest_version: 0,
                    aliases: [].into(),
                    promotions: Vec::new(),
                },
                0,
            ),
            None => {
                return Err(TrackingError::NotFound(format!(
                    "there is no registered model {name:?}; register a version first"
                )));
            }
        };
        Ok(Draft {
            model,
            row_version,
            rows: Vec::new(),
            now,
        })
    }

    fn find(&self, name: &str) -> Result<Option<(RegisteredModel, u64)>, TrackingError> {
        self.store
            .get(Table::Model, name.as_bytes())?
            .map(|row| Ok((codec::decode("a model", &row.value)?, row.version)))
            .transpose()
    }

    fn read(&self, name: &str, version: u32) -> Result<Option<(ModelVersion, u64)>, TrackingError> {
        let Some((model, _)) = self.find(name)? else {
            return Ok(None);
        };
        self.store
            .get(Table::ModelVersion, &version_key(name, Some(version)))?
            .map(|row| {
                let record = codec::decode("a model version", &row.value)?;
                Ok((with_aliases(record, &model), row.version))
            })
            .transpose()
    }

    fn require(&self, name: &str, version: u32) -> Result<ModelVersion, TrackingError> {
        self.version(name, version)?
            .ok_or_else(|| no_version(name, version))
    }
}

impl Draft {
    fn write<T: serde::Serialize>(
        &mut self,
        key: Vec<u8>,
        expect: Option<u64>,
        record: &T,
    ) -> Result<(), TrackingError> {
        self.rows
            .push((Table::ModelVersion, put(key, expect, record)?));
        Ok(())
    }

    fn promoted(&mut self, version: u32) {
        let at_ms = self.now;
        self.model.promotions.push(Promotion { version, at_ms });
        if self.model.promotions.len() > PROMOTIONS_MAX {
            self.model.promotions.remove(0);
        }
    }

    fn commit(self, event: &AuditEvent) -> Result<Commit, TrackingError> {
        let mut commit = event.commit()?;
        commit.rows = self.rows;
        let key = self.model.name.as_bytes().to_vec();
        let write = put(key, Some(self.row_version), &self.model)?;
        commit.rows.push((Table::Model, write));
        Ok(commit)
    }
}

impl ModelVersion {
    fn moved(mut self, stage: Stage, now: i64) -> Self {
        self.stage = stage;
        self.stage_ms = now;
        // Aliases live in the model's record alone.
        self.aliases.clear();
        self
    }
}

fn with_aliases(mut record: ModelVersion, model: &RegisteredModel) -> ModelVersion {
    let points_here = |(_, version): &(&String, &u32)| **version == record.version;
    record.aliases = model
        .aliases
        .iter()
        .filter(points_here)
        .map(|(alias, _)| alias.clone())
        .collect();
    record
}

fn no_version(name: &str, version: u32) -> TrackingError {
    TrackingError::NotFound(format!("model {name:?} has no version {version}"))
}

/// Applies one event of the trail to the set of versions in Production.
fn fold_production(
    name: &str,
    event: &AuditEvent,
    production: &mut std::collections::BTreeSet<u32>,
) {
    let number = |text: &str| text.parse::<u32>().ok();
    let Some((model, Some(version))) = event
        .subject
        .rsplit_once('/')
        .map(|(model, version)| (model, number(version)))
    else {
        return;
    };
    let entered = match event.action.as_str() {
        _ if model != name => return,
        "model.rollback" => true,
        "model_version.transition_stage" => {
            event.to.get("stage") == Some(&json!(Stage::Production))
        }
        _ => return,
    };
    production.remove(&version);
    if entered {
        production.insert(version);
        let archived = event.to.get("archived").and_then(Value::as_array);
        for number in archived.into_iter().flatten() {
            production.retain(|held| Some(u64::from(*held)) != number.as_u64());
        }
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
