//! What Airlock has beside Airflow, in the same style: plugins with what they ask for, a model's past, who holds which GPU. And the
//! lists of Airflow's that are empty here, so that its clients find them.

use super::query::{PAGED, Page, time};
use super::{About, ApiError, Call, JsonSchema, Kind, Reply, Route};
use crate::app::PluginRow;
use crate::app::Role::{Admin, Viewer};
use serde::Serialize;
use serde_json::{Value, json};

pub(super) const ROUTES: &[Route] = &[
    Route::airflow(
        "GET",
        "/api/v2/airlock/plugins",
        Viewer,
        plugins,
        About::new("List plugins: their operators, and the capabilities that they ask for")
            .query(&[PAGED])
            .answers::<Plugins>(),
    )
    .for_all(),
    Route::airflow(
        "GET",
        "/api/v2/airlock/plugins/{plugin_name}",
        Viewer,
        plugin,
        About::new("A plugin, with the JSON Schemas of its operators' configs")
            .answers::<Value>(),
    )
    .for_all(),
    Route::airflow(
        "GET",
        "/api/v2/airlock/models/{model_name}/history",
        Viewer,
        history,
        About::new("Everything that was ever done to a registered model")
            .answers::<Value>(),
    ),
    Route::airflow(
        "GET",
        "/api/v2/airlock/models/{model_name}/at",
        Viewer,
        model_at,
        About::new("What of a registered model was in production at a time, and what it was made of")
            .query(&[&[("at", Kind::Time)]])
            .answers::<Value>(),
    ),
    Route::airflow(
        "GET",
        "/api/v2/airlock/auditDigest",
        Admin,
        audit_digest,
        About::new("What the first lines of the audit trail hash to: note it elsewhere, and ask again later")
            .query(&[&[("through", Kind::Integer)]])
            .answers::<Value>(),
    ),
    Route::airflow(
        "GET",
        "/api/v2/airlock/gpus",
        Viewer,
        gpus,
        About::new("This machine's GPUs, and who holds how much of each").answers::<Value>(),
    ),
    Route::airflow(
        "GET",
        "/api/v2/providers",
        Viewer,
        providers,
        About::new("Airflow's providers: none")
            .query(&[PAGED])
            .answers::<Value>(),
    )
    .for_all(),
    Route::airflow(
        "GET",
        "/api/v2/jobs",
        Viewer,
        jobs,
        About::new("Airflow's jobs: none; one process does it all")
            .query(&[PAGED])
            .answers::<Value>(),
    )
    .for_all(),
    Route::airflow(
        "GET",
        "/api/v2/plugins",
        Viewer,
        airflow_plugins,
        About::new("Airflow's plugins: none; Airlock's are below /api/v2/airlock/plugins")
            .query(&[PAGED])
            .answers::<Value>(),
    )
    .for_all(),
];

/// Plugins of a page, and how many there are in all.
#[derive(Serialize, JsonSchema)]
struct Plugins {
    plugins: Vec<Value>,
    total_entries: usize,
}

fn value(error: &serde_json::Error) -> ApiError {
    ApiError::internal(error)
}

fn plugins(call: &Call<'_>) -> Result<Reply, ApiError> {
    let rows: Vec<PluginRow> = call.app.plugin_rows()?;
    let total_entries = rows.len();
    let page = Page::of(&call.fields)?.cut(rows);
    let short = |row: &PluginRow| {
        let operators: Vec<Value> = row
            .operators
            .iter()
            .map(|operator| json!({"name": operator.name, "summary": operator.summary}))
            .collect();
        json!({
            "name": row.name, "version": row.version, "digest": row.digest, "imports": row.imports, "operators": operators,
        })
    };
    Reply::ok(&Plugins {
        plugins: page.iter().map(short).collect(),
        total_entries,
    })
}

fn plugin(call: &Call<'_>) -> Result<Reply, ApiError> {
    let name = call.fields.need_text("plugin_name")?;
    let mut rows = call.app.plugin_rows()?.into_iter();
    let found = rows.find(|row| row.name == name);
    let found = found.ok_or_else(|| ApiError::missing(format!("no plugin is called {name:?}")))?;
    Reply::ok(&serde_json::to_value(found).map_err(|error| value(&error))?)
}

fn history(call: &Call<'_>) -> Result<Reply, ApiError> {
    let name = call.fields.need_text("model_name")?;
    let events = call.app.model_history(name)?;
    let total_entries = events.len();
    Reply::ok(&json!({"events": events, "total_entries": total_entries}))
}

fn model_at(call: &Call<'_>) -> Result<Reply, ApiError> {
    let name = call.fields.need_text("model_name")?;
    let at = time(&call.fields, "at")?.unwrap_or_else(jiff::Timestamp::now);
    let found = call.app.model_at(name, at.as_millisecond())?;
    Reply::ok(&serde_json::to_value(found).map_err(|error| value(&error))?)
}

fn audit_digest(call: &Call<'_>) -> Result<Reply, ApiError> {
    let through = call
        .fields
        .integer("through")?
        .map(u64::try_from)
        .transpose();
    let through = through.map_err(|_| ApiError::invalid("`through` must be a number of lines"))?;
    let digest = call.app.audit_digest(through)?;
    Reply::ok(&serde_json::to_value(digest).map_err(|error| value(&error))?)
}

fn gpus(call: &Call<'_>) -> Result<Reply, ApiError> {
    let cards = call.wait(call.app.gpus())?;
    Reply::ok(&json!({"gpus": cards, "total_entries": cards.len()}))
}

fn providers(_: &Call<'_>) -> Result<Reply, ApiError> {
    Reply::ok(&json!({"providers": [], "total_entries": 0}))
}

fn jobs(_: &Call<'_>) -> Result<Reply, ApiError> {
    Reply::ok(&json!({"jobs": [], "total_entries": 0}))
}

fn airflow_plugins(_: &Call<'_>) -> Result<Reply, ApiError> {
    Reply::ok(&json!({"plugins": [], "total_entries": 0}))
}
