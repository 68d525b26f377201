//! `airlock:operator/training`. A run, model or scores exist only where training is granted.

use crate::sandbox::bindings::airlock::operator::dataset::Matrix;
use crate::sandbox::bindings::airlock::operator::training::{
    self, Config, Event, Format, Metric, Model, Run, RunOutcome, Scores, TrainError,
};
use crate::sandbox::interface::Interface::Training;
use crate::sandbox::ports::{Handle, TrainingPort};
use crate::sandbox::state::GuestState;
use wasmtime::component::Resource;

type Answer<T> = Result<T, TrainError>;

/// The most scores that one call yields (`wit/host.wit`).
const SCORES_MAX: u32 = 65_536;

impl GuestState {
    fn training(&self) -> Answer<&dyn TrainingPort> {
        match self.attempt.open(Training) {
            Ok(ports) => Ok(&*ports.training),
            Err(message) => Err(TrainError::Denied(message)),
        }
    }

    fn train_noted<T>(&self, answer: Answer<T>) -> Answer<T> {
        if let Err(TrainError::Denied(message)) = &answer {
            self.attempt.remember(Training, message);
        }
        answer
    }

    fn close_training(&self, handle: Handle) {
        if let Ok(port) = self.training() {
            port.close(handle);
        }
    }
}

impl training::Host for GuestState {
    async fn start(
        &mut self,
        train: Resource<Matrix>,
        valid: Option<Resource<Matrix>>,
        config: Config,
    ) -> Answer<Resource<Run>> {
        let valid = valid.map(|matrix| matrix.rep());
        let answer = self.training()?.start(train.rep(), valid, config).await;
        self.train_noted(answer).map(Resource::new_own)
    }

    async fn start_search(
        &mut self,
        train: Resource<Matrix>,
        valid: Option<Resource<Matrix>>,
        configs: Vec<Config>,
        parallel: u32,
    ) -> Answer<Vec<Resource<Run>>> {
        let valid = valid.map(|matrix| matrix.rep());
        let answer = self
            .training()?
            .start_search(train.rep(), valid, configs, parallel)
            .await;
        let answer = self.train_noted(answer)?;
        Ok(answer.into_iter().map(Resource::new_own).collect())
    }
}

impl training::HostRun for GuestState {
    async fn next(&mut self, run: Resource<Run>, timeout_ms: u32) -> Option<Event> {
        self.training().ok()?.next(run.rep(), timeout_ms).await
    }

    async fn cancel(&mut self, run: Resource<Run>) {
        if let Ok(port) = self.training() {
            port.cancel(run.rep()).await;
        }
    }

    async fn wait(&mut self, run: Resource<Run>) -> Answer<RunOutcome> {
        self.training()?.wait(run.rep()).await
    }

    async fn model(&mut self, run: Resource<Run>) -> Answer<Resource<Model>> {
        let model = self.training()?.model(run.rep()).await;
        model.map(Resource::new_own)
    }

    async fn drop(&mut self, run: Resource<Run>) -> wasmtime::Result<()> {
        self.close_training(run.rep());
        Ok(())
    }
}

impl training::HostModel for GuestState {
    async fn load(&mut self, artifact: String, format: Format) -> Answer<Resource<Model>> {
        let answer = self.training()?.load(artifact, format).await;
        self.train_noted(answer).map(Resource::new_own)
    }

    async fn save(&mut self, model: Resource<Model>, format: Format) -> Answer<String> {
        self.training()?.save(model.rep(), format).await
    }

    async fn score(
        &mut self,
        model: Resource<Model>,
        data: Resource<Matrix>,
    ) -> Answer<Resource<Scores>> {
        let scores = self.training()?.score(model.rep(), data.rep()).await;
        scores.map(Resource::new_own)
    }

    async fn importance(&mut self, model: Resource<Model>) -> Vec<(String, f64)> {
        match self.training() {
            Ok(port) => port.importance(model.rep()).await,
            Err(_) => Vec::new(),
        }
    }

    async fn digest(&mut self, model: Resource<Model>) -> String {
        match self.training() {
            Ok(port) => port.digest(model.rep()).await,
            Err(_) => String::new(),
        }
    }

    async fn outputs(&mut self, model: Resource<Model>) -> u32 {
        match self.training() {
            Ok(port) => port.outputs(model.rep()).await,
            Err(_) => 0,
        }
    }

    async fn drop(&mut self, model: Resource<Model>) -> wasmtime::Result<()> {
        self.close_training(model.rep());
        Ok(())
    }
}

impl training::HostScores for GuestState {
    async fn evaluate(
        &mut self,
        scores: Resource<Scores>,
        metrics: Vec<Metric>,
    ) -> Answer<Vec<(Metric, f64)>> {
        self.training()?.evaluate(scores.rep(), metrics).await
    }

    async fn read(&mut self, scores: Resource<Scores>, offset: u64, limit: u32) -> Vec<f32> {
        match self.training() {
            Ok(port) => port.read(scores.rep(), offset, limit.min(SCORES_MAX)).await,
            Err(_) => Vec::new(),
        }
    }

    async fn drop(&mut self, scores: Resource<Scores>) -> wasmtime::Result<()> {
        self.close_training(scores.rep());
        Ok(())
    }
}
