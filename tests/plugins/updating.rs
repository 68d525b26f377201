use super::{all_grants, component, lock, ok, place, refused, test_task};
use airlock_tests::{Airlock, Done, GUESTS};
use serde_json::json;

/// A plugin `tool` from `tool.wasm`, which asks for nothing yet.
fn with_tool() -> Airlock {
    let airlock = place();
    component(&airlock, "tool.wasm", &GUESTS.noop);
    ok(
        &airlock,
        &["plugins", "add", "tool.wasm", "--as", "tool", "--yes"],
    );
    airlock
}

fn in_ci(airlock: &Airlock, arguments: &[&str]) -> Done {
    let command = airlock.command(arguments).env("CI", "true").output();
    command.unwrap().into()
}

#[test]
fn an_update_that_asks_for_more_is_shown_and_needs_a_yes() {
    let airlock = with_tool();
    let same = ok(&airlock, &["plugins", "update"]);
    assert!(same.stderr.contains("is as it was"), "{}", same.stderr);
    let before = lock(&airlock);
    component(&airlock, "tool.wasm", &GUESTS.since_0_1_0);
    let done = refused(
        &airlock,
        &["plugins", "update", "tool"],
        5,
        "asks for more than was agreed to",
    );
    for line in [
        "plugin tool 1.0.0 -> 0.1.0",
        "+ may read and write the objects that a DAG grants",
    ] {
        assert!(done.stderr.contains(line), "{}", done.stderr);
    }
    let done = in_ci(&airlock, &["plugins", "update"]);
    assert_eq!(done.code, 5, "{}", done.stderr);
    assert_eq!(lock(&airlock), before);
    // What was agreed to goes on running.
    assert_eq!(test_task(&airlock, "tool", &json!({})).code, 0);
    let done = in_ci(&airlock, &["plugins", "update", "tool", "--yes"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let done = test_task(&airlock, "tool.work", &all_grants());
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    // The old component is not needed any more.
    let components = airlock.data().join("components");
    assert_eq!(std::fs::read_dir(components).unwrap().count(), 1);
}

#[test]
fn an_update_keeps_what_was_revoked() {
    let airlock = place();
    component(&airlock, "tool.wasm", &GUESTS.since_0_1_0);
    ok(
        &airlock,
        &["plugins", "add", "tool.wasm", "--as", "tool", "--yes"],
    );
    ok(
        &airlock,
        &["plugins", "grant", "tool", "storage", "file://./old/"],
    );
    // The same component with one byte more in a custom section of its own.
    let mut changed = GUESTS.since_0_1_0.clone();
    changed.extend([0, 2, 1, b'x']);
    component(&airlock, "tool.wasm", &changed);
    refused(
        &airlock,
        &["plugins", "update", "tool"],
        2,
        "nobody can be asked",
    );
    ok(&airlock, &["plugins", "update", "tool", "--yes"]);
    assert!(
        lock(&airlock).contains("storage = [\"file://./old/\"]"),
        "{}",
        lock(&airlock)
    );
    refused(
        &airlock,
        &["plugins", "update", "nobody"],
        3,
        "names no plugin",
    );
    refused(
        &airlock,
        &["plugins", "update", "--from", "x.wasm"],
        2,
        "one plugin",
    );
}
