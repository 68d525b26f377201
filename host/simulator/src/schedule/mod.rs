//! The other world of a seed: DAGs whose schedules make runs. Random timetables, assets and backfills, a clock that jumps, people
//! who pause and edit, crashes between what is decided and what is stored; and an auditor that reckons the ticks itself. It
//! refuses to know what a run does: a run is queued, starts, and ends somehow.

mod acts;
mod audit;
mod calendar;
mod cron;
mod engine;
mod host;
mod plan;
mod rule;
mod sim;
mod store;

use crate::audit::Violation;
use crate::trace::{Detail, EVENTS_SHOWN};
pub use sim::Stats;

/// What became of the schedules of one seed.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) stats: Stats,
    pub(crate) violation: Option<Violation>,
    /// As much of the history as was asked for.
    pub(crate) lines: Vec<String>,
}

/// Plays the schedules of one seed.
pub(crate) fn play(seed: u64, detail: Detail) -> Played {
    let mut sim = match sim::Sim::new(seed, detail) {
        Ok(sim) => sim,
        Err(problem) => {
            return Played {
                stats: Stats::default(),
                violation: audit::Audit::whole(false, || problem).err(),
                lines: Vec::new(),
            };
        }
    };
    let violation = sim.play().err();
    let mut lines = sim.lines;
    if detail == Detail::Events {
        lines.drain(..lines.len().saturating_sub(EVENTS_SHOWN));
    }
    Played {
        stats: sim.stats,
        violation,
        lines,
    }
}
