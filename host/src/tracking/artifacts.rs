//! Artifacts of runs and of logged models: a logical path names bytes by their SHA-256. A path is a name and never a place on a
//! disk; the bytes are the store's blobs. A client may name other bytes by the same path later: the trail keeps saying which were
//! there before, and what the trail names is kept.

use super::codec;
use super::runs::{Change, Draft, Needs, put, remove, require_blob};
use super::{Actor, Tracking, TrackingError, check_count};
use crate::store::{RowWrite, Store, Table};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The most bytes of one artifact: the store takes a blob whole, so so much memory is needed once while it is put or read.
pub const ARTIFACT_BYTES_MAX: usize = 512 << 20;
/// The longest path of an artifact, bytes.
pub const ARTIFACT_PATH_BYTES_MAX: usize = 750;
/// The most artifacts of one run or logged model.
pub const ARTIFACTS_MAX: usize = 100_000;
/// How many rows one read takes.
const PAGE: usize = 1_000;

/// Whose artifacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArtifactOwner {
    /// A run, by its id.
    Run(String),
    /// A logged model, by its id.
    LoggedModel(String),
}

impl ArtifactOwner {
    fn id(&self) -> &str {
        match self {
            Self::Run(id) | Self::LoggedModel(id) => id,
        }
    }
}

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// SHA-256 of its bytes in hex.
    pub sha256: String,
    /// How many bytes.
    pub bytes: usize,
    /// When the path got them, milliseconds since the epoch.
    pub at_ms: i64,
}

/// A file or folder as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArtifactEntry {
    /// The whole logical path.
    pub path: String,
    /// What is there; `None` for a folder.
    pub file: Option<Artifact>,
}

/// Checks a logical path: segments joined by `/`, none of them empty, `.` or `..`; nothing that could be read in two ways.
pub fn check_artifact_path(path: &str) -> Result<(), TrackingError> {
    let refused = |why: &str| {
        let shown: String = path.chars().take(120).collect();
        Err(TrackingError::Invalid(format!(
            "Invalid path: artifact path {shown:?} {why}; a path is plain segments joined by '/'"
        )))
    };
    check_count("an artifact path", path.len(), ARTIFACT_PATH_BYTES_MAX)?;
    if path.contains(['\\', '%']) || path.chars().any(char::is_control) {
        return refused("holds '\\', '%' or a control character");
    }
    if path
        .split('/')
        .any(|segment| matches!(segment, "" | "." | ".."))
    {
        return refused("is empty, is absolute, or has a segment that is empty, '.' or '..'");
    }
    Ok(())
}

/// Reads what follows `mlflow-artifacts:/` in a client's URI: the experiment's id, whose artifacts, and the path below, which is
/// empty for all of them. The path is not checked yet. `None`: it is no such URI.
pub fn parse_artifact_uri(path: &str) -> Option<(&str, ArtifactOwner, &str)> {
    let (experiment_id, rest) = path.split_once('/')?;
    let (owner, rest) = if let Some(rest) = rest.strip_prefix("models/") {
        let (id, rest) = rest.split_once('/')?;
        (ArtifactOwner::LoggedModel(id.to_owned()), rest)
    } else {
        let (id, rest) = rest.split_once('/')?;
        (ArtifactOwner::Run(id.to_owned()), rest)
    };
    let below = rest.strip_prefix("artifacts")?;
    let below = match below.strip_prefix('/') {
        Some(below) => below,
        None if below.is_empty() => "",
        None => return None,
    };
    (!experiment_id.is_empty() && !owner.id().is_empty()).then_some((experiment_id, owner, below))
}

/// Key of an artifact in `Table::TrackingRun`. With an empty path: the prefix of all of an owner.
fn artifact_key(owner: &str, path: &str) -> Vec<u8> {
    [b"a", owner.as_bytes(), &[0], path.as_bytes()].concat()
}

impl Tracking {
    /// Puts bytes under a path; what was there is replaced. Blocks until they are durable.
    pub fn put_artifact(
        &self,
        actor: &Actor,
        owner: &ArtifactOwner,
        path: &str,
        bytes: &[u8],
    ) -> Result<Artifact, TrackingError> {
        check_artifact_path(path)?;
        check_count("an artifact, in bytes", bytes.len(), ARTIFACT_BYTES_MAX)?;
        self.require_owner(owner)?;
        let artifact = Artifact {
            sha256: self.store.put_blob(bytes)?.to_string(),
            bytes: bytes.len(),
            at_ms: self.now(),
        };
        self.change_artifact(actor, owner, path, Some(&artifact), true)?;
        Ok(artifact)
    }

    /// Names an artifact (a blob that is in the store, by its SHA-256 in hex) in the run. A path is never pointed elsewhere.
    pub fn log_artifact(
        &self,
        actor: &Actor,
        run_id: &str,
        path: &str,
        artifact: &str,
    ) -> Result<(), TrackingError> {
        check_artifact_path(path)?;
        let bytes = require_blob(&*self.store, artifact)?;
        let artifact = Artifact {
            sha256: artifact.to_owned(),
            bytes,
            at_ms: self.now(),
        };
        let owner = ArtifactOwner::Run(run_id.to_owned());
        self.change_artifact(actor, &owner, path, Some(&artifact), false)
    }

    /// Removes a path, or all below it if it is a folder. Bytes that the trail or a model version names are kept.
    pub fn delete_artifact(
        &self,
        actor: &Actor,
        owner: &ArtifactOwner,
        path: &str,
    ) -> Result<(), TrackingError> {
        check_artifact_path(path)?;
        self.require_owner(owner)?;
        if self.artifact(owner, path)?.is_some() {
            return self.change_artifact(actor, owner, path, None, true);
        }
        let below = self.artifacts_below(owner, path)?;
        if below.is_empty() {
            return Err(no_artifact(path));
        }
        for (path, _) in below {
            self.change_artifact(actor, owner, &path, None, true)?;
        }
        Ok(())
    }

    /// What a path names.
    pub fn artifact(
        &self,
        owner: &ArtifactOwner,
        path: &str,
    ) -> Result<Option<Artifact>, TrackingError> {
        check_artifact_path(path)?;
        if let Some(row) = self
            .store
            .get(Table::TrackingRun, &artifact_key(owner.id(), path))?
        {
            return codec::decode("an artifact", &row.value).map(Some);
        }
        let old = self.old_artifacts(owner)?;
        Ok(old
            .into_iter()
            .find_map(|(known, artifact)| (known == path).then_some(artifact)))
    }

    /// The bytes that a path names.
    pub fn artifact_bytes(
        &self,
        owner: &ArtifactOwner,
        path: &str,
    ) -> Result<Vec<u8>, TrackingError> {
        let artifact = self
            .artifact(owner, path)?
            .ok_or_else(|| no_artifact(path))?;
        let digest = super::parse_digest(&artifact.sha256);
        let bytes = digest
            .map(|digest| self.store.get_blob(&digest))
            .transpose()?;
        bytes.flatten().ok_or_else(|| TrackingError::Damaged {
            what: format!("artifact {path:?}"),
            reason: format!("its bytes {} are missing", artifact.sha256),
        })
    }

    /// The files and folders directly below a folder (`None`: all of the owner's), in the order of their names. A path that is a
    /// file or nothing has nothing below it.
    pub fn list_artifacts(
        &self,
        owner: &ArtifactOwner,
        folder: Option<&str>,
    ) -> Result<Vec<ArtifactEntry>, TrackingError> {
        let folder = folder.map(|folder| folder.trim_end_matches('/'));
        let folder = folder.filter(|folder| !folder.is_empty()).unwrap_or("");
        if !folder.is_empty() {
            check_artifact_path(folder)?;
        }
        self.require_owner(owner)?;
        let below = self.artifacts_below(owner, folder)?;
        let skip = if folder.is_empty() {
            0
        } else {
            folder.len() + 1
        };
        let mut entries: Vec<ArtifactEntry> = Vec::new();
        for (path, artifact) in below {
            let name = path.get(skip..).unwrap_or_default();
            let entry = match name.split_once('/') {
                None => ArtifactEntry {
                    path,
                    file: Some(artifact),
                },
                Some((child, _)) => ArtifactEntry {
                    path: path
                        .get(..skip + child.len())
                        .unwrap_or_default()
                        .to_owned(),
                    file: None,
                },
            };
            // Files of one folder are not always neighbours: `a/x`, `a-b`.
            if entry.file.is_some() || !entries.iter().rev().any(|known| *known == entry) {
                entries.push(entry);
            }
        }
        entries.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(entries)
    }

    /// Everything below a folder, or everything for an empty one.
    pub(super) fn artifacts_below(
        &self,
        owner: &ArtifactOwner,
        folder: &str,
    ) -> Result<Vec<(String, Artifact)>, TrackingError> {
        let prefix = if folder.is_empty() {
            String::new()
        } else {
            format!("{folder}/")
        };
        let all = artifact_key(owner.id(), "");
        let scanned = artifact_key(owner.id(), &prefix);
        let mut found = Vec::new();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let rows = self
                .store
                .scan(Table::TrackingRun, &scanned, after.as_deref(), PAGE)?;
            for row in &rows {
                let path = row.key.get(all.len()..).unwrap_or_default();
                let path = String::from_utf8_lossy(path).into_owned();
                found.push((path, codec::decode("an artifact", &row.value)?));
            }
            match rows.into_iter().next_back() {
                Some(last) => after = Some(last.key),
                None => break,
            }
        }
        let old = self.old_artifacts(owner)?;
        found.extend(
            old.into_iter()
                .filter(|(path, _)| path.starts_with(&prefix)),
        );
        Ok(found)
    }

    /// What an older Airlock kept in the head of a run.
    fn old_artifacts(
        &self,
        owner: &ArtifactOwner,
    ) -> Result<Vec<(String, Artifact)>, TrackingError> {
        let ArtifactOwner::Run(run_id) = owner else {
            return Ok(Vec::new());
        };
        let Some((head, _)) = self.find_head(run_id)? else {
            return Ok(Vec::new());
        };
        let old = head.old.artifacts.iter().map(|(path, sha256)| {
            let bytes = require_blob(&*self.store, sha256)?;
            let artifact = Artifact {
                sha256: sha256.clone(),
                bytes,
                at_ms: head.started_ms,
            };
            Ok((path.clone(), artifact))
        });
        old.collect()
    }

    /// The row of what an older Airlock kept in the head.
    pub(super) fn old_artifact(
        &self,
        run_id: &str,
        path: &str,
        sha256: &str,
        at_ms: i64,
    ) -> Result<RowWrite, TrackingError> {
        let artifact = Artifact {
            sha256: sha256.to_owned(),
            bytes: require_blob(&*self.store, sha256)?,
            at_ms,
        };
        put(artifact_key(run_id, path), Some(0), &artifact)
    }

    fn require_owner(&self, owner: &ArtifactOwner) -> Result<(), TrackingError> {
        match owner {
            ArtifactOwner::Run(id) => self.require_head(id).map(drop),
            ArtifactOwner::LoggedModel(id) => self.require_logged_model(id).map(drop),
        }
    }

    /// The id of the owner's experiment: what stands before it in an artifact's URI.
    pub fn experiment_of_artifacts(&self, owner: &ArtifactOwner) -> Result<String, TrackingError> {
        match owner {
            ArtifactOwner::Run(id) => {
                let (head, _) = self.require_head(id)?;
                Ok(super::experiment::experiment_id(&head.experiment))
            }
            ArtifactOwner::LoggedModel(id) => Ok(self.require_logged_model(id)?.0.experiment_id),
        }
    }

    /// Writes or removes one path.
    fn change_artifact(
        &self,
        actor: &Actor,
        owner: &ArtifactOwner,
        path: &str,
        artifact: Option<&Artifact>,
        may_replace: bool,
    ) -> Result<(), TrackingError> {
        let plan = |count: &mut usize| {
            let plan = plan(&*self.store, owner.id(), path, artifact, may_replace)?;
            if let Some((write, _)) = &plan {
                match (&write.value, write.expect) {
                    (None, _) => *count = count.saturating_sub(1),
                    (Some(_), Some(0)) => *count += 1,
                    _ => {}
                }
                check_count("artifacts of a run or model", *count, ARTIFACTS_MAX)?;
            }
            Ok::<_, TrackingError>(plan)
        };
        match owner {
            ArtifactOwner::Run(id) => {
                self.change(actor, id, Needs::Active, |draft: &mut Draft<'_>| {
                    let before = draft.head.clone();
                    let Some((write, change)) = plan(&mut draft.head.counts.artifacts)? else {
                        return Ok(None);
                    };
                    draft.put_row(Table::TrackingRun, write);
                    draft.changed_head(&before);
                    Ok(Some(change("run")))
                })
            }
            ArtifactOwner::LoggedModel(id) => self.change_logged_model(actor, id, |model, rows| {
                let Some((write, change)) = plan(&mut model.artifacts)? else {
                    return Ok(None);
                };
                rows.push((Table::TrackingRun, write));
                Ok(Some(change("logged_model")))
            }),
        }
    }
}

type Planned = Option<(RowWrite, Box<dyn Fn(&str) -> Change>)>;

/// What writing or removing a path means, given what is there; none where nothing changes.
fn plan(
    store: &dyn Store,
    owner: &str,
    path: &str,
    artifact: Option<&Artifact>,
    may_replace: bool,
) -> Result<Planned, TrackingError> {
    let key = artifact_key(owner, path);
    let row = store.get(Table::TrackingRun, &key)?;
    let version = row.as_ref().map_or(0, |row| row.version);
    let old: Option<Artifact> = row
        .map(|row| codec::decode("an artifact", &row.value))
        .transpose()?;
    let (path, sha256) = (path.to_owned(), |artifact: &Artifact| {
        artifact.sha256.clone()
    });
    let (from, to) = (old.as_ref().map(sha256), artifact.map(sha256));
    if from == to {
        return Ok(None);
    }
    let write = match artifact {
        None => remove(key, Some(version)),
        Some(artifact) => {
            if let Some(old) = old.filter(|_| !may_replace) {
                return Err(TrackingError::Conflict(format!(
                    "artifact {path:?} is {} already and is never overwritten; use another path",
                    old.sha256
                )));
            }
            if version == 0 {
                check_place(store, owner, &path)?;
            }
            put(key, Some(version), artifact)?
        }
    };
    let change = Box::new(move |noun: &str| {
        let named = |sha256: &Option<String>| match sha256 {
            Some(sha256) => json!({ path.as_str(): sha256 }),
            None => Value::Null,
        };
        Change {
            action: match (noun, &to) {
                ("run", Some(_)) => "run.log_artifact",
                ("run", None) => "run.delete_artifact",
                (_, Some(_)) => "logged_model.log_artifact",
                (_, None) => "logged_model.delete_artifact",
            },
            from: named(&from),
            to: named(&to),
        }
    });
    Ok(Some((write, change)))
}

/// Refuses a new path that would make a file a folder or a folder a file.
fn check_place(store: &dyn Store, owner: &str, path: &str) -> Result<(), TrackingError> {
    let clash = |what: &str, other: &str| {
        TrackingError::Invalid(format!(
            "artifact path {path:?} cannot be a file: {other:?} is a {what} already; use another path"
        ))
    };
    let below = artifact_key(owner, &format!("{path}/"));
    if !store.scan(Table::TrackingRun, &below, None, 1)?.is_empty() {
        return Err(clash("folder", path));
    }
    for (place, _) in path.match_indices('/') {
        let parent = path.get(..place).unwrap_or_default();
        let key = artifact_key(owner, parent);
        if store.get(Table::TrackingRun, &key)?.is_some() {
            return Err(clash("file", parent));
        }
    }
    Ok(())
}

fn no_artifact(path: &str) -> TrackingError {
    TrackingError::NotFound(format!("No such artifact: {path:?}"))
}

#[cfg(test)]
#[path = "artifacts_tests.rs"]
mod tests;
