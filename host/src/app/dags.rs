//! DAGs: from a file into the store, and back out by id.

use super::App;
use super::dag_files::{DagFile, read_dag_file, split_dag};
use crate::error::{ErrorKind, UserError};
use crate::scheduler::{DagRow, DagVersionRow, decode_row, encode_row};
use crate::store::{Commit, RowWrite, Store, Table};
use airlock_core::dag::spec::Dag;
use airlock_core::dag::{Diagnostic, digest, parse, render};
use airlock_core::ids::DagId;
use jiff::Timestamp;
use std::path::Path;
use std::sync::Arc;

/// A DAG whose version is in the store.
#[derive(Debug, Clone)]
pub struct RegisteredDag {
    /// The DAG.
    pub dag: Arc<Dag>,
    /// Its version.
    pub version: [u8; 32],
    /// Its text.
    pub source: String,
    /// Where it was read from.
    pub fileloc: String,
}

/// Reads and validates a file; every error in it comes at once.
pub fn read_dag(path: &Path) -> Result<(Dag, String, Vec<Diagnostic>), UserError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let kind = if error.kind() == std::io::ErrorKind::NotFound {
            ErrorKind::NotFound
        } else {
            ErrorKind::Usage
        };
        UserError::new(kind, format!("cannot read {}: {error}", path.display()))
    })?;
    let parsed = parse(&text);
    match parsed.dag {
        Some(dag) if !parsed.diagnostics.iter().any(Diagnostic::is_error) => {
            Ok((dag, text, parsed.diagnostics))
        }
        _ => {
            let shown = render(
                &parsed.diagnostics,
                &path.display().to_string(),
                &text,
                false,
            );
            let count = parsed
                .diagnostics
                .iter()
                .filter(|diagnostic| diagnostic.is_error())
                .count();
            let plural = if count == 1 { "error" } else { "errors" };
            Err(UserError::new(
                ErrorKind::InvalidDag,
                format!("{} has {count} {plural}\n{shown}", path.display()),
            ))
        }
    }
}

impl App {
    /// Stores the DAG's version, pinned to its plugins as they are now, and makes it the current one of its id.
    pub fn register(
        &self,
        mut dag: Dag,
        source: String,
        fileloc: &str,
    ) -> Result<RegisteredDag, UserError> {
        dag.pins = self.pins(&dag);
        let _rows = self.dag_rows.lock();
        let version = digest(&dag);
        let old = self.dag_row(&dag.dag_id)?;
        let row = DagRow {
            dag_id: dag.dag_id.clone(),
            dag_version: crate::store::Digest(version).to_string(),
            is_paused: old
                .as_ref()
                .map_or(dag.is_paused_upon_creation, |row| row.is_paused),
            is_stale: old.as_ref().is_some_and(|row| row.is_stale),
            fileloc: fileloc.to_owned(),
            updated_at: Timestamp::now(),
        };
        let registered = RegisteredDag {
            dag: Arc::new(dag.clone()),
            version,
            source: source.clone(),
            fileloc: row.fileloc.clone(),
        };
        let is_known = old.as_ref().is_some_and(|old| {
            (&old.dag_version, &old.fileloc) == (&row.dag_version, &row.fileloc)
        });
        if is_known {
            return Ok(registered);
        }
        self.keep_pinned(&dag)?;
        let version_row = DagVersionRow { dag, source };
        let version_write = RowWrite {
            key: version.to_vec(),
            expect: None,
            value: Some(encode_row(&version_row)?),
        };
        let mut rows = vec![
            (Table::DagVersion, version_write),
            (Table::Dag, dag_write(&row)?),
        ];
        rows.extend(self.numbered_version(&row, old.as_ref())?);
        self.store.commit(Commit {
            rows,
            ..Commit::default()
        })?;
        self.tell_dag(&row.dag_id)?;
        Ok(registered)
    }

    /// Writes the row of a DAG that is there.
    pub(super) fn put_dag_row(&self, row: &DagRow) -> Result<(), UserError> {
        let rows = vec![(Table::Dag, dag_write(row)?)];
        self.store.commit(Commit {
            rows,
            ..Commit::default()
        })?;
        Ok(())
    }

    /// Stops or starts the making of runs.
    pub fn set_paused(&self, dag_id: &str, is_paused: bool) -> Result<(), UserError> {
        let _rows = self.dag_rows.lock();
        let dag_id = self.dag(dag_id)?.dag.dag_id.clone();
        if let Some(row) = self.dag_row(&dag_id)? {
            self.put_dag_row(&DagRow { is_paused, ..row })?;
        }
        self.tell_dag(&dag_id)
    }

    /// Tells the scheduler how a DAG is now.
    pub(super) fn tell_dag(&self, dag_id: &DagId) -> Result<(), UserError> {
        let Some(row) = self.dag_row(dag_id)? else {
            return Ok(());
        };
        let dag = self.dag(dag_id.as_str())?;
        self.scheduler.handle().put_dag(dag.dag, dag.version, row);
        Ok(())
    }

    pub(super) fn dag_row(&self, dag_id: &DagId) -> Result<Option<DagRow>, UserError> {
        dag_row(self.store.as_ref(), dag_id)
    }

    /// A DAG's row: paused, stale, where it was read from.
    pub fn dag_state(&self, dag_id: &DagId) -> Result<DagRow, UserError> {
        self.dag_row(dag_id)?.ok_or_else(|| {
            UserError::new(ErrorKind::NotFound, format!("no DAG is called {dag_id:?}"))
        })
    }

    /// Every DAG, by id.
    pub fn dags(&self) -> Result<Vec<DagRow>, UserError> {
        self.rows_under(Table::Dag, b"")
    }

    /// The current version of a DAG.
    pub fn dag(&self, dag_id: &str) -> Result<RegisteredDag, UserError> {
        current_dag(self.store.as_ref(), dag_id)
    }

    /// A DAG by file or by id: what names an existing file or ends in `.yaml`, `.yml`, `.json` or `.wasm` is a file. Of a
    /// component with several DAGs `FILE#DAG_ID` names one; all of them are stored, because one may trigger another.
    pub fn dag_from(&self, file_or_id: &str) -> Result<RegisteredDag, UserError> {
        if !is_file(file_or_id) {
            return self.dag(file_or_id);
        }
        let (file, wanted) = split_dag(file_or_id);
        let mut chosen = None;
        let read = read_dag_file(&self.plugins, Path::new(file))?;
        let dag_id = chosen_dag(&read, file, wanted)?;
        for registered in self.register_file(read, file)? {
            if registered.dag.dag_id == dag_id {
                chosen = Some(registered);
            }
        }
        chosen.map_or_else(|| self.dag(dag_id.as_str()), Ok)
    }

    /// Everything that a file holds; nothing is stored.
    pub fn read_dags(&self, file: &Path) -> Result<DagFile, UserError> {
        read_dag_file(&self.plugins, file)
    }

    /// The DAG that `FILE` or `FILE#DAG_ID` names, and its text; nothing is stored.
    pub fn read_one_dag(&self, file: &str) -> Result<(Dag, String), UserError> {
        let (file, wanted) = split_dag(file);
        let read = self.read_dags(Path::new(file))?;
        let dag_id = chosen_dag(&read, file, wanted)?;
        let found = read.dags.into_iter().find(|read| read.dag.dag_id == dag_id);
        let missing = || UserError::new(ErrorKind::NotFound, format!("{file} has no DAG {dag_id}"));
        found
            .map(|read| (read.dag, read.source))
            .ok_or_else(missing)
    }

    /// Stores the versions of all DAGs of a file, and the component that they came in before them.
    pub(super) fn register_file(
        &self,
        read: DagFile,
        fileloc: &str,
    ) -> Result<Vec<RegisteredDag>, UserError> {
        if let Some(bytes) = &read.component {
            self.store.put_blob(bytes)?;
        }
        read.dags
            .into_iter()
            .map(|read| self.register(read.dag, read.source, fileloc))
            .collect()
    }
}

/// Which DAG of a file is meant.
pub(super) fn chosen_dag(
    read: &DagFile,
    file: &str,
    wanted: Option<&str>,
) -> Result<DagId, UserError> {
    let ids = || {
        let ids: Vec<&str> = read
            .dags
            .iter()
            .map(|read| read.dag.dag_id.as_str())
            .collect();
        ids.join(", ")
    };
    let found = match (wanted, read.dags.as_slice()) {
        (None, [only]) => Some(only),
        (Some(wanted), dags) => dags.iter().find(|read| read.dag.dag_id.as_str() == wanted),
        (None, _) => None,
    };
    found.map(|read| read.dag.dag_id.clone()).ok_or_else(|| {
        let (kind, message) = match wanted {
            Some(wanted) => (
                ErrorKind::NotFound,
                format!("{file} has no DAG {wanted:?}; it has: {}", ids()),
            ),
            None => (
                ErrorKind::Usage,
                format!("{file} has several DAGs: {}", ids()),
            ),
        };
        UserError::new(kind, message).hint(format!("name one: {file}#DAG_ID"))
    })
}

fn dag_row(store: &dyn Store, dag_id: &DagId) -> Result<Option<DagRow>, UserError> {
    let row = store.get(Table::Dag, dag_id.as_str().as_bytes())?;
    Ok(row.map(|row| decode_row(&row.value)).transpose()?)
}

/// The current version of a DAG.
pub(super) fn current_dag(store: &dyn Store, dag_id: &str) -> Result<RegisteredDag, UserError> {
    let not_found = || {
        UserError::new(ErrorKind::NotFound, format!("no DAG is called {dag_id:?}"))
            .hint("`airlock dags list` shows what there is; a DAG file is named by its path")
    };
    let id = DagId::parse(dag_id).map_err(|_| not_found())?;
    let row = dag_row(store, &id)?.ok_or_else(not_found)?;
    let version = crate::store::Digest::parse(&row.dag_version)
        .ok_or_else(not_found)?
        .0;
    let stored = store
        .get(Table::DagVersion, &version)?
        .ok_or_else(not_found)?;
    let DagVersionRow { dag, source } = decode_row(&stored.value)?;
    Ok(RegisteredDag {
        dag: Arc::new(dag),
        version,
        source,
        fileloc: row.fileloc,
    })
}

fn dag_write(row: &DagRow) -> Result<RowWrite, UserError> {
    Ok(RowWrite {
        key: row.dag_id.as_str().as_bytes().to_vec(),
        expect: None,
        value: Some(encode_row(row)?),
    })
}

/// Whether an argument names a DAG file rather than a DAG.
pub fn is_file(file_or_id: &str) -> bool {
    let path = Path::new(file_or_id);
    let extension = path.extension().and_then(|extension| extension.to_str());
    path.is_file()
        || matches!(extension, Some("yaml" | "yml" | "json" | "wasm"))
        || file_or_id.contains('/')
        || split_dag(file_or_id).1.is_some()
}
