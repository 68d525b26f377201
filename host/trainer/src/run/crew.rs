//! The threads that carry out runs: each takes the next one from a line until the line is empty. A run ends whatever happens to its
//! thread: a panic is an end too.

use super::hearing::{Hearing, Shared};
use crate::check;
use crate::config::{Config, Event, Granted, RunOutcome, Usage};
use crate::data::Matrix;
use crate::error::TrainError;
use crate::job::Job;
use crate::model::Model;
use crate::threads::cpu_ms;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

/// A run that waits for a thread.
pub(super) struct Work {
    pub(super) shared: Arc<Shared>,
    pub(super) config: Arc<Config>,
    pub(super) train: Arc<Matrix>,
    pub(super) device: &'static str,
    pub(super) job: Job,
}

/// The threads of one run or of a search. Dropping it waits for them.
pub(super) struct Crew(Vec<JoinHandle<()>>);

impl Crew {
    /// Begins to carry out `line`, as many at once as `threads` has entries: each entry is the number of threads of the runs at that
    /// place.
    ///
    /// # Errors
    /// [`TrainError::WorkerLost`] where the system gives not even one thread.
    pub(super) fn begin(line: Vec<Work>, threads: &[usize]) -> Result<Self, TrainError> {
        let line = Arc::new(Mutex::new(VecDeque::from(line)));
        let mut crew = Self(Vec::new());
        for threads in threads.iter().copied() {
            let line = Arc::clone(&line);
            let begun = std::thread::Builder::new()
                .name("train-0".to_owned())
                .spawn(move || {
                    while let Some(work) = next(&line) {
                        carry_out(work, threads);
                    }
                });
            match begun {
                Ok(thread) => crew.0.push(thread),
                // Those that are there do the work of those that are not.
                Err(_) if !crew.0.is_empty() => break,
                Err(error) => return Err(TrainError::WorkerLost(format!("no thread: {error}"))),
            }
        }
        Ok(crew)
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for thread in self.0.drain(..) {
            // A panic was caught inside and is the run's end already.
            let _ = thread.join();
        }
    }
}

fn next(line: &Mutex<VecDeque<Work>>) -> Option<Work> {
    line.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .pop_front()
}

fn carry_out(work: Work, threads: usize) {
    let shared = Arc::clone(&work.shared);
    if shared.begin() {
        shared.end(caught(|| train_to_end(work, threads)));
    }
}

/// Nothing of `work` is used after a panic but the events that it said.
pub(super) fn caught<T>(work: impl FnOnce() -> Result<T, TrainError>) -> Result<T, TrainError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(TrainError::WorkerLost(
            "training panicked; please report this".to_owned(),
        ))
    })
}

fn train_to_end(work: Work, threads: usize) -> Result<(RunOutcome, Model), TrainError> {
    let (begun, cpu_begun) = (Instant::now(), cpu_ms());
    let shared = work.shared;
    let peak_host = work.train.memory().host + work.job.memory();
    shared.say(Event::Started(Granted {
        device: work.device.to_owned(),
        threads: u32::try_from(threads).unwrap_or(u32::MAX),
        memory_limit: peak_host,
    }));
    for warning in check::warnings(&work.train) {
        shared.say(Event::Warning(warning));
    }
    let hearing = Hearing::new(&shared, &work.config, begun);
    let trained = work.job.run(threads, &hearing)?;
    for point in &trained.points {
        shared.say(Event::Progress(point.clone()));
    }
    let usage = Usage {
        wall_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        cpu_ms: cpu_ms().saturating_sub(cpu_begun) + trained.spent.cpu_ms,
        device_ms: trained.spent.device_ms,
        peak_host,
        peak_device: trained.spent.peak_device,
        rounds: trained.rounds,
        restarts: 0,
    };
    let outcome = RunOutcome {
        reason: trained.reason,
        best_round: u32::try_from(trained.model.rounds()).unwrap_or(u32::MAX),
        metrics: trained.points,
        usage,
    };
    Ok((outcome, trained.model))
}
