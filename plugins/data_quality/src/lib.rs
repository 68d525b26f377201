//! Gates a pipeline on its data: what halts it is found before anything is spent on training. Checks of the table by itself
//! (rows, nulls, labels, ranges, keys, values, age) and against earlier dates (drift). It refuses to repair data, and tells its
//! findings before it decides.

mod check;
mod config;
mod drift;
mod history;
mod inspect;
mod report;
mod stats;
#[cfg(test)]
mod tests;

use airlock_sdk::dataset::Table;
use airlock_sdk::prelude::*;
use airlock_sdk::tracking::{Metric, Run, RunStatus};
use airlock_sdk::{CapabilityError, xcom};
use check::{Check, Verdict};
use config::{DataQuality, Kind, Mode, Tracking};
use inspect::Measured;
use report::Report;

/// The most failed checks that are told in an XCom.
const TOLD_MAX: usize = 50;
/// Characters of each.
const TOLD_CHARS_MAX: usize = 200;
/// The most metrics that are logged to a tracking run.
const METRICS_MAX: usize = 1_000;
/// Names that tracking takes are no longer, bytes.
const METRIC_BYTES_MAX: usize = 250;

/// Gates a pipeline on row count, nulls, labels, ranges, keys, allowed values, freshness and drift.
#[operator]
fn data_quality(config: DataQuality, task: &Task) -> Result<Outcome, TaskError> {
    config.check()?;
    let date = match &config.drift {
        Some(drift) => Some((drift, drift::date_of(drift, task)?)),
        None => None,
    };
    xcom::push("path", &config.uri)?;
    let probabilities = date.map(|_| stats::probabilities()).unwrap_or_default();
    let table = Table::open(&config.uri);
    let measured = match table.and_then(|table| Measured::of(table, &probabilities)) {
        Ok(measured) => measured,
        // A missing or broken table is what a gate is for; a host that cannot answer now is not.
        Err(error @ (CapabilityError::NotFound(_) | CapabilityError::Invalid(_))) => {
            let reason = format!("cannot read the table: {}", TaskError::from(error));
            return decide(&config, config.mode, &reason);
        }
        Err(error) => return Err(error.into()),
    };
    let mut checks = inspect::inspect(&measured, &config, task)?;
    let mut drifted = match date {
        Some((drift, date)) => Some(drift::compare(&measured, drift, date)?),
        None => None,
    };
    if let Some(drifted) = &mut drifted {
        checks.append(&mut drifted.checks);
    }
    tell(&measured, &checks, drifted.as_ref())?;
    let verdict = Verdict::of(&checks, &config);
    if let (Some((drift, _)), Some(drifted)) = (date, &mut drifted) {
        drifted.entry.passed = verdict.passes();
        drifted.entry.keep(drift)?;
    }
    if let Some(to) = &config.report {
        let report = Report {
            uri: &config.uri,
            task,
            measured: &measured,
            checks: &checks,
            verdict: &verdict,
            drifted: drifted.as_ref(),
        };
        report.write(to)?;
        xcom::push("report", to)?;
    }
    if let Some(tracking) = &config.tracking {
        log(tracking, &checks, task)?;
    }
    match (verdict.mode, verdict.failed.as_slice()) {
        (Some(mode), [first, others @ ..]) => {
            let failed = verdict.failed.iter().take(TOLD_MAX);
            let texts: Vec<String> = failed.map(|check| clipped(check)).collect();
            xcom::push("failed_checks", &texts)?;
            let reason = match others.len() {
                0 => clipped(first),
                count => format!("{}, and {count} more", clipped(first)),
            };
            decide(&config, mode, &reason)
        }
        _ => Ok(Outcome::Success(json!(true))),
    }
}

/// Names of columns have no limit, values between tasks have.
fn clipped(check: &Check) -> String {
    check.to_string().chars().take(TOLD_CHARS_MAX).collect()
}

/// Logs every check and pushes what a pipeline may want to know, before anything is decided.
fn tell(
    measured: &Measured,
    checks: &[Check],
    drifted: Option<&drift::Drifted>,
) -> Result<(), TaskError> {
    for check in checks {
        let verdict = if check.passed { "PASS" } else { "FAIL" };
        info!("QUALITY {verdict} {check}");
    }
    xcom::push("row_count", &measured.rows)?;
    xcom::push("quality", &headlines(checks))?;
    if let Some(drifted) = drifted {
        let told = json!({"judged": drifted.judged, "reference_dates": drifted.dates});
        xcom::push("drift", &told)?;
    }
    Ok(())
}

/// One figure for each kind of check: the worst of all columns. A check for each column would not fit into an XCom.
fn headlines(checks: &[Check]) -> serde_json::Map<String, Value> {
    let mut all = serde_json::Map::new();
    for check in checks {
        let name = match (check.kind, &check.column) {
            (_, None) | (Kind::Unique | Kind::AllowedValues, Some(_)) => check.name.to_owned(),
            (Kind::MeanShift | Kind::Psi | Kind::Ks, _) => format!("max_{}", check.name),
            (Kind::ChiSquare, _) => format!("min_{}", check.name),
            (_, Some(_)) => continue,
        };
        let known = all.get(&name).and_then(Value::as_f64);
        let worst = known.map_or(check.actual, |known| {
            if check.kind == Kind::ChiSquare {
                known.min(check.actual)
            } else {
                known.max(check.actual)
            }
        });
        all.insert(name, json!(worst));
    }
    all
}

fn log(tracking: &Tracking, checks: &[Check], task: &Task) -> Result<(), TaskError> {
    let name = tracking.run_name.clone().unwrap_or_else(|| {
        let date = task.logical_date.map(|date| date.to_string());
        let of = date.unwrap_or_else(|| task.run_id.clone());
        format!("{}.{}_{of}", task.dag_id, task.task_id)
    });
    let run = Run::start(&tracking.experiment, &name)?;
    let metric = |check: &Check| Metric {
        key: check.metric(),
        value: check.actual,
        step: 0,
    };
    let fits = |metric: &Metric| {
        metric.key.len() <= METRIC_BYTES_MAX && !metric.key.chars().any(char::is_control)
    };
    let metrics = checks.iter().map(metric).filter(fits);
    run.metrics(&metrics.take(METRICS_MAX).collect::<Vec<_>>())?;
    run.end(RunStatus::Finished)?;
    Ok(())
}

fn decide(config: &DataQuality, mode: Mode, reason: &str) -> Result<Outcome, TaskError> {
    warn!("QUALITY FAIL {reason}");
    xcom::push("reason", reason)?;
    match mode {
        Mode::Warn => Ok(Outcome::Success(json!(true))),
        Mode::ShortCircuit => Ok(Outcome::ShortCircuit {
            ignore_downstream_trigger_rules: config.ignore_downstream_trigger_rules,
        }),
        Mode::Fail => Err(TaskError::permanent(format!("quality gate: {reason}"))),
    }
}

airlock_sdk::plugin!(operators: [data_quality]);
