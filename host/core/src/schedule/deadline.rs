//! When a run's deadlines are: `reference + interval`, fixed when the run is recorded.
//! It refuses to know what happens when one is missed.

use crate::dag::spec::{Dag, Deadline, DeadlineReference};
use jiff::{SignedDuration, Timestamp};

/// What deadlines count from, beside the DAG itself.
#[derive(Debug, Clone, Copy)]
pub struct DeadlineFacts<'a> {
    /// The run's logical date.
    pub logical_date: Option<Timestamp>,
    /// When the run was recorded.
    pub queued_at: Timestamp,
    /// How long the DAG's last successful runs took, the newest first.
    pub past_durations: &'a [SignedDuration],
}

/// When each of the DAG's deadlines is, in their order; `None` where its reference has no value.
pub fn deadlines(dag: &Dag, facts: &DeadlineFacts<'_>) -> Vec<Option<Timestamp>> {
    dag.deadlines
        .iter()
        .map(|deadline| instant(deadline, facts))
        .collect()
}

/// How many past durations [`deadlines`] asks for at most.
pub fn past_durations_needed(dag: &Dag) -> u32 {
    let counts = dag
        .deadlines
        .iter()
        .filter_map(|deadline| match deadline.reference {
            DeadlineReference::AverageRuntime(runs) => Some(runs),
            _ => None,
        });
    counts.max().unwrap_or(0)
}

fn instant(deadline: &Deadline, facts: &DeadlineFacts<'_>) -> Option<Timestamp> {
    let reference = match deadline.reference {
        DeadlineReference::LogicalDate => facts.logical_date?,
        DeadlineReference::QueuedAt => facts.queued_at,
        DeadlineReference::Fixed(at) => at,
        DeadlineReference::AverageRuntime(runs) => facts
            .queued_at
            .checked_add(mean(facts.past_durations, runs)?)
            .ok()?,
    };
    reference.checked_add(deadline.interval).ok()
}

/// `None` with fewer than `runs` durations.
fn mean(durations: &[SignedDuration], runs: u32) -> Option<SignedDuration> {
    let newest = durations.get(..usize::try_from(runs).ok()?)?;
    let sum: i128 = newest.iter().map(SignedDuration::as_nanos).sum();
    let mean = sum.checked_div(i128::from(runs))?;
    Some(SignedDuration::from_nanos_i128(mean))
}
