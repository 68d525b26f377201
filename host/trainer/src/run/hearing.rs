//! What a run said and how it ended, shared by its threads and those who listen.

use crate::config::{Config, Event, Point, RunOutcome, StopReason};
use crate::error::TrainError;
use crate::model::Model;
use crate::rounds::Control;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Events that wait to be read; the oldest measurement goes when one more comes.
pub const EVENTS_MAX: usize = 4_096;

#[derive(Default)]
pub(super) struct Heard {
    pub(super) events: VecDeque<Event>,
    /// Some thread has taken it up.
    pub(super) begun: bool,
    pub(super) end: Option<Result<RunOutcome, TrainError>>,
    pub(super) model: Option<Arc<Model>>,
}

#[derive(Default)]
pub(super) struct Shared {
    heard: Mutex<Heard>,
    changed: Condvar,
    cancelled: AtomicBool,
}

impl Shared {
    pub(super) fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn say(&self, event: Event) {
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

    /// Whether the run is still wanted; from now on its end is waited for.
    pub(super) fn begin(&self) -> bool {
        let mut heard = self.heard();
        heard.begun = heard.end.is_none();
        heard.begun
    }

    pub(super) fn end(&self, ended: Result<(RunOutcome, Model), TrainError>) {
        let (end, model) = match ended {
            Ok((outcome, model)) => (Ok(outcome), Some(Arc::new(model))),
            Err(error) => (Err(error), None),
        };
        let mut heard = self.heard();
        heard.end = Some(end);
        heard.model = model;
        drop(heard);
        self.changed.notify_all();
    }

    /// Ends a run that no thread has taken up; any other one must end by itself.
    pub(super) fn abandon(&self) {
        let mut heard = self.heard();
        if !heard.begun && heard.end.is_none() {
            heard.end = Some(Err(TrainError::WorkerLost(
                "the run was dropped before it began".to_owned(),
            )));
        }
    }

    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Waits for an event or the end, at most so long.
    pub(super) fn wait_for_event(&self, timeout: Duration) -> MutexGuard<'_, Heard> {
        let nothing = |heard: &mut Heard| heard.events.is_empty() && heard.end.is_none();
        let waited = self
            .changed
            .wait_timeout_while(self.heard(), timeout, nothing);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    pub(super) fn wait_for_end(&self) -> MutexGuard<'_, Heard> {
        let waited = self
            .changed
            .wait_while(self.heard(), |heard| heard.end.is_none());
        waited.unwrap_or_else(PoisonError::into_inner)
    }
}

/// What training asks of a run between rounds.
pub(super) struct Hearing<'a> {
    shared: &'a Shared,
    deadline: Option<Instant>,
    checkpoint_every: Option<Duration>,
    checkpointed: Mutex<Instant>,
}

impl<'a> Hearing<'a> {
    pub(super) fn new(shared: &'a Shared, config: &Config, begun: Instant) -> Self {
        Self {
            shared,
            deadline: config
                .time_limit_ms
                .map(|ms| begun + Duration::from_millis(ms)),
            checkpoint_every: config
                .checkpoint_every_ms
                .map(|ms| Duration::from_millis(u64::from(ms))),
            checkpointed: Mutex::new(begun),
        }
    }
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

    fn wants_checkpoint(&self) -> bool {
        let Some(every) = self.checkpoint_every else {
            return false;
        };
        let mut last = self
            .checkpointed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let due = last.elapsed() >= every;
        if due {
            *last = Instant::now();
        }
        due
    }

    fn warned(&self, text: String) {
        self.shared.say(Event::Warning(text));
    }

    fn checkpointed(&self, bytes: Vec<u8>) {
        self.shared.say(Event::Checkpointed(bytes));
    }
}
