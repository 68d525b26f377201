//! The state of one task of a run: its instances, packed small, and what is counted about them.
//! It refuses to know about other tasks.

use super::event::{Fence, Reason};
use super::expand::Elements;
use super::human::HumanInput;
use super::xcom::XComs;
use crate::ids::TaskIndex;
use crate::task_instance::state::TaskInstanceState;
use crate::task_instance::trigger_rule::UpstreamStates;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::ops::Range;

const STATES: usize = 14;

/// How many task instances are in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StateCounts([u32; STATES]);

impl StateCounts {
    /// How many are in `state`.
    pub fn get(&self, state: TaskInstanceState) -> u32 {
        self.0.get(state as usize).copied().unwrap_or(0)
    }

    /// How many there are.
    pub fn total(&self) -> u32 {
        self.0.iter().sum()
    }

    /// How many have not ended.
    pub fn unfinished(&self) -> u32 {
        self.total()
            - self.get(TaskInstanceState::Success)
            - self.get(TaskInstanceState::Failed)
            - self.get(TaskInstanceState::Skipped)
            - self.get(TaskInstanceState::UpstreamFailed)
            - self.get(TaskInstanceState::Removed)
    }

    pub(super) fn add(&mut self, state: TaskInstanceState, n: u32) {
        if let Some(count) = self.0.get_mut(state as usize) {
            *count += n;
        }
    }

    /// Takes `n`, which were counted before, out of `from` and puts them into `to`.
    pub(super) fn shift(&mut self, from: TaskInstanceState, to: TaskInstanceState, n: u32) {
        if let Some(count) = self.0.get_mut(from as usize) {
            *count -= n;
        }
        self.add(to, n);
    }
}

/// What the next start of a task instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resume {
    /// A new try: its number grows, its XCom values go.
    NewTry,
    /// The same try from its beginning (a reschedule poke, or its host died): its XCom values go.
    Again,
    /// The same try goes on after a deferral or between pokes: its XCom values stay.
    GoOn,
}

/// A task instance, 24 bytes: a run may hold many times 100,000 of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    pub(super) owner: u64,
    pub(super) attempt: u32,
    pub(super) try_number: u32,
    /// Its tries before it was last cleared: `retries` counts from here.
    pub(super) tries_before: u32,
    pub(super) losses: u8,
    pub(super) resume: Resume,
    pub(super) state: TaskInstanceState,
}

impl Instance {
    const NEW: Self = Self {
        owner: 0,
        attempt: 0,
        try_number: 0,
        tries_before: 0,
        losses: 0,
        resume: Resume::NewTry,
        state: TaskInstanceState::None,
    };

    /// Its state.
    pub fn state(&self) -> TaskInstanceState {
        self.state
    }

    /// The number of its last try, 0 before the first.
    pub fn try_number(&self) -> u32 {
        self.try_number
    }

    /// Its last fence; `attempt` is 0 before the first start.
    pub fn fence(&self) -> Fence {
        Fence {
            attempt: self.attempt,
            owner: self.owner,
        }
    }

    /// The number of the last try that `retries` allow (Airflow's `max_tries`, plus one); a lost or stopped attempt may go on
    /// whatever its tries.
    pub(super) fn try_limit(&self, retries: u32) -> u32 {
        self.tries_before.saturating_add(retries).saturating_add(1)
    }

    /// It begins anew: a new try, with as many retries as at first.
    pub(super) fn renew(&mut self) {
        self.tries_before = self.try_number;
        self.resume = Resume::NewTry;
        self.losses = 0;
    }

    /// The number of the try that the next start belongs to.
    pub(super) fn next_try(&self) -> u32 {
        match self.resume {
            Resume::NewTry => self.try_number.saturating_add(1),
            Resume::Again | Resume::GoOn => self.try_number,
        }
    }
}

/// What only task instances have that were started and have not ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Waiting {
    /// When it goes on by itself. While `running`: a poke-mode sensor between two pokes.
    pub(super) due: Option<Timestamp>,
    /// When its first attempt began: a sensor's timeout counts from here, over all tries.
    pub(super) first_start: Option<Timestamp>,
    /// Pokes of this try that said `not-yet`.
    pub(super) pokes: u32,
}

/// What the instances of a branching or short-circuiting task said about tasks below.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Skips {
    /// How many instances want the task skipped. It is skipped when all that succeeded do.
    pub(super) wanted: BTreeMap<TaskIndex, u32>,
    /// Which instance said so: a cleared one takes back what it said.
    by: BTreeMap<i32, Box<[TaskIndex]>>,
    /// Which tasks of the same mapped group each instance wants skipped, at its own map index.
    pub(super) beside: BTreeMap<i32, Box<[TaskIndex]>>,
    /// Whether they were short circuits.
    pub(super) short_circuit: bool,
}

impl Skips {
    pub(super) fn keep(&mut self, map_index: i32, outside: Vec<TaskIndex>, beside: Vec<TaskIndex>) {
        self.forget(map_index);
        for task in &outside {
            *self.wanted.entry(*task).or_insert(0) += 1;
        }
        self.by.insert(map_index, outside.into_boxed_slice());
        if !beside.is_empty() {
            self.beside.insert(map_index, beside.into_boxed_slice());
        }
    }

    pub(super) fn forget(&mut self, map_index: i32) {
        for task in self.by.remove(&map_index).into_iter().flatten() {
            if let Some(count) = self.wanted.get_mut(&task) {
                *count -= 1;
            }
        }
        self.wanted.retain(|_, count| *count > 0);
        self.beside.remove(&map_index);
    }

    /// The same decisions about tasks that have other places now; `place` knows no place of a task that is gone.
    pub(super) fn moved(&self, place: impl Fn(TaskIndex) -> Option<TaskIndex>) -> Self {
        let mut moved = Self {
            short_circuit: self.short_circuit,
            ..Self::default()
        };
        let places = |tasks: Option<&Box<[TaskIndex]>>| {
            let tasks = tasks.into_iter().flatten();
            tasks.filter_map(|task| place(*task)).collect()
        };
        for (map_index, outside) in &self.by {
            let beside = places(self.beside.get(map_index));
            moved.keep(*map_index, places(Some(outside)), beside);
        }
        moved
    }

    pub(super) fn reason(&self) -> Reason {
        if self.short_circuit {
            Reason::ShortCircuit
        } else {
            Reason::BranchNotTaken
        }
    }
}

/// One task of a run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TaskState {
    /// The map index of `instances[0]`: -1 unmapped, not expanded or without elements; 0 expanded.
    first: i32,
    instances: Vec<Instance>,
    pub(super) counts: StateCounts,
    /// Direct upstream outside the task's own mapped group.
    pub(super) upstream: UpstreamStates,
    /// What the previous run left lets it go on.
    pub(super) past_met: bool,
    pub(super) elements: Option<Elements>,
    pub(super) xcoms: XComs,
    pub(super) waiting: BTreeMap<i32, Waiting>,
    pub(super) skips: Option<Skips>,
    /// What instances asked people, and the answers.
    pub(super) inputs: BTreeMap<i32, HumanInput>,
    /// It was cleared after its expansion: its elements are looked at again before it goes on.
    pub(super) revise: bool,
    /// Its `sla` was neither missed nor met so far.
    pub(super) sla_open: bool,
}

impl TaskState {
    pub(super) fn new() -> Self {
        let mut counts = StateCounts::default();
        counts.add(TaskInstanceState::None, 1);
        Self {
            first: -1,
            instances: vec![Instance::NEW],
            counts,
            upstream: UpstreamStates::default(),
            past_met: false,
            elements: None,
            xcoms: XComs::default(),
            waiting: BTreeMap::new(),
            skips: None,
            inputs: BTreeMap::new(),
            revise: false,
            sla_open: false,
        }
    }

    /// Puts `length` (at least 1) new instances in the place of the one with map index -1.
    pub(super) fn expand(&mut self, length: usize) {
        let length = length.max(1);
        self.first = 0;
        self.instances = vec![Instance::NEW; length];
        self.counts = StateCounts::default();
        let count = u32::try_from(length).unwrap_or(u32::MAX);
        self.counts.add(TaskInstanceState::None, count);
    }

    /// Appends `n` new instances to an expanded task.
    pub(super) fn append(&mut self, n: usize) {
        let length = self.instances.len().saturating_add(n);
        self.instances.resize(length, Instance::NEW);
        let count = u32::try_from(n).unwrap_or(u32::MAX);
        self.counts.add(TaskInstanceState::None, count);
    }

    pub(super) fn is_expanded(&self) -> bool {
        self.first == 0
    }

    /// All map indexes of this task.
    pub(super) fn range(&self) -> Range<i32> {
        let length = i32::try_from(self.instances.len()).unwrap_or(i32::MAX);
        self.first..self.first.saturating_add(length)
    }

    fn place(&self, map_index: i32) -> Option<usize> {
        usize::try_from(map_index.checked_sub(self.first)?).ok()
    }

    pub(super) fn instance(&self, map_index: i32) -> Option<&Instance> {
        self.instances.get(self.place(map_index)?)
    }

    pub(super) fn instance_mut(&mut self, map_index: i32) -> Option<&mut Instance> {
        let place = self.place(map_index)?;
        self.instances.get_mut(place)
    }

    /// The instances with their map indexes.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i32, &Instance)> {
        (self.first..).zip(&self.instances)
    }

    /// The maximal ranges of map indexes whose instances satisfy `wanted`.
    pub(super) fn ranges(&self, wanted: impl Fn(i32, &Instance) -> bool) -> Vec<Range<i32>> {
        let mut ranges: Vec<Range<i32>> = Vec::new();
        for (map_index, instance) in self.iter() {
            if !wanted(map_index, instance) {
                continue;
            }
            match ranges.last_mut() {
                Some(last) if last.end == map_index => last.end += 1,
                _ => ranges.push(map_index..map_index + 1),
            }
        }
        ranges
    }

    /// How many instances hold slots, or count as if they did where their pool includes deferred ones.
    pub(super) fn holding(&self) -> u32 {
        self.counts.get(TaskInstanceState::Running)
            + self.counts.get(TaskInstanceState::Deferred)
            + self.counts.get(TaskInstanceState::AwaitingInput)
    }

    /// Whether a poke-mode sensor is between two pokes: `running`, with slots, without a live attempt.
    pub(super) fn is_between_pokes(&self, map_index: i32) -> bool {
        let running = self
            .instance(map_index)
            .is_some_and(|instance| instance.state == TaskInstanceState::Running);
        running
            && self
                .waiting
                .get(&map_index)
                .is_some_and(|waiting| waiting.due.is_some())
    }

    /// Whether an attempt with this fence is live.
    pub(super) fn is_live(&self, map_index: i32, fence: Fence) -> bool {
        let current = self.instance(map_index).is_some_and(|instance| {
            instance.state == TaskInstanceState::Running && instance.fence() == fence
        });
        current && !self.is_between_pokes(map_index)
    }
}
