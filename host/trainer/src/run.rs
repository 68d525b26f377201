//! A run: training on threads of its own, heard through events, stopped between two trees.

use crate::config::{Config, Event, Granted, MAX_THREADS, Point, RunOutcome, StopReason, Usage};
use crate::data::Matrix;
use crate::device;
use crate::error::TrainError;
use crate::gbdt::{Boosting, Control};
use crate::model::Model;
use crate::threads::cpu_ms;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Events that wait to be read; the oldest measurement goes when one more comes.
pub const EVENTS_MAX: usize = 4_096;

#[derive(Default)]
struct Heard {
    events: VecDeque<Event>,
    end: Option<Result<RunOutcome, TrainError>>,
    model: Option<Arc<Model>>,
}

#[derive(Default)]
struct Shared {
    heard: Mutex<Heard>,
    changed: Condvar,
    cancelled: AtomicBool,
}

impl Shared {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, event: Event) {
        let mut heard = self.heard();
        if matches!(event, Event::Checkpointed(_)) {
            heard
                .events
                .retain(|event| !matches!(event, Event::Checkpointed(_)));
        } else if heard.events.len() >= EVENTS_MAX
            && let Some(place) = heard
                .events
                .iter()
                .position(|event| matches!(event, Event::Progress(_)))
        {
            heard.events.remove(place);
        }
        heard.events.push_back(event);
        drop(heard);
        self.changed.notify_all();
    }
}

/// A run that was started. Dropping it cancels and waits for its threads.
pub struct Run {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Run")
            .field("ended", &self.shared.heard().end.is_some())
            .finish_non_exhaustive()
    }
}

/// Starts a run on `threads` threads of its own.
///
/// # Errors
/// [`TrainError::Invalid`] and [`TrainError::Data`] for settings and data that cannot be trained, [`TrainError::NoDevice`] for a
/// GPU, [`TrainError::WorkerLost`] where the system gives no thread.
pub fn start(
    train: Arc<Matrix>,
    valid: Option<Arc<Matrix>>,
    config: Config,
    threads: usize,
) -> Result<Run, TrainError> {
    let device = device::grant(&config.device)?;
    if threads == 0 || threads > MAX_THREADS {
        return Err(TrainError::Invalid(format!(
            "{threads} threads; a run has 1 to {MAX_THREADS}"
        )));
    }
    // Everything that can be refused is refused here, before there is a run.
    Boosting::new(&config, train.clone(), valid.clone(), 1)?;
    let shared = Arc::new(Shared::default());
    let memory_limit = train.memory().host + 16 * train.rows() as u64;
    let threads_granted = u32::try_from(threads).unwrap_or(u32::MAX);
    shared.say(Event::Started(Granted {
        device: device.to_owned(),
        threads: threads_granted,
        memory_limit,
    }));
    let hearing = shared.clone();
    spawn(shared, move || {
        train_to_end(&hearing, &config, train, valid, threads, memory_limit)
    })
}

/// Runs `work` on a thread of its own. The run ends whatever happens to that thread: a panic is an end too.
fn spawn(
    shared: Arc<Shared>,
    work: impl FnOnce() -> Result<(RunOutcome, Model), TrainError> + Send + 'static,
) -> Result<Run, TrainError> {
    let ending = shared.clone();
    let body = move || {
        // Nothing of `work` is used after a panic but the events that it said.
        let ended = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
            Err(TrainError::WorkerLost(
                "training panicked; please report this".to_owned(),
            ))
        });
        let (end, model) = match ended {
            Ok((outcome, model)) => (Ok(outcome), Some(Arc::new(model))),
            Err(error) => (Err(error), None),
        };
        let mut heard = ending.heard();
        heard.end = Some(end);
        heard.model = model;
        drop(heard);
        ending.changed.notify_all();
    };
    let thread = std::thread::Builder::new()
        .name("train-0".to_owned())
        .spawn(body)
        .map_err(|error| TrainError::WorkerLost(format!("no thread: {error}")))?;
    Ok(Run {
        shared,
        thread: Some(thread),
    })
}

fn train_to_end(
    shared: &Shared,
    config: &Config,
    train: Arc<Matrix>,
    valid: Option<Arc<Matrix>>,
    threads: usize,
    peak_host: u64,
) -> Result<(RunOutcome, Model), TrainError> {
    let begun = Instant::now();
    let boosting = Boosting::new(config, train, valid, threads)?;
    let hearing = Hearing {
        shared,
        deadline: config
            .time_limit_ms
            .map(|ms| begun + Duration::from_millis(ms)),
        checkpoint_every: config
            .checkpoint_every_ms
            .map(|ms| Duration::from_millis(u64::from(ms))),
        checkpointed: Mutex::new(begun),
    };
    let (model, reason, metrics, rounds, worker_cpu_ms) = boosting.run(&hearing)?;
    if config.checkpoint_every_ms.is_some()
        && matches!(reason, StopReason::Cancelled | StopReason::Deadline)
    {
        shared.say(Event::Checkpointed(model.to_bytes()));
    }
    for point in &metrics {
        shared.say(Event::Progress(point.clone()));
    }
    let usage = Usage {
        wall_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        cpu_ms: cpu_ms() + worker_cpu_ms,
        peak_host,
        rounds,
        ..Usage::default()
    };
    let best_round = u32::try_from(model.rounds()).unwrap_or(u32::MAX);
    Ok((
        RunOutcome {
            reason,
            best_round,
            metrics,
            usage,
        },
        model,
    ))
}

/// What boosting asks after each tree.
struct Hearing<'a> {
    shared: &'a Shared,
    deadline: Option<Instant>,
    checkpoint_every: Option<Duration>,
    checkpointed: Mutex<Instant>,
}

impl Control for Hearing<'_> {
    fn stop(&self) -> Option<StopReason> {
        if self.shared.cancelled.load(Ordering::Relaxed) {
            return Some(StopReason::Cancelled);
        }
        self.deadline
            .filter(|deadline| Instant::now() >= *deadline)
            .map(|_| StopReason::Deadline)
    }

    fn measured(&self, point: &Point) {
        self.shared.say(Event::Progress(point.clone()));
    }

    fn grown(&self, model: &Model) {
        let Some(every) = self.checkpoint_every else {
            return;
        };
        let mut last = self
            .checkpointed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() >= every {
            *last = Instant::now();
            self.shared.say(Event::Checkpointed(model.to_bytes()));
        }
    }
}

impl Run {
    /// The next event; none at the end of the run, or when `timeout` is over.
    pub fn next(&self, timeout: Duration) -> Option<Event> {
        let nothing = |heard: &mut Heard| heard.events.is_empty() && heard.end.is_none();
        let heard = self.shared.heard();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(heard, timeout, nothing);
        let (mut heard, _) = waited.unwrap_or_else(PoisonError::into_inner);
        heard.events.pop_front()
    }

    /// Asks the run to end after its current tree; it still yields a model.
    pub fn cancel(&self) {
        self.shared.cancelled.store(true, Ordering::Relaxed);
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// Why there is no model.
    pub fn wait(&self) -> Result<RunOutcome, TrainError> {
        let heard = self.shared.heard();
        let waited = self
            .shared
            .changed
            .wait_while(heard, |heard| heard.end.is_none());
        let heard = waited.unwrap_or_else(PoisonError::into_inner);
        heard
            .end
            .clone()
            .unwrap_or_else(|| Err(TrainError::WorkerLost("the run never ended".to_owned())))
    }

    /// The model of a run that ended well.
    pub fn model(&self) -> Option<Arc<Model>> {
        self.shared.heard().model.clone()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic was caught inside and is the run's end already.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_the_run_and_is_told() {
        let run = spawn(Arc::default(), || panic!("a bug")).unwrap();
        assert!(matches!(run.wait(), Err(TrainError::WorkerLost(_))));
        assert_eq!(run.next(Duration::from_mins(1)), None);
        assert!(run.model().is_none());
    }
}
