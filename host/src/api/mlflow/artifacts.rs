//! Artifacts of runs and logged models. What a client calls a path is a name here: bytes are kept under their SHA-256, and no part
//! of a path is ever joined to a folder.

use super::{Action, ApiError, Call, Route, done, object};
use crate::app::Role::{Operator, Viewer};
use crate::tracking::{ArtifactEntry, ArtifactOwner, parse_artifact_uri};
use serde_json::{Value, json};

/// Where clients find bytes by the path of their URI.
const BYTES: &str = "/api/2.0/mlflow-artifacts/artifacts/{*path}";

pub(super) const ROUTES: &[Route] = &[
    Route::bytes("PUT", BYTES, Operator, Action::Upload(upload)),
    Route::bytes("GET", BYTES, Viewer, Action::Download(download)),
    Route::json("DELETE", BYTES, Operator, delete),
    Route::json("GET", "/api/2.0/mlflow-artifacts/artifacts", Viewer, list),
    Route::json("GET", "/api/2.0/mlflow/artifacts/list", Viewer, list_of_run),
    Route::json(
        "GET",
        "/api/2.0/mlflow/logged-models/{model_id}/artifacts/directories",
        Viewer,
        list_of_model,
    ),
];

/// Whose artifacts the path of a URI is about, and the path below.
fn place<'a>(call: &Call<'_>, uri: &'a str) -> Result<(ArtifactOwner, &'a str), ApiError> {
    let shown: String = uri.chars().take(120).collect();
    let Some((experiment_id, owner, below)) = parse_artifact_uri(uri) else {
        return Err(ApiError::invalid(format!(
            "Invalid path: {shown:?} is no place of artifacts; it is EXPERIMENT_ID/RUN_ID/artifacts/PATH or EXPERIMENT_ID/models/MODEL_ID/artifacts/PATH"
        )));
    };
    if call.app.tracking().experiment_of_artifacts(&owner)? == experiment_id {
        return Ok((owner, below));
    }
    Err(ApiError::missing(format!(
        "{shown:?} is in another experiment than {experiment_id:?}"
    )))
}

fn upload(call: &Call<'_>, bytes: &[u8]) -> Result<Value, ApiError> {
    let (owner, path) = place(call, call.fields.need_text("path")?)?;
    call.app
        .tracking()
        .put_artifact(call.actor, &owner, path, bytes)?;
    Ok(json!({}))
}

fn download(call: &Call<'_>) -> Result<Vec<u8>, ApiError> {
    let (owner, path) = place(call, call.fields.need_text("path")?)?;
    Ok(call.app.tracking().artifact_bytes(&owner, path)?)
}

fn delete(call: &Call<'_>) -> Result<Value, ApiError> {
    let (owner, path) = place(call, call.fields.need_text("path")?)?;
    Ok(done(
        call.app
            .tracking()
            .delete_artifact(call.actor, &owner, path)?,
    ))
}

/// A file or a folder; `path` is its name in the answer.
fn shown(entry: &ArtifactEntry, path: &str) -> Value {
    object([
        ("path", json!(path)),
        ("is_dir", json!(entry.file.is_none())),
        (
            "file_size",
            json!(entry.file.as_ref().map(|file| file.bytes)),
        ),
    ])
}

/// Clients put names behind the path that they asked about.
fn list(call: &Call<'_>) -> Result<Value, ApiError> {
    let (owner, folder) = place(call, call.fields.need_text("path")?)?;
    let entries = call.app.tracking().list_artifacts(&owner, Some(folder))?;
    let name = |entry: &ArtifactEntry| {
        let name = entry
            .path
            .rsplit_once('/')
            .map_or(entry.path.as_str(), |(_, name)| name);
        shown(entry, name)
    };
    Ok(json!({"files": entries.iter().map(name).collect::<Vec<_>>()}))
}

/// The listing of an owner's folder with whole paths.
fn listing(
    call: &Call<'_>,
    owner: &ArtifactOwner,
    folder: Option<&str>,
    root_uri: &str,
) -> Result<Value, ApiError> {
    let entries = call.app.tracking().list_artifacts(owner, folder)?;
    let files: Vec<Value> = entries
        .iter()
        .map(|entry| shown(entry, &entry.path))
        .collect();
    Ok(json!({"root_uri": root_uri, "files": files}))
}

fn list_of_run(call: &Call<'_>) -> Result<Value, ApiError> {
    let run = call.app.tracking().run(call.fields.run_id()?)?;
    let root = run.artifact_uri();
    let owner = ArtifactOwner::Run(run.run_id);
    listing(call, &owner, call.fields.text("path")?, &root)
}

fn list_of_model(call: &Call<'_>) -> Result<Value, ApiError> {
    let model_id = call.fields.need_text("model_id")?;
    let model = call.app.tracking().logged_model(model_id)?;
    let root = model.artifact_uri();
    let owner = ArtifactOwner::LoggedModel(model.model_id);
    listing(
        call,
        &owner,
        call.fields.text("artifact_directory_path")?,
        &root,
    )
}
