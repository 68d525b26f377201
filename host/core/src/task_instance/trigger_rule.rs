//! Trigger rules: what the states of the direct upstream task instances mean for a task.
//! The source of every row is Airflow 3.3.2 (`TriggerRuleDep`), asked with `tests/oracle/trigger_rules.jsonl`.
//! It sees counts only, so that a mapped upstream of any length costs the same; it refuses to know which upstream is which.

use super::state::TaskInstanceState;
use crate::dag::spec::TriggerRule;

/// Direct upstream task instances, counted by state. Every instance of a mapped upstream counts as one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UpstreamStates {
    /// All of them, finished or not.
    pub total: u32,
    /// Ended well.
    pub success: u32,
    /// Skipped.
    pub skipped: u32,
    /// Failed.
    pub failed: u32,
    /// Could not run because of a failure further up.
    pub upstream_failed: u32,
    /// No longer in the DAG.
    pub removed: u32,
    /// How many of `total` belong to setup tasks.
    pub setup_total: u32,
    /// How many of those ended well.
    pub setup_success: u32,
    /// How many of those were skipped.
    pub setup_skipped: u32,
}

impl UpstreamStates {
    /// How many have ended.
    pub const fn done(&self) -> u32 {
        self.success + self.skipped + self.failed + self.upstream_failed + self.removed
    }

    /// Whether all have ended.
    pub const fn all_done(&self) -> bool {
        self.done() >= self.total
    }

    /// Counts one more instance, in `state`.
    pub fn add(&mut self, state: TaskInstanceState, is_setup: bool) {
        self.change(state, is_setup, |count| *count += 1);
        self.total += 1;
        self.setup_total += u32::from(is_setup);
    }

    /// Takes `n` instances out of `from` and puts them into `to`. The caller has counted them in `from` before.
    pub fn shift(
        &mut self,
        from: TaskInstanceState,
        to: TaskInstanceState,
        n: u32,
        is_setup: bool,
    ) {
        self.change(from, is_setup, |count| *count -= n);
        self.change(to, is_setup, |count| *count += n);
    }

    fn change(&mut self, state: TaskInstanceState, is_setup: bool, act: impl Fn(&mut u32)) {
        match state {
            TaskInstanceState::Success => {
                act(&mut self.success);
                if is_setup {
                    act(&mut self.setup_success);
                }
            }
            TaskInstanceState::Skipped => {
                act(&mut self.skipped);
                if is_setup {
                    act(&mut self.setup_skipped);
                }
            }
            TaskInstanceState::Failed => act(&mut self.failed),
            TaskInstanceState::UpstreamFailed => act(&mut self.upstream_failed),
            TaskInstanceState::Removed => act(&mut self.removed),
            _ => {}
        }
    }
}

/// What a trigger rule says now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Not determined yet.
    Wait,
    /// It may run.
    Run,
    /// It never will: skipped.
    Skipped,
    /// It never will: `upstream_failed`.
    UpstreamFailed,
}

/// Decides as soon as the result is determined, even while upstream task instances are unfinished.
pub fn decide(rule: TriggerRule, up: &UpstreamStates) -> Decision {
    if up.total == 0 || rule == TriggerRule::Always {
        return Decision::Run;
    }
    if let Some(never) = never(rule, up) {
        return never;
    }
    if may_run(rule, up) {
        Decision::Run
    } else {
        Decision::Wait
    }
}

fn never(rule: TriggerRule, up: &UpstreamStates) -> Option<Decision> {
    let failed = up.failed + up.upstream_failed > 0;
    let skipped = up.skipped > 0;
    let done = up.all_done();
    let (upstream_failed, is_skipped) = match rule {
        TriggerRule::AllSuccess => (failed, skipped),
        TriggerRule::AllFailed => (false, skipped || up.success > 0),
        TriggerRule::AllDone | TriggerRule::Always => (false, false),
        TriggerRule::AllDoneMinOneSuccess => (done && up.success == 0 && !skipped, skipped),
        TriggerRule::AllDoneSetupSuccess => {
            let guarded = done && up.setup_total > 0;
            let all_skipped = guarded && up.setup_skipped >= up.setup_total;
            (
                guarded && !all_skipped && up.setup_success == 0,
                all_skipped,
            )
        }
        TriggerRule::OneSuccess => {
            let all_skipped = done && up.done() == up.skipped;
            (done && !all_skipped && up.success == 0, all_skipped)
        }
        TriggerRule::OneFailed => (false, done && !failed),
        TriggerRule::OneDone => (false, done && up.failed + up.success == 0),
        TriggerRule::NoneFailed => (failed, false),
        TriggerRule::NoneFailedMinOneSuccess => {
            let all_skipped = up.skipped == up.total;
            let nothing = done && up.success == 0 && !all_skipped;
            (failed || nothing, all_skipped)
        }
        TriggerRule::NoneSkipped => (false, skipped),
        TriggerRule::AllSkipped => (false, failed || up.success > 0),
    };
    if upstream_failed {
        Some(Decision::UpstreamFailed)
    } else if is_skipped {
        Some(Decision::Skipped)
    } else {
        None
    }
}

/// Only asked when [`never`] has ruled nothing out.
fn may_run(rule: TriggerRule, up: &UpstreamStates) -> bool {
    match rule {
        TriggerRule::OneSuccess => up.success > 0,
        TriggerRule::OneFailed => up.failed + up.upstream_failed > 0,
        TriggerRule::OneDone => up.success + up.failed > 0,
        TriggerRule::AllSkipped => up.skipped == up.total,
        TriggerRule::Always => true,
        TriggerRule::AllSuccess
        | TriggerRule::AllFailed
        | TriggerRule::AllDone
        | TriggerRule::AllDoneMinOneSuccess
        | TriggerRule::AllDoneSetupSuccess
        | TriggerRule::NoneFailed
        | TriggerRule::NoneFailedMinOneSuccess
        | TriggerRule::NoneSkipped => up.all_done(),
    }
}
