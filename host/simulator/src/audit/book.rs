//! What the auditor knows of one run: a fold over its events, beside a second `RunState` that sees nothing but the events.

use super::delays;
use super::{Checked, Violation};
use crate::world::DagModel;
use airlock_core::dag::spec::{Dag, SensorMode, Task};
use airlock_core::ids::{GroupIndex, TaskIndex, TaskInstanceKey};
use airlock_core::run::Instance;
use airlock_core::run::event::{Event, Fence, Outcome, Reason};
use airlock_core::run::state::RunState;
use airlock_core::task_instance::state::{DagRunState, TaskInstanceState};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// What a task instance waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    Retry,
    Poke,
    Deferral,
}

/// The past of a task instance.
#[derive(Debug, Clone, Default)]
pub(super) struct Past {
    pub(super) attempt: u32,
    pub(super) try_number: u32,
    /// The attempt that has begun and not ended.
    pub(super) live: Option<Fence>,
    /// It has ended for its task instance, which was cleared, marked or removed: what it says changes nothing.
    pub(super) halting: bool,
    /// Tries that failed and were followed by another, and all tries before a clear: the next try is one more.
    pub(super) failures: u32,
    /// Its tries before it was last cleared: retries count from here.
    pub(super) tries_before: u32,
    pub(super) first_start: Option<Timestamp>,
    /// Pokes of this try that said not-yet.
    pub(super) pokes: u32,
    /// What it waits for, the earliest and the latest time at which that may end.
    pub(super) waits: Option<(Wait, Timestamp, Timestamp)>,
    /// The next start goes on where the last attempt stopped.
    goes_on: bool,
    pub(super) xcoms: BTreeMap<String, String>,
    /// The outcome that ended it.
    pub(super) said: Option<Outcome>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) shadow: RunState,
    pub(super) events: Vec<Event>,
    pub(super) started_at: Option<Timestamp>,
    pub(super) stopping: Option<Reason>,
    pub(super) finished: Option<DagRunState>,
    /// The end that a person gave the run.
    pub(super) marked: Option<DagRunState>,
    pasts: BTreeMap<TaskInstanceKey, Past>,
    /// Tasks of which an instance branched or short-circuited.
    pub(super) deciders: BTreeSet<TaskIndex>,
    /// The undecided tasks that each of those did not want when the last of its instances ended.
    pub(super) votes: BTreeMap<TaskIndex, BTreeSet<TaskIndex>>,
    /// The same for the tasks of a mapped group: each instance of a decider has a say about its own map index.
    pub(super) votes_beside: BTreeMap<TaskInstanceKey, BTreeSet<TaskIndex>>,
    /// Mapped groups of which an expanded task was cleared: their lists are looked at again.
    pub(super) revising: BTreeSet<GroupIndex>,
    /// Attempts that this step put an end to.
    pub(super) stopped_now: Vec<(TaskInstanceKey, Fence)>,
    /// Tasks that what the run before left allows.
    pub(super) past_met: BTreeSet<TaskIndex>,
    /// Tasks that changed since the last look.
    dirty: BTreeSet<TaskIndex>,
}

impl Book {
    pub(super) fn new(dag: Arc<Dag>) -> Self {
        Self {
            shadow: RunState::new(dag),
            events: Vec::new(),
            started_at: None,
            stopping: None,
            finished: None,
            marked: None,
            pasts: BTreeMap::new(),
            deciders: BTreeSet::new(),
            votes: BTreeMap::new(),
            past_met: BTreeSet::new(),
            votes_beside: BTreeMap::new(),
            revising: BTreeSet::new(),
            stopped_now: Vec::new(),
            dirty: BTreeSet::new(),
        }
    }

    pub(super) fn past(&self, ti: TaskInstanceKey) -> Past {
        self.pasts.get(&ti).cloned().unwrap_or_default()
    }

    pub(super) fn past_of(&self, ti: TaskInstanceKey) -> Option<&Past> {
        self.pasts.get(&ti)
    }

    pub(super) fn live(&self) -> impl Iterator<Item = (TaskInstanceKey, Fence)> {
        self.pasts
            .iter()
            .filter_map(|(ti, past)| Some((*ti, past.live?)))
    }

    pub(super) fn state(&self, ti: TaskInstanceKey) -> Option<TaskInstanceState> {
        self.shadow.instance(ti).map(Instance::state)
    }

    pub(super) fn take_dirty(&mut self) -> BTreeSet<TaskIndex> {
        std::mem::take(&mut self.dirty)
    }

    /// Attempts that hold slots for a task instance that has no use for them any more.
    pub(super) fn halting(&self) -> impl Iterator<Item = TaskInstanceKey> {
        let halting = self.pasts.iter().filter(|(_, past)| past.halting);
        halting.map(|(ti, _)| *ti)
    }

    /// Takes an event into the books.
    pub(super) fn follow(&mut self, model: &DagModel, event: &Event) -> Checked<()> {
        let dag = &model.dag;
        let expanded: Vec<TaskIndex> = match event {
            Event::TaskExpanded { task, .. } => vec![*task],
            Event::GroupExpanded { group, .. } => model.family.members(*group).collect(),
            _ => Vec::new(),
        };
        let removed = self.removed(&expanded);
        if let Err(error) = self.shadow.apply(event) {
            let sentence = "An event that a run recorded can be applied where it was recorded.";
            let illegal = Violation::new("recorded_events_are_legal", sentence);
            return Err(illegal.because(format!("{error}: {event:?}")));
        }
        self.events.push(event.clone());
        match event {
            Event::RunStarted { at } => {
                self.started_at = Some(*at);
                self.dirty.extend(crate::world::family::indexes(dag));
            }
            Event::RunStopping { why, .. } => self.stopping = Some(*why),
            Event::RunFinished { state, .. } => self.finished = Some(*state),
            Event::RunMarked { state, .. } => {
                self.stopping = Some(Reason::Marked);
                self.marked = Some(*state);
            }
            Event::Cleared { task, from, to, .. } => {
                let group = model.family.group_of(*task);
                self.revising.extend(group.filter(|_| *from >= 0));
                self.clear(*task, *from..*to);
            }
            Event::Marked {
                task,
                from,
                to,
                state,
                ..
            } => {
                self.dirty.insert(*task);
                self.mark(*task, *from..*to, *state);
            }
            Event::StateSet { task, from, to, .. } => {
                self.dirty.insert(*task);
                for map_index in *from..*to {
                    let ti = TaskInstanceKey {
                        task: *task,
                        map_index,
                    };
                    self.pasts.entry(ti).or_default().waits = None;
                }
            }
            Event::AttemptStarted {
                ti,
                try_number,
                fence,
                at,
            } => {
                self.begin(*ti, *try_number, *fence, *at);
            }
            Event::AttemptFinished {
                ti, outcome, at, ..
            } => {
                self.dirty.insert(ti.task);
                if let Some(task) = dag.task(ti.task) {
                    self.end(task, *ti, outcome, *at);
                }
            }
            Event::AttemptLost { ti, .. } => {
                self.dirty.insert(ti.task);
                let past = self.pasts.entry(*ti).or_default();
                (past.live, past.halting, past.goes_on) = (None, false, false);
                past.waits = None;
            }
            Event::XComPushed { ti, key, value, .. } => {
                let past = self.pasts.entry(*ti).or_default();
                past.xcoms.insert(key.clone(), value.clone());
            }
            Event::PastDependsMet { tasks } => {
                self.dirty.extend(tasks);
                self.past_met.extend(tasks);
            }
            Event::GroupExpanded { group, .. } => {
                self.revising.remove(group);
            }
            _ => {}
        }
        for task in expanded {
            self.dirty.insert(task);
            self.expanded(task, &removed);
        }
        Ok(())
    }

    /// The removed instances of tasks that are expanded anew.
    fn removed(&self, tasks: &[TaskIndex]) -> Vec<TaskInstanceKey> {
        let of_task = |task: &TaskIndex| {
            let task = *task;
            self.shadow
                .instances(task)
                .filter(|(_, instance)| instance.state() == TaskInstanceState::Removed)
                .map(move |(map_index, _)| TaskInstanceKey { task, map_index })
        };
        tasks.iter().flat_map(of_task).collect()
    }

    /// Instances beyond the end of the list have gone, those that were there before and are again begin anew.
    fn expanded(&mut self, task: TaskIndex, removed: &[TaskInstanceKey]) {
        let instances: Vec<_> = self
            .shadow
            .instances(task)
            .map(|(map_index, instance)| (TaskInstanceKey { task, map_index }, instance.state()))
            .collect();
        for (ti, state) in instances {
            if state == TaskInstanceState::Removed {
                self.halt(ti);
            } else if removed.contains(&ti) {
                self.pasts.entry(ti).or_default().begin_anew();
            }
        }
    }

    fn clear(&mut self, task: TaskIndex, range: Range<i32>) {
        let cleared = range.clone();
        self.dirty.insert(task);
        for map_index in range {
            let ti = TaskInstanceKey { task, map_index };
            self.halt(ti);
            self.pasts.entry(ti).or_default().begin_anew();
        }
        self.past_met.remove(&task);
        self.votes.remove(&task);
        for votes in self.votes.values_mut() {
            votes.remove(&task);
        }
        for (decider, votes) in &mut self.votes_beside {
            if cleared.contains(&decider.map_index) {
                votes.remove(&task);
            }
        }
        if self.finished.take().is_some() {
            (self.started_at, self.stopping, self.marked) = (None, None, None);
        }
    }

    fn mark(&mut self, task: TaskIndex, range: Range<i32>, state: TaskInstanceState) {
        for map_index in range {
            let ti = TaskInstanceKey { task, map_index };
            self.halt(ti);
            let past = self.pasts.entry(ti).or_default();
            if state != TaskInstanceState::Success {
                past.said = None;
            }
        }
    }

    /// Whatever goes on for a task instance does not count from now on.
    fn halt(&mut self, ti: TaskInstanceKey) {
        let past = self.pasts.entry(ti).or_default();
        (past.waits, past.goes_on) = (None, false);
        (past.first_start, past.pokes) = (None, 0);
        if let Some(fence) = past.live.filter(|_| !past.halting) {
            past.halting = true;
            self.stopped_now.push((ti, fence));
        }
    }

    fn begin(&mut self, ti: TaskInstanceKey, try_number: u32, fence: Fence, at: Timestamp) {
        let past = self.pasts.entry(ti).or_default();
        if !past.goes_on {
            past.xcoms.clear();
        }
        if try_number > past.try_number {
            past.pokes = 0;
        }
        past.attempt = fence.attempt;
        past.try_number = try_number;
        past.live = Some(fence);
        past.first_start.get_or_insert(at);
        past.waits = None;
        past.goes_on = false;
    }

    fn end(&mut self, task: &Task, ti: TaskInstanceKey, outcome: &Outcome, at: Timestamp) {
        let state = self.state(ti).unwrap_or(TaskInstanceState::Removed);
        let past = self.pasts.entry(ti).or_default();
        past.live = None;
        if std::mem::take(&mut past.halting) {
            return;
        }
        match (state, outcome) {
            (state, outcome) if state.is_finished() => {
                if state == TaskInstanceState::Success {
                    keep_value(task, outcome, &mut past.xcoms);
                    if matches!(outcome, Outcome::Branch(_) | Outcome::ShortCircuit { .. }) {
                        self.deciders.insert(ti.task);
                    }
                }
                past.said = Some(outcome.clone());
            }
            (_, Outcome::Defer(until)) => {
                past.goes_on = true;
                past.waits = Some((Wait::Deferral, *until, *until));
            }
            (_, Outcome::NotYet) => {
                past.pokes += 1;
                past.goes_on = task.sensor.mode == SensorMode::Poke;
                let first = past.first_start.unwrap_or(at);
                let (least, most) = delays::poke(task, first, past.pokes, at);
                past.waits = Some((Wait::Poke, least, most));
            }
            _ => {
                past.failures += 1;
                let (least, most) = delays::retry(task, past.try_number, at);
                past.waits = Some((Wait::Retry, least, most));
            }
        }
    }
}

impl Past {
    /// It is cleared: a new try, with as many retries as at first.
    fn begin_anew(&mut self) {
        self.failures = self.try_number;
        self.tries_before = self.try_number;
        self.goes_on = false;
        self.said = None;
    }
}

/// What a success leaves as XComs.
fn keep_value(task: &Task, outcome: &Outcome, xcoms: &mut BTreeMap<String, String>) {
    let value = match outcome {
        Outcome::Success(Some(json)) => json.clone(),
        Outcome::Branch(chosen) => Value::from(chosen.clone()).to_string(),
        Outcome::ShortCircuit { .. } => "false".to_owned(),
        _ => return,
    };
    if !task.do_xcom_push || value == "null" {
        return;
    }
    if task.multiple_outputs
        && let Ok(Value::Object(members)) = serde_json::from_str(&value)
    {
        for (key, member) in members {
            xcoms.insert(key, member.to_string());
        }
    }
    xcoms.insert("return_value".to_owned(), value);
}
