//! Training and scoring in the host.

pub use crate::bindings::airlock::operator::training::{
    Algorithm, Config, Determinism, Device, EarlyStop, Event, Forest, Format, Gbdt, GpuWish,
    Granted, Growth, Linear, Metric, Mlp, Objective, Point, RunOutcome, Shortfall, StopReason,
    TrainError, Usage,
};
pub use crate::sys::training::{Model, Run, Scores, start};

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
