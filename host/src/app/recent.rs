//! The newest runs of every DAG, in memory: read once, then followed by the feed of changes, so that a list costs what changed and
//! not what there is. It owns nothing: it can be thrown away at any time. It refuses to hold more than `RUNS_KEPT_MAX` a DAG; of the
//! other runs it holds 64 bits each, so that a list can say how many there are.

use super::App;
use super::feed::{Changed, Feed, News};
use super::rows::for_each_row;
use crate::error::UserError;
use crate::scheduler::{RunRow, decode_row, run_key};
use crate::store::{Position, Store, Table};
use airlock_core::ids::{DagId, RunId};
use jiff::Timestamp;
use std::cmp::Reverse;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashSet};
use std::hash::{Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};

/// Runs that are remembered of each DAG, the newest ones.
pub const RUNS_KEPT_MAX: usize = 400;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Recent {
    seen: Mutex<Option<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    cursor: Position,
    /// The newest first.
    dags: BTreeMap<DagId, Vec<Arc<RunRow>>>,
    /// Every run by a hash of its id. Two of a million runs share one once in thirty million stores; then the count is one too low.
    ids: BTreeMap<DagId, HashSet<u64>>,
}

/// A part of a list, the newest runs first, and how many runs the whole list has.
pub type NewestRuns = (Vec<Arc<RunRow>>, usize);

fn hashed(run_id: &RunId) -> u64 {
    let mut hasher = DefaultHasher::new();
    run_id.as_str().hash(&mut hasher);
    hasher.finish()
}

impl Seen {
    /// Everything, read anew.
    fn read(store: &dyn Store, cursor: Position) -> Result<Self, UserError> {
        let mut seen = Self {
            cursor,
            ..Self::default()
        };
        for_each_row(store, Table::Run, b"", |row| {
            let row: RunRow = decode_row(&row.value)?;
            let ids = seen.ids.entry(row.dag_id.clone()).or_default();
            ids.insert(hashed(&row.run_id));
            let runs = seen.dags.entry(row.dag_id.clone()).or_default();
            runs.push(Arc::new(row));
            if runs.len() > 2 * RUNS_KEPT_MAX {
                trim(runs);
            }
            Ok(())
        })?;
        for runs in seen.dags.values_mut() {
            trim(runs);
        }
        Ok(seen)
    }

    /// What has changed since.
    fn follow(&mut self, store: &dyn Store, feed: &Feed) -> Result<(), UserError> {
        while let Some(news) = feed.after(self.cursor) {
            match news {
                News::Missed { cursor } => *self = Self::read(store, cursor)?,
                News::Changes { cursor, changed } => {
                    self.take_in(store, &changed)?;
                    self.cursor = cursor;
                }
            }
        }
        Ok(())
    }

    fn take_in(&mut self, store: &dyn Store, changed: &Changed) -> Result<(), UserError> {
        for (dag_id, run_id) in &changed.runs {
            let row = store.get(Table::Run, &run_key(dag_id, run_id))?;
            let runs = self.dags.entry(dag_id.clone()).or_default();
            runs.retain(|run| run.run_id != *run_id);
            let ids = self.ids.entry(dag_id.clone()).or_default();
            if let Some(row) = row {
                ids.insert(hashed(run_id));
                let row: RunRow = decode_row(&row.value)?;
                // An old one that changed: what is newer than it may be there and not be kept here.
                let is_kept = ids.len() <= runs.len() + 1
                    || runs.last().is_some_and(|oldest| key(&row) > key(oldest));
                if is_kept {
                    runs.push(Arc::new(row));
                    trim(runs);
                }
            } else {
                ids.remove(&hashed(run_id));
            }
        }
        Ok(())
    }

    /// A part of the list of the runs of these DAGs; none where it reaches further back than what is kept.
    fn newest(
        &self,
        is_wanted: impl Fn(&DagId) -> bool,
        offset: usize,
        limit: usize,
    ) -> Option<NewestRuns> {
        let end = offset.saturating_add(limit);
        let (mut newest, mut total) = (Vec::new(), 0);
        for (dag_id, runs) in self.dags.iter().filter(|(dag_id, _)| is_wanted(dag_id)) {
            let count = self.ids.get(dag_id).map_or(0, HashSet::len);
            if runs.len() < count.min(end) {
                return None;
            }
            total += count;
            newest.extend(runs.iter().take(end));
        }
        newest.sort_by_key(|run| Reverse((key(run), &run.dag_id)));
        let part = newest.into_iter().skip(offset).take(limit);
        Some((part.cloned().collect(), total))
    }
}

/// What is newer: no two runs of a DAG are equal.
fn key(run: &RunRow) -> (Timestamp, Timestamp, &RunId) {
    (run.run_after, run.queued_at, &run.run_id)
}

/// Sorts runs as `App::newest_runs` does.
pub fn newest_first(runs: &mut [RunRow]) {
    runs.sort_by(|one, other| (key(other), &other.dag_id).cmp(&(key(one), &one.dag_id)));
}

/// The newest first, and no more than are kept.
fn trim(runs: &mut Vec<Arc<RunRow>>) {
    runs.sort_by(|one, other| key(other).cmp(&key(one)));
    runs.truncate(RUNS_KEPT_MAX);
}

impl App {
    /// The newest runs of a DAG, the newest first, at most `max` (and at most `RUNS_KEPT_MAX`).
    pub fn recent_runs(&self, dag_id: &DagId, max: usize) -> Result<Vec<Arc<RunRow>>, UserError> {
        self.with_recent(|dags| {
            let runs = dags.get(dag_id).into_iter().flatten();
            runs.take(max).cloned().collect()
        })
    }

    /// A part of the list of the runs of these DAGs, the newest first; none where it reaches further back than what is kept, and
    /// the store must be read.
    pub fn newest_runs(
        &self,
        is_wanted: impl Fn(&DagId) -> bool,
        offset: usize,
        limit: usize,
    ) -> Result<Option<NewestRuns>, UserError> {
        self.with_seen(|seen| seen.newest(is_wanted, offset, limit))
    }

    /// Reads the newest runs of every DAG.
    pub fn with_recent<T>(
        &self,
        read: impl FnOnce(&BTreeMap<DagId, Vec<Arc<RunRow>>>) -> T,
    ) -> Result<T, UserError> {
        self.with_seen(|seen| read(&seen.dags))
    }

    fn with_seen<T>(&self, read: impl FnOnce(&Seen) -> T) -> Result<T, UserError> {
        let mut seen = self
            .recent
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let store = self.store.as_ref();
        let mut known = match seen.take() {
            Some(known) => known,
            // The cursor first: what is committed meanwhile is read twice, not never.
            None => Seen::read(store, self.feed.cursor())?,
        };
        known.follow(store, &self.feed)?;
        let value = read(&known);
        *seen = Some(known);
        Ok(value)
    }

    /// The run that was made last.
    pub fn latest_run(&self, dag_id: &DagId) -> Result<Option<RunId>, UserError> {
        let runs = self.recent_runs(dag_id, 1)?;
        Ok(runs.first().map(|run| run.run_id.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::encode_row;
    use crate::store::{Commit, MemoryStore, RowWrite};
    use airlock_core::run::event::RunType;
    use airlock_core::task_instance::state::DagRunState;

    fn dag(name: &str) -> DagId {
        DagId::parse(name).unwrap()
    }

    fn run(number: usize) -> RunId {
        RunId::parse(&format!("run_{number}")).unwrap()
    }

    /// Writes the run of a second, or removes it.
    fn put(store: &MemoryStore, dag_id: &str, number: usize, is_there: bool) {
        let at = Timestamp::from_second(i64::try_from(number).unwrap()).unwrap();
        let (dag_id, run_id) = (dag(dag_id), run(number));
        let key = run_key(&dag_id, &run_id);
        let row = RunRow {
            dag_id,
            run_id,
            run_type: RunType::Manual,
            state: DagRunState::Success,
            reason: String::new(),
            logical_date: None,
            run_after: at,
            queued_at: at,
            start_date: None,
            end_date: None,
            dag_version: String::new(),
            backfill_id: None,
            triggered_by: String::new(),
            note: String::new(),
            trace_parent: String::new(),
        };
        let value = is_there.then(|| encode_row(&row).unwrap());
        let write = RowWrite {
            key,
            expect: None,
            value,
        };
        let rows = vec![(Table::Run, write)];
        store
            .commit(Commit {
                rows,
                ..Commit::default()
            })
            .unwrap();
    }

    fn told(seen: &mut Seen, store: &MemoryStore, dag_id: &str, number: usize) {
        let mut changed = Changed::default();
        changed.runs.insert((dag(dag_id), run(number)));
        seen.take_in(store, &changed).unwrap();
    }

    fn numbers(part: Option<NewestRuns>) -> Option<(Vec<String>, usize)> {
        let (runs, total) = part?;
        let ids = runs.iter().map(|run| run.run_id.to_string());
        Some((ids.collect(), total))
    }

    #[test]
    fn a_part_of_the_list_is_that_of_the_whole_list_or_none() {
        let store = MemoryStore::default();
        for number in 0..RUNS_KEPT_MAX + 10 {
            put(&store, "a", number, true);
        }
        put(&store, "b", RUNS_KEPT_MAX + 5, true);
        let mut seen = Seen::read(&store, Position::default()).unwrap();
        let all = RUNS_KEPT_MAX + 10;
        let of_a = |seen: &Seen, offset, limit| {
            numbers(seen.newest(|dag_id| dag_id.as_str() == "a", offset, limit))
        };
        let ids = |newest: &[usize]| newest.iter().map(|id| format!("run_{id}")).collect();
        assert_eq!(of_a(&seen, 1, 2), Some((ids(&[all - 2, all - 3]), all)));
        // Beyond what is kept only the store knows.
        assert_eq!(of_a(&seen, RUNS_KEPT_MAX - 1, 2), None);
        let both = numbers(seen.newest(|_| true, 4, 2)).unwrap();
        assert_eq!(
            both,
            (ids(&[RUNS_KEPT_MAX + 5, RUNS_KEPT_MAX + 5]), all + 1)
        );
        // A new one, one that is told twice, one that goes, and an old one that changes.
        put(&store, "a", all, true);
        told(&mut seen, &store, "a", all);
        told(&mut seen, &store, "a", all);
        put(&store, "a", all - 1, false);
        told(&mut seen, &store, "a", all - 1);
        told(&mut seen, &store, "a", 0);
        assert_eq!(of_a(&seen, 0, 2), Some((ids(&[all, all - 2]), all)));
        assert_eq!(of_a(&seen, RUNS_KEPT_MAX - 2, 2), None);
        assert!(of_a(&seen, RUNS_KEPT_MAX - 3, 2).is_some());
    }
}
