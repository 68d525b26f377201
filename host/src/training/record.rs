//! What the host knows of one run: its settings, what was heard of it, its last checkpoint, where it is tried next. It refuses to
//! know processes: the supervisor tells it what became of them.

use super::devices::DeviceName;
use super::wire::{End, RunId};
use airlock_trainer::{
    Config, EVENTS_MAX, Event, Matrix, Model, RunOutcome, StopReason, TrainError,
};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Deaths of one run on one device after which it is not tried there again.
pub const DEATHS_MAX: u32 = 2;
/// A checkpoint is taken at least so often, asked for or not: what a lost worker costs, and a sign that trees still grow.
const CHECKPOINT_EVERY_MS_MAX: u32 = 60_000;
/// Where nobody asked for checkpoints.
const CHECKPOINT_EVERY_MS_DEFAULT: u32 = 10_000;

/// Why a worker was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cause {
    /// Its device reported an error.
    Fault(String),
    /// It needed more memory than it may have; bytes.
    OutOfMemory { needed: u64, available: u64 },
    /// It was heard no more, or ended.
    Lost(String),
}

impl Cause {
    fn text(&self) -> String {
        match self {
            Self::Fault(text) | Self::Lost(text) => text.clone(),
            Self::OutOfMemory { needed, available } => {
                format!("{needed} bytes of memory were needed and {available} available")
            }
        }
    }
}

/// What a run is about; the same wherever it is tried.
pub(super) struct Spec {
    /// For people: which task instance.
    pub(super) name: String,
    pub(super) train: Arc<Matrix>,
    pub(super) valid: Option<Arc<Matrix>>,
    pub(super) threads: u32,
    /// Private memory, bytes.
    pub(super) memory: u64,
    /// As its owner gave it.
    pub(super) config: Config,
    /// Where it may be tried, best first.
    pub(super) candidates: Vec<DeviceName>,
}

/// One run.
pub(super) struct Record {
    pub(super) id: RunId,
    pub(super) spec: Spec,
    begun: Instant,
    heard: Mutex<Heard>,
    changed: Condvar,
}

struct Heard {
    events: VecDeque<Event>,
    started: bool,
    end: Option<Result<RunOutcome, TrainError>>,
    model: Option<Arc<Model>>,
    checkpoint: Option<Vec<u8>>,
    /// When its owner was last given one; none where it was given the newest.
    told_checkpoint: Instant,
    untold: bool,
    last: Instant,
    cancelled: bool,
    abandoned: bool,
    /// Which of the candidates it is on, and how often it died there.
    place: usize,
    deaths: u32,
    restarts: u32,
    /// Trees of lost workers that a checkpoint kept.
    kept_rounds: u32,
    /// The highest round told, and the one up to which a resumed run only repeats.
    highest: u32,
    repeats: u32,
}

impl Record {
    pub(super) fn new(id: RunId, spec: Spec) -> Self {
        let now = Instant::now();
        Self {
            id,
            spec,
            begun: now,
            heard: Mutex::new(Heard {
                events: VecDeque::new(),
                started: false,
                end: None,
                model: None,
                checkpoint: None,
                told_checkpoint: now,
                untold: false,
                last: now,
                cancelled: false,
                abandoned: false,
                place: 0,
                deaths: 0,
                restarts: 0,
                kept_rounds: 0,
                highest: 0,
                repeats: 0,
            }),
            changed: Condvar::new(),
        }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the worker is told: the owner's settings, from the last checkpoint on, with the time that is left.
    pub(super) fn config(&self) -> Config {
        let mut config = self.spec.config.clone();
        if let Some(checkpoint) = &self.heard().checkpoint {
            config.resume_from = Some(checkpoint.clone());
        }
        let asked = config
            .checkpoint_every_ms
            .unwrap_or(CHECKPOINT_EVERY_MS_DEFAULT);
        config.checkpoint_every_ms = Some(asked.min(CHECKPOINT_EVERY_MS_MAX));
        let spent = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        config.time_limit_ms = config
            .time_limit_ms
            .map(|limit| limit.saturating_sub(spent));
        config
    }

    /// Something was said of it.
    pub(super) fn hear(&self, event: Event) {
        let mut heard = self.heard();
        heard.last = Instant::now();
        match event {
            // A run that moved has told its first start; `Moved` says where it is.
            Event::Started(_) if heard.started => {}
            Event::Started(_) => {
                heard.started = true;
                heard.push(event);
            }
            Event::Progress(point) => {
                if point.round > heard.repeats {
                    heard.highest = heard.highest.max(point.round);
                    heard.push(Event::Progress(point));
                }
            }
            Event::Checkpointed(bytes) => {
                heard.checkpoint = Some(bytes);
                heard.untold = true;
                let every = self.spec.config.checkpoint_every_ms;
                let due =
                    |ms| heard.told_checkpoint.elapsed() >= Duration::from_millis(u64::from(ms));
                if every.is_some_and(due) {
                    heard.tell_checkpoint();
                }
            }
            Event::Moved(_) | Event::Warning(_) => heard.push(event),
        }
        drop(heard);
        self.changed.notify_all();
    }

    /// It is over.
    pub(super) fn end(&self, end: Result<End, TrainError>) {
        let parsed = end.and_then(|end| {
            let model = Model::from_bytes(&end.model).map_err(|error| {
                TrainError::WorkerLost(format!("the worker handed over no model: {error}"))
            })?;
            Ok((end.outcome, model))
        });
        let mut heard = self.heard();
        if heard.end.is_some() {
            return;
        }
        heard.end = Some(parsed.map(|(mut outcome, model)| {
            let stopped = matches!(outcome.reason, StopReason::Cancelled | StopReason::Deadline);
            if stopped && heard.untold && self.spec.config.checkpoint_every_ms.is_some() {
                heard.tell_checkpoint();
            }
            heard.model = Some(Arc::new(model));
            outcome.usage.wall_ms =
                u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            outcome.usage.restarts = heard.restarts;
            outcome.usage.rounds += heard.kept_rounds;
            outcome
        }));
        // Its bytes are in the model, or of no use any more.
        heard.checkpoint = None;
        drop(heard);
        self.changed.notify_all();
    }

    /// It died with its worker. Yields where it is tried next; none where it has ended, then or by this death.
    pub(super) fn died(&self, cause: &Cause) -> Option<DeviceName> {
        let mut heard = self.heard();
        if heard.end.is_some() || heard.abandoned {
            return None;
        }
        let here = self.spec.candidates.get(heard.place)?.clone();
        let more = heard.place + 1 < self.spec.candidates.len();
        heard.deaths += 1;
        // A device that is too small stays so; whatever else happened may have been chance.
        let hopeless = more && matches!(cause, Cause::OutOfMemory { .. });
        if heard.deaths >= DEATHS_MAX || hopeless {
            if !more {
                drop(heard);
                self.end(Err(self.given_up(&here, cause)));
                return None;
            }
            heard.place += 1;
            heard.deaths = 0;
        }
        let next = self.spec.candidates.get(heard.place)?.clone();
        heard.restarts += 1;
        heard.last = Instant::now();
        heard.repeats = heard.highest;
        let rounds_of =
            |bytes: &Vec<u8>| Model::from_bytes(bytes).map_or(0, |model| model.rounds());
        let from = heard.checkpoint.as_ref().map_or(0, rounds_of);
        let before = self.spec.config.resume_from.as_ref();
        let before = before.map_or(0, rounds_of);
        heard.kept_rounds = u32::try_from(from.saturating_sub(before)).unwrap_or(u32::MAX);
        heard.push(Event::Moved(format!(
            "{next}, from round {}: {here} was lost ({})",
            from.max(before),
            cause.text()
        )));
        drop(heard);
        self.changed.notify_all();
        Some(next)
    }

    /// Whether there is a device after the one it is on.
    pub(super) fn can_move(&self) -> bool {
        self.heard().place + 1 < self.spec.candidates.len()
    }

    fn given_up(&self, here: &DeviceName, cause: &Cause) -> TrainError {
        let name = &self.spec.name;
        let text = format!(
            "the training of {name} lost its worker {DEATHS_MAX} times on {here}, last by this: {}",
            cause.text()
        );
        match cause {
            Cause::Fault(_) => TrainError::DeviceFault(format!(
                "{text}; look at the device's own log (dmesg, nvidia-smi), or train with device `cpu`"
            )),
            &Cause::OutOfMemory { needed, available } => {
                TrainError::OutOfMemory { needed, available }
            }
            Cause::Lost(_) => TrainError::WorkerLost(format!(
                "{text}; if the machine is short of memory, train fewer tasks at once or fewer rows, else please report this"
            )),
        }
    }

    /// Marks it cancelled.
    pub(super) fn cancel(&self) {
        self.heard().cancelled = true;
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.heard().cancelled
    }

    /// Nobody will ask for it any more.
    pub(super) fn abandon(&self) {
        let mut heard = self.heard();
        heard.cancelled = true;
        heard.abandoned = true;
    }

    /// How long nothing was heard of it.
    pub(super) fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.heard().last)
    }

    /// Waits until it has started, or has ended before.
    pub(super) fn started(&self) -> Result<(), TrainError> {
        let waited = self
            .changed
            .wait_while(self.heard(), |heard| !heard.started && heard.end.is_none());
        let heard = waited.unwrap_or_else(PoisonError::into_inner);
        match &heard.end {
            Some(Err(error)) if !heard.started => Err(error.clone()),
            _ => Ok(()),
        }
    }

    pub(super) fn next(&self, timeout: Duration) -> Option<Event> {
        let nothing = |heard: &mut Heard| heard.events.is_empty() && heard.end.is_none();
        let waited = self
            .changed
            .wait_timeout_while(self.heard(), timeout, nothing);
        let (mut heard, _) = waited.unwrap_or_else(PoisonError::into_inner);
        heard.events.pop_front()
    }

    pub(super) fn wait(&self) -> Result<RunOutcome, TrainError> {
        let waited = self
            .changed
            .wait_while(self.heard(), |heard| heard.end.is_none());
        let heard = waited.unwrap_or_else(PoisonError::into_inner);
        let never = || Err(TrainError::WorkerLost("the run never ended".to_owned()));
        heard.end.clone().unwrap_or_else(never)
    }

    pub(super) fn model(&self) -> Option<Arc<Model>> {
        self.heard().model.clone()
    }
}

impl Heard {
    /// The newest checkpoint replaces those not read yet; the oldest measurement goes when there are too many.
    fn push(&mut self, event: Event) {
        if matches!(event, Event::Checkpointed(_)) {
            self.events
                .retain(|event| !matches!(event, Event::Checkpointed(_)));
        } else if self.events.len() >= EVENTS_MAX {
            let measured = |event: &Event| matches!(event, Event::Progress(_));
            if let Some(place) = self.events.iter().position(measured) {
                self.events.remove(place);
            }
        }
        self.events.push_back(event);
    }

    fn tell_checkpoint(&mut self) {
        if let Some(bytes) = self.checkpoint.clone() {
            self.told_checkpoint = Instant::now();
            self.untold = false;
            self.push(Event::Checkpointed(bytes));
        }
    }
}
