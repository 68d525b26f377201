use super::{all_grants, lock, ok, place, refused, test_task};
use serde_json::json;

#[test]
fn what_an_operator_takes_back_no_dag_can_give() {
    let airlock = place();
    ok(&airlock, &["plugins", "add", "old.wasm", "--yes"]);
    assert_eq!(test_task(&airlock, "old.work", &all_grants()).code, 0);
    // Narrowed to another place: known only when it is tried, so it is a denial, as a value.
    ok(
        &airlock,
        &["plugins", "grant", "old", "storage", "file://./elsewhere/"],
    );
    let done = test_task(&airlock, "old.work", &all_grants());
    assert_eq!(done.code, 10, "{}", done.stderr);
    assert!(done.stdout.contains("Denied"), "{}", done.stdout);
    ok(
        &airlock,
        &["plugins", "grant", "old", "storage", "file://./"],
    );
    assert_eq!(test_task(&airlock, "old.work", &all_grants()).code, 0);
    // Shut altogether: it cannot even be linked, which is said before there is a run.
    let revoked = ok(&airlock, &["plugins", "revoke", "old", "models"]);
    assert!(
        revoked.stderr.contains("may not change registered models"),
        "{}",
        revoked.stderr
    );
    let done = test_task(&airlock, "old.work", &all_grants());
    assert_eq!(done.code, 5, "{}", done.stderr);
    assert!(
        done.stderr.contains("airlock plugins grant old models"),
        "{}",
        done.stderr
    );
    assert!(
        lock(&airlock).contains("[plugins.old.grants]"),
        "{}",
        lock(&airlock)
    );
    ok(&airlock, &["plugins", "grant", "old", "models"]);
    assert_eq!(test_task(&airlock, "old.work", &all_grants()).code, 0);
    // What the operator allows is no grant: the DAG must say it too.
    assert_eq!(test_task(&airlock, "old.work", &json!({})).code, 10);
}

#[test]
fn mistakes_in_grants_are_told_and_change_nothing() {
    let airlock = place();
    ok(&airlock, &["plugins", "add", "old.wasm", "--yes"]);
    let before = lock(&airlock);
    refused(
        &airlock,
        &["plugins", "grant", "old", "htp"],
        2,
        "it is one of http, storage",
    );
    refused(
        &airlock,
        &["plugins", "grant", "old", "http"],
        2,
        "does not ask for http",
    );
    refused(
        &airlock,
        &["plugins", "grant", "old", "storage", "s3://data"],
        2,
        "ends in '/'",
    );
    refused(
        &airlock,
        &["plugins", "revoke", "old", "storage", "s3://data/"],
        2,
        "is not among",
    );
    refused(
        &airlock,
        &["plugins", "grant", "new", "http"],
        3,
        "names no plugin",
    );
    assert_eq!(lock(&airlock), before);
}

#[test]
fn the_hosts_own_rules_bound_every_plugin() {
    let airlock = place();
    ok(&airlock, &["plugins", "add", "old.wasm", "--yes"]);
    airlock.file(
        "airlock.toml",
        "[plugin_policy.at_most]\nstorage = [\"file://./elsewhere/\"]\n",
    );
    let done = test_task(&airlock, "old.work", &all_grants());
    assert_eq!(done.code, 10, "{}", done.stderr);
    assert!(done.stdout.contains("Denied"), "{}", done.stdout);
    airlock.file(
        "airlock.toml",
        "[plugin_policy.at_most]\ntracking = false\n",
    );
    let done = test_task(&airlock, "old.work", &all_grants());
    assert_eq!(done.code, 5, "{}", done.stderr);
    assert!(done.stderr.contains("plugin_policy"), "{}", done.stderr);
    airlock.file("airlock.toml", "[plugin_policy]\nrequire = true\n");
    refused(&airlock, &["plugins", "list"], 2, "unknown field `require`");
}
