//! The model registry: models, versions, stages, aliases, promotion and rollback. Every change is one commit that expects the
//! version of the model's row, so two promotions at once end with exactly one version in Production and both in the trail.

mod history;
mod models;
mod stages;
mod versions;

pub use history::{VersionAt, VersionLife};

use super::audit::AuditEvent;
use super::codec;
use super::model::{ModelVersion, Promotion, RegisteredModel, version_key};
use super::runs::{TRIES_MAX, contended, put, remove};
use super::{Actor, Audit, Clock, PROMOTIONS_MAX, Tracking, TrackingError, check_name};
use crate::store::{Commit, CommitError, RowWrite, Store, Table};
use serde_json::Value;
use std::sync::Arc;

/// The most versions of one model.
pub const VERSIONS_MAX: usize = 100_000;

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
    /// Whether the model itself goes.
    is_deleted: bool,
    /// Its name before, where it gets another.
    renamed_from: Option<String>,
}

/// What a change did, for the trail. `None`: there was nothing to change.
type Done<T> = (T, Option<(&'static str, String, Value, Value)>);

impl Registry {
    /// Over this store, with this clock.
    pub fn new(store: Arc<dyn Store>, clock: Clock) -> Self {
        Self { store, clock }
    }

    /// Runs and logged models of the same store.
    fn tracking(&self) -> Tracking {
        Tracking::new(Arc::clone(&self.store), Arc::clone(&self.clock))
    }

    fn audit(&self) -> Audit {
        Audit::new(Arc::clone(&self.store))
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
            let commit = self.commit_of(draft, name, &event)?;
            match self.store.commit(commit) {
                Ok(_) => return Ok(answer),
                Err(CommitError::WrongVersion { .. } | CommitError::WrongHead { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(contended("model", name))
    }

    fn commit_of(
        &self,
        mut draft: Draft,
        name: &str,
        event: &AuditEvent,
    ) -> Result<Commit, TrackingError> {
        let mut commit = event.commit()?;
        commit.rows = std::mem::take(&mut draft.rows);
        let is_new = draft.row_version == 0;
        draft.model.updated_ms = (!is_new).then_some(draft.now);
        let key = |name: &str| name.as_bytes().to_vec();
        let expect = Some(draft.row_version);
        if draft.is_deleted {
            commit.rows.push((Table::Model, remove(key(name), expect)));
        } else if draft.renamed_from.is_some() {
            let new_name = draft.model.name.clone();
            commit.rows.push((Table::Model, remove(key(name), expect)));
            let write = put(key(&new_name), Some(0), &draft.model)?;
            commit.rows.push((Table::Model, write));
            self.audit()
                .rename_model(&mut commit, name, &new_name, event)?;
            return Ok(commit);
        } else {
            let write = put(key(name), expect, &draft.model)?;
            commit.rows.push((Table::Model, write));
        }
        self.audit()
            .append_to_model(&mut commit, name, event, is_new)?;
        Ok(commit)
    }

    fn draft(&self, name: &str, may_create: bool) -> Result<Draft, TrackingError> {
        let now = (self.clock)();
        let (model, row_version) = match self.find(name)? {
            Some(found) => found,
            None if may_create => (RegisteredModel::new(name, now), 0),
            None => {
                return Err(TrackingError::NotFound(format!(
                    "Registered Model with name={name} not found; register a version first"
                )));
            }
        };
        Ok(Draft {
            model,
            row_version,
            rows: Vec::new(),
            now,
            is_deleted: false,
            renamed_from: None,
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
}

impl RegisteredModel {
    fn new(name: &str, now: i64) -> Self {
        Self {
            name: name.to_owned(),
            created_ms: now,
            updated_ms: None,
            description: String::new(),
            tags: [].into(),
            latest_version: 0,
            aliases: [].into(),
            promotions: Vec::new(),
        }
    }
}

/// Aliases live in the model's record alone.
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
    TrackingError::NotFound(format!(
        "Model Version (name={name}, version={version}) not found"
    ))
}

#[cfg(test)]
mod tests;
