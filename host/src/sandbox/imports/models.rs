//! `airlock:operator/models`.

use crate::sandbox::bindings::airlock::operator::models::{self, ModelVersion, Stage};
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::sandbox::interface::Interface;
use crate::sandbox::state::GuestState;

type Answer<T> = Result<T, CapabilityError>;

impl models::Host for GuestState {
    async fn register(
        &mut self,
        name: String,
        run_id: String,
        artifact: String,
        tags: Vec<(String, String)>,
    ) -> Answer<ModelVersion> {
        let answer = self
            .port(Interface::Models)?
            .models
            .register(name, run_id, artifact, tags)
            .await;
        self.noted(Interface::Models, answer)
    }

    async fn get_version(&mut self, name: String, version: u32) -> Answer<Option<ModelVersion>> {
        let answer = self
            .port(Interface::Models)?
            .models
            .get_version(name, version)
            .await;
        self.noted(Interface::Models, answer)
    }

    async fn get_latest_versions(
        &mut self,
        name: String,
        stages: Vec<Stage>,
    ) -> Answer<Vec<ModelVersion>> {
        let answer = self
            .port(Interface::Models)?
            .models
            .get_latest_versions(name, stages)
            .await;
        self.noted(Interface::Models, answer)
    }

    async fn transition_stage(
        &mut self,
        name: String,
        version: u32,
        stage: Stage,
        archive_existing: bool,
    ) -> Answer<ModelVersion> {
        let answer = self
            .port(Interface::Models)?
            .models
            .transition_stage(name, version, stage, archive_existing)
            .await;
        self.noted(Interface::Models, answer)
    }

    async fn set_alias(&mut self, name: String, alias: String, version: u32) -> Answer<()> {
        let answer = self
            .port(Interface::Models)?
            .models
            .set_alias(name, alias, version)
            .await;
        self.noted(Interface::Models, answer)
    }

    async fn rollback(&mut self, name: String, from_version: u32) -> Answer<ModelVersion> {
        let answer = self
            .port(Interface::Models)?
            .models
            .rollback(name, from_version)
            .await;
        self.noted(Interface::Models, answer)
    }

    async fn read_artifact(
        &mut self,
        name: String,
        version: u32,
        offset: u64,
        max: u32,
    ) -> Answer<Vec<u8>> {
        let answer = self
            .port(Interface::Models)?
            .models
            .read_artifact(name, version, offset, max)
            .await;
        self.noted(Interface::Models, answer)
    }
}
