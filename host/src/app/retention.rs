//! Retention: which finished runs may go, and their removal with all that is theirs, in steps that a crash cannot split. It owns
//! the rules and the order. It refuses to touch a run that has not ended, that a timetable or a waiting run looks back at, and
//! whatever a row, an event or a DAG still names.
//!
//! A run goes in one commit: its row, its index rows and its events, and in their place a note that names its logs. The logs
//! follow, then the note. DAG versions and blobs go last, when nothing names them.

use super::App;
use super::rows::{for_each_event, for_each_row};
use crate::error::UserError;
use crate::executor::{KEPT_PREFIX, LogStore, LogStream, kept_at};
use crate::scheduler::{
    DagRow, DagVersionRow, INDEX, Removal, RunRow, date_key, decode_row, encode_row, replay_run,
    run_key, run_stream, runs_prefix, task_instance_rows,
};
use crate::store::{Commit, CommitError, Digest, RowWrite, Store, Table};
use airlock_core::ids::{DagId, RunId, TaskId};
use airlock_core::run::event::{Event, RunType};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::mpsc::sync_channel;

/// Rows read at once.
const PAGE: usize = 1_000;
/// Runs whose removal shares one fsync.
const BATCH: usize = 128;
/// A DAG version that its DAG left more recently may be on its way into a run.
const VERSION_GRACE: SignedDuration = SignedDuration::from_hours(1);
/// Prefix of the notes about logs that are still to be removed.
const NOTE_PREFIX: &[u8] = b"run.removed\0";

/// What may go. Where both rules are given, a run goes only if both let it; with neither, nothing goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// Runs that ended before this.
    pub before: Option<Timestamp>,
    /// All but so many of the newest finished runs of each DAG.
    pub keep: Option<usize>,
}

/// One step of cleaning.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Cleaned {
    /// Runs that went, or would go.
    pub runs: usize,
    /// Runs that could not be read and stay.
    pub unreadable: usize,
    /// Results kept for reuse that went.
    pub results: usize,
    /// DAG versions that went.
    pub dag_versions: usize,
    /// Blobs that went.
    pub blobs: u64,
    /// Their bytes.
    pub blob_bytes: u64,
    /// The DAG to go on with: the step's limit was reached. DAG versions and blobs go in the step that finds none.
    pub next: Option<DagId>,
}

/// Log lines of which task instances: a task and a range of map indexes, the end left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    dag_id: DagId,
    run_id: RunId,
    logs: Vec<(TaskId, i32, i32)>,
}

/// What the rules look at.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) run: RunRow,
    /// The row's version: a run that changes meanwhile (a clear takes it up again) stays.
    pub(super) version: u64,
}

impl App {
    /// Removes up to `limit` runs that the policy lets go, beginning with DAG `from`; a service calls it now and then, with the
    /// `next` of the step before. Blocks: not for async threads.
    ///
    /// # Errors
    /// When the store or the log folder does not answer. What was removed until then is removed whole.
    pub fn clean(
        &self,
        policy: RetentionPolicy,
        limit: usize,
        from: Option<&DagId>,
    ) -> Result<Cleaned, UserError> {
        self.with_cleaner(|cleaner| cleaner.step(policy, limit, from))
    }

    /// What removes runs of this application.
    pub(super) fn with_cleaner<T>(&self, work: impl FnOnce(&Cleaner<'_>) -> T) -> T {
        let handle = self.scheduler.handle();
        work(&Cleaner {
            store: self.store.as_ref(),
            remove: &|removals| Ok(handle.remove_runs(removals)?),
            logs: &self.logs,
            now: Timestamp::now(),
        })
    }

    /// How many runs the policy lets go.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn cleanable(&self, policy: RetentionPolicy) -> Result<usize, UserError> {
        let store = self.store.as_ref();
        let mut runs = 0;
        for dag_id in dags_with_runs(store)? {
            runs += removable(&candidates(store, &dag_id)?, policy).len();
        }
        Ok(runs)
    }
}

/// Removes runs; says of each whether it went.
type Remove<'a> = &'a dyn Fn(Vec<Removal>) -> Result<Vec<bool>, UserError>;

pub(super) struct Cleaner<'a> {
    store: &'a dyn Store,
    /// The scheduler does it: it knows which runs are in use.
    remove: Remove<'a>,
    logs: &'a LogStore,
    now: Timestamp,
}

impl Cleaner<'_> {
    fn step(
        &self,
        policy: RetentionPolicy,
        limit: usize,
        from: Option<&DagId>,
    ) -> Result<Cleaned, UserError> {
        self.remove_logs()?;
        let mut cleaned = Cleaned::default();
        for dag_id in dags_with_runs(self.store)? {
            if from.is_some_and(|from| dag_id < *from) {
                continue;
            }
            let mut runs = removable(&candidates(self.store, &dag_id)?, policy);
            let room = limit - cleaned.runs;
            let is_over = runs.len() > room;
            runs.truncate(room);
            for batch in runs.chunks(BATCH) {
                self.remove_runs(batch, &mut cleaned)?;
                self.remove_logs()?;
            }
            if is_over {
                cleaned.next = Some(dag_id);
                return Ok(cleaned);
            }
        }
        cleaned.results = policy.before.map_or(Ok(0), |at| self.remove_results(at))?;
        cleaned.dag_versions = self.remove_dag_versions()?;
        let collected = self.store.collect_blobs()?;
        (cleaned.blobs, cleaned.blob_bytes) = (collected.blobs, collected.bytes);
        Ok(cleaned)
    }

    fn remove_runs(&self, batch: &[Candidate], cleaned: &mut Cleaned) -> Result<(), UserError> {
        let mut removals = Vec::with_capacity(batch.len());
        for candidate in batch {
            match self.removal(candidate) {
                Ok(removal) => removals.push(removal),
                Err(error) => {
                    let RunRow { dag_id, run_id, .. } = &candidate.run;
                    tracing::warn!(%dag_id, %run_id, %error, "a run that cannot be read is not cleaned");
                    cleaned.unreadable += 1;
                }
            }
        }
        if !removals.is_empty() {
            // One that somebody took up again since the look stays.
            let went = (self.remove)(removals)?;
            cleaned.runs += went.into_iter().filter(|went| *went).count();
        }
        Ok(())
    }

    /// Removes runs that somebody named, with their logs; says of each whether it went.
    pub(super) fn remove_named(&self, named: &[Candidate]) -> Result<Vec<bool>, UserError> {
        let mut went = Vec::with_capacity(named.len());
        for batch in named.chunks(BATCH) {
            let removals = batch.iter().map(|candidate| self.removal(candidate));
            went.extend((self.remove)(removals.collect::<Result<_, _>>()?)?);
            self.remove_logs()?;
        }
        Ok(went)
    }

    /// What takes a run away.
    fn removal(&self, candidate: &Candidate) -> Result<Removal, UserError> {
        let RunRow { dag_id, run_id, .. } = &candidate.run;
        let replayed = replay_run(self.store, dag_id, run_id)?;
        let mut logs: BTreeMap<String, (i32, i32)> = BTreeMap::new();
        for row in task_instance_rows(&replayed.state, &replayed.times) {
            let range = logs
                .entry(row.task_id)
                .or_insert((row.map_index, row.map_index + 1));
            range.0 = range.0.min(row.map_index);
            range.1 = range.1.max(row.map_index + 1);
        }
        let logs = logs.into_iter().filter_map(|(task_id, (from, to))| {
            let task_id = TaskId::parse(&task_id).ok()?;
            Some((task_id, from, to))
        });
        let note = Note {
            dag_id: dag_id.clone(),
            run_id: run_id.clone(),
            logs: logs.collect(),
        };
        let key = run_key(dag_id, run_id);
        let mut rows = vec![
            (
                INDEX,
                write([NOTE_PREFIX, &key].concat(), None, Some(encode_row(&note)?)),
            ),
            (Table::Run, write(key, Some(candidate.version), None)),
        ];
        if let Some(date) = candidate.run.logical_date {
            rows.push((INDEX, write(date_key(dag_id, date), None, None)));
        }
        let commit = Commit {
            rows,
            remove_streams: vec![run_stream(dag_id, run_id)],
            ..Commit::default()
        };
        Ok(Removal {
            dag_id: dag_id.clone(),
            run_id: run_id.clone(),
            commit,
        })
    }

    /// Removes the logs that notes name, then the notes. A step that was cut off left some.
    fn remove_logs(&self) -> Result<(), UserError> {
        loop {
            let notes = self.store.scan(INDEX, NOTE_PREFIX, None, PAGE)?;
            if notes.is_empty() {
                return Ok(());
            }
            let mut rows = Vec::with_capacity(notes.len());
            for row in notes {
                self.remove_logs_of(&decode_row(&row.value)?)?;
                rows.push((INDEX, write(row.key, None, None)));
            }
            self.store.commit(Commit {
                rows,
                ..Commit::default()
            })?;
        }
    }

    fn remove_logs_of(&self, note: &Note) -> Result<(), UserError> {
        let failed = |error: std::io::Error| {
            let message = format!("cannot remove a log of run {}: {error}", note.run_id);
            UserError::new(crate::error::ErrorKind::Store, message)
                .hint("check the permissions of the data folder, then clean again")
        };
        let of_run = self.logs.remove_run(&note.dag_id, &note.run_id);
        of_run.map_err(failed)?;
        for (task_id, from, to) in &note.logs {
            for map_index in *from..*to {
                let stream = LogStream {
                    dag_id: &note.dag_id,
                    run_id: &note.run_id,
                    task_id,
                    map_index,
                };
                self.logs.remove(&stream).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Removes versions that no run, and no DAG as it is now, names.
    /// Results that were reached before `before`, and those that this program cannot use.
    fn remove_results(&self, before: Timestamp) -> Result<usize, UserError> {
        let mut rows = Vec::new();
        for_each_row(self.store, Table::State, KEPT_PREFIX, |row| {
            if kept_at(&row.value).is_none_or(|at| at < before) {
                rows.push((Table::State, write(row.key, Some(row.version), None)));
            }
            Ok(())
        })?;
        self.remove_rows(rows)
    }

    fn remove_dag_versions(&self) -> Result<usize, UserError> {
        let mut used = HashSet::new();
        let mut young = BTreeSet::new();
        for_each_row(self.store, Table::Dag, b"", |row| {
            let dag: DagRow = decode_row(&row.value)?;
            used.insert(dag.dag_version);
            if self.now.duration_since(dag.updated_at) < VERSION_GRACE {
                young.insert(dag.dag_id);
            }
            Ok(())
        })?;
        for_each_row(self.store, Table::Run, b"", |row| {
            used.insert(decode_row::<RunRow>(&row.value)?.dag_version);
            Ok(())
        })?;
        let mut unused = Vec::new();
        for_each_row(self.store, Table::DagVersion, b"", |row| {
            let name = <[u8; 32]>::try_from(row.key.as_slice()).map(|key| Digest(key).to_string());
            if name.is_ok_and(|name| !used.contains(&name)) {
                let dag_id = decode_row::<DagVersionRow>(&row.value)?.dag.dag_id;
                if !young.contains(&dag_id) {
                    unused.push((dag_id, row.key, row.version));
                }
            }
            Ok(())
        })?;
        self.remove_versions(unused)
    }

    /// Removes those of these versions that no event of a run names: a run that was cleared may have changed its version.
    fn remove_versions(&self, versions: Vec<(DagId, Vec<u8>, u64)>) -> Result<usize, UserError> {
        let mut named = HashSet::new();
        let dags: BTreeSet<&DagId> = versions.iter().map(|(dag_id, _, _)| dag_id).collect();
        for dag_id in dags {
            for_each_row(self.store, Table::Run, &runs_prefix(dag_id), |row| {
                let run: RunRow = decode_row(&row.value)?;
                self.add_versions(&run, &mut named)
            })?;
        }
        let rows = versions.into_iter().filter_map(|(_, key, version)| {
            let is_named = named.contains(key.as_slice());
            (!is_named).then(|| (Table::DagVersion, write(key, Some(version), None)))
        });
        self.remove_rows(rows.collect())
    }

    /// Removes rows, each by itself; one that was written again meanwhile stays.
    fn remove_rows(&self, rows: Vec<(Table, RowWrite)>) -> Result<usize, UserError> {
        let mut removed = 0;
        let commits = rows.into_iter().map(|row| Commit {
            rows: vec![row],
            ..Commit::default()
        });
        for result in commit_all(self.store, commits.collect()) {
            match result {
                Ok(_) => removed += 1,
                Err(CommitError::WrongVersion { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(removed)
    }
}

impl Cleaner<'_> {
    /// Adds the DAG versions that a run's events name.
    fn add_versions(&self, run: &RunRow, named: &mut HashSet<Vec<u8>>) -> Result<(), UserError> {
        for_each_event(self.store, &run.dag_id, &run.run_id, |_, event| {
            if let Event::RunQueued { dag_version, .. }
            | Event::VersionChanged { dag_version, .. } = event
            {
                named.insert(dag_version.to_vec());
            }
        })
    }
}

fn write(key: Vec<u8>, expect: Option<u64>, value: Option<Vec<u8>>) -> RowWrite {
    RowWrite { key, expect, value }
}

/// Commits that share an fsync and fail one by one.
fn commit_all(
    store: &dyn Store,
    commits: Vec<Commit>,
) -> Vec<Result<crate::store::Receipt, CommitError>> {
    if commits.is_empty() {
        return Vec::new();
    }
    let (send, receive) = sync_channel(1);
    store.submit(
        commits,
        Box::new(move |results| {
            // The receiver waits below.
            let _ = send.send(results);
        }),
    );
    receive
        .recv()
        .unwrap_or_else(|_| vec![Err(CommitError::Unknown)])
}

/// Every DAG that has a run, by id; one look-up a DAG, not one a run.
fn dags_with_runs(store: &dyn Store) -> Result<Vec<DagId>, UserError> {
    let mut dags = Vec::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = store.scan(Table::Run, b"", after.as_deref(), 1)?;
        let Some(row) = rows.first() else {
            return Ok(dags);
        };
        let dag_id = decode_row::<RunRow>(&row.value)?.dag_id;
        // Behind every run of this DAG: run ids hold no byte 0xff.
        let mut behind = runs_prefix(&dag_id);
        behind.push(u8::MAX);
        after = Some(behind);
        dags.push(dag_id);
    }
}

pub(super) fn candidates(store: &dyn Store, dag_id: &DagId) -> Result<Vec<Candidate>, UserError> {
    let mut found = Vec::new();
    for_each_row(store, Table::Run, &runs_prefix(dag_id), |row| {
        found.push(Candidate {
            run: decode_row(&row.value)?,
            version: row.version,
        });
        Ok(())
    })?;
    Ok(found)
}

/// Those runs of one DAG that may go, the oldest first.
fn removable(runs: &[Candidate], policy: RetentionPolicy) -> Vec<Candidate> {
    if policy == RetentionPolicy::default() {
        return Vec::new();
    }
    let mut newest_first: Vec<&Candidate> = runs.iter().collect();
    newest_first.sort_by(|one, other| age(&other.run).cmp(&age(&one.run)));
    let looked_at = looked_back_at(&newest_first);
    let finished = newest_first
        .iter()
        .filter(|candidate| candidate.run.state.is_finished());
    let mut removable: Vec<Candidate> = finished
        .skip(policy.keep.unwrap_or(0))
        .filter(|candidate| {
            let ended = candidate.run.end_date.unwrap_or(candidate.run.run_after);
            policy.before.is_none_or(|before| ended < before)
                && !looked_at.contains(&candidate.run.run_id)
        })
        .map(|candidate| (*candidate).clone())
        .collect();
    removable.reverse();
    removable
}

/// What "newer" means: by logical date, or by when it was due where there is none.
fn age(run: &RunRow) -> (Timestamp, Timestamp, &RunId) {
    (
        run.logical_date.unwrap_or(run.run_after),
        run.run_after,
        &run.run_id,
    )
}

/// Runs that somebody looks back at: the newest of each type (a timetable goes on from there), and the one before each run that
/// has not ended, of any type and scheduled (`depends_on_past`).
fn looked_back_at(newest_first: &[&Candidate]) -> BTreeSet<RunId> {
    let mut kept = BTreeSet::new();
    let mut seen: Vec<RunType> = Vec::new();
    let (mut any, mut scheduled) = (false, false);
    for Candidate { run, .. } in newest_first {
        let is_scheduled = run.run_type == RunType::Scheduled;
        if !seen.contains(&run.run_type) {
            seen.push(run.run_type);
            kept.insert(run.run_id.clone());
        }
        if any || (scheduled && is_scheduled) {
            kept.insert(run.run_id.clone());
        }
        any = false;
        scheduled &= !is_scheduled;
        if !run.state.is_finished() {
            (any, scheduled) = (true, true);
        }
    }
    kept
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
