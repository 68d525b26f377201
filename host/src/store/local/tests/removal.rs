//! Streams that go: an older journal goes on, readers beside a removal see all of a stream or nothing, the journal forgets.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{open, small, times, verify};
use crate::store::journal::scan;
use crate::store::local::LocalStore;
use crate::store::{Commit, Store, StreamId, files};

fn victim() -> StreamId {
    StreamId("run/victim".to_owned())
}

fn append(store: &LocalStore, events: usize) {
    let commit = Commit {
        stream: Some((victim(), None)),
        events: vec![vec![5; 900]; events],
        ..Commit::default()
    };
    store.commit(commit).unwrap();
}

fn remove(store: &LocalStore) {
    let commit = Commit {
        remove_streams: vec![victim()],
        ..Commit::default()
    };
    store.commit(commit).unwrap();
}

/// Writes the format that programs before the removal of streams wrote into a segment's header.
fn make_old(segment: &std::path::Path) {
    let mut bytes = std::fs::read(segment).unwrap();
    bytes[8..12].copy_from_slice(&1_u32.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..20]);
    bytes[20..24].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(segment, bytes).unwrap();
}

#[test]
fn an_older_journal_is_read_and_goes_on_in_a_segment_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    super::fill(&store, 5);
    append(&store, 3);
    store.close().unwrap();
    let segments = || files::numbered(&dir.path().join("journal"), "log").unwrap();
    assert_eq!(segments().len(), 1);
    make_old(&segments()[0].1);
    let before = std::fs::read(&segments()[0].1).unwrap();
    let store = open(dir.path());
    assert_eq!(store.read(&victim(), 0, 9).unwrap().len(), 3);
    remove(&store);
    store.close().unwrap();
    assert_eq!(segments().len(), 2);
    assert_eq!(std::fs::read(&segments()[0].1).unwrap(), before);
    // All of it again from the journal.
    files::remove(&dir.path().join("index")).unwrap();
    let store = open(dir.path());
    assert_eq!(store.head(&victim()).unwrap(), 0);
    assert_eq!(verify(&store).unwrap(), 5);
    assert_eq!(store.check().unwrap().problems, Vec::<String>::new());
}

#[test]
fn who_reads_while_a_stream_goes_sees_all_of_it_or_nothing() {
    const EVENTS: usize = 40;
    let dir = super::quick_dir();
    let store = open(dir.path());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let found = store.read(&victim(), 0, usize::MAX).unwrap().len();
                    assert!(found == 0 || found == EVENTS, "{found} of {EVENTS} events");
                }
            });
        }
        for round in 0..times(60) {
            append(&store, EVENTS);
            if round.is_multiple_of(3) {
                // Into the index, so that it goes from there.
                store.checkpoint().unwrap();
            }
            remove(&store);
            if round.is_multiple_of(4) {
                store.checkpoint().unwrap();
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(store.check().unwrap().problems, Vec::<String>::new());
}

#[test]
fn what_went_leaves_checkpoints_and_journal() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::open(dir.path(), &small()).unwrap();
    append(&store, 400);
    let size = || {
        let all = files::numbered(&dir.path().join("checkpoints"), "ck").unwrap();
        all.last().unwrap().1.metadata().unwrap().len()
    };
    store.checkpoint().unwrap();
    let full = size();
    remove(&store);
    store.checkpoint().unwrap();
    assert!(size() * 100 < full, "{} of {full} bytes", size());
    // A later checkpoint lets the segments before the removal go.
    append(&store, 1);
    store.checkpoint().unwrap();
    let scan = scan::scan(&dir.path().join("journal"), 0, |_| Ok(())).unwrap();
    assert!(scan.unwrap().first > 1);
}
