//! What the auditor knows of one run, beside a second `RunState` that sees nothing but the events. How it follows them is in
//! `fold`.

use airlock_core::dag::spec::Dag;
use airlock_core::ids::{GroupIndex, TaskIndex, TaskInstanceKey};
use airlock_core::run::Instance;
use airlock_core::run::event::{Event, Fence, Outcome, Reason};
use airlock_core::run::state::RunState;
use airlock_core::task_instance::state::{DagRunState, TaskInstanceState};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a task instance waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    Retry,
    Poke,
    Deferral,
}

/// What a task instance asked.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) request: String,
    pub(super) answer: Option<String>,
    /// It was answered while the attempt that asked was running, which may not have seen it.
    pub(super) raced: bool,
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
    pub(super) goes_on: bool,
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
    pub(super) pasts: BTreeMap<TaskInstanceKey, Past>,
    /// Tasks of which an instance branched or short-circuited.
    pub(super) deciders: BTreeSet<TaskIndex>,
    /// The undecided tasks that each of those did not want when the last of its instances ended.
    pub(super) votes: BTreeMap<TaskIndex, BTreeSet<TaskIndex>>,
    /// The same for the tasks of a mapped group: each instance of a decider has a say about its own map index.
    pub(super) votes_beside: BTreeMap<TaskInstanceKey, BTreeSet<TaskIndex>>,
    /// Mapped groups of which an expanded task was cleared: their lists are looked at again.
    pub(super) revising: BTreeSet<GroupIndex>,
    /// What task instances asked people in their current try.
    pub(super) questions: BTreeMap<TaskInstanceKey, Question>,
    /// SLAs that were neither missed nor met, by task.
    pub(super) slas: BTreeMap<TaskIndex, Timestamp>,
    /// The same for the run's deadlines, by their place.
    pub(super) deadlines: BTreeMap<u32, Timestamp>,
    /// Whose stopped attempt ended in this step.
    pub(super) was_halting_now: Vec<TaskInstanceKey>,
    /// Attempts that this step put an end to.
    pub(super) stopped_now: Vec<(TaskInstanceKey, Fence)>,
    /// Tasks that what the run before left allows.
    pub(super) past_met: BTreeSet<TaskIndex>,
    /// Tasks that changed since the last look.
    pub(super) dirty: BTreeSet<TaskIndex>,
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
            questions: BTreeMap::new(),
            slas: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            was_halting_now: Vec::new(),
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

    /// Whether a deferral waits for a person, who may not have been heard yet.
    pub(super) fn waits_for_answer(&self, ti: TaskInstanceKey) -> bool {
        let question = self.questions.get(&ti);
        question.is_some_and(|question| question.answer.is_none() || question.raced)
    }
}
