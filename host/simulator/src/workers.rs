//! Attempts outside the shell: what they push, how they end, which of them never answer, and the ghosts that answer late.

use crate::draw::Draw;
use crate::shell::Message;
use crate::world::{DagModel, Habit, RunKey, World, after};
use airlock_core::ids::{TaskIndex, TaskInstanceKey};
use airlock_core::run::event::{AttemptError, AttemptErrorKind, Fence, Outcome};
use jiff::{SignedDuration, Timestamp};

/// Names an attempt everywhere.
pub(crate) type AttemptKey = (RunKey, TaskInstanceKey, Fence);

/// The most XComs that one attempt pushes before it ends.
const PUSHES_MAX: usize = 3;

/// What an error says.
pub(crate) const MESSAGES: [&str; 2] = ["drawn", "the disk is full"];

pub(crate) const KINDS: [AttemptErrorKind; 8] = [
    AttemptErrorKind::Transient,
    AttemptErrorKind::Permanent,
    AttemptErrorKind::InvalidInput,
    AttemptErrorKind::Trap,
    AttemptErrorKind::LimitExceeded,
    AttemptErrorKind::TimedOut,
    AttemptErrorKind::Unrunnable,
    AttemptErrorKind::Cancelled,
];

#[derive(Debug, Clone)]
struct Worker {
    attempt: AttemptKey,
    pushes: usize,
    /// What it asks a person first.
    asks: Option<String>,
    outcome: Outcome,
    /// It never answers; the shell will declare it lost.
    silent: bool,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Workers(Vec<Worker>);

impl Workers {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn start(
        &mut self,
        draw: &mut Draw,
        world: &World,
        attempt: AttemptKey,
        now: Timestamp,
        calm: bool,
    ) {
        let Some(model) = world.model(attempt.0) else {
            return;
        };
        let pushes = if draw.chance(15) {
            1 + draw.below(PUSHES_MAX)
        } else {
            0
        };
        let outcome = outcome(draw, model, attempt.1.task, now, calm);
        let silent = !calm && draw.rarely(world.faults.lost_worker);
        let is_asking = model.habit(attempt.1.task) == Habit::Asking;
        let asks = is_asking.then(|| draw.one_of(&["\"why?\"", "\"who?\""], "").to_owned());
        self.0.push(Worker {
            attempt,
            pushes,
            asks,
            outcome,
            silent,
        });
    }

    /// An attempt is told to stop: most do, some end as they would have, some never answer.
    pub(crate) fn stop(&mut self, draw: &mut Draw, attempt: AttemptKey, calm: bool) {
        for worker in self.0.iter_mut().filter(|worker| worker.attempt == attempt) {
            worker.silent &= !calm && draw.chance(50);
            if draw.chance(80) {
                worker.outcome = error(AttemptErrorKind::Cancelled, "stopped");
            }
        }
    }

    /// The host died. Attempts die with it, or go on somewhere else and answer to a host that does not know them.
    pub(crate) fn orphan(&mut self, draw: &mut Draw, calm: bool) {
        self.0.retain_mut(|worker| {
            worker.silent = false;
            !calm && draw.chance(30)
        });
    }

    /// One attempt says its next thing.
    pub(crate) fn speak(&mut self, draw: &mut Draw, world: &World, calm: bool) -> Vec<Message> {
        let place = draw.below(self.0.len());
        let Some(worker) = self.0.get_mut(place) else {
            return Vec::new();
        };
        let (run, ti, fence) = worker.attempt;
        if worker.silent {
            worker.silent = false;
            if calm || draw.chance(60) {
                self.0.swap_remove(place);
            }
            return vec![Message::Lose { run, ti, fence }];
        }
        if worker.pushes > 0 {
            worker.pushes -= 1;
            let key = draw.one_of(&["a", "b"], "a").to_owned();
            let value = draw.below(100).to_string();
            return vec![Message::PushXCom {
                run,
                ti,
                fence,
                key,
                value,
            }];
        }
        if let Some(request) = worker.asks.take().filter(|_| calm || draw.chance(90)) {
            return vec![Message::Ask {
                run,
                ti,
                fence,
                request,
            }];
        }
        let outcome = worker.outcome.clone();
        let said = Message::Finish {
            run,
            ti,
            fence,
            outcome,
        };
        let faulty = |rate: u32| if calm { 0 } else { rate };
        // Twice at once, or again much later.
        let twice = draw.rarely(faulty(world.faults.duplicate));
        let again = draw.rarely(faulty(world.faults.duplicate));
        if !again {
            self.0.swap_remove(place);
        }
        if twice {
            vec![said.clone(), said]
        } else {
            vec![said]
        }
    }
}

fn error(kind: AttemptErrorKind, message: &str) -> Outcome {
    let message = message.to_owned();
    Outcome::Error(AttemptError { kind, message })
}

/// What an attempt of a task answers. When faults have stopped, nothing waits any longer.
pub(crate) fn outcome(
    draw: &mut Draw,
    model: &DagModel,
    task: TaskIndex,
    now: Timestamp,
    calm: bool,
) -> Outcome {
    if draw.chance(model.failures) {
        // Most failures may go away: others end a run before it gets interesting.
        let kind = if draw.chance(60) {
            AttemptErrorKind::Transient
        } else {
            draw.one_of(&KINDS, AttemptErrorKind::Trap)
        };
        return error(kind, draw.one_of(&MESSAGES, MESSAGES[0]));
    }
    if draw.chance(4) {
        return Outcome::Skip("drawn".to_owned());
    }
    match model.habit(task) {
        Habit::Sensor if !calm && draw.chance(65) => Outcome::NotYet,
        Habit::Deferring if !calm && draw.chance(60) => {
            Outcome::Defer(after(now, SignedDuration::from_secs(draw.between(-5, 90))))
        }
        Habit::Asking if !calm && draw.chance(70) => Outcome::Defer(after(
            now,
            SignedDuration::from_secs(draw.between(60, 7_200)),
        )),
        Habit::Branch => Outcome::Branch(chosen(draw, model, task)),
        Habit::ShortCircuit if draw.chance(50) => Outcome::ShortCircuit {
            ignore_downstream_trigger_rules: draw.chance(50),
        },
        Habit::List => Outcome::Success(Some(list(draw))),
        _ => Outcome::Success(value(draw)),
    }
}

fn chosen(draw: &mut Draw, model: &DagModel, task: TaskIndex) -> Vec<String> {
    let children = model.family.children(task).iter();
    let mut ids: Vec<String> = children
        .filter(|_| draw.chance(50))
        .filter_map(|child| {
            model
                .dag
                .task(*child)
                .map(|child| child.task_id.to_string())
        })
        .collect();
    if draw.chance(3) {
        ids.push("nobody".to_owned());
    }
    ids
}

fn list(draw: &mut Draw) -> String {
    match draw.below(20) {
        0 => "null".to_owned(),
        1 => "7".to_owned(),
        2 => r#"{"a":1,"b":[2]}"#.to_owned(),
        3 => "[]".to_owned(),
        _ => {
            let items: Vec<String> = (0..=draw.below(6)).map(|item| item.to_string()).collect();
            format!("[{}]", items.join(","))
        }
    }
}

fn value(draw: &mut Draw) -> Option<String> {
    match draw.below(5) {
        0 => Some("null".to_owned()),
        1 => Some(r#"{"x":1,"y":"z"}"#.to_owned()),
        2 => Some("[1,2]".to_owned()),
        _ => None,
    }
}
