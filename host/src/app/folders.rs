//! DAG folders: files become versions in the store when they are saved. A file that became invalid keeps the last good version
//! and its errors are kept for people; a file that went away makes its DAG stale: no new runs, what runs goes on.

use super::App;
use super::dag_files::read_dag_file;
use crate::error::{ErrorKind, UserError};
use crate::scheduler::{DagRow, encode_row};
use crate::store::{Commit, RowWrite, Table};
use airlock_core::ids::DagId;
use jiff::Timestamp;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// An editor writes a file in several steps; what is quiet for so long is saved.
const QUIET: Duration = Duration::from_millis(50);
/// The most DAG files of one service.
const FILES_MAX: usize = 100_000;
/// How deep folders are looked into.
const DEPTH_MAX: usize = 16;
/// Key prefix of import errors in `Table::State`.
pub(super) const IMPORT_ERROR: &[u8] = b"import_error\0";

/// Folders with DAG files.
#[derive(Debug, Clone, Default)]
pub struct DagFolders {
    folders: Vec<PathBuf>,
}

impl DagFolders {
    /// These folders, each looked into up to `DEPTH_MAX` levels.
    pub fn new(folders: Vec<PathBuf>) -> Self {
        Self { folders }
    }

    /// Absolute, so that a file has one name whoever reads it.
    fn absolute(self) -> Result<Self, UserError> {
        let absolute = |folder: PathBuf| {
            folder.canonicalize().map_err(|error| {
                let message = format!(
                    "the DAG folder {} cannot be read: {error}",
                    folder.display()
                );
                UserError::new(ErrorKind::NotFound, message)
                    .hint("make it, or name another with --dags or AIRLOCK_DAGS")
            })
        };
        let folders = self
            .folders
            .into_iter()
            .map(absolute)
            .collect::<Result<_, _>>()?;
        Ok(Self { folders })
    }

    fn files(&self) -> BTreeSet<PathBuf> {
        let mut files = BTreeSet::new();
        for folder in &self.folders {
            collect(folder, 0, &mut files);
        }
        files
    }

    pub(super) fn holds(&self, path: &Path) -> bool {
        self.folders.iter().any(|folder| path.starts_with(folder))
    }
}

fn collect(folder: &Path, depth: usize, files: &mut BTreeSet<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if hidden || files.len() >= FILES_MAX {
            continue;
        }
        if path.is_dir() && depth < DEPTH_MAX {
            collect(&path, depth + 1, files);
        } else if is_dag_file(&path) {
            files.insert(path);
        }
    }
}

fn is_dag_file(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("yaml" | "yml" | "json" | "wasm")) && path.is_file()
}

/// Why a file's DAG is not as the file says (Airflow's import error).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportError {
    /// Which file.
    pub fileloc: String,
    /// When it was found.
    pub at: Timestamp,
    /// What is wrong, with places.
    pub message: String,
}

/// Follows the folders until it is dropped.
pub struct Watch {
    _watcher: RecommendedWatcher,
}

impl Watch {
    pub(super) fn over(watcher: RecommendedWatcher) -> Self {
        Self { _watcher: watcher }
    }
}

impl App {
    /// Reads every file of the folders, then again whenever one is saved, until the `Watch` is dropped.
    pub fn follow_dags(self: &Arc<Self>, folders: DagFolders) -> Result<Watch, UserError> {
        let folders = folders.absolute()?;
        self.dag_rows.follow(folders.clone());
        let (send, changes) = channel();
        let failed = |error: notify::Error| {
            UserError::new(
                ErrorKind::Usage,
                format!("the DAG folders cannot be watched: {error}"),
            )
            .hint("raise fs.inotify.max_user_watches, or serve fewer folders")
        };
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                // The other end is gone when the service stops.
                let _ = send.send(event);
            })
            .map_err(failed)?;
        // Watched before they are read: what is saved in between is read twice, not never.
        for folder in &folders.folders {
            watcher
                .watch(folder, RecursiveMode::Recursive)
                .map_err(failed)?;
        }
        let mut known = Known::of(self)?;
        known.read(self, &folders, folders.files());
        known.forget_missing(self, &folders);
        // Those that came from elsewhere.
        self.renew_dags()?;
        let app = Arc::downgrade(self);
        let work = move || {
            while let Some(paths) = saved(&changes) {
                let Some(app) = app.upgrade() else { return };
                known.read(&app, &folders, paths);
                known.forget_missing(&app, &folders);
            }
        };
        std::thread::Builder::new()
            .name("dag-folders".to_owned())
            .spawn(work)
            .map_err(|error| UserError::new(ErrorKind::Usage, error))?;
        Ok(Watch::over(watcher))
    }

    /// Every file that could not be read, by path.
    pub fn import_errors(&self) -> Result<Vec<ImportError>, UserError> {
        self.rows_under(Table::State, IMPORT_ERROR)
    }

    fn set_import_error(&self, fileloc: &str, message: Option<String>) -> Result<(), UserError> {
        let error = message.map(|message| ImportError {
            fileloc: fileloc.to_owned(),
            at: Timestamp::now(),
            message,
        });
        let key = [IMPORT_ERROR, fileloc.as_bytes()].concat();
        if error.is_none() && self.store.get(Table::State, &key)?.is_none() {
            return Ok(());
        }
        let value = error.as_ref().map(encode_row).transpose()?;
        let write = RowWrite {
            key,
            expect: None,
            value,
        };
        let rows = vec![(Table::State, write)];
        self.store.commit(Commit {
            rows,
            ..Commit::default()
        })?;
        Ok(())
    }

    /// A DAG whose file went away, or came back.
    fn set_stale(&self, dag_id: &DagId, is_stale: bool) -> Result<(), UserError> {
        let _rows = self.dag_rows.lock();
        let Some(row) = self.dag_row(dag_id)? else {
            return Ok(());
        };
        if row.is_stale != is_stale {
            self.put_dag_row(&DagRow { is_stale, ..row })?;
            self.tell_dag(dag_id)?;
        }
        Ok(())
    }
}

/// The next files that were saved, moved or removed; none when the watcher is gone.
pub(super) fn saved(
    changes: &Receiver<notify::Result<notify::Event>>,
) -> Option<BTreeSet<PathBuf>> {
    let mut paths = BTreeSet::new();
    let mut take = |event: notify::Result<notify::Event>| match event {
        Ok(event) if !matches!(event.kind, EventKind::Access(_)) => paths.extend(event.paths),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "a DAG folder cannot be watched"),
    };
    take(changes.recv().ok()?);
    loop {
        match changes.recv_timeout(QUIET) {
            Ok(event) => take(event),
            Err(RecvTimeoutError::Timeout) => return Some(paths),
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

/// Which file holds which DAGs.
struct Known {
    dags: BTreeMap<PathBuf, BTreeSet<DagId>>,
}

impl Known {
    fn of(app: &App) -> Result<Self, UserError> {
        let mut dags: BTreeMap<PathBuf, BTreeSet<DagId>> = BTreeMap::new();
        for row in app.dags()? {
            let file = PathBuf::from(row.fileloc);
            dags.entry(file).or_default().insert(row.dag_id);
        }
        Ok(Self { dags })
    }

    fn read(&mut self, app: &App, folders: &DagFolders, paths: BTreeSet<PathBuf>) {
        for path in paths {
            if !is_dag_file(&path) || !folders.holds(&path) {
                continue;
            }
            let fileloc = path.display().to_string();
            let problem = match self.read_one(app, &path, &fileloc) {
                Ok(()) => None,
                Err(error) => {
                    tracing::warn!(file = fileloc, "{error}");
                    Some(error.to_string())
                }
            };
            if let Err(error) = app.set_import_error(&fileloc, problem) {
                tracing::error!(file = fileloc, %error, "an import error could not be kept");
            }
        }
    }

    fn read_one(&mut self, app: &App, path: &Path, fileloc: &str) -> Result<(), UserError> {
        let read = read_dag_file(&app.plugins, path)?;
        let ids: BTreeSet<DagId> = read
            .dags
            .iter()
            .map(|read| read.dag.dag_id.clone())
            .collect();
        let other = self.dags.iter().find_map(|(file, theirs)| {
            let both = theirs.intersection(&ids).next()?;
            // A DAG that was deleted is free, though this has heard of it.
            let is_there = || !matches!(app.dag_row(both), Ok(None));
            (file != path && file.is_file() && is_there()).then_some((file, both))
        });
        if let Some((other, dag_id)) = other {
            let message = format!("{fileloc}: dag_id {dag_id} is taken by {}", other.display());
            return Err(UserError::new(ErrorKind::Conflict, message)
                .hint("give one of the two another dag_id"));
        }
        app.register_file(read, fileloc)?;
        for dag_id in &ids {
            app.set_stale(dag_id, false)?;
        }
        let before = self.dags.insert(path.to_owned(), ids).unwrap_or_default();
        for dag_id in before {
            if !self.holds(&dag_id) {
                app.set_stale(&dag_id, true)?;
            }
        }
        Ok(())
    }

    fn holds(&self, dag_id: &DagId) -> bool {
        self.dags.values().any(|ids| ids.contains(dag_id))
    }

    /// DAGs of the folders whose file is gone make no more runs; their errors are gone as well.
    fn forget_missing(&mut self, app: &App, folders: &DagFolders) {
        let is_gone = |path: &PathBuf| folders.holds(path) && !path.is_file();
        let gone: Vec<PathBuf> = self
            .dags
            .keys()
            .filter(|path| is_gone(path))
            .cloned()
            .collect();
        for path in gone {
            for dag_id in self.dags.remove(&path).unwrap_or_default() {
                // The DAG may have moved to another file.
                if self.holds(&dag_id) {
                    continue;
                }
                if let Err(error) = app.set_stale(&dag_id, true) {
                    tracing::error!(%dag_id, %error, "a DAG whose file is gone could not be marked");
                }
            }
        }
        let errors = app.import_errors().unwrap_or_default();
        for error in errors
            .iter()
            .filter(|error| !Path::new(&error.fileloc).is_file())
        {
            if let Err(error) = app.set_import_error(&error.fileloc, None) {
                tracing::error!(%error, "an import error could not be removed");
            }
        }
    }
}
