//! The outbox's other end: takes callbacks and mails out of the store in order, a few at once, carries each out and removes it.
//! What was not removed when the process died is carried out again at the next start. It refuses to decide what is called.

use super::Parts;
use super::{callbacks, mails};
use crate::scheduler::{
    CALLBACK_PREFIX, CallbackCall, EMAIL_PREFIX, RunView, decode_row, of_run, replayed_view,
};
use crate::store::{Commit, Row, RowWrite, Store, StoreError, Table};
use airlock_core::ids::{DagId, RunId};
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// Callbacks that run at once; the others wait in the store.
pub const CALLBACKS_LIVE_MAX: usize = 8;
/// Mails that are handed in at once: a server that does not answer must keep few threads.
pub const EMAILS_LIVE_MAX: usize = 2;
/// Runs whose values are kept for their callbacks; another one is read back from its events.
const VIEWS_MAX: usize = 64;
/// Rows looked at, at once, in search of a run's.
const READ_ROWS: usize = 1_024;

/// See the module's documentation.
pub struct Outbox {
    store: Arc<dyn Store>,
    callbacks: Notify,
    emails: Notify,
    views: Mutex<BTreeMap<(DagId, RunId), Arc<RunView>>>,
    /// Grows whenever something was carried out.
    done: watch::Sender<u64>,
    failed: AtomicU64,
    /// The store gave up: nothing more is carried out, and nobody waits for it.
    stopped: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    Callbacks,
    Emails,
}

impl Lane {
    const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Callbacks => CALLBACK_PREFIX,
            Self::Emails => EMAIL_PREFIX,
        }
    }

    const fn live_max(self) -> usize {
        match self {
            Self::Callbacks => CALLBACKS_LIVE_MAX,
            Self::Emails => EMAILS_LIVE_MAX,
        }
    }
}

impl Outbox {
    /// The outbox of a store; nothing leaves it before `filled` or `resume`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            callbacks: Notify::new(),
            emails: Notify::new(),
            views: Mutex::default(),
            done: watch::channel(0).0,
            failed: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        }
    }

    /// Something of this run waits.
    pub(super) fn filled(&self, run: &Arc<RunView>) {
        let id = (run.dag.dag_id.clone(), run.header.run_id.clone());
        let mut views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        if views.len() < VIEWS_MAX || views.contains_key(&id) {
            views.insert(id, run.clone());
        }
        drop(views);
        self.resume();
    }

    /// Takes up what an earlier process left.
    pub fn resume(&self) {
        self.callbacks.notify_one();
        self.emails.notify_one();
    }

    /// Counts and tells what failed.
    pub(super) fn went_wrong(&self, call: &CallbackCall, error: &str) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let (dag_id, run_id, what) = (&call.dag_id, &call.run_id, call.kind.as_str());
        let task_id = call.task_id.as_ref().map_or("", |task_id| task_id.as_str());
        tracing::warn!(%dag_id, %run_id, task_id, error, "{what} failed; the run goes on as if it had not");
    }

    /// Callbacks and mails that went wrong since this process began.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Waits until nothing of this run, or of any, is in the outbox; at most so long. Returns how much is left.
    pub async fn drained(
        &self,
        run: Option<(&DagId, &RunId)>,
        limit: Duration,
    ) -> Result<usize, StoreError> {
        let mut done = self.done.subscribe();
        let until = tokio::time::Instant::now() + limit;
        loop {
            done.mark_unchanged();
            let left = self.waiting(run)?;
            if left == 0 || self.stopped.load(Ordering::Acquire) {
                return Ok(left);
            }
            match tokio::time::timeout_at(until, done.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Ok(left),
            }
        }
    }

    /// How much of this run, or of all, is in the outbox.
    fn waiting(&self, run: Option<(&DagId, &RunId)>) -> Result<usize, StoreError> {
        let part = run.map(|(dag_id, run_id)| of_run(dag_id, run_id));
        let mut count = 0;
        for prefix in [CALLBACK_PREFIX, EMAIL_PREFIX] {
            let mut after: Option<Vec<u8>> = None;
            loop {
                let rows = self
                    .store
                    .scan(Table::State, prefix, after.as_deref(), READ_ROWS)?;
                let Some(last) = rows.last() else { break };
                after = Some(last.key.clone());
                let is_own = |row: &&Row| {
                    let holds =
                        |part: &Vec<u8>| row.key.windows(part.len()).any(|here| here == part);
                    part.as_ref().is_none_or(holds)
                };
                count += rows.iter().filter(is_own).count();
            }
        }
        Ok(count)
    }

    /// The first rows of a lane that nobody carries out yet.
    fn next(&self, lane: Lane, live: &HashSet<Vec<u8>>) -> Result<Vec<Row>, StoreError> {
        // What is live is still in the store, so that many rows more show everything that is free.
        let max = lane.live_max() + live.len();
        let rows = self.store.scan(Table::State, lane.prefix(), None, max)?;
        let free = rows.into_iter().filter(|row| !live.contains(&row.key));
        Ok(free.take(lane.live_max() - live.len()).collect())
    }

    fn view(&self, call: &CallbackCall) -> Result<Arc<RunView>, String> {
        let id = (call.dag_id.clone(), call.run_id.clone());
        let views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(view) = views.get(&id) {
            return Ok(view.clone());
        }
        drop(views);
        let read = replayed_view(self.store.as_ref(), &call.dag_id, &call.run_id);
        read.map(Arc::new).map_err(|error| error.to_string())
    }

    fn stop(&self, error: &str) {
        tracing::error!(
            error,
            "the outbox failed: no further callbacks are carried out"
        );
        self.stopped.store(true, Ordering::Release);
        self.done.send_modify(|count| *count += 1);
    }

    /// Nothing waits: nobody needs the runs' values.
    fn forget_views(&self) {
        let mut views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        views.clear();
    }
}

/// Carries out what is in the outbox, for ever.
pub(super) async fn work(parts: Arc<Parts>) {
    tokio::join!(
        lane(parts.clone(), Lane::Callbacks),
        lane(parts, Lane::Emails)
    );
}

async fn lane(parts: Arc<Parts>, lane: Lane) {
    let outbox = parts.outbox.clone();
    let filled = match lane {
        Lane::Callbacks => &outbox.callbacks,
        Lane::Emails => &outbox.emails,
    };
    filled.notified().await;
    let mut live: HashSet<Vec<u8>> = HashSet::new();
    let mut tasks: JoinSet<Result<Vec<u8>, String>> = JoinSet::new();
    loop {
        let rows = match outbox.next(lane, &live) {
            Ok(rows) => rows,
            Err(error) => return outbox.stop(&error.to_string()),
        };
        for row in rows {
            live.insert(row.key.clone());
            tasks.spawn(carry_out(parts.clone(), lane, row));
        }
        if live.is_empty() && lane == Lane::Callbacks {
            outbox.forget_views();
        }
        tokio::select! {
            () = filled.notified() => {}
            Some(ended) = tasks.join_next() => match ended {
                Ok(Ok(key)) => {
                    live.remove(&key);
                    outbox.done.send_modify(|count| *count += 1);
                }
                Ok(Err(error)) => return outbox.stop(&error),
                Err(error) => return outbox.stop(&error.to_string()),
            },
        }
    }
}

/// Carries one out and removes it; yields its key.
async fn carry_out(parts: Arc<Parts>, lane: Lane, row: Row) -> Result<Vec<u8>, String> {
    // A panic in here must not come back at every start.
    let attempted = tokio::spawn(attempt(parts.clone(), lane, row.value.clone())).await;
    match attempted {
        Ok(()) => {}
        Err(error) if error.is_panic() => tracing::error!(%error, "a callback broke off"),
        // The process ends: the next one carries it out again.
        Err(error) => return Err(error.to_string()),
    }
    let store = parts.store.clone();
    let removal = move || {
        let write = RowWrite {
            key: row.key.clone(),
            expect: None,
            value: None,
        };
        let removed = store.commit(Commit {
            rows: vec![(Table::State, write)],
            ..Commit::default()
        });
        removed.map(|_| row.key).map_err(|error| error.to_string())
    };
    let removed = tokio::task::spawn_blocking(removal).await;
    removed.unwrap_or_else(|error| Err(error.to_string()))
}

/// One that fails is told and counted; it changes nothing about its run.
async fn attempt(parts: Arc<Parts>, lane: Lane, row: Vec<u8>) {
    let call: CallbackCall = match decode_row(&row) {
        Ok(call) => call,
        Err(error) => return tracing::error!(%error, "a callback in the outbox is dropped"),
    };
    let carried_out = match lane {
        Lane::Callbacks => match view(&parts, &call).await {
            Ok(run) => callbacks::carry_out(&parts, &call, &run).await,
            Err(error) => Err(error),
        },
        Lane::Emails => mails::carry_out(&parts, &call).await,
    };
    if let Err(error) = carried_out {
        parts.outbox.went_wrong(&call, &error);
    }
}

/// A long run takes a while to read back.
async fn view(parts: &Arc<Parts>, call: &CallbackCall) -> Result<Arc<RunView>, String> {
    let (outbox, call) = (parts.outbox.clone(), call.clone());
    let read = tokio::task::spawn_blocking(move || outbox.view(&call)).await;
    read.unwrap_or_else(|error| Err(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    fn id(place: usize) -> Vec<u8> {
        let id = format!("{place:020}\0d\0r\0{:020}\0{:05}", 0, 0);
        [CALLBACK_PREFIX, id.as_bytes()].concat()
    }

    fn write(store: &dyn Store, key: Vec<u8>, value: Option<Vec<u8>>) {
        let expect = None;
        let rows = vec![(Table::State, RowWrite { key, expect, value })];
        let commit = Commit {
            rows,
            ..Commit::default()
        };
        store.commit(commit).unwrap();
    }

    fn filled(count: usize) -> Outbox {
        let store = Arc::new(MemoryStore::default());
        for place in 0..count {
            write(store.as_ref(), id(place), Some(Vec::new()));
        }
        Outbox::new(store)
    }

    #[test]
    fn b8_so_many_callbacks_at_once_and_the_others_wait_in_order() {
        let outbox = filled(3 * CALLBACKS_LIVE_MAX);
        let mut live = HashSet::new();
        let keys = |live: &HashSet<_>| {
            let rows = outbox.next(Lane::Callbacks, live).unwrap();
            rows.into_iter().map(|row| row.key).collect::<Vec<_>>()
        };
        let first = keys(&live);
        assert_eq!(first, (0..CALLBACKS_LIVE_MAX).map(id).collect::<Vec<_>>());
        live.extend(first);
        assert!(keys(&live).is_empty());
        // The youngest of them ends first.
        let ended = id(CALLBACKS_LIVE_MAX - 1);
        write(outbox.store.as_ref(), ended.clone(), None);
        live.remove(&ended);
        assert_eq!(keys(&live), [id(CALLBACKS_LIVE_MAX)]);
        assert!(
            outbox
                .next(Lane::Emails, &HashSet::new())
                .unwrap()
                .is_empty()
        );
    }

    #[tokio::test]
    async fn a_run_without_callbacks_waits_for_nobody_and_a_limit_ends_the_wait() {
        let outbox = filled(2);
        let dag_id = DagId::parse("d").unwrap();
        let (own, other) = (RunId::parse("r").unwrap(), RunId::parse("r2").unwrap());
        let left = |run| outbox.drained(run, Duration::ZERO);
        assert_eq!(left(Some((&dag_id, &other))).await.unwrap(), 0);
        assert_eq!(left(Some((&dag_id, &own))).await.unwrap(), 2);
        assert_eq!(left(None).await.unwrap(), 2);
        outbox.stop("full disk");
        let long = Duration::from_hours(1);
        assert_eq!(outbox.drained(None, long).await.unwrap(), 2);
    }
}
