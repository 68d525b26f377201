//! The deciding half of a step: emits events, lets them settle through the tasks below, ends the run when nothing is left.
//! Each decision is applied at once, so a later one sees it.

use super::apply::one;
use super::error::IllegalEvent;
use super::event::{Command, Event, Reason};
use super::expand::{self, ExpandEvaluator, ExpandFailure};
use super::group::Outline;
use super::plan::indexes;
use super::state::RunState;
use super::step::Step;
use super::tasks::TaskState;
use crate::dag::spec::ExpandSource;
use crate::ids::{TaskIndex, TaskInstanceKey};
use crate::task_instance::state::{DagRunState, TaskInstanceState};
use crate::task_instance::trigger_rule::Decision;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::ops::Range;

/// One call of `step`, while it is being worked out.
pub(super) struct Turn<'a> {
    pub(super) run: &'a mut RunState,
    pub(super) now: Timestamp,
    pub(super) evaluator: &'a dyn ExpandEvaluator,
    pub(super) step: Step,
    /// Tasks whose upstream changed, and for which map indexes.
    open: BTreeSet<(TaskIndex, i32, i32)>,
    /// What the shell will wake the run for, as far as the run has asked before.
    pub(super) asked: Option<Timestamp>,
    /// A person changed states: a run that has ended may have ended in another state.
    pub(super) marked: bool,
}

impl<'a> Turn<'a> {
    pub(super) fn new(
        run: &'a mut RunState,
        now: Timestamp,
        evaluator: &'a dyn ExpandEvaluator,
    ) -> Self {
        let asked = run.next_timer();
        Self {
            run,
            now,
            evaluator,
            step: Step::default(),
            open: BTreeSet::new(),
            asked,
            marked: false,
        }
    }

    /// Applies and records one event, and remembers which tasks have to be looked at again.
    pub(super) fn emit(&mut self, event: Event) -> Result<(), IllegalEvent> {
        let changed = changed(&event);
        let before = changed
            .as_ref()
            .map(|(task, _)| self.run.outlines_below(*task));
        self.run.apply(&event)?;
        self.step.events.push(event);
        if let Some((task, range)) = changed {
            self.open_again(task, &range);
            self.open_below(task, &range, &before.unwrap_or_default());
        }
        Ok(())
    }

    /// A cleared task instance is undecided again itself, at once or when its old attempt has ended.
    fn open_again(&mut self, task: TaskIndex, range: &Range<i32>) {
        let map_index = range.start;
        let one = self.run.instance(TaskInstanceKey { task, map_index });
        if range.len() != 1 || one.is_some_and(|one| one.state == TaskInstanceState::None) {
            self.open.insert((task, range.start, range.end));
        }
    }

    /// Looks again at what is below instances `range` of a task: in the same mapped group at the same map indexes, in
    /// another one only if something that a rule can see differs from `before`.
    fn open_below(&mut self, task: TaskIndex, range: &Range<i32>, before: &[(TaskIndex, Outline)]) {
        let plan = self.run.plan.clone();
        for below in plan.downstream(task).iter().chain(plan.guarded(task)) {
            self.open_members(task, *below);
            if !undecided(self.run, *below) {
                continue;
            }
            let is_expanded = self
                .run
                .task_state(*below)
                .is_ok_and(TaskState::is_expanded);
            if plan.groups.same(task, *below) && range.start >= 0 {
                self.open.insert((*below, range.start, range.end));
            } else if !(is_expanded && before.contains(&(*below, self.run.outline(task, *below)))) {
                self.open(*below);
            }
        }
    }

    /// `task` may give the list that another mapped group still waits for: whoever is undecided in it is looked at, also where
    /// `below` itself was decided before.
    fn open_members(&mut self, task: TaskIndex, below: TaskIndex) {
        let plan = self.run.plan.clone();
        let Some(group) = plan.groups.of(below) else {
            return;
        };
        let has_list = self.run.groups.contains_key(&group) && !self.run.group_revises(group);
        if has_list || plan.groups.same(task, below) {
            return;
        }
        for member in plan.groups.members(group) {
            if undecided(self.run, *member) {
                self.open(*member);
            }
        }
    }

    /// Looks at all instances of a task again.
    pub(super) fn open(&mut self, task: TaskIndex) {
        self.open.insert((task, i32::MIN, i32::MAX));
    }

    pub(super) fn consider_all(&mut self) {
        for task in indexes(&self.run.dag) {
            self.open(task);
        }
    }

    pub(super) fn want(&mut self, task: TaskIndex, range: Range<i32>) {
        self.step.commands.push(Command::Want {
            task,
            from: range.start,
            to: range.end,
        });
    }

    pub(super) fn set(
        &mut self,
        task: TaskIndex,
        range: Range<i32>,
        state: TaskInstanceState,
        reason: Option<Reason>,
        message: Option<String>,
    ) -> Result<(), IllegalEvent> {
        self.emit(Event::StateSet {
            task,
            from: range.start,
            to: range.end,
            state,
            reason,
            message,
            at: self.now,
        })
    }

    /// Sets all undecided instances of a task.
    pub(super) fn decide(
        &mut self,
        task: TaskIndex,
        state: TaskInstanceState,
        reason: Option<Reason>,
    ) -> Result<(), IllegalEvent> {
        for range in self.run.undecided_ranges(task)? {
            self.set(task, range.clone(), state, reason, None)?;
            if state == TaskInstanceState::Scheduled {
                self.want(task, range);
            }
        }
        Ok(())
    }

    /// Decides every task whose upstream changed, and what follows from that.
    fn settle(&mut self) -> Result<(), IllegalEvent> {
        while let Some((task, from, to)) = self.open.pop_first() {
            if self.run.state != DagRunState::Running || !undecided(self.run, task) {
                continue;
            }
            let group = self.run.plan.groups.of(task);
            if group.is_none() && self.run.was_skipped_before(task) {
                let reason = Some(Reason::PreviouslySkipped);
                self.decide(task, TaskInstanceState::Skipped, reason)?;
                continue;
            }
            if let Some(group) = group
                && self.run.group_revises(group)
                && !self.revise_group(group, task)?
            {
                continue;
            }
            match group {
                None => self.settle_task(task)?,
                Some(_) if self.run.task_state(task)?.is_expanded() => {
                    self.settle_instances(task, from..to)?;
                }
                Some(group) => self.settle_group(group)?,
            }
        }
        Ok(())
    }

    fn settle_task(&mut self, task: TaskIndex) -> Result<(), IllegalEvent> {
        let decision = self.run.decision(task);
        let reason = Some(Reason::TriggerRule);
        match self.run.after_past(task, decision) {
            Decision::Wait => Ok(()),
            Decision::Run => self.schedule(task),
            Decision::Skipped => self.decide(task, TaskInstanceState::Skipped, reason),
            Decision::UpstreamFailed => {
                self.decide(task, TaskInstanceState::UpstreamFailed, reason)
            }
        }
    }

    /// Its trigger rule lets the task run: expands it if it still has to be, and asks for slots.
    fn schedule(&mut self, task: TaskIndex) -> Result<(), IllegalEvent> {
        let expanded = self.run.task_state(task)?.is_expanded();
        let spec = self.run.dag.task(task);
        let revise = expanded && self.run.task_state(task)?.revise;
        if spec.is_none_or(|spec| spec.expand.is_none()) || (expanded && !revise) {
            return self.decide(task, TaskInstanceState::Scheduled, None);
        }
        self.expand(task)
    }

    fn expand(&mut self, task: TaskIndex) -> Result<(), IllegalEvent> {
        let dag = self.run.dag.clone();
        let Some(expand) = dag.task(task).and_then(|task| task.expand.as_ref()) else {
            return Ok(());
        };
        let upstream = self.run.task_state(task)?.upstream;
        let is_template =
            |(_, source): &(&str, &ExpandSource)| matches!(source, ExpandSource::Template(_));
        if expand::sources(expand).iter().any(is_template) && !upstream.all_done() {
            // An early rule said run, but the lists are not known yet.
            return Ok(());
        }
        match expand::evaluate(expand, self.run, self.evaluator) {
            Ok((_, elements)) if elements.length == 0 => {
                let reason = Some(Reason::EmptyExpansion);
                self.decide(task, TaskInstanceState::Skipped, reason)
            }
            Ok((_, elements)) if self.run.has_elements(task, &elements) => {
                self.decide(task, TaskInstanceState::Scheduled, None)
            }
            Ok((elements, parsed)) => {
                self.shed_beyond(task, parsed.length)?;
                self.emit(Event::TaskExpanded { task, elements })?;
                self.decide(task, TaskInstanceState::Scheduled, None)
            }
            // As Airflow's `MappedTaskUpstreamDep`: who gives no list because it did not run decides for the mapped task.
            Err(ExpandFailure::Nothing(_)) if upstream.failed + upstream.upstream_failed > 0 => {
                let reason = Some(Reason::TriggerRule);
                self.decide(task, TaskInstanceState::UpstreamFailed, reason)
            }
            Err(ExpandFailure::Nothing(_)) if upstream.skipped > 0 => {
                let reason = Some(Reason::TriggerRule);
                self.decide(task, TaskInstanceState::Skipped, reason)
            }
            Err(ExpandFailure::Nothing(message) | ExpandFailure::Error(message)) => {
                let reason = Some(Reason::ExpandError);
                for range in self.run.undecided_ranges(task)? {
                    let message = Some(message.clone());
                    self.set(task, range, TaskInstanceState::Failed, reason, message)?;
                }
                self.fail_fast(task)
            }
        }
    }

    /// Settles, ends the run if nothing is left, and asks for the next wake-up.
    pub(super) fn end(mut self) -> Result<Step, IllegalEvent> {
        self.settle()?;
        if let Some((state, reason)) = self.run.result(self.marked) {
            self.emit(Event::RunFinished {
                state,
                reason: reason.to_owned(),
                at: self.now,
            })?;
            self.step.commands.push(Command::RunFinished { state });
        }
        if !self.run.state.is_finished()
            && let Some(at) = self.run.next_timer()
            && self.asked.is_none_or(|asked| at < asked)
        {
            self.step.commands.push(Command::WakeAt { at });
        }
        Ok(self.step)
    }
}

/// Whose state an event changes.
fn changed(event: &Event) -> Option<(TaskIndex, Range<i32>)> {
    match event {
        Event::StateSet { task, from, to, .. }
        | Event::Cleared { task, from, to, .. }
        | Event::Marked { task, from, to, .. } => Some((*task, *from..*to)),
        Event::TaskExpanded { task, .. } => Some((*task, 0..i32::MAX)),
        Event::AttemptFinished { ti, .. } | Event::AttemptLost { ti, .. } => {
            Some((ti.task, one(*ti)))
        }
        _ => None,
    }
}

pub(super) fn undecided(run: &RunState, task: TaskIndex) -> bool {
    run.tasks
        .get(task.get())
        .is_some_and(|task| task.counts.get(TaskInstanceState::None) > 0)
}
