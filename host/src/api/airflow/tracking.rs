//! Experiments, their runs and registered models in the style of the other lists; the whole of them, and every change, is spoken by
//! MLflow's own API. Metrics and params are searched with MLflow's filter.

use super::query::{PAGED, Page};
use super::{About, ApiError, Call, Kind, Query, Reply, Route};
use crate::app::Role::Viewer;
use crate::tracking::ViewType;
use serde_json::{Value, json};

/// MLflow's filter and order, and where the last page ended.
const SEARCHED: &[Query] = &[
    ("filter", Kind::Text),
    ("order_by", Kind::Texts),
    ("limit", Kind::Integer),
    ("page_token", Kind::Text),
];

pub(super) const ROUTES: &[Route] = &[
    Route::airflow(
        "GET",
        "/api/v2/airlock/experiments",
        Viewer,
        experiments,
        About::new("List experiments")
            .query(&[PAGED, &[("filter", Kind::Text)]])
            .answers::<Value>(),
    ),
    Route::airflow(
        "GET",
        "/api/v2/airlock/experiments/{experiment_id}/runs",
        Viewer,
        runs,
        About::new("Runs of an experiment, by MLflow's filter and order, a page at a time")
            .query(&[SEARCHED])
            .answers::<Value>(),
    ),
    Route::airflow(
        "GET",
        "/api/v2/airlock/trackingRuns/{tracking_run_id}",
        Viewer,
        run,
        About::new(
            "A tracking run with its datasets, artifacts and the model versions made from it",
        )
        .answers::<Value>(),
    ),
    Route::airflow(
        "GET",
        "/api/v2/airlock/models",
        Viewer,
        models,
        About::new("List registered models")
            .query(&[PAGED])
            .answers::<Value>(),
    ),
    Route::airflow(
        "GET",
        "/api/v2/airlock/models/{model_name}",
        Viewer,
        model,
        About::new("A registered model with its versions, stages and aliases").answers::<Value>(),
    ),
];

fn json_of(value: &impl serde::Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(value).map_err(|error| ApiError::internal(&error))
}

fn experiments(call: &Call<'_>) -> Result<Reply, ApiError> {
    let filter = call.fields.text("filter")?.unwrap_or_default();
    let order = call.fields.texts("order_by")?;
    let all = call.app.experiments(ViewType::ActiveOnly, filter, &order)?;
    let total_entries = all.len();
    let page = Page::of(&call.fields)?.cut(all);
    Reply::ok(&json!({"experiments": json_of(&page)?, "total_entries": total_entries}))
}

fn runs(call: &Call<'_>) -> Result<Reply, ApiError> {
    let experiment = call
        .app
        .experiment(call.fields.need_text("experiment_id")?)?;
    let filter = call.fields.text("filter")?.unwrap_or_default();
    let order = call.fields.texts("order_by")?;
    let limit = Page::of(&call.fields)?.limit;
    let token = call.fields.text("page_token")?;
    let page = call.app.tracking_runs(
        &experiment,
        ViewType::ActiveOnly,
        (filter, &order),
        (limit, token),
    )?;
    let runs = json_of(&page.items)?;
    Reply::ok(&json!({"runs": runs, "next_page_token": page.next_page_token}))
}

fn run(call: &Call<'_>) -> Result<Reply, ApiError> {
    let id = call.fields.need_text("tracking_run_id")?;
    Reply::ok(&json_of(&call.app.tracking_run_detail(id)?)?)
}

fn models(call: &Call<'_>) -> Result<Reply, ApiError> {
    let all = call.app.models()?;
    let total_entries = all.len();
    let page = Page::of(&call.fields)?.cut(all);
    Reply::ok(&json!({"models": json_of(&page)?, "total_entries": total_entries}))
}

fn model(call: &Call<'_>) -> Result<Reply, ApiError> {
    let name = call.fields.need_text("model_name")?;
    Reply::ok(&json_of(&call.app.model(name)?)?)
}
