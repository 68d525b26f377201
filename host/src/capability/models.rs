//! `airlock:operator/models`: the guest's words for the registry, under the grant on the model.

use super::granted::Granted;
use super::handles::lock;
use super::provenance::Ledger;
use super::{Answer, HOST_CALL_BYTES_MAX, blocking, refusal};
use crate::sandbox::bindings::airlock::operator::models::{ModelVersion, Stage};
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::sandbox::ports::ModelsPort;
use crate::tracking::{self, Actor, Registry, TrackingError};
use airlock_core::grant::{Capability, allows_name};
use async_trait::async_trait;
use std::sync::{Arc, Mutex};

/// The registry for one attempt.
pub(super) struct Models {
    pub(super) grants: Arc<Granted>,
    pub(super) registry: Registry,
    pub(super) actor: Actor,
    /// What the host says of this attempt's versions.
    pub(super) stamps: Vec<(String, String)>,
    /// What the attempt read so far.
    pub(super) ledger: Ledger,
    /// The artifact that was read last: the store yields whole ones, guests read in parts.
    pub(super) read: Arc<Mutex<Option<ReadArtifact>>>,
}

/// A version's artifact in memory.
pub(super) struct ReadArtifact {
    name: String,
    version: u32,
    bytes: Vec<u8>,
}

impl Models {
    /// Works on a model that is granted.
    async fn on<T: Send + 'static>(
        &self,
        name: String,
        work: impl FnOnce(&Registry, &Actor, &str) -> Result<T, TrackingError> + Send + 'static,
    ) -> Answer<T> {
        if !allows_name(&self.grants.models, &name) {
            let shown: String = name.chars().take(100).collect();
            return Err(CapabilityError::Denied(format!(
                "no grant covers model {shown:?}; it needs `models` with this name or \"*\""
            )));
        }
        self.grants.used(Capability::Models, &name);
        let (registry, actor) = (self.registry.clone(), self.actor.clone());
        blocking(move || work(&registry, &actor, &name).map_err(refusal)).await
    }
}

#[async_trait]
impl ModelsPort for Models {
    async fn register(
        &self,
        name: String,
        run_id: String,
        artifact: String,
        tags: Vec<(String, String)>,
    ) -> Answer<ModelVersion> {
        let mut stamps = self.stamps.clone();
        stamps.extend(self.ledger.tag());
        self.on(name, move |registry, actor, name| {
            let registered = registry.register(actor, name, &run_id, &artifact, &tags, &stamps);
            registered.map(version)
        })
        .await
    }

    async fn get_version(&self, name: String, number: u32) -> Answer<Option<ModelVersion>> {
        self.on(name, move |registry, _, name| {
            Ok(registry.version(name, number)?.map(version))
        })
        .await
    }

    async fn get_latest_versions(
        &self,
        name: String,
        stages: Vec<Stage>,
    ) -> Answer<Vec<ModelVersion>> {
        self.on(name, move |registry, _, name| {
            let stages: Vec<_> = stages.into_iter().map(inward).collect();
            let latest = registry.latest_versions(name, &stages)?;
            Ok(latest.into_iter().map(version).collect())
        })
        .await
    }

    async fn transition_stage(
        &self,
        name: String,
        number: u32,
        stage: Stage,
        archive_existing: bool,
    ) -> Answer<ModelVersion> {
        self.on(name, move |registry, actor, name| {
            let stage = inward(stage);
            let moved = registry.transition_stage(actor, name, number, stage, archive_existing);
            moved.map(version)
        })
        .await
    }

    async fn set_alias(&self, name: String, alias: String, number: u32) -> Answer<()> {
        self.on(name, move |registry, actor, name| {
            registry.set_alias(actor, name, &alias, number)
        })
        .await
    }

    async fn rollback(&self, name: String, from_version: u32) -> Answer<ModelVersion> {
        self.on(name, move |registry, actor, name| {
            registry
                .rollback_from(actor, name, from_version)
                .map(version)
        })
        .await
    }

    async fn read_artifact(
        &self,
        name: String,
        number: u32,
        offset: u64,
        max: u32,
    ) -> Answer<Vec<u8>> {
        let read = Arc::clone(&self.read);
        let max = u64::from(max).min(HOST_CALL_BYTES_MAX);
        self.on(name, move |registry, _, name| {
            let mut read = lock(&read);
            let is_it = |held: &ReadArtifact| held.name == name && held.version == number;
            if !read.as_ref().is_some_and(is_it) {
                *read = Some(ReadArtifact {
                    name: name.to_owned(),
                    version: number,
                    bytes: registry.artifact(name, number)?,
                });
            }
            let bytes = read.as_ref().map_or(&[][..], |held| &held.bytes);
            let size = bytes.len() as u64;
            let (from, to) = (offset.min(size), offset.saturating_add(max).min(size));
            let part = usize::try_from(from)
                .ok()
                .zip(usize::try_from(to).ok())
                .and_then(|(from, to)| bytes.get(from..to));
            Ok(part.unwrap_or_default().to_vec())
        })
        .await
    }
}

fn inward(stage: Stage) -> tracking::Stage {
    match stage {
        Stage::None => tracking::Stage::None,
        Stage::Staging => tracking::Stage::Staging,
        Stage::Production => tracking::Stage::Production,
        Stage::Archived => tracking::Stage::Archived,
    }
}

fn version(record: tracking::ModelVersion) -> ModelVersion {
    ModelVersion {
        name: record.name,
        version: record.version,
        stage: match record.stage {
            tracking::Stage::None => Stage::None,
            tracking::Stage::Staging => Stage::Staging,
            tracking::Stage::Production => Stage::Production,
            tracking::Stage::Archived => Stage::Archived,
        },
        run_id: record.run_id,
        artifact: record.artifact,
        tags: record.tags.into_iter().collect(),
        aliases: record.aliases,
    }
}
