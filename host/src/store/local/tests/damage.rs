//! Flipped and cut bytes at thousands of places: each time the exact data or a clear refusal, never something else.

use std::path::{Path, PathBuf};

use super::{copy, fill, open, quick_dir, scatter, small, times, verify};
use crate::store::local::LocalStore;
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
    let store = LocalStore::open(dir, small())?;
    assert_eq!(verify(&store)?, COMMITS, "acknowledged commits are gone");
    Ok(())
}

#[test]
fn damage_anywhere_is_mended_or_refused() {
    let dir = quick_dir();
    let whole = dir.path().join("whole");
    build(&whole);
    let mut all = Vec::new();
    files_in(&whole, &whole, &mut all);
    all.sort();
    let (index, other): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|(path, _)| path.starts_with("index"));
    let places = times(PLACES);
    let refused: u64 = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .map(|worker| {
                let (whole, index, other, dir) = (&whole, &index, &other, dir.path());
                scope.spawn(move || {
                    let mut refused = 0;
                    for place in (worker..places).step_by(2) {
                        let files = if place % INDEX_EVERY < 2 {
                            index
                        } else {
                            other
                        };
                        let (file, length) = &files[(scatter(place) % files.len() as u64) as usize];
                        let at = scatter(place ^ (1 << 40)) % length;
                        let cut = scatter(place ^ (1 << 41)).is_multiple_of(4);
                        let harmed = dir.join(format!("harmed-{worker}"));
                        copy(whole, &harmed);
                        harm(&harmed.join(file), at, cut);
                        match read_all(&harmed) {
                            Ok(()) => {}
                            Err(StoreError::Damaged { .. } | StoreError::TooNew { .. }) => {
                                refused += 1
                            }
                            Err(error) => panic!("{}, {at}, {cut}: {error}", file.display()),
                        }
                        std::fs::remove_dir_all(&harmed).unwrap();
                    }
                    refused
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .sum()
    });
    println!("{places} places damaged, {refused} refused, the others mended");
    assert!(refused > 0 && refused < places);
}
