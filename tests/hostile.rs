//! Guests that are broken or mean harm, through the whole program: each fails its own task with words that name the cause, and a
//! neighbour in the same run ends well.

use airlock_tests::{Airlock, Done, GUESTS};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// No run may take longer, whatever its guests do; the program is killed then and the test fails.
const RUN_SECONDS_MAX: u32 = 120;
/// What the memory bomb may have, bytes.
const MEMORY_BYTES: u64 = 32 << 20;
/// What the log flood may write, bytes.
const LOG_BYTES: u64 = 20_000;

/// Writes every hostile plugin into a folder.
fn plugins(airlock: &Airlock) {
    let folder = airlock.folder().join("plugins");
    std::fs::create_dir(&folder).unwrap();
    // A component's header, then a section that is longer than the file.
    let broken = b"\0asm\x0d\0\x01\0\x01\xff\x7f";
    let files: [(&str, &[u8]); 6] = [
        ("text", b"#!/bin/sh\necho pwned\n"),
        ("module", b"\0asm\x01\0\0\0"),
        ("broken", broken),
        ("stray", &GUESTS.stray),
        ("shell", &GUESTS.shell),
        ("zoo", &GUESTS.zoo),
    ];
    for (name, bytes) in files {
        std::fs::write(folder.join(name).with_extension("wasm"), bytes).unwrap();
    }
    // What the handles of the leak are of.
    let data = airlock.folder().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("x"), "x").unwrap();
}

/// A task for each kind of harm that ends in failure.
fn harm() -> Vec<Value> {
    let task = |task_id: &str, operator: &str| json!({"task_id": task_id, "operator": operator});
    let with = |task_id: &str, operator: &str, more: Value| {
        let mut task = task(task_id, operator);
        for (key, value) in more.as_object().unwrap() {
            task[key] = value.clone();
        }
        task
    };
    vec![
        task("not_wasm", "text"),
        task("core_module", "module"),
        task("broken_component", "broken"),
        task("another_version", "stray"),
        task("unknown_import", "shell"),
        task("no_such_plugin", "nowhere"),
        task("no_such_operator", "zoo.nothing"),
        task("panic", "zoo.panic-ansi"),
        task("exit", "zoo.exit"),
        task("not_json", "zoo.garbage"),
        task("recursion", "zoo.recursion"),
        task("handle_leak", "zoo.handle-leak"),
        with("denied", "zoo.handle-leak", json!({"grants": {}})),
        with(
            "endless_loop",
            "zoo.spin",
            json!({"execution_timeout": "1s"}),
        ),
        with(
            "endless_host_calls",
            "zoo.ignore-cancel",
            json!({"execution_timeout": "1s"}),
        ),
        with(
            "memory_bomb",
            "zoo.memory-bomb",
            json!({"grants": {"limits": {"memory": MEMORY_BYTES}}}),
        ),
        with(
            "large_return",
            "zoo.big-return",
            json!({"config": {"bytes": 100_000}}),
        ),
        with(
            "huge_return",
            "zoo.big-return",
            json!({"config": {"bytes": 50_000_000}}),
        ),
        with(
            "return_over_memory",
            "zoo.big-return",
            json!({"config": {"bytes": 100_000_000}}),
        ),
        with(
            "huge_call",
            "zoo.big-call",
            json!({"config": {"bytes": 50_000_000}}),
        ),
    ]
}

fn neighbour() -> Value {
    json!({"task_id": "neighbour", "operator": "probe", "config": {"sleep": "300ms", "value": 7}})
}

fn test(airlock: &Airlock, name: &str, tasks: &[Value]) -> Done {
    let dag = json!({
        "dag_id": name, "tasks": tasks, "max_active_tasks": 64, "grants": {"storage_read": ["file://./data/"]},
    });
    let path = airlock.file(&format!("{name}.yaml"), &dag.to_string());
    let path = path.to_str().unwrap();
    let arguments = ["dags", "test", path, "--plugins", "plugins", "--json", "-q"];
    airlock.run_within(RUN_SECONDS_MAX, &arguments)
}

fn instance<'a>(run: &'a Value, task_id: &str) -> &'a Value {
    let rows = run["task_instances"].as_array().unwrap();
    rows.iter().find(|row| row["task_id"] == task_id).unwrap()
}

/// Without what changes when the toolchain or the bundled plugins do: a backtrace's functions but the guest's own, hashes, and names of
/// plugins.
fn normal(told: &str) -> String {
    let mut lines = Vec::new();
    for line in told.lines() {
        if let Some(frames) = line.strip_prefix("in: ") {
            let own = frames.split(" < ").find_map(|frame| {
                let (path, _) = frame.split_once("::h")?;
                path.strip_prefix("guest_zoo::")
            });
            lines.push(format!("in: {}", own.unwrap_or("...")));
        } else if let Some((before, _)) = line.split_once("there are: ") {
            lines.push(format!("{before}there are: ..."));
        } else {
            lines.push(line.to_owned());
        }
    }
    lines.join("\n")
}

#[test]
fn each_fails_its_own_task_with_its_cause() {
    let airlock = Airlock::new();
    plugins(&airlock);
    let mut told = String::new();
    for task in harm() {
        let name = task["task_id"].as_str().unwrap();
        let done = test(&airlock, name, &[task.clone(), neighbour()]);
        assert_eq!(done.code, 10, "{name}: {}{}", done.stdout, done.stderr);
        let run = done.json();
        assert_eq!(instance(&run, "neighbour")["state"], "success", "{run}");
        let row = instance(&run, name);
        assert_eq!(row["state"], "failed", "{row}");
        let error = row["error"].as_str().unwrap();
        assert!(
            !error.contains(|letter: char| letter.is_control() && letter != '\n'),
            "{error:?}"
        );
        writeln!(told, "{name}: {error}").unwrap();
    }
    insta::assert_snapshot!(normal(&told));
}

#[test]
fn all_at_once_they_hurt_nobody_else() {
    let airlock = Airlock::new();
    plugins(&airlock);
    let mut tasks = harm();
    let harmful = tasks.len();
    tasks.push(neighbour());
    tasks.push(json!({"task_id": "many", "operator": "probe", "expand": {"value": [0, 1, 2, 3, 4, 5, 6, 7]}}));
    tasks.push(json!({"task_id": "after_many", "operator": "probe", "depends_on": "many"}));
    let done = test(&airlock, "all", &tasks);
    assert_eq!(done.code, 10, "{}{}", done.stdout, done.stderr);
    let run = done.json();
    let rows = run["task_instances"].as_array().unwrap();
    let ended = |state: &str| rows.iter().filter(|row| row["state"] == state).count();
    assert_eq!(
        (ended("failed"), ended("success")),
        (harmful, 1 + 8 + 1),
        "{run}"
    );
}

#[test]
fn a_flooded_log_is_cut_and_says_so() {
    let airlock = Airlock::new();
    plugins(&airlock);
    let flood = |task_id: &str, operator: &str| json!({"task_id": task_id, "operator": operator, "grants": {"limits": {"log": LOG_BYTES}}});
    let tasks = [
        flood("log", "zoo.log-flood"),
        flood("stdout", "zoo.stdout-flood"),
        neighbour(),
    ];
    let dag = json!({"dag_id": "flood", "tasks": tasks});
    airlock.file("flood.yaml", &dag.to_string());
    let arguments = ["dags", "trigger", "flood.yaml", "--run-id", "run_1", "-q"];
    let arguments = [&arguments[..], &["--plugins", "plugins", "--data", "data"]].concat();
    let done = airlock.run_within(RUN_SECONDS_MAX, &arguments);
    assert_eq!(done.code, 0, "a full log is no failure: {}", done.stderr);
    for task in ["log", "stdout"] {
        let log = airlock.run(&["runs", "logs", "flood", "run_1", task]);
        assert_eq!(log.code, 0, "{}", log.stderr);
        let notes = log.stdout.matches("over its limit of 20000").count();
        assert_eq!(notes, 1, "{task}: {} bytes", log.stdout.len());
        // Each line has a time and a level before it.
        assert!(
            log.stdout.len() < 6 * 20_000,
            "{task}: {}",
            log.stdout.len()
        );
    }
}
