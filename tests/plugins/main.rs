//! A plugin's life as people lead it: added, looked at, updated, granted, signed, removed; with a registry, a service, and the
//! things that go wrong.

mod adding;
mod files;
mod full;
mod grants;
mod liars;
mod pins;
mod races;
mod registry;
mod signatures;
mod tightening;
mod updating;

use airlock_tests::{Airlock, Done, GUESTS};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Writes a component into the temporary place.
fn component(airlock: &Airlock, name: &str, bytes: &[u8]) -> PathBuf {
    let path = airlock.folder().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// A place with two components: `noop.wasm`, which asks for nothing, and `old.wasm`, which asks for much.
fn place() -> Airlock {
    let airlock = Airlock::new();
    component(&airlock, "noop.wasm", &GUESTS.noop);
    component(&airlock, "old.wasm", &GUESTS.since_0_1_0);
    airlock
}

/// A command that must end well.
fn ok(airlock: &Airlock, arguments: &[&str]) -> Done {
    let done = airlock.run(arguments);
    assert_eq!(
        done.code, 0,
        "{arguments:?}\n{}{}",
        done.stdout, done.stderr
    );
    done
}

/// A command that must end with this code and these words.
fn refused(airlock: &Airlock, arguments: &[&str], code: i32, words: &str) -> Done {
    let done = airlock.run(arguments);
    assert_eq!(
        done.code, code,
        "{arguments:?}\n{}{}",
        done.stdout, done.stderr
    );
    assert!(
        done.stderr.contains(words),
        "{arguments:?}\n{}",
        done.stderr
    );
    done
}

fn lock(airlock: &Airlock) -> String {
    std::fs::read_to_string(airlock.folder().join("airlock.lock")).unwrap_or_default()
}

/// Runs one task of an operator, with grants, here and now.
fn test_task(airlock: &Airlock, operator: &str, grants: &Value) -> Done {
    let dag =
        json!({"dag_id": "d", "grants": grants, "tasks": [{"task_id": "t", "operator": operator}]});
    airlock.file("d.yaml", &dag.to_string());
    airlock.run(&["dags", "test", "d.yaml", "--json", "-q"])
}

/// Everything that the operator `old.work` needs.
fn all_grants() -> Value {
    json!({"storage": ["file://./old/"], "tracking": ["old"], "models": ["old"]})
}
