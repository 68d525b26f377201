//! The state of a run and the questions that others ask it. It changes only by `apply`.

use super::event::{Event, Reason, RunHeader};
use super::expand::Elements;
use super::plan::{Plan, indexes};
use super::tasks::{Instance, StateCounts, TaskState};
use crate::dag::spec::Dag;
use crate::ids::{GroupIndex, TaskId, TaskIndex, TaskInstanceKey};
use crate::task_instance::state::{DagRunState, TaskInstanceState};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Why a run is being stopped before its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stopping {
    /// `Cancelled`, `DagRunTimeout`, `FailFast` or `Marked`.
    pub(super) why: Reason,
    /// For a person.
    pub(super) message: String,
    /// The state that it ends in.
    pub(super) end: DagRunState,
}

/// A run, folded from its events.
#[derive(Debug, Clone, PartialEq)]
pub struct RunState {
    pub(super) dag: Arc<Dag>,
    pub(super) plan: Arc<Plan>,
    pub(super) header: Option<Box<RunHeader>>,
    pub(super) dag_version: [u8; 32],
    pub(super) state: DagRunState,
    pub(super) started_at: Option<Timestamp>,
    pub(super) stopping: Option<Stopping>,
    pub(super) end_reason: Option<String>,
    pub(super) tasks: Vec<TaskState>,
    /// The elements of the mapped groups that are expanded.
    pub(super) groups: BTreeMap<GroupIndex, Elements>,
    pub(super) totals: StateCounts,
    pub(super) timers: BTreeSet<(Timestamp, TaskInstanceKey)>,
    /// Attempts that were told to stop because their task instance was cleared, marked or removed. They hold their slots
    /// until their end comes, and nothing that they say counts. None of these task instances is `running`.
    pub(super) halting: BTreeSet<TaskInstanceKey>,
    /// The SLAs that were neither missed nor met so far.
    pub(super) slas: BTreeSet<(Timestamp, TaskIndex)>,
    /// The deadlines that were neither missed nor met so far, by their place in the header's list.
    pub(super) deadlines: BTreeSet<(Timestamp, u32)>,
    /// Tasks that another version of the DAG had.
    pub(super) gone: BTreeMap<TaskId, TaskState>,
}

impl RunState {
    /// A run of `dag` before its first event, which must be `Event::RunQueued`.
    pub fn new(dag: Arc<Dag>) -> Self {
        let plan = Arc::new(Plan::new(&dag));
        let mut tasks: Vec<TaskState> = dag.tasks.iter().map(|_| TaskState::new()).collect();
        let mut totals = StateCounts::default();
        for (index, (task, state)) in indexes(&dag).zip(dag.tasks.iter().zip(&mut tasks)) {
            totals.add(TaskInstanceState::None, 1);
            let is_outside = |above: &&TaskIndex| !plan.groups.same(index, **above);
            for upstream in task.depends_on.iter().filter(is_outside) {
                let is_setup = dag.task(*upstream).is_some_and(|task| task.is_setup);
                state.upstream.add(TaskInstanceState::None, is_setup);
            }
        }
        Self {
            dag,
            plan,
            header: None,
            dag_version: [0; 32],
            state: DagRunState::Queued,
            started_at: None,
            stopping: None,
            end_reason: None,
            tasks,
            groups: BTreeMap::new(),
            totals,
            timers: BTreeSet::new(),
            halting: BTreeSet::new(),
            slas: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            gone: BTreeMap::new(),
        }
    }

    /// Creates a run: its state after the first event, and that event, which the shell makes durable.
    pub fn queue(
        dag: Arc<Dag>,
        header: RunHeader,
        dag_version: [u8; 32],
        now: Timestamp,
    ) -> (Self, Event) {
        let mut state = Self::new(dag);
        state.apply_queued(&header, dag_version);
        let event = Event::RunQueued {
            header: Box::new(header),
            dag_version,
            at: now,
        };
        (state, event)
    }

    /// The DAG version it runs.
    pub fn dag(&self) -> &Arc<Dag> {
        &self.dag
    }

    /// The SHA-256 that names the DAG version.
    pub fn dag_version(&self) -> &[u8; 32] {
        &self.dag_version
    }

    /// What was fixed when it was created; `None` only before the first event.
    pub fn header(&self) -> Option<&RunHeader> {
        self.header.as_deref()
    }

    /// Its state.
    pub fn state(&self) -> DagRunState {
        self.state
    }

    /// When it left `queued`.
    pub fn started_at(&self) -> Option<Timestamp> {
        self.started_at
    }

    /// Why it ended: `success`, `task_failure`, `all_tasks_deadlocked`, `timed_out`, `cancelled` or
    /// `marked`.
    pub fn end_reason(&self) -> Option<&str> {
        self.end_reason.as_deref()
    }

    /// Why it is being stopped or was stopped, in words for a person.
    pub fn stop_message(&self) -> Option<&str> {
        self.stopping
            .as_ref()
            .map(|stopping| stopping.message.as_str())
    }

    /// The task instance, if the run has it.
    pub fn instance(&self, ti: TaskInstanceKey) -> Option<&Instance> {
        self.tasks.get(ti.task.get())?.instance(ti.map_index)
    }

    /// All instances of a task with their map indexes, in map order.
    pub fn instances(&self, task: TaskIndex) -> impl Iterator<Item = (i32, &Instance)> {
        self.tasks
            .get(task.get())
            .into_iter()
            .flat_map(TaskState::iter)
    }

    /// All task instances, in the order of the DAG, then in map order.
    pub fn all_instances(&self) -> impl Iterator<Item = (TaskInstanceKey, &Instance)> {
        indexes(&self.dag).flat_map(|task| {
            self.instances(task)
                .map(move |(map_index, instance)| (TaskInstanceKey { task, map_index }, instance))
        })
    }

    /// How many instances of a task are in each state.
    pub fn counts(&self, task: TaskIndex) -> StateCounts {
        self.tasks
            .get(task.get())
            .map(|task| task.counts)
            .unwrap_or_default()
    }

    /// How many task instances of the run are in each state.
    pub fn totals(&self) -> StateCounts {
        self.totals
    }

    /// How many task instances hold slots: what `max_active_tasks` limits.
    pub fn active(&self) -> u32 {
        let halting = u32::try_from(self.halting.len()).unwrap_or(u32::MAX);
        let active = self.totals.get(TaskInstanceState::Running)
            + self.totals.get(TaskInstanceState::Queued);
        active.saturating_add(halting)
    }

    /// How many instances of one task hold slots: what `max_active_tis_per_dagrun` limits.
    pub fn active_of(&self, task: TaskIndex) -> u32 {
        let counts = self.counts(task);
        let halting = self.halting_of(task).count();
        let active = counts.get(TaskInstanceState::Running) + counts.get(TaskInstanceState::Queued);
        active.saturating_add(u32::try_from(halting).unwrap_or(u32::MAX))
    }

    /// The instances of a task whose attempt was told to stop and has not ended.
    pub(super) fn halting_of(&self, task: TaskIndex) -> impl Iterator<Item = TaskInstanceKey> {
        let key = |map_index| TaskInstanceKey { task, map_index };
        self.halting.range(key(i32::MIN)..=key(i32::MAX)).copied()
    }

    /// The number of the last try that `retries` allow this task instance. It grows by the tries made when it is cleared.
    pub fn try_limit(&self, ti: TaskInstanceKey) -> Option<u32> {
        let retries = self.dag.task(ti.task)?.retries;
        Some(self.instance(ti)?.try_limit(retries))
    }

    /// One XCom, as JSON text.
    pub fn xcom(&self, task: TaskIndex, map_index: i32, key: &str) -> Option<&str> {
        self.tasks.get(task.get())?.xcoms.get(map_index, key)
    }

    /// Every instance's XCom under `key`, in map order; instances that pushed none are absent.
    pub fn xcoms<'a>(
        &'a self,
        task: TaskIndex,
        key: &'a str,
    ) -> impl Iterator<Item = (i32, &'a str)> {
        let task = self.tasks.get(task.get()).into_iter();
        task.flat_map(move |task| task.xcoms.all(key))
    }

    /// All XCom values of one task instance: keys and JSON texts, in the order they were first pushed.
    pub fn xcoms_of(&self, ti: TaskInstanceKey) -> impl Iterator<Item = (&str, &str)> {
        let task = self.tasks.get(ti.task.get()).into_iter();
        task.flat_map(move |task| task.xcoms.entries(ti.map_index))
    }

    /// How many elements a mapped task or its mapped group has; `None` before it is expanded, without elements and for
    /// unmapped tasks.
    pub fn map_length(&self, task: TaskIndex) -> Option<usize> {
        let state = self.tasks.get(task.get())?;
        state.is_expanded().then(|| state.range().len())
    }

    /// What a mapped instance's element, or that of its mapped group, adds to the config: always an object. Computed on
    /// each call.
    pub fn element(&self, task: TaskIndex, map_index: i32) -> Option<Value> {
        let state = self.tasks.get(task.get())?;
        let (expand, elements) = match self.plan.groups.of(task) {
            Some(group) => {
                let expand = self.dag.group(group)?.expand.as_ref()?;
                (expand, self.groups.get(&group)?)
            }
            None => (
                self.dag.task(task)?.expand.as_ref()?,
                state.elements.as_ref()?,
            ),
        };
        let members = elements.get(expand, usize::try_from(map_index).ok()?)?;
        Some(Value::Object(members))
    }

    /// When a waiting task instance goes on by itself: its next try, its next poke, the end of its deferral.
    pub fn due(&self, ti: TaskInstanceKey) -> Option<Timestamp> {
        self.tasks
            .get(ti.task.get())?
            .waiting
            .get(&ti.map_index)?
            .due
    }

    /// When the run wants to be woken next.
    pub fn next_timer(&self) -> Option<Timestamp> {
        if self.state.is_finished() {
            return None;
        }
        let instance = self.timers.first().map(|(at, _)| *at);
        let sla = self.slas.first().map(|(at, _)| *at);
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        let timers = [instance, self.timeout_at(), sla, deadline];
        timers.into_iter().flatten().min()
    }

    /// When `dagrun_timeout` ends it, while that can still happen.
    pub(super) fn timeout_at(&self) -> Option<Timestamp> {
        let may_time_out = match &self.stopping {
            None => self.state == DagRunState::Running,
            Some(stopping) => {
                self.state == DagRunState::Running && stopping.why == Reason::FailFast
            }
        };
        let timeout = self.dag.dagrun_timeout.filter(|_| may_time_out)?;
        Some(
            self.started_at?
                .checked_add(timeout)
                .unwrap_or(Timestamp::MAX),
        )
    }
}
