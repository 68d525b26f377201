//! Disks that are full, read-only, damaged or from the future, through the whole program: exit code 20, words that say what to do, and
//! nothing lost that was acknowledged.

use airlock_tests::{Airlock, Done, Mount, fill};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Where a segment of the journal has its format's version, and where its header's checksum is (a little-endian CRC-32C of all before).
const VERSION_AT: usize = 8;
const CHECKSUM_AT: usize = 20;

fn trigger(airlock: &Airlock, run_id: &str) -> Done {
    let dag = json!({"dag_id": "d", "tasks": [
        {"task_id": "first", "operator": "probe", "config": {"value": [1, 2, 3]}},
        {"task_id": "second", "operator": "probe", "depends_on": "first"},
    ]});
    airlock.file("d.yaml", &dag.to_string());
    airlock.run(&["dags", "trigger", "d.yaml", "--run-id", run_id])
}

/// What the store knows; the store must be readable.
fn everything(airlock: &Airlock) -> Value {
    let list = airlock.run(&["runs", "list", "--json"]);
    assert_eq!(list.code, 0, "{}", list.stderr);
    let runs = list.json();
    let show = |run: &Value| {
        let id = run["run_id"].as_str().unwrap();
        airlock.run(&["runs", "show", "d", id, "--json"]).json()
    };
    runs.as_array().unwrap().iter().map(show).collect()
}

fn run_ids(airlock: &Airlock) -> Vec<String> {
    let runs = everything(airlock);
    let runs = runs.as_array().unwrap().iter();
    runs.map(|run| run["run_id"].as_str().unwrap().to_owned())
        .collect()
}

fn assert_store_error(done: &Done, words: &str) {
    assert_eq!(done.code, 20, "{}{}", done.stdout, done.stderr);
    assert!(done.stderr.contains(words), "{}", done.stderr);
    assert!(done.stderr.contains("hint:"), "{}", done.stderr);
    assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
}

#[test]
fn a_good_store_is_good() {
    let airlock = Airlock::new();
    assert_eq!(trigger(&airlock, "run_1").code, 0);
    let check = airlock.run(&["db", "check", "--json"]);
    assert_eq!(check.code, 0, "{}", check.stderr);
    let report = check.json();
    assert_eq!(report["problems"], json!([]));
    assert!(report["commits"].as_u64().unwrap() > 0, "{report}");
}

#[test]
fn a_read_only_folder_is_refused_and_left_as_it_was() {
    let airlock = Airlock::new();
    assert_eq!(trigger(&airlock, "run_1").code, 0);
    let before = everything(&airlock);
    let data = airlock.data();
    let Some(mount) = Mount::new(&["--bind", data.to_str().unwrap()], data.clone()) else {
        eprintln!("left out: a read-only folder needs root to mount one");
        return;
    };
    mount.remount("bind,ro");
    assert_store_error(&trigger(&airlock, "run_2"), "Read-only file system");
    drop(mount);
    assert_eq!(everything(&airlock), before);
}

/// A disk of 48 MiB with the data folder on it. None, with a word, where this process may not mount.
fn small_disk(airlock: &Airlock) -> Option<Mount> {
    let at = airlock.folder().join("small");
    let mount = Mount::new(&["-t", "tmpfs", "-o", "size=48m", "tmpfs"], at);
    match &mount {
        Some(mount) => std::os::unix::fs::symlink(mount.path(), airlock.data()).unwrap(),
        None => eprintln!("left out: a full disk needs root to mount one"),
    }
    mount
}

#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    let airlock = Airlock::new();
    let Some(mount) = small_disk(&airlock) else {
        return;
    };
    let mut acknowledged = vec!["run_0".to_owned()];
    assert_eq!(trigger(&airlock, "run_0").code, 0);
    for left in [0_u64, 8 << 10, 64 << 10, 512 << 10] {
        let filler = fill(mount.path(), left);
        let mut number = 0;
        let refused = loop {
            let run_id = format!("run_{left}_{number}");
            let done = trigger(&airlock, &run_id);
            if done.stderr.contains("recorded") {
                acknowledged.push(run_id);
            }
            if done.code != 0 {
                break done;
            }
            number += 1;
            assert!(number < 400, "the disk never filled, {left} bytes left");
        };
        assert_store_error(&refused, "No space left on device");
        std::fs::remove_file(filler).unwrap();
        let there = run_ids(&airlock);
        for run_id in &acknowledged {
            assert!(
                there.contains(run_id),
                "{run_id} is lost, {left} bytes left"
            );
        }
    }
    // What was begun is carried to its end.
    let resumed = airlock.run(&["runs", "resume"]);
    assert_eq!(resumed.code, 0, "{}", resumed.stderr);
    let check = airlock.run(&["db", "check"]);
    assert_eq!(check.code, 0, "{}", check.stderr);
    let runs = everything(&airlock);
    let mut states = runs.as_array().unwrap().iter().map(|run| &run["state"]);
    assert!(states.all(|state| state == "success"), "{runs}");
}

fn journal(airlock: &Airlock) -> PathBuf {
    let entries = std::fs::read_dir(airlock.data().join("journal")).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    paths.sort();
    paths.remove(0)
}

#[test]
fn a_store_from_a_newer_version_is_left_alone() {
    let airlock = Airlock::new();
    assert_eq!(trigger(&airlock, "run_1").code, 0);
    let before = everything(&airlock);
    let path = journal(&airlock);
    let good = std::fs::read(&path).unwrap();
    let mut newer = good.clone();
    newer[VERSION_AT] = 77;
    let checksum = crc32c::crc32c(&newer[..CHECKSUM_AT]).to_le_bytes();
    newer[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&checksum);
    std::fs::write(&path, &newer).unwrap();
    assert_store_error(&trigger(&airlock, "run_2"), "format 77");
    assert_store_error(&airlock.run(&["runs", "list"]), "format 77");
    assert_eq!(std::fs::read(&path).unwrap(), newer);
    std::fs::write(&path, &good).unwrap();
    assert_eq!(everything(&airlock), before);
}

#[test]
fn a_damaged_byte_is_told_or_does_no_harm() {
    let airlock = Airlock::new();
    for number in 0..3 {
        assert_eq!(trigger(&airlock, &format!("run_{number}")).code, 0);
    }
    let before = everything(&airlock);
    let path = journal(&airlock);
    let good = std::fs::read(&path).unwrap();
    let mut told = 0;
    // The header, the first frame and a byte in each tenth of the rest.
    let places = [0, 9, CHECKSUM_AT, 26, 40].into_iter();
    let places = places.chain((1..10).map(|tenth| good.len() * tenth / 10));
    for place in places {
        let mut bad = good.clone();
        bad[place] ^= 0x10;
        std::fs::write(&path, &bad).unwrap();
        let list = airlock.run(&["runs", "list", "--json"]);
        if list.code == 0 {
            assert_eq!(everything(&airlock), before, "byte {place}");
            // The index answers; the check reads the journal itself.
            let check = airlock.run(&["db", "check"]);
            assert_store_error(&check, "damaged");
        } else {
            assert_store_error(&list, "damaged");
        }
        told += 1;
    }
    assert_eq!(told, 14);
    std::fs::write(&path, &good).unwrap();
    assert_eq!(everything(&airlock), before);
}

#[test]
fn a_disk_that_fills_in_the_middle_of_a_run_ends_the_wait_and_the_run_goes_on_later() {
    let airlock = Airlock::new();
    let Some(mount) = small_disk(&airlock) else {
        return;
    };
    assert_eq!(trigger(&airlock, "run_0").code, 0);
    // Each XCom is a file of its own; the chain makes them one after the other.
    let task = |number: u32| {
        let upstream: Vec<String> = number
            .checked_sub(1)
            .map(|before| format!("t{before}"))
            .into_iter()
            .collect();
        json!({
            "task_id": format!("t{number}"), "operator": "probe", "depends_on": upstream,
            "config": {"value": format!("{{{{ 'a' * {} }}}}", 40_000 + number)},
        })
    };
    let dag = json!({"dag_id": "large", "tasks": (0..60).map(task).collect::<Vec<_>>()});
    let path = airlock.file("large.yaml", &dag.to_string());
    let data = airlock.data().display().to_string();
    let filler = fill(mount.path(), 1 << 20);
    let done = airlock.run_within(
        60,
        &[
            "dags",
            "trigger",
            path.to_str().unwrap(),
            "--run-id",
            "run_1",
            "--data",
            &data,
        ],
    );
    assert!(
        done.stderr.contains("recorded"),
        "it was meant to fill later: {}",
        done.stderr
    );
    assert_eq!(done.code, 20, "{}", done.stderr);
    std::fs::remove_file(filler).unwrap();
    let resumed = airlock.run_within(60, &["runs", "resume", "--json", "--data", &data]);
    assert_eq!(resumed.code, 0, "{}", resumed.stderr);
    let run = airlock
        .run(&["runs", "show", "large", "run_1", "--json"])
        .json();
    assert_eq!(run["state"], "success", "{run}");
    assert_eq!(airlock.run(&["db", "check"]).code, 0);
}
