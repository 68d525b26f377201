//! The rows of the semantics that Airlock promises: each has a test whose name begins with the row's id, or a reason here.

use airlock_tests::root;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Letters with the number of their rows.
const ROWS: [(char, u32); 9] = [
    ('a', 25),
    ('b', 21),
    ('c', 8),
    ('d', 10),
    ('e', 8),
    ('f', 11),
    ('g', 5),
    ('i', 20),
    ('m', 24),
];

/// Rows without a test of their own, each with the reason. A row that has one must not be here.
const WITHOUT: &[(&str, &str)] = &[
    ("e4", "XComs are JSON; there are no serialisers to test"),
    (
        "f2",
        "Python's `override`: tested in sdk-guest/python/tests",
    ),
    (
        "f11",
        "Airlock has one kind of isolation; nothing to choose from",
    ),
    (
        "g5",
        "escaping of Python's f-strings belongs to Python itself; sdk-guest/python takes its strings as they are",
    ),
    (
        "i3",
        "an attempt that is admitted starts in the same turn: nothing can be stuck in queued",
    ),
    (
        "i4",
        "numbers of Airflow's loop that Airlock's loop does not have",
    ),
];

fn tests_in(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                tests_in(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.extend(text.lines().filter_map(row));
        }
    }
}

/// The row that a line's test is about.
fn row(line: &str) -> Option<String> {
    let (_, name) = line.trim_start().split_once("fn ")?;
    let (id, _) = name.split_once('_')?;
    let mut letters = id.chars();
    let letter = letters.next()?;
    let number: u32 = letters.as_str().parse().ok()?;
    ROWS.iter()
        .any(|(row, last)| *row == letter && (1..=*last).contains(&number))
        .then(|| id.to_owned())
}

#[test]
fn every_row_of_the_semantics_has_a_test_named_after_it() {
    let mut tested = BTreeSet::new();
    for folder in ["host", "plugins", "sdk-guest", "tests"] {
        tests_in(&root().join(folder), &mut tested);
    }
    let all = ROWS
        .iter()
        .flat_map(|(letter, last)| (1..=*last).map(move |number| format!("{letter}{number}")));
    let mut wrong = Vec::new();
    for id in all {
        let excuse = WITHOUT.iter().find(|(row, _)| *row == id);
        match (tested.contains(&id), excuse) {
            (false, None) => wrong.push(format!("{id} has no test and no reason")),
            (true, Some(_)) => wrong.push(format!("{id} has a test: take it out of WITHOUT")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
