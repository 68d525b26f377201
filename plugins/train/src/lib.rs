//! Trains in the host: this plugin prepares, watches and records; models are made outside the sandbox. A retry finds the
//! tracking run, the checkpoint and the model version of the try before. It refuses to move a version that has left Staging.

mod boosted;
mod data;
mod others;
mod recipe;
mod session;

use airlock_sdk::models::{self, ModelVersion, Stage};
use airlock_sdk::prelude::*;
use airlock_sdk::progress;
use airlock_sdk::training::{self, Format, Metric, Next, Run, metric_name};
use boosted::{GbdtConfig, SearchConfig};
use data::{Data, Matrices};
use others::{ForestConfig, LogisticConfig, MlpConfig};
use recipe::Recipe;
use serde_json::Map;
use session::{Session, Trained};

/// How long the runs of a search are waited for in one turn, ms, all together.
const TURN_MS: u32 = 100;

/// Trains gradient boosted trees and registers the model in Staging.
#[operator]
fn gbdt(config: GbdtConfig, task: &Task) -> Result<Value, TaskError> {
    one(&config.data(), config.recipe()?, task)
}

/// Trains a random forest and registers the model in Staging.
#[operator]
fn forest(config: ForestConfig, task: &Task) -> Result<Value, TaskError> {
    one(&config.data(), config.recipe()?, task)
}

/// Trains a logistic regression and registers the model in Staging.
#[operator]
fn logistic(config: LogisticConfig, task: &Task) -> Result<Value, TaskError> {
    one(&config.data(), config.recipe()?, task)
}

/// Trains a multi-layer perceptron and registers the model in Staging.
#[operator]
fn mlp(config: MlpConfig, task: &Task) -> Result<Value, TaskError> {
    one(&config.data(), config.recipe()?, task)
}

/// Trains one boosted model for each set of hyperparameters, all over the same rows, and registers the best in Staging.
#[operator]
fn search(config: SearchConfig, task: &Task) -> Result<Value, TaskError> {
    let data = config.data();
    let recipes = config.recipes()?;
    let matrices = data.matrices()?;
    let name = data.run_name(task);
    let mut sessions = Vec::with_capacity(recipes.len());
    for (place, recipe) in recipes.into_iter().enumerate() {
        let name = format!("{name}_{place}");
        sessions.push(Session::open(&data, task, &matrices, recipe, &name)?);
    }
    let ended = search_in(&data, task, &matrices, &mut sessions, config.parallel());
    match ended {
        Ok(value) => {
            sessions.iter().try_for_each(Session::finish)?;
            Ok(value)
        }
        Err(error) => {
            for session in &sessions {
                session.fail(&error);
            }
            Err(error)
        }
    }
}

/// One model from its rows to the registry.
fn one(data: &Data, recipe: Recipe, task: &Task) -> Result<Value, TaskError> {
    let matrices = data.matrices()?;
    let name = data.run_name(task);
    let mut session = Session::open(data, task, &matrices, recipe, &name)?;
    let value = session
        .start(data, &matrices)
        .and_then(|run| {
            session.watch(&run)?;
            let trained = session.end(&run)?;
            let recorded = record(data, task, &session, &run, &trained)?;
            Ok(Value::Object(result(
                task, &matrices, &session, &trained, &recorded,
            )))
        })
        .inspect_err(|error| session.fail(error))?;
    session.finish()?;
    Ok(value)
}

fn search_in(
    data: &Data,
    task: &Task,
    matrices: &Matrices,
    sessions: &mut [Session],
    parallel: u32,
) -> Result<Value, TaskError> {
    let settings: Vec<_> = sessions
        .iter()
        .map(|session| session.settings(data))
        .collect();
    let (learn, valid) = (&matrices.learn, Some(&matrices.valid));
    let runs = training::start_search(learn, valid, &settings, parallel)?;
    watch_all(sessions, &runs)?;
    let mut all = Vec::with_capacity(runs.len());
    for (session, run) in sessions.iter().zip(&runs) {
        let ended = session.end(run);
        if progress::is_cancelled() {
            ended?;
        } else {
            all.push(ended);
        }
    }
    let Some(best) = best(sessions, &all) else {
        let first = all.into_iter().find_map(Result::err);
        return Err(first.unwrap_or_else(|| TaskError::permanent("the search had no variant")));
    };
    let chosen = sessions.get(best).zip(runs.get(best)).zip(all.get(best));
    let Some(((session, run), Ok(trained))) = chosen else {
        return Err(TaskError::permanent("the best variant is gone"));
    };
    let recorded = record(data, task, session, run, trained)?;
    let mut value = result(task, matrices, session, trained, &recorded);
    value.insert("best".to_owned(), json!(best));
    let results: Vec<Value> = sessions
        .iter()
        .zip(&all)
        .map(|(session, ended)| match ended {
            Ok(trained) => Value::Object(described(session, trained)),
            Err(error) => {
                warn!("A variant was not trained: {error}");
                json!({"run_id": session.run.id, "error": error.to_string()})
            }
        })
        .collect();
    value.insert("results".to_owned(), json!(results));
    Ok(Value::Object(value))
}

/// Tells what happens until all runs have ended, and passes a cancellation on.
fn watch_all(sessions: &mut [Session], runs: &[Run]) -> Result<(), TaskError> {
    let mut live: Vec<usize> = (0..runs.len()).collect();
    let mut told_to_stop = false;
    while !live.is_empty() {
        if !told_to_stop && progress::is_cancelled() {
            warn!("Told to stop: asking the trainings for their last checkpoints");
            runs.iter().for_each(Run::cancel);
            told_to_stop = true;
        }
        let wait = (TURN_MS / u32::try_from(live.len()).unwrap_or(TURN_MS)).max(1);
        let mut ended = Vec::new();
        for place in &live {
            let (Some(session), Some(run)) = (sessions.get_mut(*place), runs.get(*place)) else {
                continue;
            };
            match training::next(run, wait) {
                Next::Event(event) => session.take(event)?,
                Next::Quiet => {}
                Next::Ended => ended.push(*place),
            }
        }
        live.retain(|place| !ended.contains(place));
    }
    Ok(())
}

/// The place of the best that was trained; the first of equals.
fn best(sessions: &[Session], all: &[Result<Trained, TaskError>]) -> Option<usize> {
    let metric = sessions
        .first()
        .map_or(Metric::LogLoss, |session| session.recipe.metric());
    let higher = matches!(
        metric,
        Metric::Auc | Metric::Accuracy | Metric::AveragePrecision
    );
    let mut best: Option<(usize, f64)> = None;
    for (place, ended) in all.iter().enumerate() {
        let Ok(trained) = ended else { continue };
        let value = trained
            .metrics
            .first()
            .map_or(f64::NAN, |(_, value)| *value);
        let value = if higher { value } else { -value };
        if best.is_none_or(|(_, before)| value > before) {
            best = Some((place, value));
        }
    }
    best.map(|(place, _)| place)
}

/// The hyperparameters and what came of them.
fn described(session: &Session, trained: &Trained) -> Map<String, Value> {
    let mut all = Map::new();
    all.insert("run_id".to_owned(), json!(session.run.id));
    all.insert("device".to_owned(), json!(session.device));
    all.insert("rounds".to_owned(), json!(trained.outcome.best_round));
    for (name, hyper) in &session.recipe.hyper {
        all.insert((*name).to_owned(), hyper.clone());
    }
    for (metric, score) in &trained.metrics {
        all.insert(format!("val_{}", metric_name(*metric)), json!(score));
    }
    all
}

fn result(
    task: &Task,
    matrices: &Matrices,
    session: &Session,
    trained: &Trained,
    recorded: &Recorded,
) -> Map<String, Value> {
    let mut all = described(session, trained);
    all.insert("train_date".to_owned(), json!(task.ds()));
    all.insert("artifact".to_owned(), json!(recorded.artifact));
    if let Some(version) = &recorded.version {
        all.insert("model_version".to_owned(), json!(version.version));
    }
    all.insert("feature_count".to_owned(), json!(matrices.columns.len()));
    all
}

/// Where a model is kept.
struct Recorded {
    /// SHA-256 of its bytes.
    artifact: String,
    /// None where the config names no model to register.
    version: Option<ModelVersion>,
}

/// Names the model in its tracking run, and registers it where the config says as what.
fn record(
    data: &Data,
    task: &Task,
    session: &Session,
    host_run: &Run,
    trained: &Trained,
) -> Result<Recorded, TaskError> {
    let run = &session.run;
    let round = trained.outcome.best_round;
    for (metric, value) in &trained.metrics {
        run.metric(
            &format!("val_{}", metric_name(*metric)),
            *value,
            i64::from(round),
        )?;
    }
    let model = host_run.model()?;
    let artifact = model.save(Format::Airlock)?;
    run.artifact("model", &artifact)?;
    run.tags([
        ("device", session.device.clone()),
        ("dag_id", task.dag_id.clone()),
        ("dag_run_id", task.run_id.clone()),
        ("task_id", task.task_id.clone()),
    ])?;
    for (feature, gain) in model.importance() {
        info!("Gain of {feature}: {gain:.2}");
    }
    let (metric, value) = trained
        .metrics
        .first()
        .copied()
        .unwrap_or((Metric::LogLoss, f64::NAN));
    info!(
        "val_{} {value:.4} after {round} rounds ({:?})",
        metric_name(metric),
        trained.outcome.reason
    );
    let name = data.model_name.as_deref();
    let version = name
        .map(|name| register(name, task, &run.id, &artifact))
        .transpose()?;
    Ok(Recorded { artifact, version })
}

/// A repeated run finds its version where it is by now; only a new one goes to Staging.
fn register(
    name: &str,
    task: &Task,
    run_id: &str,
    artifact: &str,
) -> Result<ModelVersion, TaskError> {
    let tags = [
        ("train_date".to_owned(), task.ds().unwrap_or_default()),
        ("pipeline".to_owned(), task.dag_id.clone()),
    ];
    let version = models::register(name, run_id, artifact, &tags)?;
    info!("Registered as {name} v{}", version.version);
    if version.stage == Stage::None {
        return Ok(models::transition_stage(
            name,
            version.version,
            Stage::Staging,
            false,
        )?);
    }
    Ok(version)
}

airlock_sdk::plugin!(operators: [gbdt, forest, logistic, mlp, search]);

#[cfg(test)]
mod tests;
