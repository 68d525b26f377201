//! What tracking costs here: metrics a second through durable batches, and a search over many runs.

use crate::tracking::{
    Actor, ActorKind, Batch, MetricInput, MetricPoint, NewRun, Tracking, TrackingError, ViewType,
};
use serde::Serialize;
use std::fmt::Write as _;
use std::time::Instant;

/// Metrics of one batch: the most that MLflow's client sends at once.
const BATCH: i64 = 1_000;
/// Batches that are measured.
const BATCHES: i64 = 100;
/// Metrics that a batch's points spread over.
const METRICS: i64 = 10;
/// Threads that fill an experiment with runs: their commits share syncs.
const FILL_THREADS: u32 = 32;
/// How often the search is repeated.
const SEARCHES: u32 = 50;
/// Rows of a page: the client's default.
const PAGE: usize = 1_000;
/// What is searched for.
const FILTER: &str = "metrics.auc > 0.9";

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct MlShape {
    /// Runs of the experiment that is searched.
    pub runs: u32,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct MlReport {
    /// Points a second through batches of 1,000, each a durable commit, one after the other.
    pub metrics_per_s: f64,
    /// A batch: half of all are faster, milliseconds.
    pub batch_p50_ms: f64,
    /// The same for 99 of 100.
    pub batch_p99_ms: f64,
    /// Runs of the experiment that is searched, each with metrics, params and tags.
    pub runs: u32,
    /// Runs a second while it was filled by 32 clients, two durable commits each.
    pub runs_per_s: f64,
    /// The first search, which reads the experiment into memory, milliseconds.
    pub first_search_ms: f64,
    /// `metrics.auc > 0.9` ordered by that metric, first page of 1,000: half of all are faster, milliseconds.
    pub search_p50_ms: f64,
    /// The same for 99 of 100.
    pub search_p99_ms: f64,
    /// The same search right after a run was changed, milliseconds.
    pub search_after_change_ms: f64,
    /// Runs that the page held.
    pub found: usize,
}

fn client() -> Actor {
    Actor {
        kind: ActorKind::User,
        id: "bench".to_owned(),
    }
}

fn point(key: String, step: i64, value: f64) -> MetricInput {
    MetricInput {
        key,
        point: MetricPoint {
            value,
            step,
            at_ms: step,
        },
        model_id: None,
        dataset: None,
    }
}

fn since(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let place = sorted.len().saturating_sub(1) * percent / 100;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

/// Measures on a store that is thrown away afterwards.
pub fn ml(tracking: &Tracking, shape: MlShape) -> Result<MlReport, TrackingError> {
    let batches = batches(tracking)?;
    let total: f64 = batches.iter().sum();
    let began = Instant::now();
    let experiment = tracking.create_experiment(&client(), "bench", &[])?;
    fill(tracking, &experiment.experiment_id, shape.runs)?;
    let fill_s = began.elapsed().as_secs_f64();
    let ids = [experiment.experiment_id];
    let search = || {
        let began = Instant::now();
        let order = ["metrics.auc DESC".to_owned()];
        let page = tracking.search_runs(&ids, ViewType::ActiveOnly, FILTER, &order, PAGE, None)?;
        Ok::<_, TrackingError>((since(began), page.items))
    };
    let (first_search_ms, items) = search()?;
    let mut searches = Vec::new();
    for _ in 0..SEARCHES {
        searches.push(search()?.0);
    }
    searches.sort_unstable_by(f64::total_cmp);
    if let Some(run) = items.first() {
        let tag = [("changed".to_owned(), "yes".to_owned())];
        tracking.set_tags(&client(), &run.run_id, &tag)?;
    }
    let (search_after_change_ms, _) = search()?;
    Ok(MlReport {
        metrics_per_s: f64::from(i32::try_from(BATCH * BATCHES).unwrap_or(i32::MAX)) * 1e3 / total,
        batch_p50_ms: percentile(&batches, 50),
        batch_p99_ms: percentile(&batches, 99),
        runs: shape.runs,
        runs_per_s: f64::from(shape.runs) / fill_s,
        first_search_ms,
        search_p50_ms: percentile(&searches, 50),
        search_p99_ms: percentile(&searches, 99),
        search_after_change_ms,
        found: items.len(),
    })
}

/// Milliseconds of each batch, sorted.
fn batches(tracking: &Tracking) -> Result<Vec<f64>, TrackingError> {
    let run = tracking.create_run(&client(), "0", &NewRun::default())?;
    let mut times = Vec::new();
    for batch in 0..BATCHES {
        let points = (0..BATCH).map(|index| {
            let step = (batch * BATCH + index) / METRICS;
            point(format!("metric_{}", index % METRICS), step, 0.5)
        });
        let batch = Batch {
            metrics: points.collect(),
            ..Batch::default()
        };
        let began = Instant::now();
        tracking.log_batch(&client(), &run.run_id, &batch)?;
        times.push(since(began));
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok(times)
}

/// Makes runs with two metrics, three params and their tags.
fn fill(tracking: &Tracking, experiment_id: &str, runs: u32) -> Result<(), TrackingError> {
    let of_thread = |thread: u32| {
        for index in (thread..runs).step_by(usize::try_from(FILL_THREADS).unwrap_or(1)) {
            let new = NewRun {
                started_ms: Some(i64::from(index)),
                ..NewRun::default()
            };
            let run = tracking.create_run(&client(), experiment_id, &new)?;
            // Scattered over 0 to 1, the same at every measurement.
            let auc = f64::from(index.wrapping_mul(2_654_435_761) >> 8) / f64::from(1 << 24);
            let param = |key: &str, value: u32| (key.to_owned(), value.to_string());
            let batch = Batch {
                metrics: vec![
                    point("auc".to_owned(), 0, auc),
                    point("loss".to_owned(), 0, 1.0 - auc),
                ],
                params: vec![
                    param("depth", index % 10),
                    param("rounds", index % 1_000),
                    param("seed", index),
                ],
                tags: Vec::new(),
            };
            tracking.log_batch(&client(), &run.run_id, &batch)?;
        }
        Ok::<_, TrackingError>(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..FILL_THREADS)
            .map(|thread| scope.spawn(move || of_thread(thread)))
            .collect();
        for thread in threads {
            thread.join().map_err(|_| {
                TrackingError::Invalid("a thread of the measurement failed".to_owned())
            })??;
        }
        Ok(())
    })
}

impl MlReport {
    /// For a person.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:44}{value}");
        };
        line(
            "metrics a second, durable batches of 1,000",
            format!("{:.0}", self.metrics_per_s),
        );
        line(
            "a batch, p50 / p99",
            format!("{:.2} / {:.2} ms", self.batch_p50_ms, self.batch_p99_ms),
        );
        line(
            &format!("{} runs, filled by 32 clients, a second", self.runs),
            format!("{:.0}", self.runs_per_s),
        );
        line(
            "first search, reads them",
            format!("{:.0} ms", self.first_search_ms),
        );
        line(
            &format!("{FILTER}, ordered, p50 / p99"),
            format!("{:.2} / {:.2} ms", self.search_p50_ms, self.search_p99_ms),
        );
        line(
            "the same after a change",
            format!("{:.2} ms", self.search_after_change_ms),
        );
        line("runs on its page", self.found.to_string());
        text
    }
}
