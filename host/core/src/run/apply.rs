//! The fold: what each event does to the state of a run. The only thing that changes a [`RunState`].
//! Every event is checked against the whole state first, so an illegal one changes nothing. It decides nothing.

use super::error::IllegalEvent;
use super::event::{Event, Reason, RunHeader};
use super::expand::{self, Elements};
use super::state::{RunState, Stopping};
use super::tasks::{Instance, TaskState};
use crate::ids::{TaskIndex, TaskInstanceKey};
use crate::task_instance::state::{DagRunState, TaskInstanceState};
use jiff::Timestamp;
use std::ops::Range;

impl RunState {
    /// Applies one event. On an error the state is unchanged.
    pub fn apply(&mut self, event: &Event) -> Result<(), IllegalEvent> {
        match event {
            Event::RunQueued {
                header,
                dag_version,
                ..
            } => {
                if self.header.is_some() {
                    return Err(self.run_is("RunQueued", "not created yet"));
                }
                self.apply_queued(header, *dag_version);
                Ok(())
            }
            _ if self.header.is_none() => {
                Err(self.run_is("an event before RunQueued", "created by RunQueued"))
            }
            Event::Cleared { task, from, to, .. } => self.apply_cleared(*task, *from..*to),
            Event::Marked {
                task,
                from,
                to,
                state,
                ..
            } => self.apply_marked(*task, *from..*to, *state),
            Event::RunMarked { state, by, .. } => self.apply_run_marked(*state, by),
            Event::XComEdited { ti, key, value, .. } => {
                self.apply_xcom_edit(*ti, key, value.as_deref())
            }
            Event::RunFinished { state, reason, .. } => self.apply_end(*state, reason),
            Event::VersionChanged { dag_version, .. } => Err(IllegalEvent::NeedsDag {
                dag_version: *dag_version,
            }),
            _ if self.state.is_finished() => {
                Err(self.run_is("an event after RunFinished", "not finished"))
            }
            other => self.apply_unfinished(other),
        }
    }

    /// The events that are legal only between `RunQueued` and `RunFinished`.
    fn apply_unfinished(&mut self, event: &Event) -> Result<(), IllegalEvent> {
        match event {
            Event::RunStarted { at } => self.apply_started(*at),
            Event::TaskExpanded { task, elements } => self.apply_expanded(*task, elements),
            Event::StateSet {
                task,
                from,
                to,
                state,
                ..
            } => self.apply_set(*task, *from..*to, *state),
            Event::RunStopping { why, message, .. } => self.apply_stopping(*why, message),
            Event::AttemptStarted {
                ti,
                try_number,
                fence,
                at,
            } => self.apply_attempt(*ti, *try_number, *fence, *at),
            Event::AttemptFinished {
                ti,
                fence,
                outcome,
                at,
            } => self.apply_outcome(*ti, *fence, outcome, *at),
            Event::AttemptLost { ti, fence, .. } => self.apply_lost(*ti, *fence),
            Event::XComPushed {
                ti,
                fence,
                key,
                value,
            } => self.apply_xcom(*ti, *fence, key, value),
            Event::InputRequested {
                ti, fence, request, ..
            } => self.apply_request(*ti, *fence, request),
            Event::InputAnswered { ti, answer, .. } => self.apply_answer(*ti, answer),
            Event::SlaMissed { tasks, .. } => self.apply_sla_missed(tasks),
            Event::DeadlineMissed { deadline, .. } => self.apply_deadline_missed(*deadline),
            Event::Rendered { ti, .. } => self.check_live("Rendered", *ti),
            Event::Used { ti, .. } => self.check_live("Used", *ti),
            Event::PastDependsMet { tasks } => self.apply_past_met(tasks),
            Event::GroupExpanded { group, elements } => self.apply_group_expanded(*group, elements),
            _ => Err(self.run_is("the event", "of a newer Airlock")),
        }
    }

    pub(super) fn run_is(&self, what: &'static str, needs: &'static str) -> IllegalEvent {
        IllegalEvent::RunState {
            what,
            state: self.state,
            needs,
        }
    }

    pub(super) fn task_state(&self, task: TaskIndex) -> Result<&TaskState, IllegalEvent> {
        let missing = IllegalEvent::NoInstance {
            task,
            map_index: -1,
        };
        self.tasks.get(task.get()).ok_or(missing)
    }

    pub(super) fn known(&self, ti: TaskInstanceKey) -> Result<&Instance, IllegalEvent> {
        self.instance(ti).ok_or(IllegalEvent::NoInstance {
            task: ti.task,
            map_index: ti.map_index,
        })
    }

    /// The task of `ti`; the instance was looked up before.
    pub(super) fn with_task<T>(
        &mut self,
        task: TaskIndex,
        act: impl FnOnce(&mut TaskState) -> T,
    ) -> Option<T> {
        self.tasks.get_mut(task.get()).map(act)
    }

    pub(super) fn apply_queued(&mut self, header: &RunHeader, dag_version: [u8; 32]) {
        self.header = Some(Box::new(header.clone()));
        self.dag_version = dag_version;
        let dag = self.dag.clone();
        self.expand_literal_groups();
        for (task, spec) in (0..).map(TaskIndex).zip(&dag.tasks) {
            let expand = spec.expand.as_ref().filter(|_| !self.is_grouped(task));
            let elements = expand.and_then(expand::literal_elements);
            if let Some(elements) = elements.filter(|elements| elements.length > 0) {
                self.expand_task(task, elements);
            }
        }
        self.open_slas();
        let deadlines = (0..).zip(&header.deadlines);
        self.deadlines = deadlines.filter_map(|(n, at)| Some(((*at)?, n))).collect();
    }

    fn apply_started(&mut self, at: Timestamp) -> Result<(), IllegalEvent> {
        if self.state != DagRunState::Queued {
            return Err(self.run_is("RunStarted", "queued"));
        }
        self.state = DagRunState::Running;
        self.started_at = Some(at);
        Ok(())
    }

    fn apply_expanded(&mut self, task: TaskIndex, json: &str) -> Result<(), IllegalEvent> {
        let state = self.task_state(task)?;
        let illegal = |reason| IllegalEvent::Elements { task, reason };
        let Some(expand) = self.dag.task(task).and_then(|task| task.expand.as_ref()) else {
            return Err(illegal("it is not mapped".to_owned()));
        };
        if self.is_grouped(task) {
            return Err(illegal("its mapped group is expanded instead".to_owned()));
        }
        let undecided = !state.is_expanded() && state.counts.get(TaskInstanceState::None) == 1;
        let revised = state.is_expanded() && state.revise;
        if !undecided && !revised {
            return Err(illegal("it is expanded or decided already".to_owned()));
        }
        let elements = expand::parse(expand, json).map_err(illegal)?;
        if elements.length == 0 {
            return Err(illegal("it has no elements".to_owned()));
        }
        if undecided {
            self.expand_task(task, elements);
        } else {
            self.revise_task(task, elements);
        }
        Ok(())
    }

    /// Whether the task is expanded with its mapped group, not by itself.
    fn is_grouped(&self, task: TaskIndex) -> bool {
        self.plan.groups.of(task).is_some()
    }

    fn expand_task(&mut self, task: TaskIndex, elements: Elements) {
        self.grow(task, elements.length);
        self.with_task(task, |state| state.elements = Some(elements));
    }

    /// Puts `length` instances in the place of the one that was not expanded.
    pub(super) fn grow(&mut self, task: TaskIndex, length: usize) {
        let more = u32::try_from(length.saturating_sub(1)).unwrap_or(u32::MAX);
        self.with_task(task, |state| state.expand(length));
        self.count_more(task, more);
    }

    /// So many more undecided instances of a task are there.
    pub(super) fn count_more(&mut self, task: TaskIndex, more: u32) {
        self.totals.add(TaskInstanceState::None, more);
        let is_setup = self.dag.task(task).is_some_and(|task| task.is_setup);
        let plan = self.plan.clone();
        for below in plan.outside(task) {
            self.with_task(below, |state| {
                state.upstream.total += more;
                state.upstream.setup_total += if is_setup { more } else { 0 };
            });
        }
    }

    fn apply_set(
        &mut self,
        task: TaskIndex,
        range: Range<i32>,
        to: TaskInstanceState,
    ) -> Result<(), IllegalEvent> {
        let state = self.task_state(task)?;
        self.check_range(task, &range)?;
        for map_index in range.clone() {
            let ti = TaskInstanceKey { task, map_index };
            let instance = self.known(ti)?;
            if !may_be_set(state, map_index, instance.state, to) {
                return Err(instance_is(
                    "StateSet",
                    ti,
                    instance,
                    "able to take the state",
                ));
            }
        }
        if to == TaskInstanceState::Scheduled && self.state != DagRunState::Running {
            return Err(self.run_is("StateSet scheduled", "running"));
        }
        self.end_waits(task, range.clone(), to.is_finished());
        self.change_states(task, range, to);
        Ok(())
    }

    pub(super) fn check_range(
        &self,
        task: TaskIndex,
        range: &Range<i32>,
    ) -> Result<(), IllegalEvent> {
        let all = self.task_state(task)?.range();
        if range.is_empty() || range.start < all.start || range.end > all.end {
            let map_index = range.start.min(all.start - 1).max(range.end - 1);
            return Err(IllegalEvent::NoInstance { task, map_index });
        }
        Ok(())
    }

    /// Takes away the timers of a range, and all that is known about waiting where it has ended.
    pub(super) fn end_waits(&mut self, task: TaskIndex, range: Range<i32>, ended: bool) {
        let Some(state) = self.tasks.get_mut(task.get()) else {
            return;
        };
        if state.waiting.is_empty() {
            return;
        }
        for (map_index, waiting) in state.waiting.range_mut(range.clone()) {
            if let Some(due) = waiting.due.take() {
                let map_index = *map_index;
                self.timers
                    .remove(&(due, TaskInstanceKey { task, map_index }));
            }
        }
        if ended {
            if range.len() == 1 {
                state.waiting.remove(&range.start);
            } else {
                state
                    .waiting
                    .retain(|map_index, _| !range.contains(map_index));
            }
        }
    }

    /// Moves a range into `to` and counts the move here, in the run, and in every direct downstream task outside its mapped group.
    pub(super) fn change_states(
        &mut self,
        task: TaskIndex,
        range: Range<i32>,
        to: TaskInstanceState,
    ) {
        let mut moves: Vec<(TaskInstanceState, u32)> = Vec::with_capacity(1);
        if let Some(state) = self.tasks.get_mut(task.get()) {
            for map_index in range {
                let Some(instance) = state.instance_mut(map_index) else {
                    continue;
                };
                match moves.iter_mut().find(|(from, _)| *from == instance.state) {
                    Some((_, n)) => *n += 1,
                    None => moves.push((instance.state, 1)),
                }
                instance.state = to;
            }
            for (from, n) in &moves {
                state.counts.shift(*from, to, *n);
            }
        }
        if to.is_finished() {
            self.close_sla(task);
        }
        let is_setup = self.dag.task(task).is_some_and(|task| task.is_setup);
        for (from, n) in moves {
            self.totals.shift(from, to, n);
            if !from.is_finished() && !to.is_finished() {
                continue;
            }
            for below in self.plan.outside(task) {
                if let Some(below) = self.tasks.get_mut(below.get()) {
                    below.upstream.shift(from, to, n, is_setup);
                }
            }
        }
    }

    fn apply_stopping(&mut self, why: Reason, message: &str) -> Result<(), IllegalEvent> {
        let upgrade = matches!(&self.stopping, Some(old) if old.why != Reason::FailFast);
        if upgrade {
            return Err(self.run_is("RunStopping", "not being stopped already"));
        }
        if !matches!(
            why,
            Reason::Cancelled | Reason::DagRunTimeout | Reason::FailFast
        ) {
            return Err(self.run_is(
                "RunStopping for another reason",
                "cancelled, timed out or failing fast",
            ));
        }
        self.stopping = Some(Stopping {
            why,
            message: message.to_owned(),
            end: DagRunState::Failed,
        });
        Ok(())
    }

    fn apply_end(&mut self, state: DagRunState, reason: &str) -> Result<(), IllegalEvent> {
        if !state.is_finished() {
            return Err(self.run_is("RunFinished in an unfinished state", "success or failed"));
        }
        if self.state == state && self.end_reason.as_deref() == Some(reason) {
            return Err(self.run_is("RunFinished again", "not finished in just this way"));
        }
        if self.active() > 0 {
            return Err(self.run_is("RunFinished with live attempts", "without live attempts"));
        }
        self.state = state;
        self.end_reason = Some(reason.to_owned());
        if state == DagRunState::Success {
            self.deadlines.clear();
        }
        Ok(())
    }
}

pub(super) fn one(ti: TaskInstanceKey) -> Range<i32> {
    ti.map_index..ti.map_index.saturating_add(1)
}

fn may_be_set(
    task: &TaskState,
    map_index: i32,
    from: TaskInstanceState,
    to: TaskInstanceState,
) -> bool {
    match to {
        TaskInstanceState::Scheduled => matches!(
            from,
            TaskInstanceState::None
                | TaskInstanceState::UpForRetry
                | TaskInstanceState::UpForReschedule
                | TaskInstanceState::Deferred
                | TaskInstanceState::AwaitingInput
        ),
        TaskInstanceState::Skipped
        | TaskInstanceState::UpstreamFailed
        | TaskInstanceState::Failed
        | TaskInstanceState::Removed => {
            let live = from == TaskInstanceState::Running && !task.is_between_pokes(map_index);
            !from.is_finished() && !live
        }
        _ => false,
    }
}

pub(super) fn instance_is(
    what: &'static str,
    ti: TaskInstanceKey,
    instance: &Instance,
    needs: &'static str,
) -> IllegalEvent {
    IllegalEvent::InstanceState {
        what,
        ti,
        state: instance.state,
        needs,
    }
}
