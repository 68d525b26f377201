//! Versions of registered models.

use super::registered_models::stage;
use super::{ApiError, Call, Fields, Route, done, object, page, pairs};
use crate::app::Role::{Author, Operator, Viewer};
use crate::tracking::{ModelVersion, NewModelVersion, SEARCH_RESULTS_MAX};
use serde_json::{Value, json};

/// How many versions a page has where nothing is said (MLflow's).
const RESULTS_DEFAULT: usize = 10_000;
/// What clients may ask for (MLflow's); they get `SEARCH_RESULTS_MAX` at most, and the token of the rest.
const RESULTS_ASKED_MAX: usize = 200_000;
/// Schemes of sources that a client loads from where it runs: a version must not make it read its own files.
const LOCAL_SCHEMES: [&str; 1] = ["file"];

pub(super) const ROUTES: &[Route] = &[
    Route::json(
        "POST",
        "/api/2.0/mlflow/model-versions/create",
        Operator,
        create,
    ),
    Route::json("GET", "/api/2.0/mlflow/model-versions/get", Viewer, get),
    Route::json(
        "PATCH",
        "/api/2.0/mlflow/model-versions/update",
        Operator,
        update,
    ),
    Route::json(
        "DELETE",
        "/api/2.0/mlflow/model-versions/delete",
        Author,
        delete,
    ),
    Route::json(
        "GET",
        "/api/2.0/mlflow/model-versions/search",
        Viewer,
        search,
    ),
    Route::json(
        "POST",
        "/api/2.0/mlflow/model-versions/set-tag",
        Operator,
        set_tag,
    ),
    Route::json(
        "DELETE",
        "/api/2.0/mlflow/model-versions/delete-tag",
        Operator,
        delete_tag,
    ),
    Route::json(
        "POST",
        "/api/2.0/mlflow/model-versions/transition-stage",
        Author,
        transition,
    ),
    Route::json(
        "GET",
        "/api/2.0/mlflow/model-versions/get-download-uri",
        Viewer,
        download_uri,
    ),
];

pub(super) fn shown(version: &ModelVersion) -> Value {
    object([
        ("name", json!(version.name)),
        ("version", json!(version.version.to_string())),
        ("creation_timestamp", json!(version.created_ms)),
        ("last_updated_timestamp", json!(version.last_updated_ms())),
        ("user_id", json!(version.user_id)),
        ("current_stage", json!(version.stage)),
        ("description", json!(version.description)),
        ("source", json!(version.source)),
        ("run_id", json!(version.run_id)),
        ("status", json!("READY")),
        ("tags", pairs(&version.tags, "key").into()),
        ("run_link", json!(version.run_link)),
        ("aliases", json!(version.aliases)),
        ("model_id", json!(version.model_id)),
    ])
}

fn answer(version: &ModelVersion) -> Value {
    json!({"model_version": shown(version)})
}

/// The number of a version, which clients write as a text.
pub(super) fn number(fields: &Fields) -> Result<u32, ApiError> {
    let given = fields.need_integer("version")?;
    u32::try_from(given).map_err(|_| {
        ApiError::invalid(format!(
            "Invalid value {given} for parameter 'version' supplied: it must be the number of a version."
        ))
    })
}

fn create(call: &Call<'_>) -> Result<Value, ApiError> {
    let fields = &call.fields;
    let filled = |name| {
        let text = fields.text(name)?.filter(|text| !text.is_empty());
        Ok::<_, ApiError>(text.map(str::to_owned))
    };
    let source = fields.need_text("source")?;
    check_source(source)?;
    let new = NewModelVersion {
        source: source.to_owned(),
        run_id: filled("run_id")?,
        run_link: filled("run_link")?.unwrap_or_default(),
        model_id: filled("model_id")?,
        description: filled("description")?.unwrap_or_default(),
        tags: fields.pairs("tags")?,
    };
    let name = fields.need_text("name")?;
    let made = call.app.registry().create_version(call.actor, name, &new)?;
    Ok(answer(&made))
}

/// A source is loaded where a client runs, so a place on that machine's disk is none.
fn check_source(source: &str) -> Result<(), ApiError> {
    let scheme = source.split_once(':').map_or("", |(scheme, _)| scheme);
    let is_word = |scheme: &str| {
        !scheme.is_empty()
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    let is_remote = scheme.len() > 1
        && is_word(scheme)
        && !LOCAL_SCHEMES
            .iter()
            .any(|local| scheme.eq_ignore_ascii_case(local));
    if is_remote {
        return Ok(());
    }
    let shown: String = source.chars().take(120).collect();
    Err(ApiError::invalid(format!(
        "Invalid model version source: '{shown}'. A path of one machine means another file on each; use runs:/, models:/ or another URI."
    )))
}

fn get(call: &Call<'_>) -> Result<Value, ApiError> {
    let (name, version) = (call.fields.need_text("name")?, number(&call.fields)?);
    Ok(answer(&call.app.registry().require_version(name, version)?))
}

fn update(call: &Call<'_>) -> Result<Value, ApiError> {
    let (name, version) = (call.fields.need_text("name")?, number(&call.fields)?);
    let description = call.fields.text("description")?.unwrap_or_default();
    let registry = call.app.registry();
    Ok(answer(&registry.update_version(
        call.actor,
        name,
        version,
        description,
    )?))
}

fn delete(call: &Call<'_>) -> Result<Value, ApiError> {
    let (name, version) = (call.fields.need_text("name")?, number(&call.fields)?);
    Ok(done(
        call.app
            .registry()
            .delete_version(call.actor, name, version)?,
    ))
}

fn search(call: &Call<'_>) -> Result<Value, ApiError> {
    let fields = &call.fields;
    let max = fields.max_results(RESULTS_DEFAULT, RESULTS_ASKED_MAX)?;
    let found = call.app.registry().search_versions(
        fields.text("filter")?.unwrap_or_default(),
        &fields.texts("order_by")?,
        max.min(SEARCH_RESULTS_MAX),
        fields.text("page_token")?,
    )?;
    let rows = found.items.iter().map(shown).collect();
    Ok(page(
        "model_versions",
        rows,
        found.next_page_token.as_deref(),
    ))
}

fn set_tag(call: &Call<'_>) -> Result<Value, ApiError> {
    let fields = &call.fields;
    let (name, version) = (fields.need_text("name")?, number(fields)?);
    let pair = (
        fields.need_text("key")?.to_owned(),
        fields.need_any_text("value")?.to_owned(),
    );
    call.app
        .registry()
        .set_version_tags(call.actor, name, version, &[pair])?;
    Ok(json!({}))
}

fn delete_tag(call: &Call<'_>) -> Result<Value, ApiError> {
    let (name, version) = (call.fields.need_text("name")?, number(&call.fields)?);
    let key = call.fields.need_text("key")?;
    call.app
        .registry()
        .delete_version_tag(call.actor, name, version, key)?;
    Ok(json!({}))
}

fn transition(call: &Call<'_>) -> Result<Value, ApiError> {
    let fields = &call.fields;
    let (name, version) = (fields.need_text("name")?, number(fields)?);
    let stage = stage(fields.need_text("stage")?)?;
    let archive = fields.need_truth("archive_existing_versions")?;
    let registry = call.app.registry();
    let moved = registry.transition_stage(call.actor, name, version, stage, archive)?;
    Ok(answer(&moved))
}

/// Where a client finds the files: a logged model's own place where the version is one.
fn download_uri(call: &Call<'_>) -> Result<Value, ApiError> {
    let (name, version) = (call.fields.need_text("name")?, number(&call.fields)?);
    let version = call.app.registry().require_version(name, version)?;
    let uri = match &version.model_id {
        Some(id) if version.source.starts_with("models:/") => {
            call.app.tracking().logged_model(id)?.artifact_uri()
        }
        _ => version.source,
    };
    Ok(json!({"artifact_uri": uri}))
}
