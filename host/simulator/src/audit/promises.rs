//! What was acknowledged or was seen durable must be there after every crash.

use super::{Audit, Checked, Invariant};
use crate::shell::Promise;
use crate::world::RunKey;
use airlock_core::ids::TaskInstanceKey;
use airlock_core::run::event::{Event, Outcome};
use airlock_core::task_instance::state::TaskInstanceState as State;
use std::collections::BTreeMap;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    /// How many events of a run were durable when somebody was told of them.
    heads: BTreeMap<RunKey, usize>,
    /// The events by which a cancellation was durable.
    cancelled: BTreeMap<RunKey, usize>,
    /// Final states of task instances whose events are durable.
    ended: BTreeMap<(RunKey, TaskInstanceKey), State>,
    /// Attempts that began and did not end, and whether they were told to stop: what those say changes nothing.
    live: BTreeMap<(RunKey, TaskInstanceKey), bool>,
}

const PROMISES: Invariant<()> = Invariant {
    name: "what_was_acknowledged_stays",
    sentence: "A run, a cancellation, a person's change and the end of a task instance survive every crash once somebody was told.",
    holds: (),
};

impl Audit {
    pub(crate) fn acknowledged(&mut self, promise: &Promise) {
        let Promise {
            run,
            head,
            is_cancelled,
        } = *promise;
        let known = self.promises.heads.entry(run).or_default();
        *known = head.max(*known);
        if is_cancelled {
            self.promises.cancelled.insert(run, head);
        }
    }

    /// After a restart: what was acknowledged before is there.
    pub(crate) fn check_promises(&self) -> Checked<()> {
        for (run, head) in &self.promises.heads {
            let found = self.head(*run);
            if found < *head {
                let lost = format!("run {} has {found} events of {head}", run.0);
                return Err(PROMISES.broken(lost));
            }
        }
        for (run, head) in &self.promises.cancelled {
            let stops = |event: &Event| {
                matches!(
                    event,
                    Event::RunStopping { .. } | Event::RunMarked { .. } | Event::RunFinished { .. }
                )
            };
            let book = self.books.get(run);
            if !book.is_some_and(|book| book.events.iter().take(*head).any(stops)) {
                return Err(PROMISES.broken(format!("run {} is not cancelled any more", run.0)));
            }
        }
        for ((run, ti), state) in &self.promises.ended {
            if self.books.get(run).and_then(|book| book.state(*ti)) != Some(*state) {
                return Err(PROMISES.broken(format!("run {} {ti:?} was {state}", run.0)));
            }
        }
        Ok(())
    }
}

impl Promises {
    /// Events of a run became durable: the ends among them must stay, until somebody clears or marks.
    pub(crate) fn became_durable(&mut self, run: RunKey, events: &[Event]) {
        for event in events {
            match event {
                Event::AttemptStarted { ti, .. } => {
                    self.live.insert((run, *ti), false);
                }
                Event::AttemptLost { ti, .. } => {
                    self.live.remove(&(run, *ti));
                }
                Event::AttemptFinished { ti, outcome, .. } => {
                    let was_stopped = self.live.remove(&(run, *ti)) == Some(true);
                    if let Some(state) = ended(outcome).filter(|_| !was_stopped) {
                        self.ended.insert((run, *ti), state);
                    }
                }
                Event::StateSet {
                    task,
                    from,
                    to,
                    state,
                    ..
                } if state.is_finished() => {
                    self.ended
                        .extend(range(run, *task, *from, *to).map(|key| (key, *state)));
                }
                Event::Cleared { task, from, to, .. } => {
                    for key in range(run, *task, *from, *to) {
                        self.ended.remove(&key);
                        self.live.entry(key).and_modify(|stopped| *stopped = true);
                    }
                }
                Event::Marked {
                    task,
                    from,
                    to,
                    state,
                    ..
                } => {
                    for key in range(run, *task, *from, *to) {
                        self.ended.insert(key, *state);
                        self.live.entry(key).and_modify(|stopped| *stopped = true);
                    }
                }
                Event::TaskExpanded { task, .. } => {
                    let task = *task;
                    self.expanded(run, |ti| ti.task == task);
                }
                // Which tasks are in the group is not known here: it may be any.
                Event::GroupExpanded { .. } => self.expanded(run, |_| true),
                _ => {}
            }
        }
    }

    /// Instances beyond the end of a list are removed.
    fn expanded(&mut self, run: RunKey, is_of: impl Fn(&TaskInstanceKey) -> bool) {
        self.ended.retain(|(of, ti), _| *of != run || !is_of(ti));
        for ((of, ti), stopped) in &mut self.live {
            *stopped |= *of == run && is_of(ti);
        }
    }
}

/// The state in which an outcome leaves its task instance whatever its tries.
fn ended(outcome: &Outcome) -> Option<State> {
    match outcome {
        Outcome::Success(_) | Outcome::Branch(_) | Outcome::ShortCircuit { .. } => {
            Some(State::Success)
        }
        Outcome::Skip(_) => Some(State::Skipped),
        Outcome::NotYet | Outcome::Defer(_) | Outcome::Error(_) => None,
    }
}

fn range(
    run: RunKey,
    task: airlock_core::ids::TaskIndex,
    from: i32,
    to: i32,
) -> impl Iterator<Item = (RunKey, TaskInstanceKey)> {
    (from..to).map(move |map_index| (run, TaskInstanceKey { task, map_index }))
}
