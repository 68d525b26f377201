//! The stream of changes that pages and programs follow: folded from durable commits, in their order, with a cursor to go on
//! from. It wraps the store, so that nothing that was committed is missed and nothing is told that was not. It refuses to wait
//! for a reader: who is too slow is told to begin anew.

use crate::store::{
    CheckReport, Collected, Commit, CommitError, Digest, Done, Event, Lease, Position, Receipt,
    Row, Seq, Store, StoreError, StreamId, Table, WorkItem,
};
use airlock_core::ids::{DagId, RunId};
use serde::Serialize;
use std::collections::{BTreeSet, VecDeque};
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// Changes that are remembered for who comes back with a cursor.
pub const CHANGES_KEPT_MAX: usize = 2_048;
/// Changes that a reader is given at once.
pub(super) const CHANGES_READ_MAX: usize = 256;

/// What one commit, or several that came together, changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// Runs with new events, or gone.
    pub runs: BTreeSet<(DagId, RunId)>,
    /// DAGs: new version, paused, stale.
    pub dags: BTreeSet<String>,
    /// Everything else, by what it is about.
    pub topics: BTreeSet<Topic>,
}

/// What else changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Files that cannot be read.
    ImportErrors,
    /// Pools.
    Pools,
    /// Variables.
    Variables,
    /// Connections.
    Connections,
    /// Experiments and their runs.
    Experiments,
    /// Registered models and their versions.
    Models,
    /// The audit trail.
    Audit,
}

impl Changed {
    fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.dags.is_empty() && self.topics.is_empty()
    }

    fn take_in(&mut self, other: &Self) {
        self.runs.extend(other.runs.iter().cloned());
        self.dags.extend(other.dags.iter().cloned());
        self.topics.extend(&other.topics);
    }

    /// What a commit touches.
    fn of(commit: &Commit) -> Self {
        let mut changed = Self::default();
        let streams = commit.stream.iter().map(|(stream, _)| stream);
        let more = commit.more_streams.iter().map(|append| &append.stream);
        for StreamId(name) in streams.chain(more).chain(&commit.remove_streams) {
            changed.add_stream(name);
        }
        for (table, write) in &commit.rows {
            changed.add_row(*table, &write.key);
        }
        changed
    }

    fn add_stream(&mut self, name: &str) {
        if name.starts_with("audit") {
            self.topics.insert(Topic::Audit);
        }
        let ids = name
            .strip_prefix("run/")
            .and_then(|rest| rest.split_once('/'));
        self.add_run(ids);
    }

    fn add_run(&mut self, ids: Option<(&str, &str)>) {
        let parsed = ids.map(|(dag_id, run_id)| (DagId::parse(dag_id), RunId::parse(run_id)));
        if let Some((Ok(dag_id), Ok(run_id))) = parsed {
            self.runs.insert((dag_id, run_id));
        }
    }

    fn add_row(&mut self, table: Table, key: &[u8]) {
        let text = std::str::from_utf8(key).unwrap_or_default();
        let topic = match table {
            Table::Run => return self.add_run(text.split_once('\0')),
            Table::Dag => {
                self.dags.insert(text.to_owned());
                return;
            }
            Table::State if key.starts_with(super::folders::IMPORT_ERROR) => Topic::ImportErrors,
            Table::Pool => Topic::Pools,
            Table::Variable => Topic::Variables,
            Table::Connection => Topic::Connections,
            Table::Experiment | Table::TrackingRun | Table::Metric => Topic::Experiments,
            Table::Model | Table::ModelVersion => Topic::Models,
            Table::State | Table::DagVersion | Table::Plugin => return,
        };
        self.topics.insert(topic);
    }
}

/// What a reader gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// These changes; the next read goes on from `cursor`.
    Changes {
        /// Where to go on.
        cursor: Position,
        /// What changed, put together.
        changed: Changed,
    },
    /// The cursor is older than what is remembered: read everything anew, and go on from here.
    Missed {
        /// Where to go on.
        cursor: Position,
    },
}

/// The changes that are remembered.
#[derive(Debug)]
pub struct Feed {
    kept: Mutex<Kept>,
    last: watch::Sender<Position>,
}

#[derive(Debug, Default)]
struct Kept {
    changes: VecDeque<(Position, Changed)>,
    /// Everything after this position is in `changes`.
    complete_after: Position,
    last: Position,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            last: watch::Sender::new(0),
        }
    }
}

impl Feed {
    /// Tells of a commit that is durable. Commits come in their order.
    fn tell(&self, position: Position, changed: Changed) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.last == 0 {
            // What an earlier process committed is not remembered here.
            kept.complete_after = position.saturating_sub(1);
        }
        kept.last = kept.last.max(position);
        if changed.is_empty() {
            return;
        }
        kept.changes.push_back((position, changed));
        while kept.changes.len() > CHANGES_KEPT_MAX {
            if let Some((gone, _)) = kept.changes.pop_front() {
                kept.complete_after = gone;
            }
        }
        drop(kept);
        self.last.send_replace(position);
    }

    /// Where the changes are now.
    pub fn cursor(&self) -> Position {
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .last
    }

    /// What came after `cursor`, at most `CHANGES_READ_MAX` of it; none where nothing did. Never waits.
    pub fn after(&self, cursor: Position) -> Option<News> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // A cursor from ahead is one of another store.
        if cursor < kept.complete_after || cursor > kept.last {
            return Some(News::Missed { cursor: kept.last });
        }
        let from = kept
            .changes
            .partition_point(|(position, _)| *position <= cursor);
        let mut news = None;
        for (position, more) in kept.changes.iter().skip(from).take(CHANGES_READ_MAX) {
            let (at, changed) = news.get_or_insert((*position, Changed::default()));
            *at = *position;
            changed.take_in(more);
        }
        news.map(|(cursor, changed)| News::Changes { cursor, changed })
    }

    /// Wakes whenever something changed.
    pub fn wakes(&self) -> watch::Receiver<Position> {
        self.last.subscribe()
    }
}

/// A store whose durable commits are told to a feed.
pub(super) struct Announced {
    store: Arc<dyn Store>,
    feed: Arc<Feed>,
}

impl Announced {
    pub(super) fn over(store: Arc<dyn Store>) -> (Arc<dyn Store>, Arc<Feed>) {
        let feed = Arc::new(Feed::default());
        let announced = Self {
            store,
            feed: feed.clone(),
        };
        (Arc::new(announced), feed)
    }
}

impl Store for Announced {
    fn submit(&self, batch: Vec<Commit>, done: Done) {
        let changes: Vec<Changed> = batch.iter().map(Changed::of).collect();
        let feed = self.feed.clone();
        let told = move |results: Vec<Result<Receipt, CommitError>>| {
            for (result, changed) in results.iter().zip(changes) {
                if let Ok(receipt) = result {
                    feed.tell(receipt.position, changed);
                }
            }
            done(results);
        };
        self.store.submit(batch, Box::new(told));
    }

    fn read(&self, stream: &StreamId, from: Seq, max: usize) -> Result<Vec<Event>, StoreError> {
        self.store.read(stream, from, max)
    }

    fn head(&self, stream: &StreamId) -> Result<Seq, StoreError> {
        self.store.head(stream)
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Row>, StoreError> {
        self.store.get(table, key)
    }

    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.store.scan(table, prefix, after, max)
    }

    fn lease(&self, key: &[u8], holder: &str, ttl_ms: u64) -> Result<Lease, StoreError> {
        self.store.lease(key, holder, ttl_ms)
    }

    fn due(&self, now_ms: i64, max: usize) -> Result<Vec<(i64, Row)>, StoreError> {
        self.store.due(now_ms, max)
    }

    fn claim(
        &self,
        queue: &str,
        worker: &str,
        max: usize,
        ttl_ms: u64,
    ) -> Result<Vec<WorkItem>, StoreError> {
        self.store.claim(queue, worker, max, ttl_ms)
    }

    fn put_blob(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        self.store.put_blob(bytes)
    }

    fn collect_blobs(&self) -> Result<Collected, StoreError> {
        self.store.collect_blobs()
    }

    fn get_blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get_blob(digest)
    }

    fn export(&self, to: &mut dyn Write) -> Result<u64, StoreError> {
        self.store.export(to)
    }

    fn import(&self, from: &mut dyn Read) -> Result<u64, StoreError> {
        self.store.import(from)
    }

    fn check(&self) -> Result<CheckReport, StoreError> {
        self.store.check()
    }

    fn checkpoint(&self) -> Result<(), StoreError> {
        self.store.checkpoint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{MemoryStore, RowWrite};

    fn announced() -> (Arc<dyn Store>, Arc<Feed>) {
        Announced::over(Arc::new(MemoryStore::default()))
    }

    fn pause(store: &Arc<dyn Store>, dag_id: &str) -> Position {
        let write = RowWrite {
            key: dag_id.as_bytes().to_vec(),
            expect: None,
            value: Some(b"x".to_vec()),
        };
        let commit = Commit {
            rows: vec![(Table::Dag, write)],
            ..Commit::default()
        };
        store.commit(commit).unwrap().position
    }

    fn names(news: Option<News>) -> Vec<String> {
        match news {
            Some(News::Changes { changed, .. }) => changed.dags.into_iter().collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_reader_goes_on_where_it_was() {
        let (store, feed) = announced();
        let first = pause(&store, "a");
        pause(&store, "b");
        assert_eq!(names(feed.after(first)), ["b"]);
        assert_eq!(feed.after(feed.cursor()), None);
        pause(&store, "c");
        assert_eq!(names(feed.after(first)), ["b", "c"]);
    }

    #[test]
    fn a_reader_that_was_away_too_long_begins_anew() {
        let (store, feed) = announced();
        let first = pause(&store, "a");
        for _ in 0..=CHANGES_KEPT_MAX {
            pause(&store, "b");
        }
        let cursor = feed.cursor();
        assert_eq!(feed.after(first), Some(News::Missed { cursor }));
        assert_eq!(feed.after(cursor + 7), Some(News::Missed { cursor }));
        assert_eq!(feed.after(cursor), None);
    }

    #[test]
    fn a_refused_commit_is_not_told() {
        let (store, feed) = announced();
        pause(&store, "a");
        let write = RowWrite {
            key: b"a".to_vec(),
            expect: Some(99),
            value: None,
        };
        let refused = store.commit(Commit {
            rows: vec![(Table::Dag, write)],
            ..Commit::default()
        });
        assert!(refused.is_err());
        assert_eq!(feed.after(feed.cursor()), None);
    }

    #[test]
    fn events_of_a_run_name_the_run() {
        let mut changed = Changed::default();
        changed.add_stream("run/churn/manual__2026-01-05T02:00:00+00:00");
        changed.add_stream("audit/model/churn");
        let (dag_id, run_id) = changed.runs.first().unwrap();
        assert_eq!(dag_id.as_str(), "churn");
        assert_eq!(run_id.as_str(), "manual__2026-01-05T02:00:00+00:00");
        assert_eq!(changed.topics, BTreeSet::from([Topic::Audit]));
    }
}
