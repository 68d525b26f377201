//! The deciding half of a step: emits events, lets them settle through the tasks below, ends the run when nothing is left.
//! Each decision is applied at once, so a later one sees it.

use super::error::IllegalEvent;
use super::event::{Command, Event, Reason};
use super::expand::{self, ExpandEvaluator, ExpandFailure};
use super::plan::indexes;
use super::state::RunState;
use super::step::Step;
use crate::dag::spec::{ExpandSource, TriggerRule};
use crate::ids::{TaskIndex, TaskInstanceKey};
use crate::task_instance::state::{DagRunState, TaskInstanceState};
use crate::task_instance::trigger_rule::{Decision, decide};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::ops::Range;

/// One call of `step`, while it is being worked out.
pub(super) struct Turn<'a> {
    pub(super) run: &'a mut RunState,
    pub(super) now: Timestamp,
    evaluator: &'a dyn ExpandEvaluator,
    pub(super) step: Step,
    /// Tasks whose upstream changed.
    open: BTreeSet<TaskIndex>,
    /// What the shell will wake the run for, as far as the run has asked before.
    asked: Option<Timestamp>,
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
        }
    }

    /// Applies and records one event, and remembers which tasks have to be looked at again.
    pub(super) fn emit(&mut self, event: Event) -> Result<(), IllegalEvent> {
        self.run.apply(&event)?;
        let task = match &event {
            Event::StateSet { task, .. } => Some(*task),
            Event::AttemptFinished { ti, .. } | Event::AttemptLost { ti, .. } => Some(ti.task),
            _ => None,
        };
        self.step.events.push(event);
        if let Some(task) = task {
            let plan = &self.run.plan;
            let below = plan.downstream(task).iter().chain(plan.guarded(task));
            self.open
                .extend(below.filter(|task| undecided(self.run, **task)));
        }
        Ok(())
    }

    pub(super) fn consider_all(&mut self) {
        self.open.extend(indexes(&self.run.dag));
    }

    pub(super) fn want(&mut self, task: TaskIndex, range: Range<i32>) {
        self.step.commands.push(Command::Want {
            task,
            from: range.start,
            to: range.end,
        });
    }

    fn set(
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
    fn decide(
        &mut self,
        task: TaskIndex,
        state: TaskInstanceState,
        reason: Option<Reason>,
    ) -> Result<(), IllegalEvent> {
        let is_undecided =
            |_, instance: &super::tasks::Instance| instance.state == TaskInstanceState::None;
        for range in self.run.task_state(task)?.ranges(is_undecided) {
            self.set(task, range.clone(), state, reason, None)?;
            if state == TaskInstanceState::Scheduled {
                self.want(task, range);
            }
        }
        Ok(())
    }

    /// Decides every task whose upstream changed, and what follows from that.
    fn settle(&mut self) -> Result<(), IllegalEvent> {
        while let Some(task) = self.open.pop_first() {
            if self.run.state != DagRunState::Running || !undecided(self.run, task) {
                continue;
            }
            match self.run.decision(task) {
                Decision::Wait => {}
                Decision::Run => self.schedule(task)?,
                Decision::Skipped => {
                    let reason = Some(Reason::TriggerRule);
                    self.decide(task, TaskInstanceState::Skipped, reason)?;
                }
                Decision::UpstreamFailed => {
                    let reason = Some(Reason::TriggerRule);
                    self.decide(task, TaskInstanceState::UpstreamFailed, reason)?;
                }
            }
        }
        Ok(())
    }

    /// Its trigger rule lets the task run: expands it if it still has to be, and asks for slots.
    fn schedule(&mut self, task: TaskIndex) -> Result<(), IllegalEvent> {
        let expanded = self.run.task_state(task)?.is_expanded();
        let spec = self.run.dag.task(task);
        if spec.is_none_or(|spec| spec.expand.is_none()) || expanded {
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
            Ok((elements, _)) => {
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
                let range = self.run.task_state(task)?.range();
                let reason = Some(Reason::ExpandError);
                self.set(
                    task,
                    range,
                    TaskInstanceState::Failed,
                    reason,
                    Some(message),
                )?;
                self.fail_fast(task)
            }
        }
    }

    /// When all instances of a branching or short-circuiting task have ended: skips what every one that succeeded did not
    /// want. What was scheduled before (by a rule that does not wait) is left alone, and so are, as in Airflow, expanded
    /// instances that are not directly downstream: their own trigger rule decides.
    pub(super) fn skip_unwanted(&mut self, task: TaskIndex) -> Result<(), IllegalEvent> {
        let state = self.run.task_state(task)?;
        let Some(skips) = state
            .skips
            .as_ref()
            .filter(|_| state.counts.unfinished() == 0)
        else {
            return Ok(());
        };
        let succeeded = state.counts.get(TaskInstanceState::Success);
        let reason = if skips.short_circuit {
            Reason::ShortCircuit
        } else {
            Reason::BranchNotTaken
        };
        let direct = self.run.plan.downstream(task);
        let unwanted: Vec<_> = skips
            .wanted
            .iter()
            .filter(|(_, wanted)| **wanted == succeeded)
            .map(|(task, _)| *task)
            .filter(|task| undecided(self.run, *task))
            .filter(|task| {
                let expanded = self
                    .run
                    .task_state(*task)
                    .is_ok_and(super::tasks::TaskState::is_expanded);
                !expanded || direct.contains(task)
            })
            .collect();
        for task in unwanted {
            self.decide(task, TaskInstanceState::Skipped, Some(reason))?;
        }
        Ok(())
    }

    /// The final failure of a task ends a run that asked for it.
    pub(super) fn fail_fast(&mut self, task: TaskIndex) -> Result<(), IllegalEvent> {
        let Some(spec) = self.run.dag.task(task) else {
            return Ok(());
        };
        if !self.run.dag.fail_fast || spec.is_teardown || self.run.stopping.is_some() {
            return Ok(());
        }
        let message = format!("task {} failed and the DAG has fail_fast", spec.task_id);
        self.stop(Reason::FailFast, message)
    }

    /// Tells what runs to stop and skips the rest. The run ends when the last live attempt has.
    pub(super) fn stop(&mut self, why: Reason, message: String) -> Result<(), IllegalEvent> {
        let already = self.run.stopping.as_ref().map(|stopping| stopping.why);
        if already.is_some_and(|why| why != Reason::FailFast) {
            return Ok(());
        }
        self.emit(Event::RunStopping {
            why,
            message: message.clone(),
            at: self.now,
        })?;
        for task in indexes(&self.run.dag) {
            if self.run.stop_state(task).is_some() {
                self.stop_task(task, why, &message)?;
            }
        }
        Ok(())
    }

    fn stop_task(
        &mut self,
        task: TaskIndex,
        why: Reason,
        message: &str,
    ) -> Result<(), IllegalEvent> {
        let state = self.run.task_state(task)?;
        if state.counts.unfinished() == 0 {
            return Ok(());
        }
        let running: Vec<_> = state
            .iter()
            .filter(|(_, instance)| instance.state == TaskInstanceState::Running)
            .map(|(map_index, instance)| {
                (
                    map_index,
                    instance.fence(),
                    state.is_between_pokes(map_index),
                )
            })
            .collect();
        let wants = state.ranges(|_, instance| {
            matches!(
                instance.state,
                TaskInstanceState::Scheduled | TaskInstanceState::Restarting
            )
        });
        let ends = state.ranges(|map_index, instance| {
            !instance.state.is_finished()
                && (instance.state != TaskInstanceState::Running
                    || state.is_between_pokes(map_index))
        });
        for range in wants {
            self.step.commands.push(Command::Unwant {
                task,
                from: range.start,
                to: range.end,
            });
        }
        for range in ends {
            self.set(task, range, TaskInstanceState::Skipped, Some(why), None)?;
        }
        for (map_index, fence, between_pokes) in running {
            let ti = TaskInstanceKey { task, map_index };
            self.step.commands.push(if between_pokes {
                Command::Release { ti }
            } else {
                let reason = message.to_owned();
                Command::StopAttempt { ti, fence, reason }
            });
        }
        Ok(())
    }

    /// Whatever is due now goes on.
    pub(super) fn wake(&mut self) -> Result<(), IllegalEvent> {
        self.asked = None;
        if self.run.timeout_at().is_some_and(|at| at <= self.now) {
            return self.stop(Reason::DagRunTimeout, "dagrun_timeout passed".to_owned());
        }
        let mut due: Vec<TaskInstanceKey> = self
            .run
            .timers
            .iter()
            .take_while(|(at, _)| *at <= self.now)
            .map(|(_, ti)| *ti)
            .collect();
        due.sort_unstable();
        let (pokes, others): (Vec<_>, Vec<_>) = due.into_iter().partition(|ti| {
            self.run
                .instance(*ti)
                .is_some_and(|instance| instance.state == TaskInstanceState::Running)
        });
        for (task, range) in runs_of(&others) {
            self.set(
                task,
                range.clone(),
                TaskInstanceState::Scheduled,
                None,
                None,
            )?;
            self.want(task, range);
        }
        for ti in pokes {
            let owner = self.run.known(ti)?.owner;
            self.start_attempt(ti, owner)?;
        }
        Ok(())
    }

    /// Settles, ends the run if nothing is left, and asks for the next wake-up.
    pub(super) fn end(mut self) -> Result<Step, IllegalEvent> {
        self.settle()?;
        if let Some((state, reason)) = self.run.result() {
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

fn undecided(run: &RunState, task: TaskIndex) -> bool {
    run.tasks
        .get(task.get())
        .is_some_and(|task| task.counts.get(TaskInstanceState::None) > 0)
}

/// Sorted keys as ranges of map indexes.
pub(super) fn runs_of(keys: &[TaskInstanceKey]) -> Vec<(TaskIndex, Range<i32>)> {
    let mut ranges: Vec<(TaskIndex, Range<i32>)> = Vec::new();
    for ti in keys {
        match ranges.last_mut() {
            Some((task, range)) if *task == ti.task && range.end == ti.map_index => range.end += 1,
            _ => ranges.push((ti.task, super::apply::one(*ti))),
        }
    }
    ranges
}

impl RunState {
    /// What the trigger rule of an undecided task says now, after the setups that guard it.
    ///
    /// That it never runs is only concluded when all direct upstream has ended. Airflow concludes it at once, and then a
    /// later failure, branch or short circuit gives other final states than an earlier one would have: a race. Here the
    /// final states do not depend on who finishes first, except below the rules that start early on purpose.
    fn decision(&self, task: TaskIndex) -> Decision {
        let (Some(spec), Ok(state)) = (self.dag.task(task), self.task_state(task)) else {
            return Decision::Wait;
        };
        if spec.trigger_rule == TriggerRule::Always {
            return Decision::Run;
        }
        let decision = match self.setup_decision(task) {
            Decision::Run => decide(spec.trigger_rule, &state.upstream),
            other => other,
        };
        let is_final = state.upstream.all_done();
        match decision {
            Decision::Skipped | Decision::UpstreamFailed if !is_final => Decision::Wait,
            other => other,
        }
    }

    /// The setups above a task, not directly, decide before its own rule: one that failed or was skipped takes it along.
    fn setup_decision(&self, task: TaskIndex) -> Decision {
        let mut decision = Decision::Run;
        for setup in self.plan.setups(task) {
            let counts = self.counts(*setup);
            if counts.get(TaskInstanceState::Failed) + counts.get(TaskInstanceState::UpstreamFailed)
                > 0
            {
                return Decision::UpstreamFailed;
            }
            if counts.get(TaskInstanceState::Skipped) > 0 {
                decision = Decision::Skipped;
            } else if counts.unfinished() > 0 && decision == Decision::Run {
                decision = Decision::Wait;
            }
        }
        decision
    }

    /// How the run ends now, if it does.
    fn result(&self) -> Option<(DagRunState, &'static str)> {
        let unfinished = self.totals.unfinished();
        let undecided = self.totals.get(TaskInstanceState::None);
        let started = self.state == DagRunState::Running || self.stopping.is_some();
        if self.state.is_finished() || !started || unfinished > undecided {
            return None;
        }
        if let Some(stopping) = &self.stopping {
            let reason = match stopping.why {
                Reason::Cancelled => "cancelled",
                Reason::DagRunTimeout => "timed_out",
                _ => "task_failure",
            };
            return Some((DagRunState::Failed, reason));
        }
        if undecided > 0 {
            return Some((DagRunState::Failed, "all_tasks_deadlocked"));
        }
        let failed = |leaf: &TaskIndex| {
            let counts = self.counts(*leaf);
            counts.get(TaskInstanceState::Failed) + counts.get(TaskInstanceState::UpstreamFailed)
                > 0
        };
        if self.plan.leaves.iter().any(failed) {
            Some((DagRunState::Failed, "task_failure"))
        } else {
            Some((DagRunState::Success, "success"))
        }
    }
}
