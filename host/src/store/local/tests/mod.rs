//! What only the local store promises: crashes, power cuts, damage, full and read-only disks. `AIRLOCK_STORE_LOOPS` multiplies the
//! counts.

mod bench;
mod crash;
mod damage;
mod folder;
mod power;
mod removal;

use std::path::Path;

use super::{LocalStore, Options};
use crate::store::{Commit, RowWrite, Store, StreamId, Table, TimerWrite};

/// Small limits, so that segments and checkpoints change often.
fn small() -> Options {
    Options {
        segment_bytes: 32 << 10,
        checkpoint_bytes: 128 << 10,
        ..Options::default()
    }
}

/// How often to do something that is done `default` times in a quick run.
fn times(default: u64) -> u64 {
    let loops = std::env::var("AIRLOCK_STORE_LOOPS").ok();
    default * loops.and_then(|loops| loops.parse().ok()).unwrap_or(1)
}

/// A random-looking number that is the same every time.
fn scatter(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

const CHURN: u64 = 50;
const LIVE: u64 = 10;

fn stream() -> StreamId {
    StreamId("run/history".to_owned())
}

/// What event `n` holds: sometimes more than fits inline.
fn payload(n: u64) -> Vec<u8> {
    let length = if n.is_multiple_of(97) {
        6_000
    } else {
        20 + n % 200
    };
    let seed = scatter(n);
    let fill = (0..length)
        .map(|i| seed.to_le_bytes()[usize::try_from(i % 8).unwrap()] ^ i.to_le_bytes()[0]);
    n.to_le_bytes().into_iter().chain(fill).collect()
}

fn write(key: String, value: Option<Vec<u8>>) -> (Table, RowWrite) {
    let write = RowWrite {
        key: key.into_bytes(),
        expect: None,
        value,
    };
    (Table::State, write)
}

/// Commit `n`, from 0: an event, a row that is overwritten, one that comes and one that goes, a timer that moves.
fn commit(n: u64) -> Commit {
    let mut rows = vec![
        write(format!("churn/{}", n % CHURN), Some(payload(n))),
        write(format!("live/{n:012}"), Some(vec![1])),
    ];
    if n >= LIVE {
        rows.push(write(format!("live/{:012}", n - LIVE), None));
    }
    Commit {
        stream: Some((stream(), Some(n))),
        events: vec![payload(n)],
        rows,
        timers: vec![TimerWrite {
            key: b"next".to_vec(),
            at: Some((n.cast_signed(), payload(n))),
        }],
        ..Commit::default()
    }
}

/// Everything that can be read must be what exactly the first `head` commits made. Answers `head`.
fn verify(store: &LocalStore) -> Result<u64, crate::store::StoreError> {
    let head = store.head(&stream())?;
    let events = store.read(&stream(), 0, usize::MAX)?;
    assert_eq!(events.len() as u64, head, "events are missing");
    for (n, event) in (0..).zip(events) {
        assert_eq!(event.seq, n);
        assert!(event.payload == payload(n), "event {n} is not as written");
    }
    let churn = store.scan(Table::State, b"churn/", None, usize::MAX)?;
    assert_eq!(churn.len() as u64, head.min(CHURN), "rows are missing");
    for row in churn {
        let slot: u64 = String::from_utf8_lossy(&row.key[6..]).parse().unwrap();
        let last = (head - 1 - slot) / CHURN * CHURN + slot;
        assert!(row.value == payload(last), "row {slot} is not as written");
        assert_eq!(row.version, last / CHURN + 1);
    }
    let live = store.scan(Table::State, b"live/", None, usize::MAX)?;
    let live: Vec<_> = live.into_iter().map(|row| row.key).collect();
    let expected: Vec<_> = (head.saturating_sub(LIVE)..head)
        .map(|n| format!("live/{n:012}").into_bytes())
        .collect();
    assert_eq!(live, expected);
    let due = store.due(i64::MAX, usize::MAX)?;
    let due: Vec<_> = due.into_iter().map(|(at, row)| (at, row.value)).collect();
    let expected: Vec<_> = head
        .checked_sub(1)
        .map(|n| (n.cast_signed(), payload(n)))
        .into_iter()
        .collect();
    assert!(due == expected, "the timer is not as written");
    Ok(head)
}

/// Commits from the store's head up to `until`, and waits for all.
fn fill(store: &LocalStore, until: u64) {
    let head = store.head(&stream()).unwrap();
    let (send, receive) = std::sync::mpsc::channel();
    store.submit(
        (head..until).map(commit).collect(),
        Box::new(move |results| send.send(results).unwrap()),
    );
    for result in receive.recv().unwrap() {
        result.unwrap();
    }
}

fn open(dir: &Path) -> LocalStore {
    LocalStore::open(dir, &small()).unwrap()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// A folder for tests that open very often: in memory where there is such a place.
fn quick_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}
