//! Trains in the host: this plugin prepares, watches and records; the trees are grown outside the sandbox. A retry finds the
//! tracking run and the model version that it began. It refuses to move a version that has left Staging.

mod config;

use airlock_sdk::dataset::{ColumnKind, MatrixSpec, Table};
use airlock_sdk::models::{self, ModelVersion, Stage};
use airlock_sdk::prelude::*;
use airlock_sdk::progress;
use airlock_sdk::tracking::{self, RunStatus};
use airlock_sdk::training::{self, Event, Metric, Next, Run, RunOutcome, StopReason, metric_name};
use config::GbdtConfig;

/// How long one wait for an event lasts, ms: how soon a cancellation is seen.
const WAIT_MS: u32 = 100;
/// Every so many rounds a line is logged.
const LOG_EVERY_ROUNDS: u32 = 50;

/// Trains gradient boosted trees and registers the model in Staging.
#[operator]
fn gbdt(config: GbdtConfig, task: &Task) -> Result<Value, TaskError> {
    let settings = config.training()?;
    let table = Table::open(&config.features)?;
    let columns = feature_columns(&config, &table)?;
    let run = tracking::Run::start(&config.experiment, &config.run_name(task))?;
    run.params(config.params(task, &columns, &table.digest()))?;
    let trained = train(&config, &table, &columns, &settings, &run).and_then(|trained| {
        record(&config, task, &run, &trained).map(|version| (trained, version))
    });
    match trained {
        Ok((trained, version)) => {
            run.end(RunStatus::Finished)?;
            Ok(json!({
                "run_id": run.id,
                "val_auc": trained.val_auc,
                "train_date": task.ds(),
                "model_version": version.version,
                "feature_count": columns.len(),
                "device": trained.device,
                "rounds": trained.outcome.usage.rounds,
                "n_estimators": config.hyper().n_estimators,
                "learning_rate": config.hyper().learning_rate,
                "max_depth": config.hyper().max_depth,
            }))
        }
        Err(error) => {
            let status = if progress::is_cancelled() {
                RunStatus::Killed
            } else {
                RunStatus::Failed
            };
            // The error that ended the training is the one worth telling.
            if let Err(second) = run.end(status) {
                warn!(
                    "The tracking run could not be ended: {}",
                    TaskError::from(second)
                );
            }
            Err(error)
        }
    }
}

/// What one training brought.
struct Trained {
    artifact: String,
    val_auc: f64,
    device: String,
    outcome: RunOutcome,
    importance: Vec<(String, f64)>,
}

fn feature_columns(config: &GbdtConfig, table: &Table) -> Result<Vec<String>, TaskError> {
    let schema = table.schema();
    let numeric = |kind: ColumnKind| {
        matches!(
            kind,
            ColumnKind::Boolean | ColumnKind::Int64 | ColumnKind::Float64
        )
    };
    let named = |name: &String| schema.iter().any(|column| column.name == *name);
    if !named(&config.label) {
        return Err(TaskError::invalid(
            "label",
            format!("the table has no column `{}`", config.label),
        ));
    }
    if let Some(columns) = &config.feature_columns {
        return match columns.iter().find(|name| !named(name)) {
            Some(missing) => Err(TaskError::invalid(
                "feature_columns",
                format!("the table has no column `{missing}`"),
            )),
            None => Ok(columns.clone()),
        };
    }
    let columns: Vec<String> = schema
        .into_iter()
        .filter(|column| numeric(column.kind) && column.name != config.label)
        .map(|column| column.name)
        .filter(|name| !config.id_columns.contains(name))
        .collect();
    if columns.is_empty() {
        return Err(TaskError::invalid(
            "features",
            "the table has no column to learn from",
        ));
    }
    Ok(columns)
}

fn train(
    config: &GbdtConfig,
    table: &Table,
    columns: &[String],
    settings: &training::Config,
    run: &tracking::Run,
) -> Result<Trained, TaskError> {
    let (learn, valid) = table.split(&config.label, config.valid_fraction, config.seed)?;
    let spec = MatrixSpec {
        features: columns.to_vec(),
        label: Some(config.label.clone()),
        weight: None,
        max_bins: config.max_bins,
    };
    let (learn, valid) = (learn.matrix(&spec)?, valid.matrix(&spec)?);
    info!(
        "{} rows to learn from, {} to validate on, {} features",
        learn.rows(),
        valid.rows(),
        columns.len()
    );
    let host_run = training::start(&learn, Some(&valid), settings)?;
    let rounds = config.hyper().n_estimators;
    let device = watch(&host_run, rounds, run)?;
    let outcome = host_run.wait()?;
    if outcome.reason == StopReason::Cancelled || progress::is_cancelled() {
        return Err(TaskError::transient(
            "cancelled before the training was done",
        ));
    }
    let val_auc = outcome
        .metrics
        .iter()
        .rev()
        .find(|point| point.metric == Metric::Auc)
        .and_then(|point| point.valid)
        .ok_or_else(|| TaskError::permanent("the training yielded no validation AUC"))?;
    let model = host_run.model()?;
    let artifact = model.save(training::Format::Airlock)?;
    Ok(Trained {
        artifact,
        val_auc,
        device,
        outcome,
        importance: model.importance(),
    })
}

/// Tells what happens until the run ends, and passes a cancellation on. Yields the device.
fn watch(host_run: &Run, rounds: u32, run: &tracking::Run) -> Result<String, TaskError> {
    let mut device = String::new();
    loop {
        if progress::is_cancelled() {
            warn!("Told to stop: asking the training to end");
            host_run.cancel();
            return Ok(device);
        }
        match training::next(host_run, WAIT_MS) {
            Next::Event(Event::Started(granted)) => {
                info!(
                    "Training on {} with {} threads",
                    granted.device, granted.threads
                );
                device = granted.device;
            }
            Next::Event(Event::Progress(point)) => told(&point, rounds, run)?,
            Next::Event(Event::Checkpointed(artifact)) => info!("Checkpoint {artifact}"),
            Next::Event(Event::Moved(to)) => {
                warn!("The device was lost; the training goes on elsewhere: {to}");
                device = to;
            }
            Next::Event(Event::Warning(text)) => warn!("{text}"),
            Next::Quiet => {}
            Next::Ended => return Ok(device),
        }
    }
}

fn told(point: &training::Point, rounds: u32, run: &tracking::Run) -> Result<(), TaskError> {
    let name = metric_name(point.metric);
    let fraction = f64::from(point.round) / f64::from(rounds.max(1));
    let valid = point.valid.unwrap_or(f64::NAN);
    let line = format!("Round {} of {rounds}: valid {name} {valid:.4}", point.round);
    progress::report(fraction.min(1.0), &line);
    if point.round.is_multiple_of(LOG_EVERY_ROUNDS) {
        info!("{line}");
    }
    let metrics: Vec<tracking::Metric> = [("train", point.train), ("valid", point.valid)]
        .into_iter()
        .filter_map(|(part, value)| {
            Some(tracking::Metric {
                key: format!("{part}_{name}"),
                value: value?,
                step: i64::from(point.round),
            })
        })
        .collect();
    Ok(run.metrics(&metrics)?)
}

fn record(
    config: &GbdtConfig,
    task: &Task,
    run: &tracking::Run,
    trained: &Trained,
) -> Result<ModelVersion, TaskError> {
    run.metric(
        "val_auc",
        trained.val_auc,
        i64::from(trained.outcome.best_round),
    )?;
    run.artifact("model", &trained.artifact)?;
    run.tags([
        ("device", trained.device.clone()),
        ("dag_id", task.dag_id.clone()),
        ("dag_run_id", task.run_id.clone()),
        ("task_id", task.task_id.clone()),
    ])?;
    for (feature, gain) in &trained.importance {
        info!("Gain of {feature}: {gain:.2}");
    }
    let tags = [
        ("train_date".to_owned(), task.ds().unwrap_or_default()),
        ("pipeline".to_owned(), task.dag_id.clone()),
    ];
    let version = models::register(&config.model_name, &run.id, &trained.artifact, &tags)?;
    // A repeated run finds its version where it is by now; only a new one goes to Staging.
    let version = if version.stage == Stage::None {
        models::transition_stage(&config.model_name, version.version, Stage::Staging, false)?
    } else {
        version
    };
    info!(
        "{} v{}: val_auc {:.4} after {} rounds ({:?})",
        version.name,
        version.version,
        trained.val_auc,
        trained.outcome.usage.rounds,
        trained.outcome.reason
    );
    Ok(version)
}

airlock_sdk::plugin!(operators: [gbdt]);

#[cfg(test)]
mod tests;
