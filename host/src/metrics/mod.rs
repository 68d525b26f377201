//! What the service counts and measures, as Prometheus reads it: folded from what was committed, and from requests. It owns the
//! names and their bounded sets of labels. It refuses labels that grow with the data: no id of a DAG or a task, no path.

mod metered;

pub(crate) use metered::{Metered, OnRun};

use airlock_core::run::event::{Event, Outcome};
use airlock_core::task_instance::state::DagRunState;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What a scrape answers.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Pools that have a series of their own; those after them, by name, are left out.
pub const POOLS_MAX: usize = 100;

/// Upper ends of the buckets for what a person waits for, seconds.
const REQUEST_SECONDS: [f64; 10] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0,
];
/// The same for commits.
const COMMIT_SECONDS: [f64; 9] = [0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.5, 5.0];
/// The same for runs and attempts.
const WORK_SECONDS: [f64; 10] = [
    0.01, 0.1, 1.0, 10.0, 60.0, 300.0, 1_800.0, 7_200.0, 28_800.0, 86_400.0,
];

/// A label that names a state.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

/// A label that names how something ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    outcome: &'static str,
}

/// Labels of requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    method: &'static str,
    /// `2xx` to `5xx`.
    status: &'static str,
}

/// Labels of a pool's slots.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolSlots {
    pool: String,
    state: &'static str,
}

/// What is asked of the application at each scrape.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sampled {
    /// DAGs that are not stale.
    pub dags: i64,
    /// Of them, those that are paused.
    pub dags_paused: i64,
    /// Files that cannot be read.
    pub import_errors: i64,
    /// Runs that wait to start.
    pub runs_queued: i64,
    /// Runs that run.
    pub runs_running: i64,
    /// By name: running, deferred and scheduled slots of each pool.
    pub pools: Vec<(String, [i64; 3])>,
    /// Callbacks and mails that went wrong.
    pub callbacks_failed: i64,
}

/// See the module's documentation.
pub struct Metrics {
    registry: Registry,
    runs_ended: Family<State, Counter>,
    run_seconds: Histogram,
    attempts: Family<Ended, Counter>,
    sla_missed: Counter,
    deadlines_missed: Counter,
    commits: Counter,
    commit_seconds: Histogram,
    commits_failed: Counter,
    requests: Family<Asked, Histogram>,
    sampled: Gauges,
    /// A scrape writes its samples before it reads them.
    scraping: Mutex<()>,
}

/// What a scrape samples.
#[derive(Default)]
struct Gauges {
    dags: Gauge,
    dags_paused: Gauge,
    import_errors: Gauge,
    runs: Family<State, Gauge>,
    pool_slots: Family<PoolSlots, Gauge>,
    callbacks_failed: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("airlock"),
            runs_ended: Family::default(),
            run_seconds: Histogram::new(WORK_SECONDS),
            attempts: Family::default(),
            sla_missed: Counter::default(),
            deadlines_missed: Counter::default(),
            commits: Counter::default(),
            commit_seconds: Histogram::new(COMMIT_SECONDS),
            commits_failed: Counter::default(),
            requests: Family::new_with_constructor(|| Histogram::new(REQUEST_SECONDS)),
            sampled: Gauges::default(),
            scraping: Mutex::new(()),
        };
        // So that a rate can be taken from the first scrape on.
        for state in [DagRunState::Success, DagRunState::Failed] {
            let state = state.as_str();
            drop(metrics.runs_ended.get_or_create(&State { state }));
        }
        metrics.registered()
    }
}

impl Metrics {
    fn registered(mut self) -> Self {
        let all = &mut self.registry;
        all.register(
            "dag_runs_ended",
            "Runs that ended, by state",
            self.runs_ended.clone(),
        );
        all.register_with_unit(
            "dag_run_duration",
            "From a run's start to its end",
            Unit::Seconds,
            self.run_seconds.clone(),
        );
        all.register(
            "task_attempts",
            "Attempts of task instances that ended, by outcome",
            self.attempts.clone(),
        );
        all.register(
            "sla_missed",
            "Tasks that missed their sla",
            self.sla_missed.clone(),
        );
        all.register(
            "deadlines_missed",
            "Deadlines of runs that passed",
            self.deadlines_missed.clone(),
        );
        all.register(
            "store_commits",
            "Commits that are durable",
            self.commits.clone(),
        );
        all.register_with_unit(
            "store_commit_duration",
            "From a commit's submission until it was durable",
            Unit::Seconds,
            self.commit_seconds.clone(),
        );
        all.register(
            "store_commits_failed",
            "Commits that the store refused",
            self.commits_failed.clone(),
        );
        all.register_with_unit(
            "http_request_duration",
            "From a request's head until its answer, by method and class of status",
            Unit::Seconds,
            self.requests.clone(),
        );
        self.registered_samples()
    }

    fn registered_samples(mut self) -> Self {
        let all = &mut self.registry;
        let sampled = &self.sampled;
        all.register("dags", "DAGs that are not stale", sampled.dags.clone());
        all.register(
            "dags_paused",
            "DAGs that are paused",
            sampled.dags_paused.clone(),
        );
        all.register(
            "import_errors",
            "DAG files that cannot be read",
            sampled.import_errors.clone(),
        );
        all.register(
            "dag_runs",
            "Runs that have not ended, by state",
            sampled.runs.clone(),
        );
        all.register(
            "pool_slots",
            "Slots of pools that are running, deferred or scheduled",
            sampled.pool_slots.clone(),
        );
        all.register(
            "callbacks_failed",
            "Callbacks and mails that went wrong since the start",
            sampled.callbacks_failed.clone(),
        );
        self
    }

    /// Follows an event of a run that is durable; `began` is when its run started.
    fn follow(&self, event: &Event) {
        match event {
            Event::RunFinished { state, .. } => {
                let label = State {
                    state: state.as_str(),
                };
                self.runs_ended.get_or_create(&label).inc();
            }
            Event::AttemptFinished { outcome, .. } => self.attempt(word(outcome)),
            Event::AttemptLost { .. } => self.attempt("lost"),
            Event::SlaMissed { tasks, .. } => {
                self.sla_missed
                    .inc_by(u64::try_from(tasks.len()).unwrap_or_default());
            }
            Event::DeadlineMissed { .. } => {
                self.deadlines_missed.inc();
            }
            _ => {}
        }
    }

    fn attempt(&self, outcome: &'static str) {
        self.attempts.get_or_create(&Ended { outcome }).inc();
    }

    fn ran(&self, seconds: f64) {
        self.run_seconds.observe(seconds);
    }

    fn committed(&self, count: usize, took: Duration) {
        self.commits
            .inc_by(u64::try_from(count).unwrap_or_default());
        self.commit_seconds.observe(took.as_secs_f64());
    }

    fn refused(&self) {
        self.commits_failed.inc();
    }

    /// A request was answered.
    pub fn answered(&self, method: &str, status: u16, took: Duration) {
        let known = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"];
        let method = known.iter().find(|known| **known == method);
        let status = match status / 100 {
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            5 => "5xx",
            _ => "other",
        };
        let method = method.copied().unwrap_or("other");
        let histogram = self.requests.get_or_create(&Asked { method, status });
        histogram.observe(took.as_secs_f64());
    }

    /// Everything as text, after what is sampled was set.
    ///
    /// # Errors
    /// When it cannot be written, which is a mistake in Airlock.
    pub fn scrape(&self, sampled: &Sampled) -> Result<String, std::fmt::Error> {
        let _one_at_a_time = self.scraping.lock().unwrap_or_else(PoisonError::into_inner);
        let gauges = &self.sampled;
        gauges.dags.set(sampled.dags);
        gauges.dags_paused.set(sampled.dags_paused);
        gauges.import_errors.set(sampled.import_errors);
        gauges.callbacks_failed.set(sampled.callbacks_failed);
        for (state, count) in [
            (DagRunState::Queued, sampled.runs_queued),
            (DagRunState::Running, sampled.runs_running),
        ] {
            let state = state.as_str();
            gauges.runs.get_or_create(&State { state }).set(count);
        }
        // A pool that is gone has no series any more.
        gauges.pool_slots.clear();
        for (pool, slots) in sampled.pools.iter().take(POOLS_MAX) {
            for (state, count) in ["running", "deferred", "scheduled"].into_iter().zip(slots) {
                let label = PoolSlots {
                    pool: pool.clone(),
                    state,
                };
                gauges.pool_slots.get_or_create(&label).set(*count);
            }
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Success(_) | Outcome::Branch(_) | Outcome::ShortCircuit { .. } => "success",
        Outcome::Skip(_) => "skipped",
        Outcome::NotYet => "not_yet",
        Outcome::Defer(_) => "deferred",
        Outcome::Error(_) => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_holds_what_was_counted_and_no_label_that_grows() {
        let metrics = Metrics::default();
        metrics.answered("GET", 200, Duration::from_millis(2));
        metrics.answered("BREW", 418, Duration::from_millis(2));
        metrics.attempt("failed");
        let pools: Vec<_> = (0..2 * POOLS_MAX)
            .map(|number| (format!("p{number:04}"), [1, 0, 0]))
            .collect();
        let sampled = Sampled {
            dags: 3,
            runs_running: 2,
            pools,
            ..Sampled::default()
        };
        let text = metrics.scrape(&sampled).unwrap();
        for line in [
            "airlock_dags 3",
            "airlock_dag_runs{state=\"running\"} 2",
            "airlock_dag_runs_ended_total{state=\"success\"} 0",
            "airlock_task_attempts_total{outcome=\"failed\"} 1",
            "airlock_http_request_duration_seconds_count{method=\"other\",status=\"4xx\"} 1",
            "# EOF",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        let series = text
            .lines()
            .filter(|line| line.starts_with("airlock_pool_slots{"));
        assert_eq!(series.count(), 3 * POOLS_MAX);
        // A pool that went takes its series with it.
        assert!(
            !metrics
                .scrape(&Sampled::default())
                .unwrap()
                .contains("p0001")
        );
    }
}
