//! `wasi-command` in a DAG: grants, folders, results.

use crate::{ended, log, test, trigger, xcom};
use airlock_tests::{Airlock, GUESTS};
use serde_json::{Value, json};

/// The tool in both forms, and some data.
fn house() -> Airlock {
    let airlock = Airlock::new();
    std::fs::create_dir(airlock.folder().join("bin")).unwrap();
    std::fs::write(airlock.folder().join("bin/tool.wasm"), &GUESTS.tool).unwrap();
    std::fs::write(
        airlock.folder().join("bin/module.wasm"),
        &GUESTS.tool_module,
    )
    .unwrap();
    airlock.file("data.csv", "a,b\n1,2\n");
    airlock
}

fn grants() -> Value {
    json!({"storage_read": ["file://./bin/"], "storage": ["file://./kept/", "file://./"], "scratch": "1MiB"})
}

fn task(task_id: &str, config: &Value) -> Value {
    json!({"task_id": task_id, "operator": "wasi-command", "config": config})
}

#[test]
fn e7_stdout_is_the_log_and_its_last_line_the_xcom() {
    let airlock = house();
    let tasks = [
        task(
            "numbers",
            &json!({"program": "bin/tool.wasm", "args": ["stdin"], "stdin": {"a": [1, 2]}}),
        ),
        task(
            "env",
            &json!({"program": "file://./bin/module.wasm", "args": ["env"], "env": {"ROWS": 7, "DAY": "{{ ds }}"}}),
        ),
        json!({"task_id": "after", "operator": "wasi-command", "depends_on": "numbers",
               "config": {"program": "bin/tool.wasm", "args": ["echo", "{{ xcom_pull('numbers').read }}"]}}),
        task(
            "skips",
            &json!({"program": "bin/module.wasm", "args": ["exit", 99]}),
        ),
    ];
    let done = trigger(&airlock, &grants(), &tasks);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    assert_eq!(xcom(&airlock, "numbers"), json!({"read": 11}));
    assert_eq!(xcom(&airlock, "env"), Value::Null);
    let env = log(&airlock, "env");
    assert!(
        env.contains("stdout: DAY=") && env.contains(",ROWS=7"),
        "{env}"
    );
    assert!(log(&airlock, "after").contains("stdout: 11"));
    let states = airlock.run(&["runs", "show", "d", "r", "--json"]).json();
    let rows = states["task_instances"].as_array().unwrap();
    let skips = rows.iter().find(|row| row["task_id"] == "skips").unwrap();
    assert_eq!(skips["state"], "skipped", "{skips}");
}

#[test]
fn objects_are_put_into_the_folder_and_kept_from_it_under_the_grants() {
    let airlock = house();
    let config = json!({
        "program": "bin/tool.wasm", "args": ["copy", "in/data.csv", "out.csv"], "scratch": {"quota": "64KiB"},
        "inputs": {"in/data.csv": "file://./data.csv"}, "outputs": {"out.csv": "file://./kept/out.csv"},
    });
    let done = test(&airlock, &grants(), &[task("copy", &config)]);
    assert_eq!(
        ended(&done, "copy"),
        ("success".into(), String::new()),
        "{}",
        done.stderr
    );
    let kept = std::fs::read_to_string(airlock.folder().join("kept/out.csv")).unwrap();
    assert_eq!(kept, "a,b\n1,2\n");
}

/// Grants, config, and words of the error.
fn cases() -> Vec<(Value, Value, &'static str)> {
    let tool = "bin/tool.wasm";
    let none = json!({});
    let read = json!({"storage_read": ["file://./bin/"]});
    vec![
        (none.clone(), json!({"program": tool}), "`storage`"),
        (read.clone(), json!({"program": "../tool.wasm"}), "'..'"),
        (
            read.clone(),
            json!({"program": "/etc/passwd"}),
            "no grant covers file:///etc/passwd",
        ),
        (
            read.clone(),
            json!({"program": "bin/missing.wasm"}),
            "there is nothing at",
        ),
        (
            read.clone(),
            json!({"program": "bin/text.wasm"}),
            "not WebAssembly",
        ),
        (
            read.clone(),
            json!({"program": "bin/plugin.wasm"}),
            "program file://./bin/plugin.wasm cannot be run",
        ),
        (
            read.clone(),
            json!({"program": tool, "scratch": true}),
            "the grant `scratch`",
        ),
        (
            read.clone(),
            json!({"program": tool, "argument": 1}),
            "unknown field `argument`",
        ),
        (read.clone(), json!({"args": []}), "missing field `program`"),
        (
            read.clone(),
            json!({"program": tool, "args": ["panic"]}),
            "it gives up",
        ),
        (
            read.clone(),
            json!({"program": "bin/module.wasm", "args": ["exit", "7"]}),
            "exited with code 7",
        ),
    ]
}

/// The same about the scratch folder.
fn scratch_cases() -> Vec<(Value, Value, &'static str)> {
    let tool = "bin/tool.wasm";
    let small = json!({"storage_read": ["file://./"], "scratch": "4KiB"});
    vec![
        (
            small.clone(),
            json!({"program": tool, "scratch": {"quota": "8KiB"}}),
            "the grant `scratch` allows 4096",
        ),
        (
            small.clone(),
            json!({"program": tool, "scratch": true, "inputs": {"../x": "file://./data.csv"}}),
            "no name in the scratch folder",
        ),
        (
            small.clone(),
            json!({"program": tool, "scratch": true, "inputs": {"x": "file:///etc/passwd"}}),
            "no grant covers",
        ),
        (
            small.clone(),
            json!({"program": tool, "scratch": true, "inputs": {"x": "file://./bin/tool.wasm"}}),
            "does not fit",
        ),
        (
            small.clone(),
            json!({"program": tool, "args": ["echo"], "scratch": true, "outputs": {"x": "file://./x"}}),
            "left no \"x\"",
        ),
    ]
}

#[test]
fn what_is_not_granted_or_makes_no_sense_fails_with_what_to_do() {
    let airlock = house();
    std::fs::write(airlock.folder().join("bin/text.wasm"), "#!/bin/sh\n").unwrap();
    std::fs::write(airlock.folder().join("bin/plugin.wasm"), &GUESTS.noop).unwrap();
    for (grants, config, words) in cases().into_iter().chain(scratch_cases()) {
        let done = test(&airlock, &grants, &[task("t", &config)]);
        let (state, error) = ended(&done, "t");
        assert_eq!(state, "failed", "{config}");
        assert!(error.contains(words), "{config}: {error}");
    }
}

#[test]
fn a_program_is_killed_with_its_host_and_runs_again_with_an_empty_folder() {
    let airlock = house();
    let left = airlock.data().join("work/0/left");
    std::fs::create_dir_all(&left).unwrap();
    let config = json!({"program": "bin/tool.wasm", "args": ["list", "/"], "scratch": true});
    let done = trigger(&airlock, &grants(), &[task("t", &config)]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(!left.exists(), "what a dead host left is gone");
    assert!(
        log(&airlock, "t").contains("stdout: ok \n") || log(&airlock, "t").contains("stdout: ok\n")
    );
    let work = airlock.data().join("work");
    let held = std::fs::read_dir(work).map_or(0, Iterator::count);
    assert_eq!(held, 0, "and so is its own");
}
