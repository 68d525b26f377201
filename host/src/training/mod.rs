//! Training outside this process: one long-lived worker process for each device, spoken to over a socket, with matrices in sealed
//! shared memory. A fault, a lack of memory, a hang or a kill ends a worker and nothing else: its runs go on from their last
//! checkpoints, byte for byte, on another worker, or on another device where the wish allows it.
//!
//! It refuses to train in the host, to know guests, grants and the store, and to try a run for ever: after [`DEATHS_MAX`] deaths on
//! the last device that fits, a typed error says what happened and what to do.

mod devices;
mod fault;
mod process;
mod record;
mod supervisor;
#[cfg(test)]
mod threads;
mod wire;
mod worker;

pub use devices::{DeviceName, Devices};
pub use fault::{ENV as FAULTS_ENV, Fault, FaultKind};
pub use process::main as worker_main;
pub use record::DEATHS_MAX;
pub use wire::MESSAGE_BYTES_MAX;

use crate::gpus::GpuSource;
use airlock_trainer::{Config, Event, Matrix, Model, RunOutcome, TrainError};
use devices::Machine;
use process::OwnProgram;
use record::{Record, Spec};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
#[cfg(test)]
use std::time::Instant;
use supervisor::Supervisor;

/// When workers are replaced, and when they are given up.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program that is started as a worker; this one where absent.
    pub program: Option<PathBuf>,
    /// A worker that has so many runs behind it is replaced.
    pub runs_per_worker: u32,
    /// A worker without a run goes after so long.
    pub idle_max: Duration,
    /// A worker with a run that is not heard for so long is killed; it says something every second.
    pub silence_max: Duration,
    /// A worker of which a run grew no tree and told nothing for so long is killed.
    pub tree_max: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            program: None,
            runs_per_worker: 64,
            idle_max: Duration::from_mins(1),
            silence_max: Duration::from_secs(30),
            tree_max: Duration::from_mins(15),
        }
    }
}

/// What a run, or each run of a search, is made of.
#[derive(Debug, Clone)]
pub struct Request {
    /// For people: which task instance it is for.
    pub name: String,
    /// In shared memory; see [`Matrix::into_shared`].
    pub train: Arc<Matrix>,
    /// In shared memory.
    pub valid: Option<Arc<Matrix>>,
    /// Of all runs together.
    pub threads: u32,
    /// Private memory that the runs may hold together, bytes.
    pub memory: u64,
    /// The cards, by UUID, that a pool gave to the task instance.
    pub cards: Vec<String>,
}

/// Everything that trains for this host. Clones share it; the last one ends all workers.
#[derive(Clone)]
pub struct Trainers(Arc<Supervisor>);

impl Trainers {
    /// Trains on this machine's devices. No worker is started before there is a run.
    pub fn new(options: Options, gpus: Arc<GpuSource>) -> Self {
        let launch = OwnProgram::new(options.program.clone());
        let devices = devices::from_env().unwrap_or_else(|| Box::new(Machine(gpus)));
        Self(Supervisor::new(
            options,
            devices,
            Box::new(launch),
            fault::from_env(),
        ))
    }

    /// Starts a run, and waits until it has started or is refused.
    ///
    /// # Errors
    /// Why it cannot be trained; what happens later is told by [`Run::wait`].
    pub fn start(&self, request: &Request, config: Config) -> Result<Run, TrainError> {
        let devices = &self.0.devices;
        let candidates = devices.candidates(&config.device, &request.cards)?;
        let record = self.record(request, config, request.threads, candidates);
        self.place(std::slice::from_ref(&record), request.threads, 1)?;
        let run = self.run(record);
        run.record.started()?;
        Ok(run)
    }

    /// Starts a run for each of `configs` over the same matrices, in their order, `parallel` at a time. Each gives the bytes that it
    /// would give alone. What is wrong with one is told by its own [`Run::wait`].
    ///
    /// # Errors
    /// What concerns all of them; the wishes for a device must be the same.
    pub fn start_search(
        &self,
        request: &Request,
        configs: Vec<Config>,
        parallel: u32,
    ) -> Result<Vec<Run>, TrainError> {
        let Some(first) = configs.first() else {
            return Ok(Vec::new());
        };
        if configs.iter().any(|config| config.device != first.device) {
            return Err(TrainError::Invalid(
                "the variants of one search must wish for the same device; make a search for each"
                    .to_owned(),
            ));
        }
        let devices = &self.0.devices;
        let candidates = devices.candidates(&first.device, &request.cards)?;
        let parallel = parallel
            .max(1)
            .min(u32::try_from(configs.len()).unwrap_or(u32::MAX));
        let share = (request.threads / parallel).max(1);
        let record = |config| self.record(request, config, share, candidates.clone());
        let records: Vec<Arc<Record>> = configs.into_iter().map(record).collect();
        self.place(&records, request.threads, parallel)?;
        Ok(records.into_iter().map(|record| self.run(record)).collect())
    }

    fn record(
        &self,
        request: &Request,
        config: Config,
        threads: u32,
        candidates: Vec<DeviceName>,
    ) -> Arc<Record> {
        let spec = Spec {
            name: request.name.clone(),
            train: request.train.clone(),
            valid: request.valid.clone(),
            threads,
            memory: request.memory,
            config,
            candidates,
        };
        Arc::new(Record::new(self.0.number(), spec))
    }

    fn place(
        &self,
        records: &[Arc<Record>],
        threads: u32,
        parallel: u32,
    ) -> Result<(), TrainError> {
        let first = records
            .first()
            .and_then(|record| record.spec.candidates.first());
        let device = first.ok_or_else(|| TrainError::NoDevice("there is none".to_owned()))?;
        self.0.place(records, device, threads, parallel, false)
    }

    fn run(&self, record: Arc<Record>) -> Run {
        let supervisor = self.0.clone();
        Run { supervisor, record }
    }

    /// What the watch does every second, at a time of the test's choice.
    #[cfg(test)]
    pub(crate) fn check(&self, now: Instant) {
        self.0.check(now);
    }
}

/// A run that was started. Dropping it asks it to end.
pub struct Run {
    supervisor: Arc<Supervisor>,
    record: Arc<Record>,
}

impl Run {
    /// The next event; none at the end of the run, or when `timeout` is over.
    pub fn next(&self, timeout: Duration) -> Option<Event> {
        self.record.next(timeout)
    }

    /// Asks the run to end after its current tree; it still yields a model.
    pub fn cancel(&self) {
        self.record.cancel();
        self.supervisor.cancel(self.record.id);
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// Why there is no model.
    pub fn wait(&self) -> Result<RunOutcome, TrainError> {
        self.record.wait()
    }

    /// The model of a run that ended well.
    pub fn model(&self) -> Option<Arc<Model>> {
        self.record.model()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.record.abandon();
        self.supervisor.cancel(self.record.id);
    }
}

#[cfg(test)]
mod tests;
