//! What the previous run left: `depends_on_past`, `wait_for_downstream`, `wait_for_past_depends_before_skipping`.
//! A run knows no other run: the shell asks the previous one [`RunState::past_allows`] for every task that this one
//! [`RunState::waits_for_past`] for, and sends `Input::PastDependsMet`. Which run is the previous one is the shell's to know.

use super::error::IllegalEvent;
use super::event::Event;
use super::plan::indexes;
use super::state::RunState;
use super::turn::{Turn, undecided};
use crate::ids::{TaskId, TaskIndex};
use crate::task_instance::state::{DagRunState, TaskInstanceState};
use crate::task_instance::trigger_rule::Decision;

/// What a run says about one of its tasks to the run after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PastAnswer {
    /// The task of the next run may go on.
    Allows,
    /// An instance has not ended, or not in `success` or `skipped`: ask again when this run changes.
    NotYet,
    /// This run's DAG version has no such task; `ignore_first_depends_on_past` decides what that means.
    NoSuchTask,
}

impl RunState {
    /// Whether all instances of a task ended in `success` or `skipped`; with `wait_for_downstream` those of its direct
    /// downstream tasks as well.
    pub fn past_allows(&self, task_id: &TaskId, wait_for_downstream: bool) -> PastAnswer {
        let Some(task) = self.dag.find(task_id.as_str()) else {
            return PastAnswer::NoSuchTask;
        };
        let ended_well = |task: TaskIndex| {
            let counts = self.counts(task);
            let well =
                counts.get(TaskInstanceState::Success) + counts.get(TaskInstanceState::Skipped);
            well == counts.total()
        };
        let mut downstream = self.plan.downstream(task).iter();
        let downstream_ended_well =
            !wait_for_downstream || downstream.all(|task| ended_well(*task));
        if ended_well(task) && downstream_ended_well {
            PastAnswer::Allows
        } else {
            PastAnswer::NotYet
        }
    }

    /// The tasks that only the previous run holds back now, in the order of the DAG: those the shell has to ask it about.
    /// In a mapped group a task is named as soon as the group could be expanded.
    pub fn waits_for_past(&self) -> impl Iterator<Item = TaskIndex> {
        let may_wait = self.state == DagRunState::Running;
        let tasks = indexes(&self.dag).filter(move |_| may_wait);
        tasks.filter(|task| {
            self.lacks_past(*task) && undecided(self, *task) && self.is_held_by_past(*task)
        })
    }

    fn is_held_by_past(&self, task: TaskIndex) -> bool {
        if let Some(group) = self.plan.groups.of(task) {
            return self.groups.contains_key(&group) || self.group_upstream_ended(group);
        }
        let decision = self.decision(task);
        decision != Decision::Wait && self.after_past(task, decision) == Decision::Wait
    }

    /// Whether the previous run still has to allow the task.
    fn lacks_past(&self, task: TaskIndex) -> bool {
        let header = self.header.as_ref();
        let ignored = header.is_some_and(|header| header.ignore_depends_on_past);
        let spec = self.dag.task(task);
        let asks = spec.is_some_and(|task| task.depends_on_past || task.wait_for_downstream);
        asks && !ignored && self.task_state(task).is_ok_and(|state| !state.past_met)
    }

    /// Whether a skip of the task has to wait for the previous run as well.
    pub(super) fn skip_waits_for_past(&self, task: TaskIndex) -> bool {
        let spec = self.dag.task(task);
        spec.is_some_and(|task| task.wait_for_past_depends_before_skipping) && self.lacks_past(task)
    }

    /// What a task's trigger rule decided, as far as the previous run lets it. A failure above never waits.
    pub(super) fn after_past(&self, task: TaskIndex, decision: Decision) -> Decision {
        let waits = match decision {
            Decision::Run => self.lacks_past(task),
            Decision::Skipped => self.skip_waits_for_past(task),
            Decision::Wait | Decision::UpstreamFailed => false,
        };
        if waits { Decision::Wait } else { decision }
    }

    pub(super) fn apply_past_met(&mut self, tasks: &[TaskIndex]) -> Result<(), IllegalEvent> {
        for task in tasks {
            self.task_state(*task)?;
        }
        for task in tasks {
            self.with_task(*task, |state| state.past_met = true);
        }
        Ok(())
    }
}

impl Turn<'_> {
    /// Tasks that do not wait for it are left out: an answer may come twice, or after somebody decided otherwise.
    pub(super) fn past_met(&mut self, tasks: &[TaskIndex]) -> Result<(), IllegalEvent> {
        let waiting = |task: &TaskIndex| self.run.lacks_past(*task) && undecided(self.run, *task);
        let mut tasks: Vec<_> = tasks.iter().copied().filter(waiting).collect();
        tasks.sort_unstable();
        tasks.dedup();
        if tasks.is_empty() || self.run.state.is_finished() {
            return Ok(());
        }
        for task in &tasks {
            self.open(*task);
        }
        self.emit(Event::PastDependsMet { tasks })
    }
}
