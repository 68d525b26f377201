//! The deterministic simulator: one seed is a random world (DAGs, runs, pools), a virtual clock and a plan of faults (crashes,
//! lost and duplicated answers, clocks that jump, commits that are refused). A model of the host drives the pure core through
//! it, and an auditor checks invariants after every step. It refuses real time, threads, files and every other source of
//! chance: the same seed gives the same history, so a seed is a bug report.

mod audit;
mod draw;
mod people;
mod schedule;
mod shell;
mod sim;
mod trace;
mod workers;
mod world;

pub use audit::Violation;
pub use schedule::Stats as ScheduleStats;
pub use sim::Stats;
pub use trace::{Detail, EVENTS_SHOWN};

/// What became of one seed.
#[derive(Debug)]
pub struct Report {
    /// What was counted.
    pub stats: Stats,
    /// What was counted in its world of schedules.
    pub schedules: ScheduleStats,
    /// The first invariant that broke, if one did.
    pub violation: Option<Violation>,
    /// As much of the history as was asked for.
    pub lines: Vec<String>,
}

/// Plays one seed: its world of runs, then its world of schedules.
pub fn simulate(seed: u64, detail: Detail) -> Report {
    let mut report = simulate_runs(seed, detail);
    if report.violation.is_some() {
        return report;
    }
    let played = schedule::play(seed, detail);
    if detail == Detail::Events {
        report.lines.clear();
    }
    report.lines.extend(played.lines);
    report.schedules = played.stats;
    report.violation = played.violation;
    report
}

fn simulate_runs(seed: u64, detail: Detail) -> Report {
    let mut sim = match sim::Sim::new(seed, detail) {
        Ok(sim) => sim,
        Err(violation) => {
            let stats = Stats::default();
            return Report {
                stats,
                schedules: ScheduleStats::default(),
                violation: Some(violation),
                lines: Vec::new(),
            };
        }
    };
    let violation = sim.play().err();
    Report {
        stats: sim.stats,
        schedules: ScheduleStats::default(),
        violation,
        lines: sim.trace.into_lines(),
    }
}
