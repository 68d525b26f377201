//! A run in memory: the pure state, its view for attempts, its row and its stream's head.

use super::expand::Evaluator;
use super::message::{Attempt, Notice};
use super::records::RunRow;
use super::view::RunView;
use crate::store::{Seq, Store};
use airlock_core::ids::TaskInstanceKey;
use airlock_core::run::event::{Event, Fence, Outcome};
use airlock_core::run::state::RunState;
use airlock_core::task_instance::state::{DagRunState, TaskInstanceState};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;

/// See the module's documentation.
pub(super) struct LiveRun {
    /// Effective priorities by task.
    pub(super) priorities: Vec<i32>,
    pub(super) state: RunState,
    pub(super) view: Arc<RunView>,
    pub(super) row: RunRow,
    /// The stream's head once everything submitted is durable.
    pub(super) head: Seq,
    /// Whether it counts against the limits of its DAG: it was taken up unfinished, or reopened.
    pub(super) is_counted: bool,
    /// Commits with its end, or with a change after it, that are on their way. Until they are durable it stays in memory: what
    /// is in the store is older than the run.
    pub(super) closings: u32,
    pub(super) watchers: Vec<UnboundedSender<Notice>>,
    /// The last try that began, of task instances with `on_execute`; a restart of the host forgets it.
    pub(super) tries: BTreeMap<TaskInstanceKey, u32>,
}

impl LiveRun {
    /// What expands mapped tasks of this run; `ends` is the task instance whose attempt ends in the step.
    pub(super) fn evaluator(
        &self,
        store: &Arc<dyn Store>,
        ends: Option<TaskInstanceKey>,
    ) -> Evaluator {
        Evaluator {
            view: self.view.clone(),
            store: store.clone(),
            ends,
        }
    }

    /// Follows an event that `state` has applied: the row, the view and what watchers hear of it.
    /// Returns whether the row changed.
    pub(super) fn follow(&mut self, event: &Event) -> bool {
        match event {
            Event::RunStarted { at } => {
                self.row.state = DagRunState::Running;
                self.row.start_date = Some(*at);
                true
            }
            Event::RunFinished { state, reason, at } => {
                self.row.state = *state;
                self.row.reason.clone_from(reason);
                self.row.end_date = Some(*at);
                true
            }
            Event::XComPushed { ti, key, value, .. } => {
                self.view.put(*ti, key, value);
                false
            }
            Event::XComEdited { ti, .. } => {
                self.follow_xcoms(*ti);
                false
            }
            Event::AttemptStarted { ti, .. } | Event::AttemptFinished { ti, .. } => {
                self.follow_xcoms(*ti);
                self.follow_answer(*ti);
                false
            }
            Event::InputAnswered { ti, .. } => {
                self.follow_answer(*ti);
                false
            }
            _ => false,
        }
    }

    /// Whether a start clears XComs and what an outcome pushes is the state machine's to decide, so the view copies it.
    fn follow_xcoms(&self, ti: TaskInstanceKey) {
        self.view.set(ti, self.state.xcoms_of(ti));
    }

    /// Which answers still count is the state machine's to decide too.
    pub(super) fn follow_answer(&self, ti: TaskInstanceKey) {
        let answer = self.state.input_of(ti).and_then(|(_, answer)| answer);
        self.view.set_answer(ti, answer);
    }

    /// Tells watchers how far an attempt is.
    pub(super) fn report(&self, ti: TaskInstanceKey, message: String) {
        let Some(task) = self.view.dag.task(ti.task) else {
            return;
        };
        let notice = Notice::Progress {
            task_id: task.task_id.to_string(),
            map_index: ti.map_index,
            message,
        };
        for watcher in &self.watchers {
            // One that went away is forgotten at the next event.
            let _ = watcher.send(notice.clone());
        }
    }

    /// What a watcher hears of an event, if anything.
    #[expect(clippy::too_many_lines, reason = "one arm for each kind of event")]
    pub(super) fn notice(&self, event: &Event) -> Option<Notice> {
        let task_id = |task: airlock_core::ids::TaskIndex| {
            self.view
                .dag
                .task(task)
                .map(|task| task.task_id.to_string())
        };
        let one = |ti: TaskInstanceKey, at: Timestamp, error: Option<String>| {
            let instance = self.state.instance(ti)?;
            Some(Notice::TaskInstances {
                task_id: task_id(ti.task)?,
                from: ti.map_index,
                to: ti.map_index + 1,
                state: instance.state(),
                try_number: instance.try_number(),
                at,
                error,
            })
        };
        match event {
            Event::RunStarted { at } => Some(Notice::Run {
                state: DagRunState::Running,
                reason: String::new(),
                at: *at,
            }),
            Event::RunFinished { state, reason, at } => Some(Notice::Run {
                state: *state,
                reason: reason.clone(),
                at: *at,
            }),
            Event::StateSet {
                task,
                from,
                to,
                state,
                at,
                message,
                ..
            } => Some(Notice::TaskInstances {
                task_id: task_id(*task)?,
                from: *from,
                to: *to,
                state: *state,
                try_number: 0,
                at: *at,
                error: message.clone(),
            }),
            Event::Cleared { task, from, to, at } => Some(Notice::TaskInstances {
                task_id: task_id(*task)?,
                from: *from,
                to: *to,
                state: TaskInstanceState::None,
                try_number: 0,
                at: *at,
                error: None,
            }),
            Event::Marked {
                task,
                from,
                to,
                state,
                by,
                at,
            } => Some(Notice::TaskInstances {
                task_id: task_id(*task)?,
                from: *from,
                to: *to,
                state: *state,
                try_number: 0,
                at: *at,
                error: Some(format!("marked by {by}")),
            }),
            Event::AttemptStarted { ti, at, .. } | Event::AttemptLost { ti, at, .. } => {
                one(*ti, *at, None)
            }
            Event::AttemptFinished {
                ti, at, outcome, ..
            } => {
                let error = match outcome {
                    Outcome::Error(error) => Some(error.message.clone()),
                    _ => None,
                };
                one(*ti, *at, error)
            }
            _ => None,
        }
    }

    /// The attempt that a `StartAttempt` command asks for.
    pub(super) fn attempt(
        &mut self,
        ti: TaskInstanceKey,
        try_number: u32,
        fence: Fence,
    ) -> Attempt {
        let on_execute = self.begins_try(ti, try_number);
        Attempt {
            run: self.view.clone(),
            ti,
            try_number,
            poke_number: fence.attempt,
            fence,
            on_execute,
            element: self
                .state
                .element(ti.task, ti.map_index)
                .map(|element| element.to_string()),
            gpus: Vec::new(),
            run_started: self.row.start_date,
            trace_parent: self.row.trace_parent.clone(),
        }
    }

    /// Whether the attempt is the first one of a try, and has callbacks for that. Further pokes of a sensor are not.
    fn begins_try(&mut self, ti: TaskInstanceKey, try_number: u32) -> bool {
        let task = self.view.dag.task(ti.task);
        let has_callbacks = task.is_some_and(|task| !task.on_execute.is_empty());
        has_callbacks && self.tries.insert(ti, try_number) != Some(try_number)
    }

    /// Whether the task instance still waits for slots; a want that outlived its reason is dropped here.
    pub(super) fn wants_slots(&self, ti: TaskInstanceKey) -> bool {
        let waits = |state| {
            matches!(
                state,
                TaskInstanceState::Scheduled | TaskInstanceState::Restarting
            )
        };
        self.state
            .instance(ti)
            .is_some_and(|instance| waits(instance.state()))
    }
}
