//! What is to be concluded from a state: whether an undecided task may run, and whether the run has ended.
//! Questions only; nothing here changes anything.

use super::event::Reason;
use super::state::RunState;
use super::tasks::StateCounts;
use crate::dag::spec::TriggerRule;
use crate::ids::TaskIndex;
use crate::task_instance::state::{DagRunState, TaskInstanceState};
use crate::task_instance::trigger_rule::{Decision, UpstreamStates, decide};

impl RunState {
    /// What the trigger rule of an undecided task outside mapped groups says now, after the setups that guard it.
    pub(super) fn decision(&self, task: TaskIndex) -> Decision {
        let Ok(state) = self.task_state(task) else {
            return Decision::Wait;
        };
        self.conclude(task, None, &state.upstream)
    }

    /// What a trigger rule says about its upstream. `map_index` names an instance in a mapped group.
    ///
    /// That it never runs is only concluded when all direct upstream has ended. Airflow concludes it at once, and then a
    /// later failure, branch or short circuit gives other final states than an earlier one would have: a race. Here the
    /// final states do not depend on who finishes first, except below the rules that start early on purpose.
    pub(super) fn conclude(
        &self,
        task: TaskIndex,
        map_index: Option<i32>,
        upstream: &UpstreamStates,
    ) -> Decision {
        let Some(spec) = self.dag.task(task) else {
            return Decision::Wait;
        };
        if spec.trigger_rule == TriggerRule::Always {
            return Decision::Run;
        }
        let decision = match self.setup_decision(task, map_index) {
            Decision::Run => decide(spec.trigger_rule, upstream),
            other => other,
        };
        match decision {
            Decision::Skipped | Decision::UpstreamFailed if !upstream.all_done() => Decision::Wait,
            other => other,
        }
    }

    /// The setups above a task, not directly, decide before its own rule: one that failed or was skipped takes it along.
    fn setup_decision(&self, task: TaskIndex, map_index: Option<i32>) -> Decision {
        let (mut skipped, mut unfinished) = (0, 0);
        for setup in self.plan.setups(task) {
            let counts = self.setup_counts(*setup, task, map_index);
            if counts.get(TaskInstanceState::Failed) + counts.get(TaskInstanceState::UpstreamFailed)
                > 0
            {
                return Decision::UpstreamFailed;
            }
            skipped += counts.get(TaskInstanceState::Skipped);
            unfinished += counts.unfinished();
        }
        // A setup that still runs may fail, and a failure counts for more than a skip.
        if unfinished > 0 {
            Decision::Wait
        } else if skipped > 0 {
            Decision::Skipped
        } else {
            Decision::Run
        }
    }

    /// The instances of a setup that guard an instance: one in the same mapped group, else all.
    fn setup_counts(
        &self,
        setup: TaskIndex,
        task: TaskIndex,
        map_index: Option<i32>,
    ) -> StateCounts {
        let beside = map_index
            .filter(|_| self.plan.groups.same(setup, task))
            .and_then(|map_index| self.beside(setup, map_index));
        match beside {
            Some(instance) => {
                let mut counts = StateCounts::default();
                counts.add(instance.state, 1);
                counts
            }
            None => self.counts(setup),
        }
    }

    /// How the run ends now, if it does; for a run that has ended, how else it ended now that it was `marked`.
    pub(super) fn result(&self, marked: bool) -> Option<(DagRunState, &'static str)> {
        let unfinished = self.totals.unfinished();
        let undecided = self.totals.get(TaskInstanceState::None);
        if self.state.is_finished() {
            let end = self.end(undecided);
            let same = self.state == end.0 && self.end_reason() == Some(end.1);
            return Some(end).filter(|_| marked && !same);
        }
        let started = self.state == DagRunState::Running || self.stopping.is_some();
        if !started || unfinished > undecided || !self.halting.is_empty() {
            return None;
        }
        // A teardown still runs in a run that is failing fast.
        let stopped = self.stopping.as_ref();
        let may_go_on = stopped.is_none_or(|stopping| stopping.why == Reason::FailFast);
        if undecided > 0 && may_go_on && self.waits_for_past().next().is_some() {
            return None;
        }
        Some(self.end(undecided))
    }

    /// The end of a run in which nothing goes on any more.
    fn end(&self, undecided: u32) -> (DagRunState, &'static str) {
        if let Some(stopping) = &self.stopping {
            let reason = match stopping.why {
                Reason::Cancelled => "cancelled",
                Reason::DagRunTimeout => "timed_out",
                Reason::Marked => "marked",
                _ => "task_failure",
            };
            return (stopping.end, reason);
        }
        if undecided > 0 {
            return (DagRunState::Failed, "all_tasks_deadlocked");
        }
        let failed = |leaf: &TaskIndex| {
            let counts = self.counts(*leaf);
            counts.get(TaskInstanceState::Failed) + counts.get(TaskInstanceState::UpstreamFailed)
                > 0
        };
        if self.plan.leaves.iter().any(failed) {
            (DagRunState::Failed, "task_failure")
        } else {
            (DagRunState::Success, "success")
        }
    }
}
