//! What is to be concluded from a state: whether an undecided task may run, and whether the run has ended.
//! Questions only; nothing here changes anything.

use super::event::Reason;
use super::state::RunState;
use crate::dag::spec::TriggerRule;
use crate::ids::TaskIndex;
use crate::task_instance::state::{DagRunState, TaskInstanceState};
use crate::task_instance::trigger_rule::{Decision, decide};

impl RunState {
    /// What the trigger rule of an undecided task says now, after the setups that guard it.
    ///
    /// That it never runs is only concluded when all direct upstream has ended. Airflow concludes it at once, and then a
    /// later failure, branch or short circuit gives other final states than an earlier one would have: a race. Here the
    /// final states do not depend on who finishes first, except below the rules that start early on purpose.
    pub(super) fn decision(&self, task: TaskIndex) -> Decision {
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
