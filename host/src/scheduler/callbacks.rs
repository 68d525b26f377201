//! Which callbacks and mails follow from what happened in a run: a pure fold over events and the state after them.
//! It owns the form in which they wait in the outbox. It refuses to carry any of them out.
//!
//! `on_execute` is not here: it belongs to its attempt and comes before it.

use super::records::RunRow;
use airlock_core::dag::spec::{Callback, Task};
use airlock_core::ids::{DagId, RunId, TaskId, TaskIndex, TaskInstanceKey};
use airlock_core::run::event::{Event, Outcome};
use airlock_core::run::state::RunState;
use airlock_core::task_instance::state::{DagRunState, TaskInstanceState};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Task instances that an SLA callback is told to be in the way.
const BLOCKING_TOLD_MAX: usize = 100;
/// Rows of callbacks that wait, oldest first.
pub const CALLBACK_PREFIX: &[u8] = b"callback\0";
/// Rows of mails that wait, oldest first.
pub const EMAIL_PREFIX: &[u8] = b"email\0";

/// What a callback is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallbackKind {
    /// Before an attempt.
    OnExecute,
    /// A task instance or a run ended well.
    OnSuccess,
    /// A task instance failed for good, or a run failed.
    OnFailure,
    /// A task instance failed and will be tried again.
    OnRetry,
    /// A task instance decided to be skipped.
    OnSkipped,
    /// Tasks missed their SLA.
    SlaMiss,
    /// The run missed a deadline.
    DeadlineMiss,
}

impl CallbackKind {
    /// Airflow's word, also the name of the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OnExecute => "on_execute_callback",
            Self::OnSuccess => "on_success_callback",
            Self::OnFailure => "on_failure_callback",
            Self::OnRetry => "on_retry_callback",
            Self::OnSkipped => "on_skipped_callback",
            Self::SlaMiss => "sla_miss_callback",
            Self::DeadlineMiss => "deadline_callback",
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallbackWork {
    /// Run an operator. A copy, so that a run that goes on with another version of its DAG changes nothing about it.
    Call(Callback),
    /// Send a mail to these addresses.
    Email(Vec<String>),
}

/// One callback or mail. It waits in the outbox from the commit of its event until it was carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallbackCall {
    /// Unique; the order of ids is the order in which they are carried out.
    pub id: String,
    /// What it is about.
    pub kind: CallbackKind,
    /// What is to be done.
    pub work: CallbackWork,
    /// Its DAG.
    pub dag_id: DagId,
    /// Its run.
    pub run_id: RunId,
    /// Its task; none for one of the run.
    pub task_id: Option<TaskId>,
    /// -1 when unmapped, and for one of the run.
    pub map_index: i32,
    /// The try that it is about; 0 for one of the run.
    pub try_number: u32,
    /// Its place among the callbacks of its kind.
    pub index: u32,
    /// Why the run ended, in Airflow's words (`task_failure`, `timed_out` ...); empty for one of a task.
    pub reason: String,
    /// When it happened.
    pub at: Timestamp,
    /// Further names that its templates see: `exception`, `slow_tasks` ...
    pub details: Map<String, Value>,
}

impl CallbackCall {
    /// Where it waits.
    pub fn key(&self) -> Vec<u8> {
        let prefix = match self.work {
            CallbackWork::Call(_) => CALLBACK_PREFIX,
            CallbackWork::Email(_) => EMAIL_PREFIX,
        };
        [prefix, self.id.as_bytes()].concat()
    }
}

/// A part of the key of everything that waits for one run. Ids hold no byte below 0x20.
pub fn of_run(dag_id: &DagId, run_id: &RunId) -> Vec<u8> {
    format!("\0{dag_id}\0{run_id}\0").into_bytes()
}

/// What one step of a run made true.
pub(super) struct Happened<'a> {
    /// In order; `state` has applied them.
    pub(super) events: &'a [Event],
    /// The place of the first one in the run's stream.
    pub(super) head: u64,
    /// The run after them.
    pub(super) state: &'a RunState,
    /// Its row after them.
    pub(super) row: &'a RunRow,
    /// What the task instance was whose attempt ended in this step.
    pub(super) before: Option<TaskInstanceState>,
}

impl Happened<'_> {
    /// The callbacks and mails that follow, in order.
    pub(super) fn calls(&self) -> Vec<CallbackCall> {
        let mut calls = Vec::new();
        for (seq, event) in (self.head..).zip(self.events) {
            let mut place = 0;
            for mut draft in self.drafts(event) {
                for (index, work) in std::mem::take(&mut draft.works) {
                    calls.push(self.call(&draft, seq, place, index, work));
                    place += 1;
                }
            }
        }
        calls
    }

    fn drafts(&self, event: &Event) -> Vec<Draft> {
        let one = match event {
            Event::AttemptFinished {
                ti, outcome, at, ..
            } => self.attempt_finished(*ti, outcome, *at),
            Event::RunFinished { state, reason, at } => self.run_finished(*state, reason, *at),
            Event::SlaMissed { tasks, at } => self.sla_missed(tasks, *at),
            Event::DeadlineMissed { deadline, at } => self.deadline_missed(*deadline, *at),
            Event::StateSet {
                task,
                from,
                to,
                state: TaskInstanceState::Failed,
                at,
                message,
                ..
            } => {
                let instances = (*from..*to).map(|map_index| TaskInstanceKey {
                    task: *task,
                    map_index,
                });
                let failed = |ti| self.failed_unstarted(ti, message.as_deref(), *at);
                return instances.filter_map(failed).collect();
            }
            _ => None,
        };
        one.into_iter().collect()
    }

    /// A task instance failed without an attempt: what it was to be mapped over could not be had. What a person marks, and what
    /// fails because something above it did, is not told, as in Airflow.
    fn failed_unstarted(
        &self,
        ti: TaskInstanceKey,
        message: Option<&str>,
        at: Timestamp,
    ) -> Option<Draft> {
        let task = self.state.dag().task(ti.task)?;
        let kind = CallbackKind::OnFailure;
        let mut draft = Draft::new(kind, at, works(task, kind));
        if draft.works.is_empty() {
            return None;
        }
        draft.task_id = Some(task.task_id.clone());
        draft.map_index = ti.map_index;
        // A try that never began is the first one to those who are told.
        let instance = self.state.instance(ti);
        draft.try_number = instance.map_or(1, |instance| instance.try_number().max(1));
        draft.detail("exception", json!(message));
        Some(draft)
    }

    /// What an attempt says that was told to stop, because its task instance was cleared or marked, counts for nothing.
    fn attempt_finished(
        &self,
        ti: TaskInstanceKey,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Option<Draft> {
        if self.before != Some(TaskInstanceState::Running) {
            return None;
        }
        let task = self.state.dag().task(ti.task)?;
        let instance = self.state.instance(ti)?;
        let kind = kind(instance.state(), outcome)?;
        let mut draft = Draft::new(kind, at, works(task, kind));
        draft.task_id = Some(task.task_id.clone());
        draft.map_index = ti.map_index;
        draft.try_number = instance.try_number();
        let exception = match outcome {
            Outcome::Error(error) => Some(error.message.as_str()),
            Outcome::Skip(reason) => Some(reason.as_str()),
            _ => None,
        };
        draft.detail("exception", json!(exception));
        Some(draft)
    }

    fn run_finished(&self, state: DagRunState, reason: &str, at: Timestamp) -> Option<Draft> {
        let dag = self.state.dag();
        let (kind, callbacks) = match state {
            DagRunState::Success => (CallbackKind::OnSuccess, &dag.on_success),
            DagRunState::Failed => (CallbackKind::OnFailure, &dag.on_failure),
            DagRunState::Queued | DagRunState::Running => return None,
        };
        let mut draft = Draft::new(kind, at, called(callbacks));
        reason.clone_into(&mut draft.reason);
        draft.detail("reason", json!(reason));
        Some(draft)
    }

    fn sla_missed(&self, tasks: &[TaskIndex], at: Timestamp) -> Option<Draft> {
        let dag = self.state.dag();
        let missed: Vec<&Task> = tasks.iter().filter_map(|task| dag.task(*task)).collect();
        let mut works = called(&dag.on_sla_miss);
        let mut to: Vec<String> = Vec::new();
        for address in missed.iter().flat_map(|task| &task.email) {
            if !to.contains(address) {
                to.push(address.clone());
            }
        }
        if !to.is_empty() {
            works.push((0, CallbackWork::Email(to)));
        }
        let mut draft = Draft::new(CallbackKind::SlaMiss, at, works);
        if draft.works.is_empty() {
            return None;
        }
        let ids: Vec<&str> = missed.iter().map(|task| task.task_id.as_str()).collect();
        let date = self.row.logical_date.unwrap_or(self.row.run_after);
        let on = |task_id: &&str| format!("{task_id} on {}", iso(date));
        let slas = missed.iter().map(|task| {
            json!({
                "dag_id": self.row.dag_id, "task_id": task.task_id, "run_id": self.row.run_id,
                "logical_date": iso(date), "timestamp": iso(at),
            })
        });
        let blocking = self.blocking();
        let blocking_ids: Vec<&str> = blocking.iter().map(|(task_id, ..)| *task_id).collect();
        let blocking_tis = blocking.iter().map(|(task_id, map_index, state)| {
            json!({"task_id": task_id, "map_index": map_index, "state": state.as_str()})
        });
        let lines = |ids: &[&str]| ids.iter().map(on).collect::<Vec<_>>().join("\n");
        draft.detail("slow_tasks", json!(ids.join(", ")));
        draft.detail("task_list", json!(lines(&ids)));
        draft.detail("blocking_task_list", json!(lines(&blocking_ids)));
        draft.detail("slas", slas.collect());
        draft.detail("blocking_tis", blocking_tis.collect());
        Some(draft)
    }

    /// The task instances of the run that are not in success: the first ones, as many as may be told.
    fn blocking(&self) -> Vec<(&str, i32, TaskInstanceState)> {
        let dag = self.state.dag();
        let others = self.state.all_instances().filter_map(|(ti, instance)| {
            let task_id = dag.task(ti.task)?.task_id.as_str();
            let is_there = instance.state() != TaskInstanceState::Success;
            is_there.then_some((task_id, ti.map_index, instance.state()))
        });
        others.take(BLOCKING_TOLD_MAX).collect()
    }

    fn deadline_missed(&self, deadline: u32, at: Timestamp) -> Option<Draft> {
        let place = usize::try_from(deadline).ok()?;
        let spec = self.state.dag().deadlines.get(place)?;
        let mut draft = Draft::new(CallbackKind::DeadlineMiss, at, called(&spec.callbacks));
        let header = self.state.header();
        let time = header.and_then(|header| header.deadlines.get(place).copied().flatten());
        draft.detail(
            "deadline",
            json!({"deadline_time": time.map(iso), "index": deadline}),
        );
        Some(draft)
    }

    fn call(
        &self,
        draft: &Draft,
        seq: u64,
        place: usize,
        index: u32,
        work: CallbackWork,
    ) -> CallbackCall {
        let (dag_id, run_id) = (&self.row.dag_id, &self.row.run_id);
        // Of one width, so that the order of keys is the order of time.
        let at = draft.at.as_microsecond().max(0);
        CallbackCall {
            id: format!("{at:020}\0{dag_id}\0{run_id}\0{seq:020}\0{place:05}"),
            kind: draft.kind,
            work,
            dag_id: dag_id.clone(),
            run_id: run_id.clone(),
            task_id: draft.task_id.clone(),
            map_index: draft.map_index,
            try_number: draft.try_number,
            index,
            reason: draft.reason.clone(),
            at: draft.at,
            details: draft.details.clone(),
        }
    }
}

/// What the callbacks of one event have in common.
struct Draft {
    kind: CallbackKind,
    at: Timestamp,
    task_id: Option<TaskId>,
    map_index: i32,
    try_number: u32,
    reason: String,
    details: Map<String, Value>,
    works: Vec<(u32, CallbackWork)>,
}

impl Draft {
    fn new(kind: CallbackKind, at: Timestamp, works: Vec<(u32, CallbackWork)>) -> Self {
        Self {
            kind,
            at,
            task_id: None,
            map_index: -1,
            try_number: 0,
            reason: String::new(),
            details: Map::new(),
            works,
        }
    }

    fn detail(&mut self, name: &str, value: Value) {
        self.details.insert(name.to_owned(), value);
    }
}

/// What the end of an attempt is called. An attempt that failed and left its task instance unfinished is tried again.
fn kind(after: TaskInstanceState, outcome: &Outcome) -> Option<CallbackKind> {
    match (after, outcome) {
        (TaskInstanceState::Success, _) => Some(CallbackKind::OnSuccess),
        (TaskInstanceState::Failed, _) => Some(CallbackKind::OnFailure),
        (TaskInstanceState::Skipped, Outcome::Skip(_)) => Some(CallbackKind::OnSkipped),
        (state, Outcome::Error(_)) if !state.is_finished() => Some(CallbackKind::OnRetry),
        _ => None,
    }
}

fn works(task: &Task, kind: CallbackKind) -> Vec<(u32, CallbackWork)> {
    let (callbacks, mailed) = match kind {
        CallbackKind::OnSuccess => (&task.on_success, false),
        CallbackKind::OnFailure => (&task.on_failure, task.email_on_failure),
        CallbackKind::OnRetry => (&task.on_retry, task.email_on_retry),
        CallbackKind::OnSkipped => (&task.on_skipped, false),
        CallbackKind::OnExecute | CallbackKind::SlaMiss | CallbackKind::DeadlineMiss => {
            return Vec::new();
        }
    };
    let mut works = called(callbacks);
    if mailed && !task.email.is_empty() {
        works.push((0, CallbackWork::Email(task.email.clone())));
    }
    works
}

fn called(callbacks: &[Callback]) -> Vec<(u32, CallbackWork)> {
    let work = |callback: &Callback| CallbackWork::Call(callback.clone());
    (0..).zip(callbacks.iter().map(work)).collect()
}

/// As Airflow writes points in time.
fn iso(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.f+00:00").to_string()
}

#[cfg(test)]
#[path = "callbacks_tests.rs"]
mod tests;
