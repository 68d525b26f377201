//! Stages: promotion and rollback.

use super::{Draft, Registry, no_version};
use crate::tracking::model::{ModelVersion, Stage, version_key};
use crate::tracking::{Actor, REGISTRY_TEXT_CHARS_MAX, TrackingError, check_text};
use serde_json::json;

impl Registry {
    /// Moves a version; with `archive_existing` whatever else was in that stage becomes archived, in the same commit.
    pub fn transition_stage(
        &self,
        actor: &Actor,
        name: &str,
        version: u32,
        stage: Stage,
        archive_existing: bool,
    ) -> Result<ModelVersion, TrackingError> {
        self.promote(actor, name, version, stage, archive_existing, None)
    }

    /// The same, and the trail says why.
    pub fn promote(
        &self,
        actor: &Actor,
        name: &str,
        version: u32,
        stage: Stage,
        archive_existing: bool,
        reason: Option<&str>,
    ) -> Result<ModelVersion, TrackingError> {
        if archive_existing && matches!(stage, Stage::None | Stage::Archived) {
            return Err(TrackingError::Invalid(format!(
                "archiving what is in stage {stage} makes no sense; only Staging and Production can be taken over"
            )));
        }
        check_text(
            "a reason",
            reason.unwrap_or_default(),
            REGISTRY_TEXT_CHARS_MAX,
        )?;
        self.change(actor, name, false, |draft| {
            let moved = self.move_to(draft, version, stage, archive_existing)?;
            let trail = moved.map(|(from, archived)| {
                let mut to = json!({"stage": stage, "archived": archived});
                if let (Some(reason), Some(to)) = (reason, to.as_object_mut()) {
                    to.insert("reason".to_owned(), json!(reason));
                }
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
    pub fn rollback(
        &self,
        actor: &Actor,
        name: &str,
        reason: Option<&str>,
    ) -> Result<ModelVersion, TrackingError> {
        check_text(
            "a reason",
            reason.unwrap_or_default(),
            REGISTRY_TEXT_CHARS_MAX,
        )?;
        self.go_back(actor, name, None, reason)
    }

    /// The same where `from` is in Production; where it is not (any more) nothing changes. Yields what is in Production.
    pub fn rollback_from(
        &self,
        actor: &Actor,
        name: &str,
        from: u32,
    ) -> Result<ModelVersion, TrackingError> {
        self.go_back(actor, name, Some(from), None)
    }

    fn go_back(
        &self,
        actor: &Actor,
        name: &str,
        from: Option<u32>,
        reason: Option<&str>,
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
                let mut to = json!({"production": previous.version, "archived": archived});
                if let (Some(reason), Some(to)) = (reason, to.as_object_mut()) {
                    to.insert("reason".to_owned(), json!(reason));
                }
                let from = json!({"production": from});
                ("model.rollback", format!("{name}/{}", previous.version), from, to)
            });
            Ok((previous.version, trail))
        })?;
        self.require(name, version)
    }

    /// The newest version in each of these stages, in the order of the stages; in every stage if none is named.
    pub fn latest_versions(
        &self,
        name: &str,
        stages: &[Stage],
    ) -> Result<Vec<ModelVersion>, TrackingError> {
        let versions = self.versions(name)?;
        let stages = if stages.is_empty() {
            &Stage::ALL
        } else {
            stages
        };
        let newest = |stage: &Stage| versions.iter().rev().find(|record| record.stage == *stage);
        Ok(stages.iter().filter_map(newest).cloned().collect())
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
