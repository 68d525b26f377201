//! `kill -9` at any moment: every acknowledged commit is there, whole, in order, and rows are what the events say.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{commit, open, scatter, stream, times, verify};
use crate::store::{Store, files};

/// Tells the writer its folder.
const FOLDER: &str = "AIRLOCK_STORE_WRITER";

/// The process that gets killed: commits for ever and prints each acknowledged number.
#[test]
#[ignore = "a child process of the tests beside it"]
fn writer() {
    let Some(dir) = std::env::var_os(FOLDER) else {
        return;
    };
    let store = open(Path::new(&dir));
    println!("open");
    for n in store.head(&stream()).unwrap().. {
        let done = Box::new(move |results: Vec<Result<_, _>>| {
            // Straight to the pipe: what is told must be known to the reader even if this process dies now. Without a reader
            // there is nothing left to do.
            if results[0].is_err() || writeln!(std::io::stderr(), "acked {n}").is_err() {
                std::process::exit(1);
            }
        });
        store.submit(vec![commit(n)], done);
    }
}

/// A writer process.
pub(super) struct Writer {
    pub(super) child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStderr>>,
}

impl Writer {
    pub(super) fn start(dir: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::local::tests::crash::writer"])
            .args(["--ignored", "--nocapture"])
            .env(FOLDER, dir)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Waits for `count` acknowledgements; answers how many commits are acknowledged by the last of them.
    pub(super) fn wait_for(&mut self, count: u64) -> u64 {
        let mut acked = 0;
        for _ in 0..count {
            acked = self.next().expect("the writer ended by itself");
        }
        acked
    }

    fn next(&mut self) -> Option<u64> {
        loop {
            let line = self.lines.next()?.ok()?;
            if let Some(n) = line.strip_prefix("acked ") {
                return Some(n.parse::<u64>().ok()? + 1);
            }
        }
    }

    /// Kills it; answers how many commits were acknowledged before it died.
    pub(super) fn kill(mut self, acked: u64) -> u64 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let mut acked = acked;
        while let Some(more) = self.next() {
            acked = more;
        }
        acked
    }
}

#[test]
fn a_killed_writer_loses_nothing_that_it_was_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut told = 0;
    for kill in 0..times(30) {
        let mut writer = Writer::start(dir.path());
        // Now and then while it still opens, or just has.
        let acks = if kill.is_multiple_of(6) {
            kill / 6
        } else {
            scatter(kill) % 700
        };
        let acked = writer.wait_for(acks);
        told = told.max(writer.kill(acked));
        if kill.is_multiple_of(7) {
            files::remove(&dir.path().join("index")).unwrap();
        }
        let store = open(dir.path());
        let head = verify(&store).unwrap();
        assert!(
            head >= told,
            "{told} commits were acknowledged, {head} are there"
        );
        if kill.is_multiple_of(5) {
            assert_eq!(store.check().unwrap().problems, Vec::<String>::new());
        }
        // Closed cleanly one time, left by drop in the next: both must do.
        if kill.is_multiple_of(2) {
            store.close().unwrap();
        }
    }
    assert!(told > 0);
    println!("{told} commits acknowledged");
}
