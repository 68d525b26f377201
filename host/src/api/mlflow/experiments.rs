//! Experiments.

use super::{ApiError, Call, Route, done, object, page, pairs, view_type};
use crate::app::Role::{Operator, Viewer};
use crate::tracking::{Experiment, SEARCH_RESULTS_MAX};
use serde_json::{Value, json};

/// How many experiments a page has where nothing is said (MLflow's).
const RESULTS_DEFAULT: usize = 1_000;

pub(super) const ROUTES: &[Route] = &[
    Route::json(
        "POST",
        "/api/2.0/mlflow/experiments/create",
        Operator,
        create,
    ),
    Route::json("GET", "/api/2.0/mlflow/experiments/get", Viewer, get),
    Route::json(
        "GET",
        "/api/2.0/mlflow/experiments/get-by-name",
        Viewer,
        get_by_name,
    ),
    Route::json("POST", "/api/2.0/mlflow/experiments/search", Viewer, search),
    Route::json("GET", "/api/2.0/mlflow/experiments/search", Viewer, search),
    Route::json(
        "POST",
        "/api/2.0/mlflow/experiments/delete",
        Operator,
        delete,
    ),
    Route::json(
        "POST",
        "/api/2.0/mlflow/experiments/restore",
        Operator,
        restore,
    ),
    Route::json(
        "POST",
        "/api/2.0/mlflow/experiments/update",
        Operator,
        update,
    ),
    Route::json(
        "POST",
        "/api/2.0/mlflow/experiments/set-experiment-tag",
        Operator,
        set_tag,
    ),
    Route::json(
        "POST",
        "/api/2.0/mlflow/experiments/delete-experiment-tag",
        Operator,
        delete_tag,
    ),
];

fn shown(experiment: &Experiment) -> Value {
    object([
        ("experiment_id", json!(experiment.experiment_id)),
        ("name", json!(experiment.name)),
        ("artifact_location", json!(experiment.artifact_location())),
        ("lifecycle_stage", json!(experiment.lifecycle)),
        ("creation_time", json!(experiment.created_ms)),
        (
            "last_update_time",
            json!(experiment.updated_ms.unwrap_or(experiment.created_ms)),
        ),
        ("tags", pairs(&experiment.tags, "key").into()),
    ])
}

fn create(call: &Call<'_>) -> Result<Value, ApiError> {
    let name = call.fields.need_text("name")?;
    let place = call.fields.text("artifact_location")?.unwrap_or_default();
    if !place.is_empty() {
        return Err(ApiError::invalid(format!(
            "artifact_location {place:?} cannot be chosen: this service keeps artifacts itself; leave it out"
        )));
    }
    let tags = call.fields.pairs("tags")?;
    let tracking = call.app.tracking();
    let made = tracking.create_experiment(call.actor, name, &tags)?;
    Ok(json!({"experiment_id": made.experiment_id}))
}

fn get(call: &Call<'_>) -> Result<Value, ApiError> {
    let id = call.fields.need_text("experiment_id")?;
    Ok(json!({"experiment": shown(&call.app.tracking().experiment(id)?)}))
}

fn get_by_name(call: &Call<'_>) -> Result<Value, ApiError> {
    let name = call.fields.need_text("experiment_name")?;
    let found = call.app.tracking().experiment_by_name(name)?;
    let missing = || ApiError::missing(format!("Could not find experiment with name '{name}'"));
    Ok(json!({"experiment": shown(&found.ok_or_else(missing)?)}))
}

fn search(call: &Call<'_>) -> Result<Value, ApiError> {
    let fields = &call.fields;
    let found = call.app.tracking().search_experiments(
        view_type(fields, "view_type")?,
        fields.text("filter")?.unwrap_or_default(),
        &fields.texts("order_by")?,
        fields.max_results(RESULTS_DEFAULT, SEARCH_RESULTS_MAX)?,
        fields.text("page_token")?,
    )?;
    let rows = found.items.iter().map(shown).collect();
    Ok(page("experiments", rows, found.next_page_token.as_deref()))
}

fn delete(call: &Call<'_>) -> Result<Value, ApiError> {
    let id = call.fields.need_text("experiment_id")?;
    Ok(done(call.app.tracking().delete_experiment(call.actor, id)?))
}

fn restore(call: &Call<'_>) -> Result<Value, ApiError> {
    let id = call.fields.need_text("experiment_id")?;
    Ok(done(
        call.app.tracking().restore_experiment(call.actor, id)?,
    ))
}

fn update(call: &Call<'_>) -> Result<Value, ApiError> {
    let id = call.fields.need_text("experiment_id")?;
    match call.fields.text("new_name")? {
        Some(name) => Ok(done(
            call.app
                .tracking()
                .rename_experiment(call.actor, id, name)?,
        )),
        None => Ok(json!({})),
    }
}

fn set_tag(call: &Call<'_>) -> Result<Value, ApiError> {
    let id = call.fields.need_text("experiment_id")?;
    let key = call.fields.need_text("key")?.to_owned();
    let value = call.fields.need_any_text("value")?.to_owned();
    let tracking = call.app.tracking();
    Ok(done(tracking.set_experiment_tags(
        call.actor,
        id,
        &[(key, value)],
    )?))
}

fn delete_tag(call: &Call<'_>) -> Result<Value, ApiError> {
    let id = call.fields.need_text("experiment_id")?;
    let key = call.fields.need_text("key")?;
    let tracking = call.app.tracking();
    Ok(done(tracking.delete_experiment_tag(call.actor, id, key)?))
}
