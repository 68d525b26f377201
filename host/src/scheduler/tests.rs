//! The loop over a store whose commits a test holds back, so that what comes between two of them is decided by the test.

use super::*;
use crate::store::{
    CheckReport, Collected, Commit, Digest, Done, Event as Stored, Lease, MemoryStore, Row,
    RowWrite, Seq, StoreError, StreamId, Table, WorkItem,
};
use airlock_core::dag::spec::Dag;
use airlock_core::dag::{digest, parse};
use airlock_core::dispatch::{RunNumber, Slots};
use airlock_core::ids::{DagId, RunId, TaskInstanceKey};
use airlock_core::run::event::{Fence, Outcome, RunHeader, RunType};
use airlock_core::task_instance::state::{DagRunState, TaskInstanceState};
use jiff::Timestamp;
use std::io::{Read, Write};
use std::sync::Mutex;
use std::sync::mpsc::{Sender, SyncSender, sync_channel};
use std::time::Duration;

/// Nothing that a test waits for takes longer, even on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A store that remembers what was submitted, and holds it back while it is shut.
#[derive(Default)]
struct Gate {
    inner: MemoryStore,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    is_shut: bool,
    waiting: Vec<(Vec<Commit>, Done)>,
    submitted: Vec<Commit>,
}

impl Gate {
    fn shut(&self) {
        self.held.lock().unwrap().is_shut = true;
    }

    fn open(&self) {
        let mut held = self.held.lock().unwrap();
        held.is_shut = false;
        for (batch, done) in std::mem::take(&mut held.waiting) {
            self.inner.submit(batch, done);
        }
    }

    /// Waits until something is held back.
    fn until_held(&self) {
        let begun = std::time::Instant::now();
        while self.held.lock().unwrap().waiting.is_empty() {
            assert!(begun.elapsed() < PATIENCE, "nothing was submitted");
            std::thread::yield_now();
        }
    }

    fn submitted(&self) -> Vec<Commit> {
        self.held.lock().unwrap().submitted.clone()
    }
}

impl Store for Gate {
    fn submit(&self, batch: Vec<Commit>, done: Done) {
        let mut held = self.held.lock().unwrap();
        held.submitted.extend(batch.iter().cloned());
        if held.is_shut {
            held.waiting.push((batch, done));
        } else {
            self.inner.submit(batch, done);
        }
    }

    fn read(&self, stream: &StreamId, from: Seq, max: usize) -> Result<Vec<Stored>, StoreError> {
        self.inner.read(stream, from, max)
    }

    fn head(&self, stream: &StreamId) -> Result<Seq, StoreError> {
        self.inner.head(stream)
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Row>, StoreError> {
        self.inner.get(table, key)
    }

    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.inner.scan(table, prefix, after, max)
    }

    fn lease(&self, key: &[u8], holder: &str, ttl_ms: u64) -> Result<Lease, StoreError> {
        self.inner.lease(key, holder, ttl_ms)
    }

    fn due(&self, now_ms: i64, max: usize) -> Result<Vec<(i64, Row)>, StoreError> {
        self.inner.due(now_ms, max)
    }

    fn claim(
        &self,
        queue: &str,
        worker: &str,
        max: usize,
        ttl_ms: u64,
    ) -> Result<Vec<WorkItem>, StoreError> {
        self.inner.claim(queue, worker, max, ttl_ms)
    }

    fn put_blob(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        self.inner.put_blob(bytes)
    }

    fn collect_blobs(&self) -> Result<Collected, StoreError> {
        self.inner.collect_blobs()
    }

    fn get_blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get_blob(digest)
    }

    fn export(&self, to: &mut dyn Write) -> Result<u64, StoreError> {
        self.inner.export(to)
    }

    fn import(&self, from: &mut dyn Read) -> Result<u64, StoreError> {
        self.inner.import(from)
    }

    fn check(&self) -> Result<CheckReport, StoreError> {
        self.inner.check()
    }

    fn checkpoint(&self) -> Result<(), StoreError> {
        self.inner.checkpoint()
    }
}

/// Tells a test of each attempt; the test ends it.
struct Asked(Mutex<SyncSender<Attempt>>);

impl Executor for Asked {
    fn start(&self, attempt: Attempt) {
        // A test that has seen enough is gone.
        let _ = self.0.lock().unwrap().send(attempt);
    }

    fn call(&self, _: &Arc<RunView>) {}

    fn stop(&self, _: RunNumber, _: TaskInstanceKey, _: Fence, _: &str) {}
}

struct House {
    store: Arc<Gate>,
    scheduler: Option<Scheduler>,
    attempts: Receiver<Attempt>,
    _keeps_open: Sender<()>,
}

impl House {
    fn new() -> Self {
        Self::on(Arc::default())
    }

    fn on(store: Arc<Gate>) -> Self {
        let (send, attempts) = sync_channel(64);
        let pool = PoolSize {
            slots: Slots::Limited(8),
            include_deferred: false,
            gpus: None,
        };
        let options = Options {
            owner: 1,
            parallelism: 8,
            pools: vec![(PoolName::parse("default_pool").unwrap(), pool)],
            queues: None,
            gpus: Vec::new(),
            recover: true,
        };
        let starter = prepare();
        let executor = Arc::new(Asked(Mutex::new(send)));
        let scheduler = starter
            .start(store.clone(), executor, Arc::new(SystemClock), options)
            .unwrap();
        Self {
            store,
            scheduler: Some(scheduler),
            attempts,
            _keeps_open: channel().0,
        }
    }

    fn handle(&self) -> Handle {
        self.scheduler.as_ref().unwrap().handle().clone()
    }

    /// A DAG in the store; the service hears of it when it starts.
    fn dag(&self, text: &str) -> (Arc<Dag>, [u8; 32]) {
        let dag = parse(text).dag.unwrap();
        let version = digest(&dag);
        self.put(&dag, version, false);
        (Arc::new(dag), version)
    }

    fn put(&self, dag: &Dag, version: [u8; 32], is_paused: bool) -> DagRow {
        let row = DagRow {
            dag_id: dag.dag_id.clone(),
            dag_version: Digest(version).to_string(),
            is_paused,
            is_stale: false,
            fileloc: String::new(),
            updated_at: Timestamp::UNIX_EPOCH,
        };
        let write = |key: &[u8], value| RowWrite {
            key: key.to_vec(),
            expect: None,
            value: Some(value),
        };
        let version_row = DagVersionRow {
            dag: dag.clone(),
            source: String::new(),
        };
        let (dag_row, version_row) = (encode_row(&row), encode_row(&version_row));
        let rows = vec![
            (
                Table::Dag,
                write(dag.dag_id.as_str().as_bytes(), dag_row.unwrap()),
            ),
            (Table::DagVersion, write(&version, version_row.unwrap())),
        ];
        self.store
            .inner
            .commit(Commit {
                rows,
                ..Commit::default()
            })
            .unwrap();
        row
    }

    fn one(&self) -> (Arc<Dag>, [u8; 32]) {
        self.dag("dag_id: d\ntasks: [{task_id: t, operator: probe}]")
    }

    fn attempt(&self) -> Attempt {
        self.attempts.recv_timeout(PATIENCE).unwrap()
    }

    fn succeed(&self, attempt: &Attempt) {
        let Attempt { run, ti, fence, .. } = attempt;
        let outcome = Outcome::Success(None);
        self.handle().finish(run.number, *ti, *fence, outcome);
    }

    /// A run that has ended in success, durably.
    fn ended(&self, dag: &(Arc<Dag>, [u8; 32]), run_id: &str, date: Option<&str>) {
        wait(
            self.handle()
                .trigger(dag.0.clone(), dag.1, header(run_id, date)),
        )
        .unwrap();
        self.succeed_all_until(run_id);
        self.until_ended("d", run_id);
    }

    /// Ends every attempt in success, up to and with the first of a run.
    fn succeed_all_until(&self, run_id: &str) {
        loop {
            let attempt = self.attempt();
            self.succeed(&attempt);
            if attempt.run.header.run_id == id(run_id) {
                return;
            }
        }
    }

    /// Waits until the row of a run says that it has ended.
    fn until_ended(&self, dag: &str, run_id: &str) {
        let begun = std::time::Instant::now();
        while self.state(dag, run_id) != Some(DagRunState::Success) {
            assert!(begun.elapsed() < PATIENCE, "{run_id} does not end");
            std::thread::yield_now();
        }
        // The scheduler has heard of it too.
        let dag_id = DagId::parse(dag).unwrap();
        let _ = wait(self.handle().watch(dag_id, id(run_id)));
    }

    fn state(&self, dag: &str, run_id: &str) -> Option<DagRunState> {
        let key = run_key(&DagId::parse(dag).unwrap(), &id(run_id));
        let row = self.store.get(Table::Run, &key).unwrap()?;
        Some(decode_row::<RunRow>(&row.value).unwrap().state)
    }

    fn removal(&self, run_id: &str) -> Removal {
        let (dag_id, run_id) = (DagId::parse("d").unwrap(), id(run_id));
        let key = run_key(&dag_id, &run_id);
        let seen = self.store.get(Table::Run, &key).unwrap().unwrap();
        let write = RowWrite {
            key,
            expect: Some(seen.version),
            value: None,
        };
        let commit = Commit {
            rows: vec![(Table::Run, write)],
            remove_streams: vec![run_stream(&dag_id, &run_id)],
            ..Commit::default()
        };
        Removal {
            dag_id,
            run_id,
            commit,
        }
    }

    /// Asks on a thread of its own.
    fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(Handle) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let handle = self.handle();
        std::thread::spawn(move || ask(handle))
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn id(run_id: &str) -> RunId {
    RunId::parse(run_id).unwrap()
}

fn header(run_id: &str, date: Option<&str>) -> RunHeader {
    let mut header = RunHeader::new(id(run_id), RunType::Manual, Timestamp::UNIX_EPOCH);
    header.logical_date = date.map(|date| date.parse().unwrap());
    header
}

fn clear() -> Change {
    Change::Clear {
        selection: Selection::default(),
        dry_run: false,
        version: Version::Original,
    }
}

fn mark_failed() -> Change {
    Change::Mark {
        selection: Selection::default(),
        state: TaskInstanceState::Failed,
        by: "ana".to_owned(),
    }
}

fn change(handle: &Handle, change: Change) -> Result<Vec<ChangedInstance>, SchedulerError> {
    wait(handle.change(DagId::parse("d").unwrap(), id("one"), change))
}

#[test]
fn a_run_that_goes_while_a_person_clears_it_refuses_that_request_at_most() {
    let house = House::new();
    let dag = house.one();
    house.ended(&dag, "one", Some("2026-01-01T00:00:00Z"));
    let removal = house.removal("one");
    house.store.shut();
    let removed = house.ask(move |handle| handle.remove_runs(vec![removal]));
    house.store.until_held();
    let (again, version) = dag.clone();
    let asked = house.ask(move |handle| {
        wait(async {
            tokio::join!(
                handle.change(DagId::parse("d").unwrap(), id("one"), clear()),
                handle.trigger(again, version, header("one", None)),
            )
        })
    });
    house.store.open();
    assert_eq!(removed.join().unwrap(), Ok(vec![true]));
    let (cleared, triggered) = asked.join().unwrap();
    assert_eq!(triggered, Ok(()));
    // Both wait until the old run is gone. Whichever is heard first then: it clears nothing, or the run in the old one's place.
    match cleared {
        Ok(changed) => assert_eq!(changed.len(), 1),
        Err(error) => assert!(matches!(error, SchedulerError::NotFound { .. }), "{error}"),
    }
    house.ended(&dag, "two", None);
}

#[test]
fn a_run_that_somebody_holds_does_not_go() {
    let house = House::new();
    let dag = house.one();
    house.ended(&dag, "one", None);
    let removal = house.removal("one");
    change(&house.handle(), clear()).unwrap();
    assert_eq!(house.handle().remove_runs(vec![removal]), Ok(vec![false]));
    house.succeed(&house.attempt());
    house.until_ended("d", "one");
}

#[test]
fn a_run_whose_end_is_not_durable_yet_is_changed_as_it_is() {
    let house = House::new();
    let dag = house.one();
    wait(house.handle().trigger(dag.0, dag.1, header("one", None))).unwrap();
    let attempt = house.attempt();
    house.store.shut();
    house.succeed(&attempt);
    house.store.until_held();
    let marked = house.ask(|handle| change(&handle, mark_failed()));
    let cleared = house.ask(|handle| change(&handle, clear()));
    house.store.open();
    marked.join().unwrap().unwrap();
    cleared.join().unwrap().unwrap();
    // In either order: the scheduler lives, and the run can be run again.
    change(&house.handle(), clear()).unwrap();
    assert_eq!(house.attempt().try_number, 2);
}

#[test]
fn a_run_id_or_a_date_that_was_taken_since_somebody_looked_is_refused() {
    let house = House::new();
    let dag = house.one();
    let date = Some("2026-01-01T00:00:00Z");
    house.ended(&dag, "one", date);
    for (run_id, date) in [("one", None), ("two", date)] {
        let header = header(run_id, date);
        let refused = wait(house.handle().trigger(dag.0.clone(), dag.1, header));
        assert!(
            matches!(&refused, Err(SchedulerError::Conflict { run_id, .. }) if *run_id == id("one")),
            "{refused:?}"
        );
    }
    house.ended(&dag, "two", Some("2026-01-02T00:00:00Z"));
}

#[test]
fn a14_what_a_paused_dag_had_begun_waits_also_after_a_restart() {
    let house = House::new();
    let (dag, version) = house.one();
    wait(
        house
            .handle()
            .trigger(dag.clone(), version, header("one", None)),
    )
    .unwrap();
    house.attempt();
    house.put(&dag, version, true);
    let store = house.store.clone();
    drop(house);
    let house = House::on(store);
    // Behind what the start said of the run.
    let _ = wait(house.handle().watch(dag.dag_id.clone(), id("one")));
    assert!(house.attempts.try_recv().is_err());
    wait(house.handle().start_service()).unwrap();
    assert!(house.attempts.try_recv().is_err());
    let row = house.put(&dag, version, false);
    house.handle().put_dag(dag, version, row);
    house.succeed(&house.attempt());
    house.until_ended("d", "one");
}

#[test]
fn a14_a_queued_run_of_a_paused_dag_is_not_started_by_a_restart() {
    let house = House::new();
    let (dag, version) = house.one();
    house.put(&dag, version, true);
    wait(house.handle().start_service()).unwrap();
    wait(
        house
            .handle()
            .trigger(dag.clone(), version, header("one", None)),
    )
    .unwrap();
    let store = house.store.clone();
    drop(house);
    let house = House::on(store);
    wait(house.handle().start_service()).unwrap();
    assert_eq!(house.state("d", "one"), Some(DagRunState::Queued));
    let row = house.put(&dag, version, false);
    house.handle().put_dag(dag, version, row);
    house.succeed(&house.attempt());
    house.until_ended("d", "one");
}

const PRODUCER: &str = "dag_id: d\ntasks: [{task_id: t, operator: probe, outlets: ['s3://a']}]";
const CONSUMER: &str =
    "dag_id: c\nschedule: {assets: ['s3://a']}\ntasks: [{task_id: t, operator: probe}]";

#[test]
fn what_happens_in_a_run_and_what_it_leads_to_in_another_are_one_commit() {
    let house = House::new();
    let dag = house.dag(PRODUCER);
    house.dag(CONSUMER);
    wait(house.handle().start_service()).unwrap();
    house.ended(&dag, "one", None);
    let consumer = house.attempt();
    assert_eq!(consumer.run.dag.dag_id.as_str(), "c");
    let stream = |name: &str| StreamId(name.to_owned());
    let made = format!("run/c/{}", consumer.run.header.run_id);
    let together = |commit: &Commit| {
        let appends = |name: StreamId| commit.more_streams.iter().any(|one| one.stream == name);
        let updates = |(_, write): &(Table, RowWrite)| write.key.starts_with(b"asset_event\0");
        let schedules = |(_, write): &(Table, RowWrite)| write.key == b"schedule\0c";
        commit.rows.iter().any(updates)
            && commit.rows.iter().any(schedules)
            && appends(stream("run/d/one"))
            && appends(stream(&made))
    };
    assert_eq!(
        house
            .store
            .submitted()
            .iter()
            .filter(|commit| together(commit))
            .count(),
        1
    );
}

#[test]
fn what_was_updated_without_a_service_is_told_when_one_starts_and_once() {
    let house = House::new();
    let dag = house.dag(PRODUCER);
    house.dag(CONSUMER);
    house.ended(&dag, "one", None);
    let store = house.store.clone();
    drop(house);
    let house = House::on(store.clone());
    wait(house.handle().start_service()).unwrap();
    let consumer = house.attempt();
    assert_eq!(consumer.run.header.run_type, RunType::AssetTriggered);
    assert_eq!(consumer.run.header.asset_events[0].source, "d/one/t/-1");
    house.succeed(&consumer);
    house.until_ended("c", consumer.run.header.run_id.as_str());
    drop(house);
    let house = House::on(store);
    wait(house.handle().start_service()).unwrap();
    // The next run that there is, is not the consumer's.
    house.ended(&dag, "two", None);
    let rows = house.store.scan(Table::Run, b"c\0", None, 9).unwrap();
    assert!(!rows.is_empty());
    assert!(
        house
            .store
            .scan(Table::State, b"asset_untold", None, 9)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn an_asset_with_the_longest_uri_stops_nothing() {
    let house = House::new();
    let uri = format!("s3://lake/{}", "x".repeat(1_400));
    let dag = house.dag(&format!(
        "dag_id: d\ntasks: [{{task_id: t, operator: probe, outlets: ['{uri}']}}]"
    ));
    house.ended(&dag, "one", None);
    let events = house
        .store
        .scan(Table::State, &asset_events_prefix(&uri), None, 9)
        .unwrap();
    assert_eq!(events.len(), 1);
    house.ended(&dag, "two", None);
}
