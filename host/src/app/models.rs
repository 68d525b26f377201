//! Registered models with what made them: what `airlock models` shows.

use super::App;
use crate::error::{ErrorKind, UserError};
use crate::tracking::{
    Actor, ActorKind, ModelVersion, RegisteredModel, Run, Stage, TrackingError, VersionAt,
    VersionLife,
};
use serde::Serialize;

/// Models listed at once.
const MODELS_PAGE: usize = 1_000;

/// A model with its versions, the tracking run of each, and its history.
#[derive(Debug, Clone, Serialize)]
pub struct ModelDetail {
    /// The model.
    pub model: RegisteredModel,
    /// Its versions, oldest first, each with the run that made it.
    pub versions: Vec<VersionDetail>,
    /// What was done to it, oldest first.
    pub history: Vec<VersionLife>,
}

/// A version and the run that made it.
#[derive(Debug, Clone, Serialize)]
pub struct VersionDetail {
    /// The version.
    pub version: ModelVersion,
    /// The run that made it, if it is still known.
    pub run: Option<Run>,
}

/// A model as it was at a time.
#[derive(Debug, Clone, Serialize)]
pub struct ModelAt {
    /// Its name.
    pub name: String,
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
    /// What was in Production, with where it came from.
    pub production: Vec<ProductionVersion>,
    /// Every version that there was.
    pub versions: Vec<VersionAt>,
}

/// A version in Production and where it came from. Params never change; metrics and tags are as the run has them now.
#[derive(Debug, Clone, Serialize)]
pub struct ProductionVersion {
    /// As it was then: who put it there, when, why; SHA-256 of its bytes.
    pub at: VersionAt,
    /// The version as it is now, if it is still there.
    pub version: Option<ModelVersion>,
    /// The run that made it, if it is still known.
    pub run: Option<Run>,
}

impl ProductionVersion {
    /// What the host says of where it came from, by the tag's key without its `airlock.`: of the run, else of the version.
    pub fn provenance(&self, key: &str) -> Option<&str> {
        let key = format!("{}{key}", crate::tracking::HOST_TAG_PREFIX);
        let of_run = self.run.as_ref().and_then(|run| run.tags.get(&key));
        let of_version = || self.version.as_ref()?.tags.get(&key);
        of_run.or_else(of_version).map(String::as_str)
    }
}

impl App {
    /// Everything that happened to a model and its versions, oldest first; also to one that was deleted.
    pub fn model_history(&self, name: &str) -> Result<Vec<VersionLife>, UserError> {
        let history = self.registry.history(name)?;
        if history.is_empty() && self.registry.model(name)?.is_none() {
            return Err(no_model(name));
        }
        Ok(history)
    }

    /// What was in Production at a time, milliseconds since the epoch.
    pub fn model_at(&self, name: &str, at_ms: i64) -> Result<ModelAt, UserError> {
        self.model_history(name)?;
        let versions = self.registry.versions_at(name, at_ms)?;
        let in_production = versions
            .iter()
            .filter(|version| version.stage == Stage::Production);
        let mut production = Vec::new();
        for at in in_production {
            let version = self.registry.version(name, at.version)?;
            // A number is given again only after its model was deleted: then this is another version.
            let version = version.filter(|version| version.artifact == at.artifact);
            let run = self.tracking.run(&at.run_id).ok();
            production.push(ProductionVersion {
                at: at.clone(),
                version,
                run,
            });
        }
        Ok(ModelAt {
            name: name.to_owned(),
            at_ms,
            production,
            versions,
        })
    }

    /// Every registered model.
    pub fn models(&self) -> Result<Vec<RegisteredModel>, UserError> {
        let mut models: Vec<RegisteredModel> = Vec::new();
        loop {
            let after = models.last().map(|model| model.name.clone());
            let page = self.registry.models(after.as_deref(), MODELS_PAGE)?;
            if page.is_empty() {
                return Ok(models);
            }
            models.extend(page);
        }
    }

    /// One model with everything about it.
    pub fn model(&self, name: &str) -> Result<ModelDetail, UserError> {
        let model = self.registry.model(name)?.ok_or_else(|| no_model(name))?;
        let detail = |version: ModelVersion| {
            let run = self.tracking.run(&version.run_id).ok();
            VersionDetail { version, run }
        };
        let versions = self
            .registry
            .versions(name)?
            .into_iter()
            .map(detail)
            .collect();
        Ok(ModelDetail {
            history: self.registry.history(name)?,
            model,
            versions,
        })
    }

    /// Moves a version to a stage; what was in Production becomes archived, in the same commit. `by` is who the trail names.
    pub fn promote(
        &self,
        by: &str,
        name: &str,
        version: u32,
        stage: Stage,
        reason: Option<&str>,
    ) -> Result<ModelVersion, UserError> {
        let archive = matches!(stage, Stage::Production);
        Ok(self
            .registry
            .promote(&user(by), name, version, stage, archive, reason)?)
    }

    /// Puts the version that was in production before back.
    pub fn rollback(
        &self,
        by: &str,
        name: &str,
        reason: Option<&str>,
    ) -> Result<ModelVersion, UserError> {
        Ok(self.registry.rollback(&user(by), name, reason)?)
    }
}

fn no_model(name: &str) -> UserError {
    UserError::new(ErrorKind::NotFound, format!("no model is called {name:?}"))
        .hint("`airlock models list` shows what there is")
}

/// A person, as the audit trail names them.
fn user(id: &str) -> Actor {
    Actor {
        kind: ActorKind::User,
        id: id.to_owned(),
    }
}

impl From<TrackingError> for UserError {
    fn from(error: TrackingError) -> Self {
        match error {
            TrackingError::Store(error) => error.into(),
            TrackingError::Commit(error) => error.into(),
            TrackingError::NotFound(message) => Self::new(ErrorKind::NotFound, message),
            TrackingError::Conflict(message) | TrackingError::AlreadyExists(message) => {
                Self::new(ErrorKind::Conflict, message)
            }
            error @ TrackingError::Damaged { .. } => Self::new(ErrorKind::Store, error),
            error => Self::new(ErrorKind::Usage, error),
        }
    }
}
