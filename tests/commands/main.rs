//! Tasks that start a program, through the whole `airlock` program: in the sandbox, and outside of it.

mod native;
mod registry;
mod wasi;

use airlock_tests::{Airlock, Done};
use serde_json::{Value, json};

/// One run of a DAG of these tasks.
pub fn test(airlock: &Airlock, grants: &Value, tasks: &[Value]) -> Done {
    let dag = json!({"dag_id": "d", "grants": grants, "tasks": tasks});
    let path = airlock.file("d.yaml", &dag.to_string());
    airlock.run_bare(&["dags", "test", path.to_str().unwrap(), "--json", "-q"])
}

/// The same, kept: so that logs and XComs can be read afterwards.
pub fn trigger(airlock: &Airlock, grants: &Value, tasks: &[Value]) -> Done {
    let dag = json!({"dag_id": "d", "grants": grants, "tasks": tasks});
    let path = airlock.file("d.yaml", &dag.to_string());
    airlock.run(&[
        "dags",
        "trigger",
        path.to_str().unwrap(),
        "--run-id",
        "r",
        "-q",
    ])
}

/// One row of a run.
pub fn instance(done: &Done, task_id: &str) -> Value {
    let run = done.json();
    let rows = run["task_instances"]
        .as_array()
        .unwrap_or_else(|| panic!("{}{}", done.stdout, done.stderr));
    rows.iter()
        .find(|row| row["task_id"] == task_id)
        .unwrap()
        .clone()
}

/// State and error of a task instance.
pub fn ended(done: &Done, task_id: &str) -> (String, String) {
    let row = instance(done, task_id);
    let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("error"))
}

/// What the task returned.
pub fn xcom(airlock: &Airlock, task_id: &str) -> Value {
    let shown = airlock
        .run(&["tasks", "show", "d", "r", task_id, "--json"])
        .json();
    let xcoms = shown["xcoms"]
        .as_array()
        .unwrap_or_else(|| panic!("{shown}"));
    let found = xcoms.iter().find(|xcom| xcom["key"] == "return_value");
    found.map_or(Value::Null, |xcom| xcom["value"].clone())
}

/// The log of the task.
pub fn log(airlock: &Airlock, task_id: &str) -> String {
    airlock.run(&["runs", "logs", "d", "r", task_id]).stdout
}
