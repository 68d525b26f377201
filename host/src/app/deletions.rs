//! Runs and DAGs that a person deletes. It owns the order in which they go, and refuses what would lose something that goes on: a
//! run that has not ended, a DAG that a run or a backfill is at work on, and one whose file a service follows, because the file would
//! bring it back without its history.

use super::App;
use super::dag_files::read_dag_file;
use super::folders::DagFolders;
use super::retention::{Candidate, candidates};
use super::rows::for_each_row;
use super::{dag_versions, split_dag};
use crate::error::{ErrorKind, UserError};
use crate::scheduler::{DagRow, RunRow, backfills_prefix, decode_row, run_key};
use crate::store::Table;
use airlock_core::ids::{DagId, RunId};
use serde::Serialize;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often a run that has just ended is tried again: its end may be on its way through the scheduler.
const TRIES: u32 = 40;
/// How long between two tries.
const BETWEEN_TRIES: Duration = Duration::from_millis(50);

/// What went with a DAG.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeletedDag {
    /// Which one.
    pub dag_id: DagId,
    /// How many runs it had.
    pub runs: usize,
    /// Its file is still there: a service that reads it makes the DAG anew.
    pub file: Option<String>,
}

/// Who changes the rows of DAGs holds this: a row that is read, changed and written is not deleted in between.
#[derive(Debug, Default)]
pub(super) struct DagRows {
    changing: Mutex<()>,
    /// The folders that this process follows.
    followed: Mutex<DagFolders>,
}

impl DagRows {
    pub(super) fn lock(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn follow(&self, folders: DagFolders) {
        *self.followed.lock().unwrap_or_else(PoisonError::into_inner) = folders;
    }

    fn is_followed(&self, path: &Path) -> bool {
        let followed = self.followed.lock();
        followed.unwrap_or_else(PoisonError::into_inner).holds(path)
    }
}

impl App {
    /// Deletes a run that has ended, with its events, XComs and logs. Blocks: not for async threads.
    ///
    /// # Errors
    /// When it is not there or has not ended, or a run that has not ended looks back at it.
    pub fn delete_run(&self, dag_id: &DagId, run_id: &RunId) -> Result<(), UserError> {
        self.run(dag_id, run_id)?;
        for _ in 0..TRIES {
            let row = self.store.get(Table::Run, &run_key(dag_id, run_id))?;
            // Somebody else deleted it meanwhile.
            let Some(row) = row else { return Ok(()) };
            let run: RunRow = decode_row(&row.value)?;
            check_ended(&run)?;
            let version = row.version;
            let named = [Candidate { run, version }];
            if self.with_cleaner(|cleaner| cleaner.remove_named(&named))? == [true] {
                return Ok(());
            }
            std::thread::sleep(BETWEEN_TRIES);
        }
        let message = format!(
            "run {run_id} of dag {dag_id} is in use: a run that has not ended looks back at it, or it runs again"
        );
        Err(UserError::new(ErrorKind::Conflict, message).hint(format!(
            "`airlock runs list {dag_id}` shows its runs; wait until they have ended, or `airlock runs cancel` them"
        )))
    }

    /// Deletes a DAG with its runs, its schedule, and the list of its versions. Blocks: not for async threads. Cut off in between
    /// it has removed some runs whole, and the same again removes the rest.
    ///
    /// # Errors
    /// When it is not there; a run or a backfill of it has not ended; or a file of a followed folder holds it.
    pub fn delete_dag(&self, dag_id: &str) -> Result<DeletedDag, UserError> {
        let _rows = self.dag_rows.lock();
        let dag_id = self.dag(dag_id)?.dag.dag_id.clone();
        let row = self.dag_state(&dag_id)?;
        let file = self.file_that_holds(&row);
        if let Some(file) = &file
            && self.dag_rows.is_followed(Path::new(file))
        {
            let message = format!("dag {dag_id} is in {file}, which this service follows");
            return Err(UserError::new(ErrorKind::Conflict, message).hint(
                "take it out of the file, or remove the file; to stop its runs alone, `airlock dags pause`",
            ));
        }
        self.check_no_backfill(&dag_id)?;
        let runs = candidates(self.store.as_ref(), &dag_id)?;
        runs.iter()
            .try_for_each(|candidate| check_ended(&candidate.run))?;
        let went = self.with_cleaner(|cleaner| cleaner.remove_named(&runs))?;
        let rows = self.rows_of(&dag_id)?;
        self.scheduler.handle().forget_dag(dag_id.clone(), rows)?;
        let runs = went.into_iter().filter(|went| *went).count();
        Ok(DeletedDag { dag_id, runs, file })
    }

    /// The file that a DAG was read from, if it still holds the DAG. One that cannot be read may.
    fn file_that_holds(&self, row: &DagRow) -> Option<String> {
        let (file, _) = split_dag(&row.fileloc);
        let path = Path::new(file);
        if !path.is_file() {
            return None;
        }
        let holds = match read_dag_file(&self.plugins, path) {
            Ok(read) => read.dags.iter().any(|read| read.dag.dag_id == row.dag_id),
            Err(_) => !row.is_stale,
        };
        holds.then(|| file.to_owned())
    }

    fn check_no_backfill(&self, dag_id: &DagId) -> Result<(), UserError> {
        let backfills = self.backfills()?;
        let mut live = backfills
            .iter()
            .filter(|backfill| backfill.completed_at.is_none());
        match live.find(|backfill| backfill.dag_id == *dag_id) {
            None => Ok(()),
            Some(backfill) => {
                let message = format!("backfill {} of dag {dag_id} has not ended", backfill.id);
                let hint = format!("`airlock backfill cancel {}` ends it", backfill.id);
                Err(UserError::new(ErrorKind::Conflict, message).hint(hint))
            }
        }
    }

    /// What the store knows about a DAG besides its runs and its schedule.
    fn rows_of(&self, dag_id: &DagId) -> Result<Vec<(Table, Vec<u8>)>, UserError> {
        let mut rows = Vec::new();
        for prefix in [dag_versions::prefix(dag_id), backfills_prefix(dag_id)] {
            for_each_row(self.store.as_ref(), Table::State, &prefix, |row| {
                rows.push((Table::State, row.key));
                Ok(())
            })?;
        }
        Ok(rows)
    }
}

fn check_ended(run: &RunRow) -> Result<(), UserError> {
    if run.state.is_finished() {
        return Ok(());
    }
    let RunRow { dag_id, run_id, .. } = run;
    let message = format!("run {run_id} of dag {dag_id} is {}", run.state);
    Err(UserError::new(ErrorKind::Conflict, message)
        .hint(format!("`airlock runs cancel {dag_id} {run_id}` stops it")))
}
