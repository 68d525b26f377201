//! Registered models and their aliases. Which version is in use is an author's to decide: aliases, names and removals need one.

use super::model_versions::{number, shown as version_shown};
use super::{ApiError, Call, Route, done, object, page, pairs};
use crate::app::Role::{Author, Operator, Viewer};
use crate::tracking::{RegisteredModel, SEARCH_RESULTS_MAX, Stage};
use serde_json::{Value, json};

/// How many models a page has where nothing is said (MLflow's).
const RESULTS_DEFAULT: usize = 100;

pub(super) const ROUTES: &[Route] = &[
    Route::json(
        "POST",
        "/api/2.0/mlflow/registered-models/create",
        Operator,
        create,
    ),
    Route::json("GET", "/api/2.0/mlflow/registered-models/get", Viewer, get),
    Route::json(
        "PATCH",
        "/api/2.0/mlflow/registered-models/update",
        Operator,
        update,
    ),
    Route::json(
        "POST",
        "/api/2.0/mlflow/registered-models/rename",
        Author,
        rename,
    ),
    Route::json(
        "DELETE",
        "/api/2.0/mlflow/registered-models/delete",
        Author,
        delete,
    ),
    Route::json(
        "GET",
        "/api/2.0/mlflow/registered-models/search",
        Viewer,
        search,
    ),
    Route::json(
        "POST",
        "/api/2.0/mlflow/registered-models/get-latest-versions",
        Viewer,
        latest,
    ),
    Route::json(
        "GET",
        "/api/2.0/mlflow/registered-models/get-latest-versions",
        Viewer,
        latest,
    ),
    Route::json(
        "POST",
        "/api/2.0/mlflow/registered-models/set-tag",
        Operator,
        set_tag,
    ),
    Route::json(
        "DELETE",
        "/api/2.0/mlflow/registered-models/delete-tag",
        Operator,
        delete_tag,
    ),
    Route::json(
        "POST",
        "/api/2.0/mlflow/registered-models/alias",
        Author,
        set_alias,
    ),
    Route::json(
        "DELETE",
        "/api/2.0/mlflow/registered-models/alias",
        Author,
        delete_alias,
    ),
    Route::json(
        "GET",
        "/api/2.0/mlflow/registered-models/alias",
        Viewer,
        get_by_alias,
    ),
];

fn shown(call: &Call<'_>, model: &RegisteredModel) -> Result<Value, ApiError> {
    let latest = call.app.registry().latest_versions(&model.name, &[])?;
    let latest: Vec<Value> = latest.iter().map(version_shown).collect();
    let alias =
        |(alias, version): (&String, &u32)| json!({"alias": alias, "version": version.to_string()});
    let aliases: Vec<Value> = model.aliases.iter().map(alias).collect();
    Ok(object([
        ("name", json!(model.name)),
        ("creation_timestamp", json!(model.created_ms)),
        (
            "last_updated_timestamp",
            json!(model.updated_ms.unwrap_or(model.created_ms)),
        ),
        ("description", json!(model.description)),
        ("latest_versions", latest.into()),
        ("tags", pairs(&model.tags, "key").into()),
        ("aliases", aliases.into()),
    ]))
}

fn answer(call: &Call<'_>, model: &RegisteredModel) -> Result<Value, ApiError> {
    Ok(json!({"registered_model": shown(call, model)?}))
}

fn create(call: &Call<'_>) -> Result<Value, ApiError> {
    let name = call.fields.need_text("name")?;
    let description = call.fields.text("description")?.unwrap_or_default();
    let tags = call.fields.pairs("tags")?;
    let registry = call.app.registry();
    let made = registry.create_model(call.actor, name, description, &tags)?;
    answer(call, &made)
}

fn get(call: &Call<'_>) -> Result<Value, ApiError> {
    let name = call.fields.need_text("name")?;
    answer(call, &call.app.registry().require_model(name)?)
}

fn update(call: &Call<'_>) -> Result<Value, ApiError> {
    let name = call.fields.need_text("name")?;
    let description = call.fields.text("description")?.unwrap_or_default();
    let registry = call.app.registry();
    answer(call, &registry.update_model(call.actor, name, description)?)
}

fn rename(call: &Call<'_>) -> Result<Value, ApiError> {
    let name = call.fields.need_text("name")?;
    let new_name = call.fields.need_text("new_name")?;
    let registry = call.app.registry();
    answer(call, &registry.rename_model(call.actor, name, new_name)?)
}

fn delete(call: &Call<'_>) -> Result<Value, ApiError> {
    let name = call.fields.need_text("name")?;
    Ok(done(call.app.registry().delete_model(call.actor, name)?))
}

fn search(call: &Call<'_>) -> Result<Value, ApiError> {
    let fields = &call.fields;
    let found = call.app.registry().search_models(
        fields.text("filter")?.unwrap_or_default(),
        &fields.texts("order_by")?,
        fields.max_results(RESULTS_DEFAULT, SEARCH_RESULTS_MAX)?,
        fields.text("page_token")?,
    )?;
    let rows = found.items.iter().map(|model| shown(call, model));
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    Ok(page(
        "registered_models",
        rows,
        found.next_page_token.as_deref(),
    ))
}

/// A stage by MLflow's word.
pub(super) fn stage(word: &str) -> Result<Stage, ApiError> {
    Stage::parse(word).ok_or_else(|| {
        ApiError::invalid(format!(
            "Invalid Model Version stage: {word}. Value must be one of None, Staging, Production, Archived."
        ))
    })
}

fn latest(call: &Call<'_>) -> Result<Value, ApiError> {
    let registry = call.app.registry();
    let name = call.fields.need_text("name")?;
    let stages = call.fields.texts("stages")?;
    let stages = stages
        .iter()
        .map(|word| stage(word))
        .collect::<Result<Vec<_>, _>>()?;
    registry.require_model(name)?;
    let versions = registry.latest_versions(name, &stages)?;
    Ok(json!({"model_versions": versions.iter().map(version_shown).collect::<Vec<_>>()}))
}

fn set_tag(call: &Call<'_>) -> Result<Value, ApiError> {
    let fields = &call.fields;
    let name = fields.need_text("name")?;
    let pair = (
        fields.need_text("key")?.to_owned(),
        fields.need_any_text("value")?.to_owned(),
    );
    Ok(done(call.app.registry().set_model_tags(
        call.actor,
        name,
        &[pair],
    )?))
}

fn delete_tag(call: &Call<'_>) -> Result<Value, ApiError> {
    let (name, key) = (
        call.fields.need_text("name")?,
        call.fields.need_text("key")?,
    );
    Ok(done(
        call.app
            .registry()
            .delete_model_tag(call.actor, name, key)?,
    ))
}

fn set_alias(call: &Call<'_>) -> Result<Value, ApiError> {
    let (name, alias) = (
        call.fields.need_text("name")?,
        call.fields.need_text("alias")?,
    );
    let version = number(&call.fields)?;
    Ok(done(
        call.app
            .registry()
            .set_alias(call.actor, name, alias, version)?,
    ))
}

fn delete_alias(call: &Call<'_>) -> Result<Value, ApiError> {
    let (name, alias) = (
        call.fields.need_text("name")?,
        call.fields.need_text("alias")?,
    );
    Ok(done(
        call.app.registry().delete_alias(call.actor, name, alias)?,
    ))
}

fn get_by_alias(call: &Call<'_>) -> Result<Value, ApiError> {
    let (name, alias) = (
        call.fields.need_text("name")?,
        call.fields.need_text("alias")?,
    );
    let registry = call.app.registry();
    registry.require_model(name)?;
    // MLflow's code: its clients tell a missing alias from a missing model by it.
    let missing = || ApiError::invalid(format!("Registered model alias {alias} not found."));
    let version = registry
        .version_by_alias(name, alias)?
        .ok_or_else(missing)?;
    Ok(json!({"model_version": version_shown(&version)}))
}
