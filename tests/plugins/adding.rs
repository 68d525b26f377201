use super::{all_grants, component, lock, ok, place, refused, test_task};
use airlock_tests::{Airlock, GUESTS};
use serde_json::json;

#[test]
fn a_plugin_is_shown_agreed_to_once_and_used() {
    let airlock = place();
    refused(
        &airlock,
        &["plugins", "add", "old.wasm"],
        2,
        "nobody can be asked",
    );
    assert_eq!(lock(&airlock), "");
    assert!(!airlock.data().join("components").exists());
    let added = ok(&airlock, &["plugins", "add", "old.wasm", "--yes"]);
    for sentence in [
        "may read and write the objects that a DAG grants",
        "may log to the experiments that a DAG grants",
        "may change the registered models that a DAG grants",
        "may read the run states of the DAGs that a DAG grants",
        "not signed",
        "operators: work, wait",
    ] {
        assert!(added.stderr.contains(sentence), "{}", added.stderr);
    }
    assert!(
        lock(&airlock).contains("source = \"old.wasm\""),
        "{}",
        lock(&airlock)
    );
    // Twice is once.
    let again = ok(&airlock, &["plugins", "add", "old.wasm"]);
    assert!(again.stderr.contains("there already"), "{}", again.stderr);
    // The file that it came from is not needed any more.
    std::fs::remove_file(airlock.folder().join("old.wasm")).unwrap();
    let done = test_task(&airlock, "old.work", &all_grants());
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    let inspected = ok(&airlock, &["plugins", "inspect", "old"]).stdout;
    assert!(
        inspected.contains("may read and write the objects that a DAG grants"),
        "{inspected}"
    );
    ok(&airlock, &["plugins", "remove", "old"]);
    refused(
        &airlock,
        &["plugins", "remove", "old"],
        3,
        "names no plugin",
    );
    let components = airlock.data().join("components");
    assert_eq!(std::fs::read_dir(components).unwrap().count(), 0);
    assert!(test_task(&airlock, "old.work", &json!({})).code != 0);
}

#[test]
fn components_of_every_released_contract_still_run() {
    let airlock = place();
    ok(&airlock, &["plugins", "add", "old.wasm", "--yes"]);
    let grants = all_grants();
    let dag = json!({"dag_id": "d", "grants": grants, "tasks": [
        {"task_id": "work", "operator": "old.work"},
        {"task_id": "wait", "operator": "old.wait", "poke_interval": 0.01, "depends_on": "work"},
        {"task_id": "check", "operator": "probe", "depends_on": "wait",
         "config": {"value": "{{ xcom_pull('work') }}"}},
    ]});
    airlock.file("d.yaml", &dag.to_string());
    let done = airlock.run(&["dags", "trigger", "d.yaml", "-q"]);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    let shown = ok(&airlock, &["runs", "show", "d", "latest", "--json"]).json();
    let told = shown.to_string();
    for part in [
        r#""pulled":[1,2]"#,
        r#""rows":2"#,
        r#""weekday":1"#,
        r#""none":true"#,
        r#""denied":true"#,
    ] {
        let told = told.replace('\\', "");
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn a_name_of_the_programs_own_plugins_is_refused_and_another_one_may_be_given() {
    let airlock = place();
    refused(
        &airlock,
        &["plugins", "add", "noop.wasm", "--as", "probe", "--yes"],
        7,
        "of its own",
    );
    refused(
        &airlock,
        &["plugins", "add", "noop.wasm", "--as", "a.b", "--yes"],
        2,
        "cannot be a plugin's name",
    );
    ok(
        &airlock,
        &["plugins", "add", "noop.wasm", "--as", "calm", "--yes"],
    );
    let done = test_task(&airlock, "calm", &json!({}));
    assert_eq!(done.code, 0, "{}", done.stderr);
    component(&airlock, "other.wasm", &GUESTS.since_0_1_0);
    refused(
        &airlock,
        &["plugins", "add", "other.wasm", "--as", "calm", "--yes"],
        7,
        "another plugin",
    );
}

#[test]
fn what_was_changed_after_it_was_agreed_to_is_refused() {
    let airlock = place();
    ok(&airlock, &["plugins", "add", "noop.wasm", "--yes"]);
    let folder = airlock.data().join("components");
    let file = std::fs::read_dir(&folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let good = std::fs::read(&file).unwrap();
    let mut bad = good.clone();
    let last = bad.len() - 1;
    bad[last] ^= 1;
    std::fs::write(&file, &bad).unwrap();
    let done = test_task(&airlock, "noop", &json!({}));
    assert_eq!(done.code, 3, "{}", done.stderr);
    assert!(
        done.stderr.contains("changed or damaged"),
        "{}",
        done.stderr
    );
    refused(&airlock, &["plugins", "verify"], 3, "changed or damaged");
    std::fs::remove_file(&file).unwrap();
    let done = test_task(&airlock, "noop", &json!({}));
    assert_eq!(done.code, 3, "{}", done.stderr);
    assert!(
        done.stderr.contains("airlock plugins install"),
        "{}",
        done.stderr
    );
    // What was agreed to is fetched from where it came, and nobody is asked.
    ok(&airlock, &["plugins", "install"]);
    assert_eq!(std::fs::read(&file).unwrap(), good);
    ok(&airlock, &["plugins", "verify"]);
    assert_eq!(test_task(&airlock, "noop", &json!({})).code, 0);
    // The source has other bytes by now: they are not what was agreed to.
    std::fs::remove_file(&file).unwrap();
    component(&airlock, "noop.wasm", &GUESTS.since_0_1_0);
    refused(
        &airlock,
        &["plugins", "install"],
        5,
        "is not what was agreed to",
    );
}

#[test]
fn a_file_of_a_plugin_folder_must_be_the_component_that_was_agreed_to() {
    let airlock = place();
    ok(&airlock, &["plugins", "add", "noop.wasm", "--yes"]);
    let folder = airlock.folder().join("plugins");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("noop.wasm"), &GUESTS.since_0_1_0).unwrap();
    refused(
        &airlock,
        &["plugins", "inspect", "noop", "--plugins", "plugins"],
        5,
        "was agreed to for",
    );
    std::fs::write(folder.join("noop.wasm"), &GUESTS.noop).unwrap();
    ok(
        &airlock,
        &["plugins", "inspect", "noop", "--plugins", "plugins"],
    );
    // One bad plugin does not hide the others.
    std::fs::write(folder.join("bad.wasm"), "text").unwrap();
    let list = ok(&airlock, &["plugins", "list", "--plugins", "plugins"]).stdout;
    assert!(
        list.contains("a text file") && list.contains("probe.probe"),
        "{list}"
    );
}

#[test]
fn a_lock_file_that_makes_no_sense_stops_everything_with_its_place() {
    let airlock = Airlock::new();
    airlock.file(
        "airlock.lock",
        "lock_version = 1\n[plugins.x]\nversion = 3\n",
    );
    let done = refused(&airlock, &["plugins", "list"], 2, "airlock.lock");
    assert!(done.stderr.contains("line 3"), "{}", done.stderr);
    airlock.file("airlock.lock", "lock_version = 9\n");
    refused(&airlock, &["plugins", "list"], 2, "lock_version is 9");
}
