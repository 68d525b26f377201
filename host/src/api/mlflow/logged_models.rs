//! Logged models: what MLflow 3 calls a model that a run made, before anybody registers it.

use super::{ApiError, Call, Fields, Route, done, float_value, numbered, object, page, pairs};
use crate::app::Role::{Operator, Viewer};
use crate::tracking::{LoggedModel, LoggedModelStatus, ModelMetric, NewLoggedModel};
use serde_json::{Value, json};

/// How many models a page has where nothing is said (MLflow's).
const RESULTS_DEFAULT: usize = 50;
/// The most that a page may have (MLflow's).
const RESULTS_MAX: usize = 1_000;

/// Protobuf's names, in the order of their numbers from 1.
const STATUSES: [(&str, LoggedModelStatus); 3] = [
    ("LOGGED_MODEL_PENDING", LoggedModelStatus::Pending),
    ("LOGGED_MODEL_READY", LoggedModelStatus::Ready),
    ("LOGGED_MODEL_UPLOAD_FAILED", LoggedModelStatus::Failed),
];

pub(super) const ROUTES: &[Route] = &[
    Route::json("POST", "/api/2.0/mlflow/logged-models", Operator, create),
    Route::json(
        "POST",
        "/api/2.0/mlflow/logged-models/search",
        Viewer,
        search,
    ),
    Route::json(
        "GET",
        "/api/2.0/mlflow/logged-models/{model_id}",
        Viewer,
        get,
    ),
    Route::json(
        "PATCH",
        "/api/2.0/mlflow/logged-models/{model_id}",
        Operator,
        finalize,
    ),
    Route::json(
        "DELETE",
        "/api/2.0/mlflow/logged-models/{model_id}",
        Operator,
        delete,
    ),
    Route::json(
        "PATCH",
        "/api/2.0/mlflow/logged-models/{model_id}/tags",
        Operator,
        set_tags,
    ),
    Route::json(
        "DELETE",
        "/api/2.0/mlflow/logged-models/{model_id}/tags/{tag_key}",
        Operator,
        delete_tag,
    ),
    Route::json(
        "POST",
        "/api/2.0/mlflow/logged-models/{model_id}/params",
        Operator,
        log_params,
    ),
];

fn metric(model_id: &str, metric: &ModelMetric) -> Value {
    let (dataset, digest) = metric
        .dataset
        .as_ref()
        .map(|(name, digest)| (name, digest))
        .unzip();
    object([
        ("key", json!(metric.key)),
        ("value", float_value(metric.point.value)),
        ("timestamp", json!(metric.point.at_ms)),
        ("step", json!(metric.point.step)),
        ("dataset_name", json!(dataset)),
        ("dataset_digest", json!(digest)),
        ("model_id", json!(model_id)),
        ("run_id", json!(metric.run_id)),
    ])
}

fn shown(model: &LoggedModel) -> Value {
    let status = STATUSES.iter().find(|(_, status)| *status == model.status);
    let info = object([
        ("model_id", json!(model.model_id)),
        ("experiment_id", json!(model.experiment_id)),
        ("name", json!(model.name)),
        ("creation_timestamp_ms", json!(model.created_ms)),
        ("last_updated_timestamp_ms", json!(model.updated_ms)),
        ("artifact_uri", json!(model.artifact_uri())),
        ("status", json!(status.map(|(name, _)| name))),
        ("model_type", json!(model.model_type)),
        ("source_run_id", json!(model.source_run_id)),
        ("tags", pairs(&model.tags, "key").into()),
    ]);
    let metrics = model.metrics.iter();
    let metrics: Vec<Value> = metrics.map(|one| metric(&model.model_id, one)).collect();
    json!({"info": info, "data": {"params": pairs(&model.params, "key"), "metrics": metrics}})
}

fn create(call: &Call<'_>) -> Result<Value, ApiError> {
    let fields = &call.fields;
    let filled = |name| {
        let text = fields.text(name)?.filter(|text| !text.is_empty());
        Ok::<_, ApiError>(text.map(str::to_owned))
    };
    let new = NewLoggedModel {
        name: filled("name")?,
        source_run_id: filled("source_run_id")?,
        model_type: filled("model_type")?.unwrap_or_default(),
        params: fields.pairs("params")?,
        tags: fields.pairs("tags")?,
    };
    let experiment = fields.need_text("experiment_id")?;
    let tracking = call.app.tracking();
    let made = tracking.create_logged_model(call.actor, experiment, &new)?;
    Ok(json!({"model": shown(&made)}))
}

fn get(call: &Call<'_>) -> Result<Value, ApiError> {
    let id = call.fields.need_text("model_id")?;
    Ok(json!({"model": shown(&call.app.tracking().logged_model(id)?)}))
}

fn finalize(call: &Call<'_>) -> Result<Value, ApiError> {
    let id = call.fields.need_text("model_id")?;
    let status = status(&call.fields)?;
    let tracking = call.app.tracking();
    let model = tracking.finalize_logged_model(call.actor, id, status)?;
    Ok(json!({"model": shown(&model)}))
}

/// Protobuf's name or its number.
fn status(fields: &Fields) -> Result<LoggedModelStatus, ApiError> {
    let found = if let Ok(Some(number)) = fields.integer("status") {
        numbered(&STATUSES, number)
    } else {
        let word = fields.need_text("status")?;
        STATUSES.into_iter().find(|(name, _)| *name == word)
    };
    let wrong = || {
        let names = STATUSES.map(|(name, _)| name).join(", ");
        ApiError::invalid(format!(
            "Invalid value for parameter 'status' supplied: it must be one of {names}."
        ))
    };
    found.map(|(_, status)| status).ok_or_else(wrong)
}

fn delete(call: &Call<'_>) -> Result<Value, ApiError> {
    let id = call.fields.need_text("model_id")?;
    Ok(done(
        call.app.tracking().delete_logged_model(call.actor, id)?,
    ))
}

fn set_tags(call: &Call<'_>) -> Result<Value, ApiError> {
    let id = call.fields.need_text("model_id")?;
    let tags = call.fields.pairs("tags")?;
    let tracking = call.app.tracking();
    let model = tracking.set_logged_model_tags(call.actor, id, &tags)?;
    Ok(json!({"model": shown(&model)}))
}

fn delete_tag(call: &Call<'_>) -> Result<Value, ApiError> {
    let id = call.fields.need_text("model_id")?;
    let key = call.fields.need_text("tag_key")?;
    Ok(done(
        call.app
            .tracking()
            .delete_logged_model_tag(call.actor, id, key)?,
    ))
}

fn log_params(call: &Call<'_>) -> Result<Value, ApiError> {
    let id = call.fields.need_text("model_id")?;
    let params = call.fields.pairs("params")?;
    let tracking = call.app.tracking();
    Ok(done(
        tracking.log_logged_model_params(call.actor, id, &params)?,
    ))
}

fn search(call: &Call<'_>) -> Result<Value, ApiError> {
    let fields = &call.fields;
    if !fields.objects("datasets")?.is_empty() {
        return Err(ApiError::invalid(
            "datasets cannot narrow this search; leave them out and filter by metrics, params, tags or attributes",
        ));
    }
    let order = fields.objects("order_by")?;
    let order = order.iter().map(order_by).collect::<Result<Vec<_>, _>>()?;
    let found = call.app.tracking().search_logged_models(
        &fields.texts("experiment_ids")?,
        fields.text("filter")?.unwrap_or_default(),
        &order,
        fields.max_results(RESULTS_DEFAULT, RESULTS_MAX)?,
        fields.text("page_token")?,
    )?;
    let rows = found.items.iter().map(shown).collect();
    Ok(page("models", rows, found.next_page_token.as_deref()))
}

/// An order as other searches write it.
fn order_by(fields: &Fields) -> Result<String, ApiError> {
    let field = fields.need_text("field_name")?;
    let way = if fields.truth("ascending")?.unwrap_or(true) {
        "ASC"
    } else {
        "DESC"
    };
    Ok(format!("{field} {way}"))
}
