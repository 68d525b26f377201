//! `airlock:operator/training`: runs, models and scores by handle, under the training grant. Training is the business of worker
//! processes (`crate::training`); this port gives it threads and memory within the grant, keeps artifacts in the store, and stops
//! every run when the attempt ends. It refuses to train here.

use super::blocking;
use super::budget::{Budget, Reservation};
use super::engine;
use super::granted::Granted;
use super::handles::{Handles, lock};
use super::matrices::{HeldMatrix, Matrices};
use crate::sandbox::bindings::airlock::operator::training::{
    Config, Event, Format, Metric, RunOutcome, Shortfall, TrainError,
};
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::sandbox::ports::{Handle, TrainingPort};
use crate::store::Store;
use crate::tracking::parse_digest;
use crate::training::{Request, Run, Trainers};
use airlock_core::grant::{Capability, TrainingGrant};
use airlock_trainer as trainer;
use async_trait::async_trait;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The longest wait for one event, milliseconds; a guest that wants more asks again.
pub const EVENT_WAIT_MS_MAX: u32 = 10_000;
/// The most runs of one search.
pub const SEARCH_RUNS_MAX: usize = 256;
/// The most scores of one slice.
pub const SCORES_MAX: u32 = 65_536;

type Trained<T> = Result<T, TrainError>;

struct HeldRun {
    run: Run,
    /// Threads of the grant, shared by the runs of a search; given back when the last one has ended or its handle is dropped.
    threads: Mutex<Option<Arc<Reservation>>>,
}

struct HeldScores {
    scores: Vec<f32>,
    data: Arc<HeldMatrix>,
    _memory: Reservation,
}

#[derive(Clone)]
enum Held {
    Run(Arc<HeldRun>),
    Model(Arc<trainer::Model>),
    Scores(Arc<HeldScores>),
}

/// Where training for one attempt finds what it works with.
pub(super) struct House {
    /// Which task instance it is for.
    pub(super) name: String,
    /// The cards, by UUID, that a pool gave it.
    pub(super) cards: Vec<String>,
    pub(super) trainers: Trainers,
    pub(super) store: Arc<dyn Store>,
    pub(super) matrices: Arc<dyn Matrices>,
}

/// Training for one attempt.
pub(super) struct Training {
    grants: Arc<Granted>,
    name: String,
    cards: Vec<String>,
    trainers: Trainers,
    store: Arc<dyn Store>,
    matrices: Arc<dyn Matrices>,
    memory: Budget,
    threads: Budget,
    held: Handles<Held>,
}

impl Training {
    pub(super) fn new(grants: Arc<Granted>, house: House, memory: Budget) -> Self {
        let threads = grants.training.as_ref().map_or(0, |grant| grant.threads);
        Self {
            grants,
            name: house.name,
            cards: house.cards,
            trainers: house.trainers,
            store: house.store,
            matrices: house.matrices,
            memory,
            threads: Budget::new(u64::from(threads)),
            held: Handles::new(),
        }
    }

    fn grant(&self) -> Trained<&TrainingGrant> {
        let granted = self.grants.training.as_ref().ok_or_else(|| {
            TrainError::Denied("no grant covers training; it needs `training`".to_owned())
        })?;
        self.grants.used(Capability::Training, "");
        Ok(granted)
    }

    fn run(&self, handle: Handle) -> Trained<Arc<HeldRun>> {
        match self.held.get(handle).map_err(unusable)? {
            Held::Run(run) => Ok(run),
            _ => Err(wrong_kind(handle, "run")),
        }
    }

    fn model_of(&self, handle: Handle) -> Trained<Arc<trainer::Model>> {
        match self.held.get(handle).map_err(unusable)? {
            Held::Model(model) => Ok(model),
            _ => Err(wrong_kind(handle, "model")),
        }
    }

    fn scores(&self, handle: Handle) -> Trained<Arc<HeldScores>> {
        match self.held.get(handle).map_err(unusable)? {
            Held::Scores(scores) => Ok(scores),
            _ => Err(wrong_kind(handle, "scores")),
        }
    }

    fn matrix(&self, handle: Handle) -> Trained<Arc<HeldMatrix>> {
        self.matrices.matrix_of(handle).map_err(unusable)
    }

    fn keep(&self, held: Held) -> Trained<Handle> {
        self.held.insert(held).map_err(unusable)
    }

    /// The grant against the need, before anything is started.
    fn check_memory(&self, matrices: &[&Arc<HeldMatrix>]) -> Trained<()> {
        let available = self.grant()?.memory_bytes;
        let needed = matrices.iter().map(|held| held.matrix.memory().host).sum();
        if needed > available {
            return Err(TrainError::OutOfMemory(Shortfall { needed, available }));
        }
        Ok(())
    }

    /// All threads of the grant that the machine has; a second run waits until the first has ended.
    fn take_threads(&self) -> Trained<(u32, Reservation)> {
        let granted = self.grant()?.threads.max(1);
        let there = std::thread::available_parallelism().map_or(1, usize::from);
        let count = granted.min(u32::try_from(there).unwrap_or(u32::MAX));
        let taken = self.threads.take(u64::from(granted)).map_err(|_| {
            TrainError::Denied(format!(
                "the grant's {granted} threads are with a run that has not ended; wait for it or drop it first"
            ))
        })?;
        Ok((count, taken))
    }

    /// What a start needs: matrices within the grant, and its threads.
    fn request(&self, train: Handle, valid: Option<Handle>) -> Trained<(Request, Reservation)> {
        let train = self.matrix(train)?;
        let valid = valid.map(|handle| self.matrix(handle)).transpose()?;
        let matrices: Vec<_> = std::iter::once(&train).chain(&valid).collect();
        self.check_memory(&matrices)?;
        let (threads, taken) = self.take_threads()?;
        let request = Request {
            name: self.name.clone(),
            train: Arc::clone(&train.matrix),
            valid: valid.map(|held| Arc::clone(&held.matrix)),
            threads,
            memory: self.grant()?.memory_bytes,
            cards: self.cards.clone(),
        };
        Ok((request, taken))
    }

    fn keep_run(&self, run: Run, threads: Arc<Reservation>) -> Trained<Handle> {
        self.keep(Held::Run(Arc::new(HeldRun {
            run,
            threads: Mutex::new(Some(threads)),
        })))
    }
}

#[async_trait]
impl TrainingPort for Training {
    async fn start(&self, train: Handle, valid: Option<Handle>, config: Config) -> Trained<Handle> {
        let (request, threads) = self.request(train, valid)?;
        let (store, trainers) = (Arc::clone(&self.store), self.trainers.clone());
        let run = offload(move || {
            let config = told(&*store, config)?;
            trainers.start(&request, config).map_err(engine::error)
        })
        .await?;
        self.keep_run(run, Arc::new(threads))
    }

    async fn start_search(
        &self,
        train: Handle,
        valid: Option<Handle>,
        configs: Vec<Config>,
        parallel: u32,
    ) -> Trained<Vec<Handle>> {
        if configs.len() > SEARCH_RUNS_MAX {
            return Err(TrainError::Invalid(format!(
                "a search of {} runs is over the limit of {SEARCH_RUNS_MAX}; make several",
                configs.len()
            )));
        }
        let (request, threads) = self.request(train, valid)?;
        let (store, trainers) = (Arc::clone(&self.store), self.trainers.clone());
        let runs = offload(move || {
            let configs = configs.into_iter().map(|config| told(&*store, config));
            let configs = configs.collect::<Trained<Vec<_>>>()?;
            let runs = trainers.start_search(&request, configs, parallel);
            runs.map_err(engine::error)
        })
        .await?;
        let threads = Arc::new(threads);
        let keep = |run| self.keep_run(run, Arc::clone(&threads));
        runs.into_iter().map(keep).collect()
    }

    async fn next(&self, run: Handle, timeout_ms: u32) -> Option<Event> {
        let held = self.run(run).ok()?;
        let store = Arc::clone(&self.store);
        let timeout = Duration::from_millis(u64::from(timeout_ms.min(EVENT_WAIT_MS_MAX)));
        let event = offload(move || {
            let event = held.run.next(timeout);
            event
                .map(|event| engine::event(event, |bytes| put(&*store, bytes)))
                .transpose()
        });
        event.await.unwrap_or_else(|error| {
            Some(Event::Warning(format!(
                "an event was lost: {}",
                engine::describe(&error)
            )))
        })
    }

    async fn cancel(&self, run: Handle) {
        if let Ok(held) = self.run(run) {
            held.run.cancel();
        }
    }

    async fn wait(&self, run: Handle) -> Trained<RunOutcome> {
        let held = self.run(run)?;
        offload(move || {
            let outcome = held.run.wait();
            drop(lock(&held.threads).take());
            outcome.map(engine::outcome).map_err(engine::error)
        })
        .await
    }

    async fn model(&self, run: Handle) -> Trained<Handle> {
        let model = self.run(run)?.run.model().ok_or_else(|| {
            TrainError::Invalid("the run has no model: it has not ended, or it failed".to_owned())
        })?;
        self.keep(Held::Model(model))
    }

    async fn load(&self, artifact: String, format: Format) -> Trained<Handle> {
        self.grant()?;
        let store = Arc::clone(&self.store);
        let model = offload(move || engine::load(&get(&*store, &artifact)?, format)).await?;
        self.keep(Held::Model(Arc::new(model)))
    }

    async fn save(&self, model: Handle, format: Format) -> Trained<String> {
        let model = self.model_of(model)?;
        let store = Arc::clone(&self.store);
        offload(move || put(&*store, &engine::save(&model, format)?)).await
    }

    async fn score(&self, model: Handle, data: Handle) -> Trained<Handle> {
        let (model, data) = (self.model_of(model)?, self.matrix(data)?);
        self.grant()?;
        let numbers = data.matrix.rows() as u64 * model.outputs() as u64;
        let memory = self.memory.take(4 * numbers);
        let memory = memory.map_err(unusable)?;
        let scores = offload(move || {
            let scores = engine::score(&model, &data.matrix)?;
            Ok(HeldScores {
                scores,
                data,
                _memory: memory,
            })
        })
        .await?;
        self.keep(Held::Scores(Arc::new(scores)))
    }

    async fn importance(&self, model: Handle) -> Vec<(String, f64)> {
        self.model_of(model)
            .map_or_else(|_| Vec::new(), |model| model.importance())
    }

    async fn digest(&self, model: Handle) -> String {
        self.model_of(model)
            .map_or_else(|_| String::new(), |model| engine::digest(&model))
    }

    async fn outputs(&self, model: Handle) -> u32 {
        self.model_of(model).map_or(0, |model| {
            u32::try_from(model.outputs()).unwrap_or(u32::MAX)
        })
    }

    async fn evaluate(&self, scores: Handle, metrics: Vec<Metric>) -> Trained<Vec<(Metric, f64)>> {
        let held = self.scores(scores)?;
        offload(move || {
            let labels = held.data.matrix.label().ok_or_else(|| {
                TrainError::Invalid("the matrix that was scored has no label".to_owned())
            })?;
            let several = held.scores.len() > labels.len();
            let value = |metric| {
                let known = engine::metric(metric);
                if several && !known.fits_classes() {
                    return Err(TrainError::Invalid(format!(
                        "{} is not defined for several classes; ask for log-loss or accuracy",
                        known.word()
                    )));
                }
                let value = trainer::metrics::evaluate(known, &held.scores, labels);
                Ok((metric, value))
            };
            metrics.into_iter().map(value).collect()
        })
        .await
    }

    async fn read(&self, scores: Handle, offset: u64, limit: u32) -> Vec<f32> {
        let Ok(held) = self.scores(scores) else {
            return Vec::new();
        };
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = held.scores.iter().skip(from);
        rest.take(limit.min(SCORES_MAX) as usize).copied().collect()
    }

    fn close(&self, handle: Handle) {
        if let Ok(Held::Run(held)) = self.held.remove(handle) {
            held.stop();
        }
    }
}

impl HeldRun {
    /// Told explicitly: a call that waits for the run keeps it alive.
    fn stop(&self) {
        self.run.cancel();
        drop(lock(&self.threads).take());
    }
}

impl Drop for Training {
    fn drop(&mut self) {
        for held in self.held.all() {
            if let Held::Run(run) = held {
                run.stop();
            }
        }
    }
}

async fn offload<T: Send + 'static>(
    work: impl FnOnce() -> Trained<T> + Send + 'static,
) -> Trained<T> {
    blocking(move || Ok(work()))
        .await
        .unwrap_or_else(|error| Err(TrainError::WorkerLost(super::text_of(error))))
}

/// The config in the trainer's words, with the checkpoint that it names.
fn told(store: &dyn Store, config: Config) -> Trained<trainer::Config> {
    let checkpoint = config.resume_from.as_ref();
    let checkpoint = checkpoint
        .map(|artifact| get(store, artifact))
        .transpose()?;
    Ok(engine::config(config, checkpoint))
}

/// Reads an artifact by its SHA-256 in hex.
fn get(store: &dyn Store, artifact: &str) -> Trained<Vec<u8>> {
    let digest = parse_digest(artifact).ok_or_else(|| {
        TrainError::Invalid("an artifact is named by its SHA-256 in lower-case hex".to_owned())
    })?;
    let found = store.get_blob(&digest).map_err(|error| {
        ::tracing::error!(%error, "the store failed a guest's call");
        TrainError::Data(format!(
            "artifact {artifact} cannot be read; the host's log says why"
        ))
    })?;
    found.ok_or_else(|| TrainError::Data(format!("there is no artifact {artifact}")))
}

/// Stores an artifact; yields its SHA-256 in hex.
fn put(store: &dyn Store, bytes: &[u8]) -> Trained<String> {
    let stored = store.put_blob(bytes).map_err(|error| {
        ::tracing::error!(%error, "the store failed a guest's call");
        TrainError::Data("the artifact cannot be stored; the host's log says why".to_owned())
    })?;
    Ok(stored.to_string())
}

fn unusable(error: CapabilityError) -> TrainError {
    match error {
        CapabilityError::TooLarge(limit) => TrainError::OutOfMemory(Shortfall {
            needed: limit.saturating_add(1),
            available: limit,
        }),
        other => TrainError::Invalid(super::text_of(other)),
    }
}

fn wrong_kind(handle: Handle, wanted: &str) -> TrainError {
    TrainError::Invalid(format!("handle {handle} is no {wanted}"))
}
