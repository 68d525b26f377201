//! Registered models with what made them: what `airlock models` shows.

use super::App;
use crate::error::{ErrorKind, UserError};
use crate::tracking::{
    Actor, ActorKind, ModelVersion, RegisteredModel, Run, Stage, TrackingError, VersionLife,
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

impl App {
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
        let model = self.registry.model(name)?.ok_or_else(|| {
            UserError::new(ErrorKind::NotFound, format!("no model is called {name:?}"))
                .hint("`airlock models list` shows what there is")
        })?;
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

    /// Moves a version to a stage; what was there becomes archived, in the same commit.
    pub fn promote(
        &self,
        name: &str,
        version: u32,
        stage: Stage,
    ) -> Result<ModelVersion, UserError> {
        let archive = matches!(stage, Stage::Production);
        Ok(self
            .registry
            .transition_stage(&user(), name, version, stage, archive)?)
    }

    /// Puts the version that was in production before back.
    pub fn rollback(&self, name: &str) -> Result<ModelVersion, UserError> {
        Ok(self.registry.rollback(&user(), name, None)?)
    }
}

/// Who works at this terminal, as the audit trail names them.
fn user() -> Actor {
    let id = std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
    Actor {
        kind: ActorKind::User,
        id,
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
