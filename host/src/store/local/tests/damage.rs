//! Flipped and cut bytes at thousands of places: each time the exact data or a clear refusal, never something else.

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use super::{copy, fill, open, quick_dir, scatter, small, times, verify};
use crate::store::local::LocalStore;
use crate::store::mark::Mark;
use crate::store::{Store, StoreError};

/// How many places are damaged.
const PLACES: u64 = 5_000;
/// Every how many-th place lies in the index: rebuilding it takes longest.
const INDEX_EVERY: u64 = 10;
const COMMITS: u64 = 400;

/// A store with two checkpoints, some segments, blobs and an index, closed cleanly.
fn build(dir: &Path) {
    let store = open(dir);
    for part in 1..=3 {
        fill(&store, COMMITS * part / 4);
        store.checkpoint().unwrap();
    }
    fill(&store, COMMITS);
    store.close().unwrap();
}

fn files_in(dir: &Path, base: &Path, found: &mut Vec<(PathBuf, u64)>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_in(&path, base, found);
        } else {
            let length = path.metadata().unwrap().len();
            if length > 0 && path.file_name().unwrap() != "LOCK" {
                found.push((path.strip_prefix(base).unwrap().to_owned(), length));
            }
        }
    }
}

/// Flips a bit at `at`, or cuts the file there.
fn harm(path: &Path, at: u64, cut: bool) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = usize::try_from(at).unwrap();
    if cut {
        bytes.truncate(at);
    } else {
        bytes[at] ^= 1 << (at % 8);
    }
    std::fs::write(path, bytes).unwrap();
}

/// Opens and reads everything. An error is a refusal; wrong data fails the test in `verify`.
fn read_all(dir: &Path) -> Result<(), StoreError> {
    let store = LocalStore::open(dir, &small())?;
    assert_eq!(verify(&store)?, COMMITS, "acknowledged commits are gone");
    Ok(())
}

/// Where and how one place is damaged.
fn harm_place(whole: &Path, harmed: &Path, files: &[Vec<(PathBuf, u64)>; 2], place: u64) -> String {
    let [index, other] = files;
    let files = if place % INDEX_EVERY < 2 {
        index
    } else {
        other
    };
    let (file, length) = &files[usize::try_from(scatter(place)).unwrap() % files.len()];
    let at = scatter(place ^ (1 << 40)) % length;
    let cut = scatter(place ^ (1 << 41)).is_multiple_of(4);
    copy(whole, harmed);
    harm(&harmed.join(file), at, cut);
    format!(
        "{} at {at}, {}",
        file.display(),
        if cut { "cut" } else { "flipped" }
    )
}

/// Damages `places` places of a store, each by itself; answers how many of them were refused.
fn damage(whole: &Path, dir: &Path, places: u64) -> u64 {
    let mut all = Vec::new();
    files_in(whole, whole, &mut all);
    all.sort();
    let (index, other) = all
        .into_iter()
        .partition(|(path, _)| path.starts_with("index"));
    let files = [index, other];
    let work = |worker: u64| {
        let mut refused = 0;
        let harmed = dir.join(format!("harmed-{worker}"));
        for place in (worker..places).step_by(2) {
            let what = harm_place(whole, &harmed, &files, place);
            match catch_unwind(|| read_all(&harmed)) {
                Ok(Ok(())) => {}
                Ok(Err(StoreError::Damaged { .. } | StoreError::TooNew { .. })) => refused += 1,
                Ok(Err(error)) => panic!("{what}: {error}"),
                Err(why) => panic!("{what}: wrong data: {why:?}"),
            }
            std::fs::remove_dir_all(&harmed).unwrap();
        }
        refused
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| work(1));
        work(0) + other.join().unwrap()
    })
}

#[test]
fn damage_anywhere_is_mended_or_refused() {
    let dir = quick_dir();
    let whole = dir.path().join("whole");
    build(&whole);
    let places = times(PLACES);
    let refused = damage(&whole, dir.path(), places);
    println!("{places} places damaged, {refused} refused, the others mended");
    assert!(refused > 0 && refused < places);
}

#[test]
fn damage_after_a_kill_is_mended_or_refused() {
    let dir = quick_dir();
    let whole = dir.path().join("whole");
    build(&whole);
    // As a killed process leaves it: nothing vouches for the index but the index.
    let mark = Mark::read(&whole).unwrap().unwrap();
    let clean = None;
    Mark { clean, ..mark }.write(&whole).unwrap();
    let places = times(PLACES) / 5;
    let refused = damage(&whole, dir.path(), places);
    println!("{places} places damaged, {refused} refused, the others mended");
    assert!(refused > 0 && refused < places);
}
