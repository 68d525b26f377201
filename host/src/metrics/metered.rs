//! A store that counts: it passes everything on, and looks at what became durable. It refuses to change anything.

use super::Metrics;
use crate::lineage::Moment;
use crate::scheduler::{RunRow, decode_event, decode_row, run_stream};
use crate::store::{
    CheckReport, Collected, Commit, CommitError, Digest, Done, Event as Stored, Lease, Row, Seq,
    Store, StoreError, StreamId, Table, WorkItem,
};
use airlock_core::run::event::Event;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Instant;

/// The streams of runs.
const RUN_STREAM: &str = "run/";

/// Told of each run that started or ended, once that is durable.
pub(crate) type OnRun = Box<dyn Fn(Moment, &RunRow) + Send + Sync>;

/// See the module's documentation.
pub(crate) struct Metered {
    store: Arc<dyn Store>,
    shared: Arc<Shared>,
}

struct Shared {
    metrics: Arc<Metrics>,
    on_run: Option<OnRun>,
}

impl Metered {
    /// Counts into `metrics`, and tells of runs that started or ended.
    pub(crate) fn over(
        store: Arc<dyn Store>,
        metrics: Arc<Metrics>,
        on_run: Option<OnRun>,
    ) -> Arc<dyn Store> {
        let shared = Arc::new(Shared { metrics, on_run });
        Arc::new(Self { store, shared })
    }
}

/// What a commit holds that is counted.
#[derive(Default)]
struct Counted {
    /// Of each stream of a run.
    events: Vec<(StreamId, Vec<Vec<u8>>)>,
    rows: Vec<Vec<u8>>,
}

impl Counted {
    fn of(commit: &Commit) -> Self {
        let mut counted = Self::default();
        if let Some((stream, _)) = &commit.stream {
            counted.take(stream, &commit.events);
        }
        for append in &commit.more_streams {
            counted.take(&append.stream, &append.events);
        }
        for (table, write) in &commit.rows {
            if let (Table::Run, Some(value)) = (table, &write.value) {
                counted.rows.push(value.clone());
            }
        }
        counted
    }

    fn take(&mut self, stream: &StreamId, events: &[Vec<u8>]) {
        if stream.0.starts_with(RUN_STREAM) {
            self.events.push((stream.clone(), events.to_vec()));
        }
    }
}

impl Shared {
    fn follow(&self, counted: &Counted) {
        let (mut started, mut ended) = (BTreeSet::new(), BTreeSet::new());
        for (stream, events) in &counted.events {
            // What cannot be read is told by whoever needs it.
            for event in events.iter().filter_map(|event| decode_event(event).ok()) {
                match event {
                    Event::RunStarted { .. } => started.insert(&stream.0),
                    Event::RunFinished { .. } => ended.insert(&stream.0),
                    _ => false,
                };
                self.metrics.follow(&event);
            }
        }
        if started.is_empty() && ended.is_empty() {
            return;
        }
        for value in &counted.rows {
            if let Ok(row) = decode_row::<RunRow>(value) {
                let stream = run_stream(&row.dag_id, &row.run_id).0;
                self.tell(&row, started.contains(&stream), ended.contains(&stream));
            }
        }
    }

    /// A run may start and end in one commit.
    fn tell(&self, row: &RunRow, has_started: bool, has_ended: bool) {
        let has_ended = has_ended && row.state.is_finished();
        if let (true, Some(start), Some(end)) = (has_ended, row.start_date, row.end_date) {
            self.metrics.ran(end.duration_since(start).as_secs_f64());
        }
        let Some(on_run) = &self.on_run else { return };
        if has_started {
            on_run(Moment::Started, row);
        }
        if has_ended {
            on_run(Moment::Ended, row);
        }
    }
}

impl Store for Metered {
    fn submit(&self, batch: Vec<Commit>, done: Done) {
        let begun = Instant::now();
        let counted: Vec<Counted> = batch.iter().map(Counted::of).collect();
        let shared = self.shared.clone();
        let then = Box::new(move |results: Vec<Result<_, CommitError>>| {
            let made = results.iter().filter(|result| result.is_ok()).count();
            if made > 0 {
                shared.metrics.committed(made, begun.elapsed());
            }
            for (result, counted) in results.iter().zip(&counted) {
                match result {
                    Ok(_) => shared.follow(counted),
                    Err(_) => shared.metrics.refused(),
                }
            }
            done(results);
        });
        self.store.submit(batch, then);
    }

    fn read(&self, stream: &StreamId, from: Seq, max: usize) -> Result<Vec<Stored>, StoreError> {
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
