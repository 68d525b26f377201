//! Training and scoring in the host.

use std::time::{Duration, Instant};

pub use crate::bindings::airlock::operator::training::{
    Algorithm, Config, Determinism, Device, EarlyStop, Event, Forest, Format, Gbdt, GpuWish,
    Granted, Growth, Linear, Metric, Mlp, Objective, Point, RunOutcome, Shortfall, StopReason,
    TrainError, Usage,
};
pub use crate::sys::training::{Model, Run, Scores, start, start_search};

/// What one wait for a run brought.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Something happened.
    Event(Event),
    /// Nothing happened in the time.
    Quiet,
    /// The run has ended: `Run::wait` answers at once.
    Ended,
}

/// Waits for the run's next event, at most so long. The contract answers `none` for silence and for the end alike; an end
/// answers before the time is over.
pub fn next(run: &Run, timeout_ms: u32) -> Next {
    let began = Instant::now();
    match run.next(timeout_ms) {
        Some(event) => Next::Event(event),
        None if began.elapsed() < Duration::from_millis(u64::from(timeout_ms)) => Next::Ended,
        None => Next::Quiet,
    }
}

/// The name under which a metric is logged.
pub fn metric_name(metric: Metric) -> &'static str {
    match metric {
        Metric::Auc => "auc",
        Metric::LogLoss => "log_loss",
        Metric::Accuracy => "accuracy",
        Metric::AveragePrecision => "average_precision",
        Metric::Rmse => "rmse",
    }
}
