//! What is decided about mapped task groups: when they are expanded, and what becomes of each instance.

use super::apply::one;
use super::error::IllegalEvent;
use super::event::{Event, Reason};
use super::expand::{self, ExpandFailure};
use super::turn::{Turn, undecided};
use crate::dag::spec::TriggerRule;
use crate::ids::{GroupIndex, TaskIndex, TaskInstanceKey};
use crate::task_instance::state::TaskInstanceState;
use crate::task_instance::trigger_rule::Decision;
use std::ops::Range;

/// What is to be done with one instance in a mapped group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Schedule,
    End(TaskInstanceState, Reason),
}

impl Turn<'_> {
    /// A task of a mapped group that has not been expanded: expands the group if it can be.
    pub(super) fn settle_group(&mut self, group: GroupIndex) -> Result<(), IllegalEvent> {
        let dag = self.run.dag.clone();
        let Some(expand) = dag.group(group).and_then(|group| group.expand.as_ref()) else {
            return Ok(());
        };
        if let Some(elements) = self.run.groups.get(&group) {
            // A task that was decided when the group was expanded and has been cleared since.
            let elements = elements.to_json();
            return self.expand_group(group, elements);
        }
        if !self.run.group_upstream_ended(group) {
            return Ok(());
        }
        match expand::evaluate(expand, self.run, self.evaluator) {
            Ok((_, elements)) if elements.length == 0 => self.decide_group(
                group,
                TaskInstanceState::Skipped,
                Reason::EmptyExpansion,
                None,
            ),
            Ok((elements, _)) => self.expand_group(group, elements),
            Err(ExpandFailure::Nothing(message)) => {
                let (state, reason) = self.without_elements(group);
                let message = (reason == Reason::ExpandError).then_some(message);
                self.decide_group(group, state, reason, message.as_deref())
            }
            Err(ExpandFailure::Error(message)) => self.decide_group(
                group,
                TaskInstanceState::Failed,
                Reason::ExpandError,
                Some(&message),
            ),
        }
    }

    /// A task of an expanded group was cleared: looks at the group's elements again. Whether the task is to be settled now.
    pub(super) fn revise_group(
        &mut self,
        group: GroupIndex,
        task: TaskIndex,
    ) -> Result<bool, IllegalEvent> {
        let dag = self.run.dag.clone();
        let Some(expand) = dag.group(group).and_then(|group| group.expand.as_ref()) else {
            return Ok(true);
        };
        if !self.run.group_upstream_ended(group) {
            return Ok(false);
        }
        let failed = TaskInstanceState::Failed;
        let (state, reason) = match expand::evaluate(expand, self.run, self.evaluator) {
            Ok((_, elements)) if elements.length == 0 => {
                (TaskInstanceState::Skipped, Reason::EmptyExpansion)
            }
            Ok((elements, parsed)) => {
                self.regroup(group, elements, parsed.length)?;
                return Ok(true);
            }
            Err(ExpandFailure::Nothing(_)) => self.without_elements(group),
            Err(ExpandFailure::Error(_)) => (failed, Reason::ExpandError),
        };
        let skips = state == TaskInstanceState::Skipped;
        if !(skips && self.run.skip_waits_for_past(task)) {
            self.decide(task, state, Some(reason))?;
        }
        Ok(false)
    }

    fn regroup(
        &mut self,
        group: GroupIndex,
        elements: String,
        length: usize,
    ) -> Result<(), IllegalEvent> {
        let plan = self.run.plan.clone();
        for task in plan.groups.members(group) {
            self.shed_beyond(*task, length)?;
        }
        self.expand_group(group, elements)?;
        for task in plan.groups.members(group) {
            for below in plan.downstream(*task) {
                self.open(*below);
            }
        }
        Ok(())
    }

    /// As for a mapped task: who gives no list because it did not run decides for the whole group.
    fn without_elements(&self, group: GroupIndex) -> (TaskInstanceState, Reason) {
        let (mut failed, mut skipped) = (0, 0);
        for task in self.run.plan.groups.upstream(group) {
            let counts = self.run.counts(*task);
            failed += counts.get(TaskInstanceState::Failed)
                + counts.get(TaskInstanceState::UpstreamFailed);
            skipped += counts.get(TaskInstanceState::Skipped);
        }
        if failed > 0 {
            (TaskInstanceState::UpstreamFailed, Reason::TriggerRule)
        } else if skipped > 0 {
            (TaskInstanceState::Skipped, Reason::TriggerRule)
        } else {
            (TaskInstanceState::Failed, Reason::ExpandError)
        }
    }

    fn expand_group(&mut self, group: GroupIndex, elements: String) -> Result<(), IllegalEvent> {
        self.emit(Event::GroupExpanded { group, elements })?;
        let plan = self.run.plan.clone();
        for task in plan.groups.members(group) {
            self.open(*task);
        }
        Ok(())
    }

    /// Gives every undecided task of a group that is not expanded the same state.
    fn decide_group(
        &mut self,
        group: GroupIndex,
        state: TaskInstanceState,
        reason: Reason,
        message: Option<&str>,
    ) -> Result<(), IllegalEvent> {
        let plan = self.run.plan.clone();
        let members = plan.groups.members(group);
        let mut decided = Vec::new();
        for task in members {
            let waits = state == TaskInstanceState::Skipped && self.run.skip_waits_for_past(*task);
            if undecided(self.run, *task) && !waits {
                let range = self.run.task_state(*task)?.range();
                self.set(
                    *task,
                    range,
                    state,
                    Some(reason),
                    message.map(str::to_owned),
                )?;
                decided.push(*task);
            }
        }
        // Members that were decided before did not fail by this, and a teardown's failure stops nothing.
        decided.retain(|_| reason == Reason::ExpandError);
        decided
            .into_iter()
            .try_for_each(|task| self.fail_fast(task))
    }

    /// Decides the undecided instances of an expanded task in `range`; those that agree share an event.
    pub(super) fn settle_instances(
        &mut self,
        task: TaskIndex,
        range: Range<i32>,
    ) -> Result<(), IllegalEvent> {
        let all = self.run.task_state(task)?.range();
        let mut verdicts: Vec<(Range<i32>, Verdict)> = Vec::new();
        for map_index in range.start.max(all.start)..range.end.min(all.end) {
            let ti = TaskInstanceKey { task, map_index };
            let Some(verdict) = self.verdict(ti) else {
                continue;
            };
            match verdicts.last_mut() {
                Some((last, same)) if last.end == map_index && *same == verdict => last.end += 1,
                _ => verdicts.push((one(ti), verdict)),
            }
        }
        for (range, verdict) in verdicts {
            match verdict {
                Verdict::Schedule => {
                    let state = TaskInstanceState::Scheduled;
                    self.set(task, range.clone(), state, None, None)?;
                    self.want(task, range);
                }
                Verdict::End(state, reason) => self.set(task, range, state, Some(reason), None)?,
            }
        }
        Ok(())
    }

    fn verdict(&self, ti: TaskInstanceKey) -> Option<Verdict> {
        let is_undecided = self.run.instance(ti)?.state == TaskInstanceState::None;
        let rule = self.run.dag.task(ti.task)?.trigger_rule;
        if !is_undecided {
            return None;
        }
        if self.run.instance_was_skipped_before(ti) {
            let skipped = TaskInstanceState::Skipped;
            return Some(Verdict::End(skipped, Reason::PreviouslySkipped));
        }
        let (upstream, gone) = self.run.upstream_of(ti);
        if gone && rule == TriggerRule::AllSuccess {
            // Its own map index is not in the list any more.
            return Some(Verdict::End(TaskInstanceState::Removed, Reason::Gone));
        }
        let decision = self.run.conclude(ti.task, Some(ti.map_index), &upstream);
        let end = |state| Some(Verdict::End(state, Reason::TriggerRule));
        match self.run.after_past(ti.task, decision) {
            Decision::Wait => None,
            Decision::Run => Some(Verdict::Schedule),
            Decision::Skipped => end(TaskInstanceState::Skipped),
            Decision::UpstreamFailed => end(TaskInstanceState::UpstreamFailed),
        }
    }
}
