//! The threads that carry out runs: each takes the next one from a line until the line is empty. A run ends whatever happens to its
//! thread: a panic is an end too.

use super::hearing::{Hearing, Shared};
use super::place::{Place, plan_of};
use crate::check;
use crate::config::{Algorithm, Config, Event, Granted, RunOutcome, Usage};
use crate::data::Matrix;
use crate::error::TrainError;
use crate::job::{Job, TreePlan};
use crate::model::Model;
use crate::rounds::{Backend, Trained, drive};
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
    pub(super) place: Place,
    pub(super) job: Job,
}

impl Work {
    /// Whether both train at once: variants of gradient boosting on the same cards do.
    pub(super) fn goes_with(&self, other: &Self) -> bool {
        let boosts = |work: &Self| matches!(work.config.algorithm, Algorithm::Gbdt(_));
        let on_cards = self.place != Place::Processor && self.place == other.place;
        on_cards && boosts(self) && boosts(other)
    }
}

/// The threads of one run or of a search. Dropping it waits for them.
pub(super) struct Crew(Vec<JoinHandle<()>>);

impl Crew {
    /// Begins to carry out `line`, as many at once as `threads` has entries: each entry is the number of threads of the runs at that
    /// place. What stands together in the line trains at once on the same cards.
    ///
    /// # Errors
    /// [`TrainError::WorkerLost`] where the system gives not even one thread.
    pub(super) fn begin(line: Vec<Vec<Work>>, threads: &[usize]) -> Result<Self, TrainError> {
        let line = Arc::new(Mutex::new(VecDeque::from(line)));
        let mut crew = Self(Vec::new());
        for threads in threads.iter().copied() {
            let line = Arc::clone(&line);
            let begun = std::thread::Builder::new()
                .name("train-0".to_owned())
                .spawn(move || {
                    while let Some(batch) = next(&line) {
                        carry_out(batch, threads);
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

fn next(line: &Mutex<VecDeque<Vec<Work>>>) -> Option<Vec<Work>> {
    line.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .pop_front()
}

/// Carries out runs that train at once: all those that are still wanted.
fn carry_out(mut batch: Vec<Work>, threads: usize) {
    batch.retain(|work| work.shared.begin());
    let heard: Vec<Arc<Shared>> = batch.iter().map(|work| Arc::clone(&work.shared)).collect();
    let ends = caught(|| Ok(train_batch(batch, threads)));
    let lost = ends.as_ref().err().cloned();
    let mut ends = ends.unwrap_or_default().into_iter();
    for shared in heard {
        let missing =
            || TrainError::WorkerLost("the run lost its end; please report this".to_owned());
        let end = ends
            .next()
            .unwrap_or_else(|| Err(lost.clone().unwrap_or_else(missing)));
        shared.end(end);
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

type End = Result<(RunOutcome, Model), TrainError>;

/// Trains all runs of a batch on their cards; half of them at a time, and so on, where all do not fit. One end for each, in order.
fn train_batch(mut batch: Vec<Work>, threads: usize) -> Vec<End> {
    let Some(place) = batch.first().map(|work| work.place.clone()) else {
        return Vec::new();
    };
    let plans: Vec<&TreePlan> = batch.iter().filter_map(|work| plan_of(&work.job)).collect();
    let opened = place.open(&plans);
    if matches!(opened, Err(TrainError::OutOfMemory { .. })) && batch.len() > 1 {
        let rest = batch.split_off(batch.len() / 2);
        let mut ends = train_batch(batch, threads);
        ends.extend(train_batch(rest, threads));
        return ends;
    }
    let backend = match opened {
        Ok(backend) => backend,
        Err(error) if place.may_fall_back() => {
            let text = format!("this run trains on the processor: {error}");
            for work in &batch {
                work.shared.say(Event::Warning(text.clone()));
            }
            None
        }
        Err(error) => return batch.iter().map(|_| Err(error.clone())).collect(),
    };
    match backend {
        Some(backend) => train_on(backend, &place, &batch),
        None => batch
            .into_iter()
            .map(|work| train_alone(work, threads))
            .collect(),
    }
}

/// Trains one run on the processor.
fn train_alone(work: Work, threads: usize) -> End {
    let course = Course::begin(&work, "cpu", threads);
    let hearing = Hearing::new(&work.shared, &work.config, course.begun);
    let trained = work.job.run(threads, &hearing)?;
    Ok(course.end(&work.shared, trained))
}

/// Trains all runs of a batch at once. The calling thread is the only one that works for them.
fn train_on(backend: Box<dyn Backend>, place: &Place, batch: &[Work]) -> Vec<End> {
    let name = place.describe();
    let courses: Vec<Course> = batch
        .iter()
        .map(|work| Course::begin(work, &name, 1))
        .collect();
    let hearings: Vec<Hearing> = batch
        .iter()
        .zip(&courses)
        .map(|(work, course)| Hearing::new(&work.shared, &work.config, course.begun))
        .collect();
    let variants = batch
        .iter()
        .zip(&hearings)
        .filter_map(|(work, hearing)| plan_of(&work.job).map(|plan| plan.variant(hearing)))
        .collect();
    let ends = drive(backend, variants);
    let whole = batch.iter().zip(courses).zip(ends);
    whole
        .map(|((work, course), end)| end.map(|trained| course.end(&work.shared, trained)))
        .collect()
}

/// What a run costs, from its beginning to its end.
struct Course {
    begun: Instant,
    cpu_begun: u64,
    peak_host: u64,
}

impl Course {
    fn begin(work: &Work, device: &str, threads: usize) -> Self {
        let peak_host = work.train.memory().host + work.job.memory();
        work.shared.say(Event::Started(Granted {
            device: device.to_owned(),
            threads: u32::try_from(threads).unwrap_or(u32::MAX),
            memory_limit: peak_host,
        }));
        for warning in check::warnings(&work.train) {
            work.shared.say(Event::Warning(warning));
        }
        Self {
            begun: Instant::now(),
            cpu_begun: cpu_ms(),
            peak_host,
        }
    }

    fn end(self, shared: &Shared, trained: Trained) -> (RunOutcome, Model) {
        for point in &trained.points {
            shared.say(Event::Progress(point.clone()));
        }
        let usage = Usage {
            wall_ms: u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            cpu_ms: cpu_ms().saturating_sub(self.cpu_begun) + trained.spent.cpu_ms,
            device_ms: trained.spent.device_ms,
            peak_host: self.peak_host,
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
        (outcome, trained.model)
    }
}
