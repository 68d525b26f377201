//! DAGs as code: a component whose `describe` brings DAGs is a DAG file like any other.

use airlock_tests::{Airlock, dag_component};
use serde_json::{Value, json};

/// A DAG of one task that the component `said` carries out.
fn dag(dag_id: &str, component: &str) -> Value {
    json!({"dag_id": dag_id, "full_ids": true, "tasks": [
        {"task_id": "before", "operator": "probe", "config": {}},
        {"task_id": "say", "operator": format!("{component}.say"), "depends_on": ["before"]},
    ]})
}

fn write(airlock: &Airlock, name: &str, bytes: &[u8]) {
    let draft = airlock.folder().join(format!(".{}", name.replace('/', "_")));
    std::fs::write(&draft, bytes).unwrap();
    std::fs::rename(draft, airlock.folder().join(name)).unwrap();
}

fn said(airlock: &Airlock, dag_id: &str, run_id: &str) -> Value {
    let run = airlock.ok(&["runs", "show", dag_id, run_id, "--json"]).json();
    let xcoms = run["xcoms"].as_array().unwrap();
    let of = |row: &&Value| row["task_id"] == "say";
    xcoms.iter().find(of).unwrap()["value"].clone()
}

#[test]
fn a_component_is_validated_shown_tested_and_triggered_like_a_file() {
    let airlock = Airlock::new();
    write(&airlock, "flow.wasm", &dag_component("flow", &json!(1), &[dag("flow", "flow")]));
    let validated = airlock.run_bare(&["dags", "validate", "flow.wasm"]);
    assert_eq!(validated.stdout, "flow.wasm: dag flow with 2 tasks is valid\n", "{}", validated.stderr);
    let shown = airlock.run_bare(&["dags", "show", "flow.wasm"]);
    assert!(shown.stdout.contains("flow.say"), "{}{}", shown.stdout, shown.stderr);
    let tested = airlock.run_bare(&["dags", "test", "flow.wasm", "--json"]);
    assert_eq!(tested.json()["state"], "success", "{}", tested.stderr);
    let one = airlock.run_bare(&["tasks", "test", "flow.wasm", "say", "--json"]);
    assert_eq!(one.json()["state"], "success", "{}", one.stderr);
    airlock.ok(&["dags", "trigger", "flow.wasm", "--run-id", "one", "-q"]);
    assert_eq!(said(&airlock, "flow", "one"), 1);
}

#[test]
fn of_several_dags_one_is_named_behind_a_hash_and_all_are_stored() {
    let airlock = Airlock::new();
    let dags = [dag("first", "flows"), dag("second", "flows")];
    write(&airlock, "flows.wasm", &dag_component("flows", &json!("x"), &dags));
    let unnamed = airlock.run(&["dags", "trigger", "flows.wasm"]);
    assert_eq!(unnamed.code, 2);
    assert!(unnamed.stderr.contains("flows.wasm#DAG_ID"), "{}", unnamed.stderr);
    let missing = airlock.run(&["dags", "test", "flows.wasm#third"]);
    assert_eq!(missing.code, 3);
    assert!(missing.stderr.contains("first, second"), "{}", missing.stderr);
    airlock.ok(&["dags", "trigger", "flows.wasm#second", "--run-id", "one", "-q"]);
    let ids = airlock.ok(&["dags", "list", "--json"]).json();
    let ids: Vec<&Value> = ids.as_array().unwrap().iter().map(|row| &row["dag_id"]).collect();
    assert_eq!(ids, ["first", "second"]);
}

#[test]
fn a_rerun_takes_the_component_that_the_run_began_with() {
    let airlock = Airlock::new();
    write(&airlock, "flow.wasm", &dag_component("flow", &json!("old"), &[dag("flow", "flow")]));
    airlock.ok(&["dags", "trigger", "flow.wasm", "--run-id", "one", "-q"]);
    write(&airlock, "flow.wasm", &dag_component("flow", &json!("new"), &[dag("flow", "flow")]));
    airlock.ok(&["dags", "trigger", "flow.wasm", "--run-id", "two", "-q"]);
    assert_eq!(said(&airlock, "flow", "two"), "new");
    std::fs::remove_file(airlock.folder().join("flow.wasm")).unwrap();
    airlock.ok(&["tasks", "clear", "flow", "one", "say", "--yes"]);
    airlock.ok(&["runs", "resume", "-q"]);
    assert_eq!(said(&airlock, "flow", "one"), "old", "its own component, though its file is another and gone");
}

#[test]
fn a_service_follows_components_and_keeps_the_last_good_version() {
    let airlock = Airlock::new();
    std::fs::create_dir_all(airlock.folder().join("dags")).unwrap();
    write(&airlock, "dags/flow.wasm", &dag_component("flow", &json!("old"), &[dag("flow", "flow"), dag("other", "flow")]));
    let _service = airlock.serve();
    airlock.ok(&["dags", "trigger", "flow", "--run-id", "one", "-q"]);
    assert_eq!(said(&airlock, "flow", "one"), "old");

    write(&airlock, "dags/flow.wasm", &dag_component("flow", &json!("bad"), &[json!({"dag_id": "flow", "tasks": []})]));
    let errors = airlock.until_text(&["dags", "list-import-errors", "--json"], |text| text.contains("no tasks"));
    assert!(errors.contains("flow.wasm"), "{errors}");
    airlock.ok(&["dags", "trigger", "flow", "--run-id", "two", "-q"]);
    assert_eq!(said(&airlock, "flow", "two"), "old", "the last good version");

    write(&airlock, "dags/flow.wasm", &dag_component("flow", &json!("new"), &[dag("flow", "flow")]));
    airlock.until_text(&["dags", "list-import-errors", "--json"], |text| text.trim() == "[]");
    airlock.ok(&["dags", "trigger", "flow", "--run-id", "three", "-q"]);
    assert_eq!(said(&airlock, "flow", "three"), "new");
    let dags = airlock.ok(&["dags", "list", "--json"]).json();
    let stale = |row: &&Value| row["is_stale"] == true;
    let stale: Vec<&Value> = dags.as_array().unwrap().iter().filter(stale).map(|row| &row["dag_id"]).collect();
    assert_eq!(stale, ["other"], "what the new version does not bring makes no more runs");
}

#[test]
fn two_files_with_one_dag_are_an_error_that_names_both() {
    let airlock = Airlock::new();
    std::fs::create_dir_all(airlock.folder().join("dags")).unwrap();
    write(&airlock, "dags/a.wasm", &dag_component("a", &json!(1), &[dag("flow", "a")]));
    write(&airlock, "dags/b.wasm", &dag_component("b", &json!(2), &[dag("flow", "b")]));
    let _service = airlock.serve();
    let errors = airlock.until_text(&["dags", "list-import-errors", "--json"], |text| text.contains("is taken by"));
    assert!(errors.contains("a.wasm") && errors.contains("b.wasm"), "{errors}");
    let twice = dag_component("a", &json!(1), &[dag("flow", "a"), dag("flow", "a")]);
    write(&airlock, "twice.wasm", &twice);
    let refused = airlock.run_bare(&["dags", "validate", "twice.wasm"]);
    assert_eq!(refused.code, 4);
    assert!(refused.stderr.contains("two DAGs called flow"), "{}", refused.stderr);
}

#[test]
fn bad_components_are_one_sentence_each() {
    let airlock = Airlock::new();
    let no_dags = dag_component("plain", &json!(1), &[]);
    let unknown = dag_component("flow", &json!(1), &[json!({"dag_id": "flow", "tasks": [{"task_id": "a", "operator": "flow.sing"}]})]);
    let invalid = dag_component("flow", &json!(1), &[json!({"dag_id": "flow", "tasks": [{"task_id": "a", "operator": "probe", "depends_on": ["b"]}]})]);
    for (name, bytes, sentence) in [
        ("plain.wasm", no_dags.as_slice(), "has operators but no DAGs"),
        ("unknown.wasm", unknown.as_slice(), "names the operator flow.sing, which the component does not have"),
        ("invalid.wasm", invalid.as_slice(), "`depends_on` names \"b\", which is no task of this DAG"),
        ("loops.wasm", &dag_component("loops", &json!(1), &[]), "no answer within"),
        ("raises.wasm", &dag_component("raises", &json!(1), &[]), "the DAG function raised"),
        ("text.wasm", b"hello", "this is not WebAssembly"),
    ] {
        write(&airlock, name, bytes);
        let refused = airlock.run_bare(&["dags", "validate", name]);
        assert_eq!(refused.code, 4, "{name}: {}", refused.stderr);
        assert!(refused.stderr.contains(sentence), "{name}: {}", refused.stderr);
    }
}
