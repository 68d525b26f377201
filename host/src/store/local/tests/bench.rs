//! Measures this machine: `cargo test -p airlock --lib store::local::tests::bench -- --ignored --nocapture`.

use std::sync::mpsc::sync_channel;
use std::time::Instant;

use crate::store::local::{LocalStore, Options};
use crate::store::{Commit, RowWrite, Store, StreamId, Table};

const LONE: u32 = 2_000;
const PIPELINED: u32 = 300_000;
const STREAMS: u32 = 64;

fn small_event(n: u32) -> Commit {
    Commit {
        stream: Some((StreamId(format!("run/dag/manual__{}", n % STREAMS)), None)),
        events: vec![vec![7; 120]],
        ..Commit::default()
    }
}

fn with_row(n: u32) -> Commit {
    let write = RowWrite {
        key: format!("dag/{}", n % 1_000).into_bytes(),
        expect: None,
        value: Some(vec![3; 100]),
    };
    Commit {
        rows: vec![(Table::Run, write)],
        ..small_event(n)
    }
}

/// CPU time of this process, in microseconds.
fn cpu_us() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks * 10_000.0
}

fn pipelined(store: &LocalStore, what: &str, make: fn(u32) -> Commit) {
    let (cpu, start) = (cpu_us(), Instant::now());
    let (send, receive) = sync_channel(1);
    for n in 0..PIPELINED {
        let last = (n + 1 == PIPELINED).then(|| send.clone());
        let done = Box::new(move |results: Vec<Result<_, _>>| {
            assert!(results[0].is_ok());
            if let Some(last) = last {
                last.send(()).unwrap();
            }
        });
        store.submit(vec![make(n)], done);
    }
    receive.recv().unwrap();
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{what}: {:.0} commits/s, {:.1} us CPU per commit",
        f64::from(PIPELINED) / seconds,
        (cpu_us() - cpu) / f64::from(PIPELINED)
    );
}

#[test]
#[ignore = "a measurement, not a test"]
fn bench() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::open(dir.path(), &Options::default()).unwrap();
    let mut lone: Vec<_> = (0..LONE)
        .map(|n| {
            let start = Instant::now();
            store.commit(small_event(n)).unwrap();
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    lone.sort_by(f64::total_cmp);
    println!(
        "lone commit: p50 {:.0} us, p99 {:.0} us",
        lone[lone.len() / 2],
        lone[lone.len() * 99 / 100]
    );
    pipelined(&store, "event", small_event);
    pipelined(&store, "event and row", with_row);
    let start = Instant::now();
    store.close().unwrap();
    println!("close: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    let start = Instant::now();
    let store = LocalStore::open(dir.path(), &Options::default()).unwrap();
    println!("open: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    drop(store);
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    let start = Instant::now();
    let store = LocalStore::open(dir.path(), &Options::default()).unwrap();
    println!("rebuild: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    drop(store);
}
