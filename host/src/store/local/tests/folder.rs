//! The folder: one process, newer formats, missing parts, torn ends, full and read-only disks.

use std::path::Path;

use super::power::Mount;
use super::{commit, copy, fill, open, small, stream, verify};
use crate::store::journal::{JOURNAL_FORMAT, scan};
use crate::store::local::LocalStore;
use crate::store::mark::{FOLDER_FORMAT, Mark};
use crate::store::{CommitError, Store, StoreError, files};

fn refusal(dir: &Path) -> StoreError {
    match LocalStore::open(dir, &small()) {
        Err(error) => error,
        Ok(_) => panic!("it opened"),
    }
}

fn segments(dir: &Path) -> Vec<std::path::PathBuf> {
    let segments = files::numbered(&dir.join("journal"), "log").unwrap();
    segments.into_iter().map(|(_, path)| path).collect()
}

fn checkpoints(dir: &Path) -> Vec<std::path::PathBuf> {
    let all = files::numbered(&dir.join("checkpoints"), "ck").unwrap();
    all.into_iter().map(|(_, path)| path).collect()
}

/// As after a power cut and a new start of the system.
fn restart_system(dir: &Path) {
    let mark = Mark::read(dir).unwrap().unwrap();
    let boot = "another".to_owned();
    Mark {
        boot,
        clean: None,
        ..mark
    }
    .write(dir)
    .unwrap();
}

#[test]
fn a_second_opener_is_told_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    match refusal(dir.path()) {
        StoreError::InUse(who) => assert!(who.contains(&std::process::id().to_string()), "{who}"),
        other => panic!("{other}"),
    }
    drop(store);
    open(dir.path());
}

#[test]
fn a_newer_format_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store, 3);
    store.close().unwrap();
    let files = [
        (segments(dir.path()).remove(0), JOURNAL_FORMAT),
        (dir.path().join("mark"), FOLDER_FORMAT),
    ];
    for (file, newest) in files {
        let before = std::fs::read(&file).unwrap();
        let mut newer = before.clone();
        newer[8] = 77;
        // The checksum of a segment's header stands behind it, that of a mark at the end.
        let end = if file.ends_with("mark") {
            newer.len() - 4
        } else {
            20
        };
        let crc = crc32c::crc32c(&newer[..end]).to_le_bytes();
        newer[end..end + 4].copy_from_slice(&crc);
        std::fs::write(&file, &newer).unwrap();
        assert!(matches!(
            refusal(dir.path()),
            StoreError::TooNew {
                found: 77,
                supported
            } if supported == newest
        ));
        std::fs::write(&file, &before).unwrap();
    }
    assert_eq!(verify(&open(dir.path())).unwrap(), 3);
}

#[test]
fn a_missing_journal_or_segment_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    let store = open(&whole);
    fill(&store, 150);
    fill(&store, 300);
    fill(&store, 450);
    store.close().unwrap();
    let count = segments(&whole).len();
    assert!(count >= 3, "{count}");
    for missing in 0..count {
        let harmed = dir.path().join(missing.to_string());
        copy(&whole, &harmed);
        std::fs::remove_file(&segments(&harmed)[missing]).unwrap();
        // The oldest segment alone is needless while the index is good: nothing is lost, nothing guessed.
        match LocalStore::open(&harmed, &small()) {
            Ok(store) => assert_eq!((missing, verify(&store).unwrap()), (0, 450)),
            Err(StoreError::Damaged { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    std::fs::remove_dir_all(whole.join("journal")).unwrap();
    assert!(matches!(refusal(&whole), StoreError::Damaged { .. }));
}

#[test]
fn a_torn_end_is_cut_and_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store, 20);
    store.close().unwrap();
    let newest = segments(dir.path()).pop().unwrap();
    let whole = std::fs::read(&newest).unwrap();
    for length in [1, 23, 24, 25, 60] {
        let mut torn = whole.clone();
        torn.extend_from_within(24..24 + length);
        std::fs::write(&newest, &torn).unwrap();
        assert_eq!(verify(&open(dir.path())).unwrap(), 20, "{length} bytes");
        assert_eq!(std::fs::read(&newest).unwrap(), whole);
    }
    let store = open(dir.path());
    fill(&store, 25);
    assert_eq!(verify(&store).unwrap(), 25);
}

#[test]
fn a_journal_cut_behind_what_the_index_holds_is_refused_even_without_a_mark() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store, 20);
    store.close().unwrap();
    let mark = Mark::read(dir.path()).unwrap().unwrap();
    let unclean = Mark {
        position: 0,
        clean: None,
        ..mark
    };
    unclean.write(dir.path()).unwrap();
    let newest = segments(dir.path()).pop().unwrap();
    let bytes = std::fs::read(&newest).unwrap();
    std::fs::write(&newest, &bytes[..bytes.len() - 1]).unwrap();
    assert!(matches!(refusal(dir.path()), StoreError::Damaged { .. }));
}

#[test]
fn checkpoints_let_the_journal_go_and_either_of_two_is_enough() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    let store = open(&whole);
    for part in 1..=6 {
        fill(&store, part * 150);
        store.checkpoint().unwrap();
    }
    fill(&store, 1_000);
    store.close().unwrap();
    assert_eq!(checkpoints(&whole).len(), 2);
    let scanned = scan::scan(&whole.join("journal"), 0, |_| Ok(()))
        .unwrap()
        .unwrap();
    assert!(scanned.first > 1, "nothing was let go");
    for (name, bad) in [("none", 0..0), ("newest", 1..2), ("both", 0..2)] {
        let harmed = dir.path().join(name);
        copy(&whole, &harmed);
        std::fs::remove_dir_all(harmed.join("index")).unwrap();
        for path in &checkpoints(&harmed)[bad] {
            let mut bytes = std::fs::read(path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(path, bytes).unwrap();
        }
        if name == "both" {
            assert!(matches!(refusal(&harmed), StoreError::Damaged { .. }));
        } else {
            let store = open(&harmed);
            assert_eq!(verify(&store).unwrap(), 1_000);
            fill(&store, 1_010);
        }
    }
}

#[test]
fn another_start_of_the_system_trusts_no_index_that_was_not_closed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store, 50);
    store.close().unwrap();
    restart_system(dir.path());
    // What sled would answer now must not matter.
    let index = dir.path().join("index/db");
    let length = std::fs::metadata(&index).unwrap().len();
    let empty = vec![0; usize::try_from(length).unwrap()];
    std::fs::write(&index, empty).unwrap();
    assert_eq!(verify(&open(dir.path())).unwrap(), 50);
}

#[test]
fn a_half_done_import_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let from = open(&dir.path().join("from"));
    fill(&from, 30);
    let mut export = Vec::new();
    from.export(&mut export).unwrap();
    let target = dir.path().join("target");
    let store = open(&target);
    store.import(&mut export.as_slice()).unwrap();
    store.close().unwrap();
    // As if it had ended before the journal was moved behind the checkpoint.
    for part in ["index", "journal"] {
        std::fs::remove_dir_all(target.join(part)).unwrap();
    }
    let store = open(&target);
    assert_eq!(verify(&store).unwrap(), 30);
    fill(&store, 40);
    drop(store);
    assert_eq!(verify(&open(&target)).unwrap(), 40);
}

#[test]
fn a_full_disk_fails_the_store_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("small");
    let Some(mount) = Mount::new(&["-t", "tmpfs", "-o", "size=4m", "tmpfs"], &at) else {
        eprintln!("left out: a full disk needs root to mount one");
        return;
    };
    let store = open(&at);
    let mut told = 0;
    let failed = loop {
        match store.commit(commit(told)) {
            Ok(_) => told += 1,
            Err(error) => break error,
        }
        assert!(told < 1_000_000, "the disk never filled");
    };
    assert!(matches!(failed, CommitError::Failed(_)), "{failed}");
    assert!(store.failure().is_some());
    assert!(matches!(
        store.commit(commit(told)),
        Err(CommitError::Failed(_))
    ));
    assert!(store.lease(b"l", "a", 1).is_err());
    drop(store);
    mount.remount("size=64m");
    let store = open(&at);
    let head = verify(&store).unwrap();
    assert!(head >= told, "{told} were told, {head} are there");
    fill(&store, head + 10);
    drop(store);
}

#[test]
fn a_read_only_folder_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("writable"));
    fill(&store, 10);
    store.close().unwrap();
    let (from, at) = (dir.path().join("writable"), dir.path().join("fixed"));
    let Some(mount) = Mount::new(&["--bind", from.to_str().unwrap()], &at) else {
        eprintln!("left out: a read-only folder needs root to mount one");
        return;
    };
    mount.remount("bind,ro");
    let error = refusal(&at);
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    assert!(error.to_string().contains("fixed"), "{error}");
    assert_eq!(open(&from).head(&stream()).unwrap(), 10);
}
