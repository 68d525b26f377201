//! What every backend must do, told once and run on each. It owns the words of the contract as tests; a new backend adds one line.

mod model;
mod rules;

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use super::local::Options;
use super::{Commit, LocalStore, ManualClock, MemoryStore, RowWrite, Store, StreamId, Table};

/// When the stores' clocks begin.
const START_MS: i64 = 1_000_000;

/// A backend under test.
trait Backend: Sized {
    fn fresh() -> Self;
    fn store(&self) -> &dyn Store;
    fn clock(&self) -> &ManualClock;
    /// Closes the store and opens what it left.
    fn reopen(self) -> Self;
}

struct Memory {
    store: MemoryStore,
    clock: Arc<ManualClock>,
}

impl Backend for Memory {
    fn fresh() -> Self {
        let clock = Arc::new(ManualClock::at(START_MS));
        Self {
            store: MemoryStore::with_clock(clock.clone()),
            clock,
        }
    }

    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// Memory survives as its export.
    fn reopen(self) -> Self {
        let mut export = Vec::new();
        self.store.export(&mut export).unwrap();
        let store = MemoryStore::with_clock(self.clock.clone());
        store.import(&mut export.as_slice()).unwrap();
        Self {
            store,
            clock: self.clock,
        }
    }
}

struct Local {
    store: LocalStore,
    clock: Arc<ManualClock>,
    dir: TempDir,
}

impl Local {
    fn open(dir: TempDir, clock: Arc<ManualClock>) -> Self {
        let options = Options {
            clock: clock.clone(),
            // Small, so that segments change in every test.
            segment_bytes: 4_096,
            ..Options::default()
        };
        Self {
            store: LocalStore::open(dir.path(), &options).unwrap(),
            clock,
            dir,
        }
    }
}

impl Backend for Local {
    fn fresh() -> Self {
        let clock = Arc::new(ManualClock::at(START_MS));
        Self::open(tempfile::tempdir().unwrap(), clock)
    }

    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    fn reopen(self) -> Self {
        self.store.close().unwrap();
        Self::open(self.dir, self.clock)
    }
}

/// The local store whose index is thrown away at every reopening: replay must equal what lived.
struct Rebuilt(Local);

impl Backend for Rebuilt {
    fn fresh() -> Self {
        Self(Local::fresh())
    }

    fn store(&self) -> &dyn Store {
        self.0.store()
    }

    fn clock(&self) -> &ManualClock {
        self.0.clock()
    }

    fn reopen(self) -> Self {
        self.0.store.close().unwrap();
        let index: PathBuf = self.0.dir.path().join("index");
        std::fs::remove_dir_all(index).unwrap();
        Self(Local::open(self.0.dir, self.0.clock))
    }
}

macro_rules! conformance {
    ($($rule:ident),* $(,)?) => {
        mod memory { $(#[test] fn $rule() { super::rules::$rule::<super::Memory>(); })* }
        mod local { $(#[test] fn $rule() { super::rules::$rule::<super::Local>(); })* }
        mod rebuilt { $(#[test] fn $rule() { super::rules::$rule::<super::Rebuilt>(); })* }
    };
}

conformance!(
    heads_are_compared_and_events_are_dense,
    rows_count_their_writes,
    a_failing_condition_changes_nothing,
    events_are_read_in_any_amount_wherever_they_lie,
    a_commit_appends_to_several_streams_or_to_none,
    leases_fence_those_who_lost_them,
    lease_time_does_not_go_back,
    timers_are_due_in_order,
    work_is_claimed_once_and_acked_by_its_claimer,
    an_idempotency_key_answers_the_first_receipt,
    limits_are_refused_with_their_number,
    done_comes_in_order_and_sees_earlier_commits,
    scans_go_page_by_page,
    values_of_every_size_come_back,
    blobs_are_named_by_their_content,
    an_export_moves_everything,
    a_damaged_export_is_refused,
    a_removed_stream_is_gone_and_may_begin_again,
    a_claim_that_lasted_too_long_is_handed_out_again,
    blobs_that_nothing_names_are_collected,
);

/// A commit of one event.
fn event(stream: &str, expect: Option<u64>, payload: &[u8]) -> Commit {
    Commit {
        stream: Some((StreamId(stream.to_owned()), expect)),
        events: vec![payload.to_vec()],
        ..Commit::default()
    }
}

/// A commit of one row.
fn row(table: Table, key: &[u8], expect: Option<u64>, value: Option<&[u8]>) -> Commit {
    let write = RowWrite {
        key: key.to_vec(),
        expect,
        value: value.map(<[u8]>::to_vec),
    };
    Commit {
        rows: vec![(table, write)],
        ..Commit::default()
    }
}
