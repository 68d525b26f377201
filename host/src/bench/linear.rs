//! Whether a run's cost is linear: the same mapped task with ever more elements, through the whole orchestrator with durable
//! commits. It measures and asserts nothing; the figures come from one run, so that their ratios mean something.

use super::{Orchestrated, fan_out, run};
use crate::app::App;
use crate::error::UserError;
use serde::Serialize;
use std::fmt::Write as _;

/// Task instances of each run; the last one is as large as a mapped task may be.
const SIZES: [u32; 3] = [1_000, 10_000, 100_000];

/// Everything measured.
#[derive(Debug, Clone, Serialize)]
pub struct LinearReport {
    /// One run of each size, the smallest first.
    pub runs: Vec<Orchestrated>,
    /// Wall time a task instance of the largest run to that of the smallest; 1 is linear.
    pub wall_ratio: f64,
    /// The same of CPU time.
    pub cpu_ratio: f64,
}

/// Runs every size once on `app`.
///
/// # Errors
/// When a run does not end in success.
pub async fn linear(app: &App) -> Result<LinearReport, UserError> {
    // Once, so that no figure holds the first compilation or the first page faults.
    run(app, fan_out("bench_warm_up", 200)?).await?;
    let mut runs = Vec::with_capacity(SIZES.len());
    for size in SIZES {
        let (figures, _) = run(app, fan_out(&format!("bench_{size}"), size)?).await?;
        runs.push(figures);
    }
    let ratio = |of: fn(&Orchestrated) -> f64| match (runs.first(), runs.last()) {
        (Some(small), Some(large)) => of(large) / of(small),
        _ => f64::NAN,
    };
    Ok(LinearReport {
        wall_ratio: ratio(|run| 1.0 / run.tasks_per_s),
        cpu_ratio: ratio(|run| run.cpu_ms_per_task),
        runs,
    })
}

impl LinearReport {
    /// For a person.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for run in &self.runs {
            // A string takes everything.
            let _ = writeln!(
                text,
                "{:7} task instances   {:9.0} a second   {:.3} ms of CPU each",
                run.tasks, run.tasks_per_s, run.cpu_ms_per_task
            );
        }
        let (wall, cpu) = (self.wall_ratio, self.cpu_ratio);
        let _ = writeln!(
            text,
            "the largest costs {wall:.2} of the smallest a task instance, and {cpu:.2} of its CPU"
        );
        text
    }
}
