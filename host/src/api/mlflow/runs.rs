//! Runs: made, read, searched, ended, deleted. What is logged to them is `items`' affair.

use super::{
    ApiError, Call, Fields, Route, done, float_value, numbered, object, page, pairs, view_type,
};
use crate::app::Role::{Operator, Viewer};
use crate::tracking::{
    DEFAULT_EXPERIMENT_ID, DatasetInput, MetricPoint, ModelInput, ModelOutput, NewRun, Run,
    RunStatus, RunUpdate, SEARCH_RESULTS_MAX,
};
use serde_json::{Value, json};

/// How many runs a page has where nothing is said (MLflow's).
const RESULTS_DEFAULT: usize = 1_000;

pub(super) const ROUTES: &[Route] = &[
    Route::json("POST", "/api/2.0/mlflow/runs/create", Operator, create),
    Route::json("GET", "/api/2.0/mlflow/runs/get", Viewer, get),
    Route::json("POST", "/api/2.0/mlflow/runs/update", Operator, update),
    Route::json("POST", "/api/2.0/mlflow/runs/delete", Operator, delete),
    Route::json("POST", "/api/2.0/mlflow/runs/restore", Operator, restore),
    Route::json("POST", "/api/2.0/mlflow/runs/search", Viewer, search),
];

fn info(run: &Run) -> Value {
    object([
        ("run_id", json!(run.run_id)),
        // As the first clients called it.
        ("run_uuid", json!(run.run_id)),
        ("run_name", json!(run.name)),
        ("experiment_id", json!(run.experiment_id)),
        ("user_id", json!(run.user_id)),
        ("status", json!(run.status.as_str())),
        ("start_time", json!(run.started_ms)),
        ("end_time", json!(run.ended_ms)),
        ("artifact_uri", json!(run.artifact_uri())),
        ("lifecycle_stage", json!(run.lifecycle)),
    ])
}

/// A point of a metric; `key` is the metric's name.
pub(super) fn point(key: &str, point: &MetricPoint) -> Value {
    json!({"key": key, "value": float_value(point.value), "timestamp": point.at_ms, "step": point.step})
}

fn data(run: &Run) -> Value {
    let metrics = run.metrics.iter();
    let metrics: Vec<Value> = metrics.map(|(key, latest)| point(key, latest)).collect();
    json!({"metrics": metrics, "params": pairs(&run.params, "key"), "tags": pairs(&run.tags, "key")})
}

fn dataset(input: &DatasetInput) -> Value {
    let dataset = object([
        ("name", json!(input.name)),
        ("digest", json!(input.digest)),
        ("source_type", json!(input.source_type)),
        ("source", json!(input.source)),
        ("schema", json!(input.schema)),
        ("profile", json!(input.profile)),
    ]);
    let tags = input.tags.iter().map(|(key, value)| (key, value));
    json!({"dataset": dataset, "tags": pairs(tags, "key")})
}

fn create(call: &Call<'_>) -> Result<Value, ApiError> {
    let fields = &call.fields;
    let experiment = fields.text("experiment_id")?.filter(|id| !id.is_empty());
    let new = NewRun {
        name: fields.text("run_name")?.map(str::to_owned),
        user_id: fields.text("user_id")?.unwrap_or_default().to_owned(),
        started_ms: fields.integer("start_time")?,
        tags: fields.pairs("tags")?,
    };
    let experiment = experiment.unwrap_or(DEFAULT_EXPERIMENT_ID);
    let run = call
        .app
        .tracking()
        .create_run(call.actor, experiment, &new)?;
    Ok(json!({"run": {"info": info(&run), "data": data(&run)}}))
}

fn get(call: &Call<'_>) -> Result<Value, ApiError> {
    let (tracking, id) = (call.app.tracking(), call.fields.run_id()?);
    let run = tracking.run(id)?;
    let (datasets, models, made) = tracking.run_inputs(id)?;
    let read = |model: &ModelInput| json!({"model_id": model.model_id});
    let wrote = |model: &ModelOutput| json!({"model_id": model.model_id, "step": model.step});
    let inputs = json!({
        "dataset_inputs": datasets.iter().map(dataset).collect::<Vec<_>>(),
        "model_inputs": models.iter().map(read).collect::<Vec<_>>(),
    });
    let outputs = json!({"model_outputs": made.iter().map(wrote).collect::<Vec<_>>()});
    Ok(
        json!({"run": {"info": info(&run), "data": data(&run), "inputs": inputs, "outputs": outputs}}),
    )
}

fn update(call: &Call<'_>) -> Result<Value, ApiError> {
    let (fields, id) = (&call.fields, call.fields.run_id()?);
    let update = RunUpdate {
        name: fields
            .text("run_name")?
            .filter(|name| !name.is_empty())
            .map(str::to_owned),
        status: status(fields)?,
        ended_ms: fields.integer("end_time")?,
    };
    let tracking = call.app.tracking();
    tracking.update_run(call.actor, id, &update)?;
    Ok(json!({"run_info": info(&tracking.run(id)?)}))
}

/// Protobuf's name or its number.
fn status(fields: &Fields) -> Result<Option<RunStatus>, ApiError> {
    const NUMBERED: [RunStatus; 5] = [
        RunStatus::Running,
        RunStatus::Scheduled,
        RunStatus::Finished,
        RunStatus::Failed,
        RunStatus::Killed,
    ];
    if let Ok(Some(number)) = fields.integer("status") {
        let found = numbered(&NUMBERED, number).map(Some);
        return found.ok_or_else(|| no_status(&number.to_string()));
    }
    let Some(word) = fields.text("status")? else {
        return Ok(None);
    };
    RunStatus::parse(word)
        .map(Some)
        .ok_or_else(|| no_status(word))
}

fn no_status(given: &str) -> ApiError {
    ApiError::invalid(format!(
        "Invalid value {given} for parameter 'status' supplied: it must be RUNNING, SCHEDULED, FINISHED, FAILED or KILLED."
    ))
}

fn delete(call: &Call<'_>) -> Result<Value, ApiError> {
    let id = call.fields.need_text("run_id")?;
    Ok(done(call.app.tracking().delete_run(call.actor, id)?))
}

fn restore(call: &Call<'_>) -> Result<Value, ApiError> {
    let id = call.fields.need_text("run_id")?;
    Ok(done(call.app.tracking().restore_run(call.actor, id)?))
}

fn search(call: &Call<'_>) -> Result<Value, ApiError> {
    let fields = &call.fields;
    let found = call.app.tracking().search_runs(
        &fields.texts("experiment_ids")?,
        view_type(fields, "run_view_type")?,
        fields.text("filter")?.unwrap_or_default(),
        &fields.texts("order_by")?,
        fields.max_results(RESULTS_DEFAULT, SEARCH_RESULTS_MAX)?,
        fields.text("page_token")?,
    )?;
    let shown = |run: &Run| json!({"info": info(run), "data": data(run)});
    let rows = found.items.iter().map(shown).collect();
    Ok(page("runs", rows, found.next_page_token.as_deref()))
}
