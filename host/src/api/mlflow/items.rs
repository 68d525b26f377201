//! What is logged to a run: params, metrics, tags, batches, datasets, models.

use super::runs::point;
use super::{ApiError, Call, Fields, Route, done, object};
use crate::app::Role::{Operator, Viewer};
use crate::tracking::{Batch, DatasetInput, MetricInput, MetricPoint, ModelInput, ModelOutput};
use serde_json::{Value, json};

/// How many points a page of a history has where nothing is said, and at most (MLflow's clients ask for so many).
const HISTORY_MAX: usize = 25_000;
/// Where MLflow keeps what models a run logged, for clients before 3.
const MODELS_TAG: &str = "mlflow.log-model.history";

pub(super) const ROUTES: &[Route] = &[
    Route::json(
        "POST",
        "/api/2.0/mlflow/runs/log-parameter",
        Operator,
        log_parameter,
    ),
    Route::json(
        "POST",
        "/api/2.0/mlflow/runs/log-metric",
        Operator,
        log_metric,
    ),
    Route::json(
        "POST",
        "/api/2.0/mlflow/runs/log-batch",
        Operator,
        log_batch,
    ),
    Route::json("POST", "/api/2.0/mlflow/runs/set-tag", Operator, set_tag),
    Route::json(
        "POST",
        "/api/2.0/mlflow/runs/delete-tag",
        Operator,
        delete_tag,
    ),
    Route::json(
        "POST",
        "/api/2.0/mlflow/runs/log-inputs",
        Operator,
        log_inputs,
    ),
    Route::json(
        "POST",
        "/api/2.0/mlflow/runs/outputs",
        Operator,
        log_outputs,
    ),
    Route::json(
        "POST",
        "/api/2.0/mlflow/runs/log-model",
        Operator,
        log_model,
    ),
    Route::json(
        "GET",
        "/api/2.0/mlflow/metrics/get-history",
        Viewer,
        history,
    ),
];

fn log_parameter(call: &Call<'_>) -> Result<Value, ApiError> {
    let (fields, id) = (&call.fields, call.fields.run_id()?);
    let pair = (
        fields.need_text("key")?.to_owned(),
        fields.need_any_text("value")?.to_owned(),
    );
    Ok(done(call.app.tracking().log_params(
        call.actor,
        id,
        &[pair],
    )?))
}

fn log_metric(call: &Call<'_>) -> Result<Value, ApiError> {
    let metrics = vec![metric(&call.fields)?];
    log(
        call,
        &Batch {
            metrics,
            ..Batch::default()
        },
    )
}

fn log_batch(call: &Call<'_>) -> Result<Value, ApiError> {
    let metrics = call.fields.objects("metrics")?;
    let batch = Batch {
        metrics: metrics.iter().map(metric).collect::<Result<_, _>>()?,
        params: call.fields.pairs("params")?,
        tags: call.fields.pairs("tags")?,
    };
    log(call, &batch)
}

fn log(call: &Call<'_>, batch: &Batch) -> Result<Value, ApiError> {
    let id = call.fields.run_id()?;
    Ok(done(call.app.tracking().log_batch(call.actor, id, batch)?))
}

fn metric(fields: &Fields) -> Result<MetricInput, ApiError> {
    let filled = |name| Ok::<_, ApiError>(fields.text(name)?.filter(|text| !text.is_empty()));
    let dataset = filled("dataset_name")?.zip(filled("dataset_digest")?);
    Ok(MetricInput {
        key: fields.need_text("key")?.to_owned(),
        point: MetricPoint {
            value: fields.need_float("value")?,
            step: fields.integer("step")?.unwrap_or(0),
            at_ms: fields.need_integer("timestamp")?,
        },
        model_id: filled("model_id")?.map(str::to_owned),
        dataset: dataset.map(|(name, digest)| (name.to_owned(), digest.to_owned())),
    })
}

fn set_tag(call: &Call<'_>) -> Result<Value, ApiError> {
    let (fields, id) = (&call.fields, call.fields.run_id()?);
    let pair = (
        fields.need_text("key")?.to_owned(),
        fields.need_any_text("value")?.to_owned(),
    );
    Ok(done(call.app.tracking().set_tags(
        call.actor,
        id,
        &[pair],
    )?))
}

fn delete_tag(call: &Call<'_>) -> Result<Value, ApiError> {
    let (id, key) = (call.fields.run_id()?, call.fields.need_text("key")?);
    Ok(done(call.app.tracking().delete_tag(call.actor, id, key)?))
}

fn log_inputs(call: &Call<'_>) -> Result<Value, ApiError> {
    let id = call.fields.need_text("run_id")?;
    let datasets = call.fields.objects("datasets")?;
    let datasets = datasets
        .iter()
        .map(dataset)
        .collect::<Result<Vec<_>, _>>()?;
    let model = |fields: &Fields| {
        let model_id = fields.need_text("model_id")?.to_owned();
        Ok(ModelInput { model_id })
    };
    let models = call.fields.objects("models")?;
    let models = models
        .iter()
        .map(model)
        .collect::<Result<Vec<_>, ApiError>>()?;
    let tracking = call.app.tracking();
    Ok(done(
        tracking.log_inputs(call.actor, id, &datasets, &models)?,
    ))
}

fn dataset(input: &Fields) -> Result<DatasetInput, ApiError> {
    let fields = input.need_object("dataset")?;
    let needed = |name| fields.need_text(name).map(str::to_owned);
    let optional = |name| Ok::<_, ApiError>(fields.text(name)?.map(str::to_owned));
    Ok(DatasetInput {
        name: needed("name")?,
        digest: needed("digest")?,
        source_type: needed("source_type")?,
        source: needed("source")?,
        schema: optional("schema")?,
        profile: optional("profile")?,
        tags: input.pairs("tags")?,
    })
}

fn log_outputs(call: &Call<'_>) -> Result<Value, ApiError> {
    let id = call.fields.need_text("run_id")?;
    let model = |fields: &Fields| {
        Ok(ModelOutput {
            model_id: fields.need_text("model_id")?.to_owned(),
            step: fields.integer("step")?.unwrap_or(0),
        })
    };
    let models = call.fields.objects("models")?;
    let models = models
        .iter()
        .map(model)
        .collect::<Result<Vec<_>, ApiError>>()?;
    Ok(done(
        call.app.tracking().log_outputs(call.actor, id, &models)?,
    ))
}

/// Clients before MLflow 3 say so which models a run has: in a tag that lists them.
fn log_model(call: &Call<'_>) -> Result<Value, ApiError> {
    let (id, text) = (call.fields.run_id()?, call.fields.need_text("model_json")?);
    let model: Value = serde_json::from_str(text)
        .map_err(|error| ApiError::invalid(format!("model_json is no JSON: {error}")))?;
    let tracking = call.app.tracking();
    let run = tracking.run(id)?;
    let listed = run
        .tags
        .get(MODELS_TAG)
        .and_then(|text| serde_json::from_str(text).ok());
    let mut models: Vec<Value> = listed.unwrap_or_default();
    models.push(model);
    let pair = (MODELS_TAG.to_owned(), Value::from(models).to_string());
    Ok(done(tracking.set_tags(call.actor, id, &[pair])?))
}

fn history(call: &Call<'_>) -> Result<Value, ApiError> {
    let (fields, id) = (&call.fields, call.fields.run_id()?);
    let key = fields.need_text("metric_key")?;
    let max = fields.max_results(HISTORY_MAX, HISTORY_MAX)?;
    let token = fields.text("page_token")?.filter(|token| !token.is_empty());
    let found = call.app.tracking().metric_history(id, key, token, max)?;
    let metrics: Vec<Value> = found.points.iter().map(|at| point(key, at)).collect();
    Ok(object([
        ("metrics", metrics.into()),
        ("next_page_token", json!(found.next_page_token.as_deref())),
    ]))
}
