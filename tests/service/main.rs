//! The service as people use it: files in a folder, commands from other terminals, kills.

mod assets;
mod backfills;
mod changes;
mod files;
mod gpus;
mod kills;
mod runs;

use airlock_tests::Airlock;
use serde_json::{Value, json};

/// A task that waits for `airlock tasks answer`, so that a test decides when a run goes on.
fn gate(task_id: &str) -> Value {
    json!({"task_id": task_id, "operator": "human.approval", "config": {"subject": "may it go on?"}})
}

fn probe(task_id: &str, config: &Value, depends_on: &[&str]) -> Value {
    json!({"task_id": task_id, "operator": "probe", "config": config, "depends_on": depends_on})
}

/// Opens the gate of a run as soon as it asks.
fn open_gate(airlock: &Airlock, dag_id: &str, run_id: &str, task_id: &str) {
    asks(airlock, dag_id, run_id, task_id);
    airlock.ok(&["tasks", "answer", dag_id, run_id, task_id, "--approve"]);
}

/// Waits until a task instance asks.
fn asks(airlock: &Airlock, dag_id: &str, run_id: &str, task_id: &str) {
    airlock.until(&["tasks", "pending-inputs"], |pending| {
        let mut pending = pending.as_array().unwrap().iter();
        pending.any(|asked| {
            (&asked["dag_id"], &asked["run_id"], &asked["task_id"])
                == (&json!(dag_id), &json!(run_id), &json!(task_id))
        })
    });
}

/// Records a run that the service carries out.
fn begin(airlock: &Airlock, dag_id: &str, run_id: &str, more: &[&str]) {
    let arguments = ["dags", "trigger", dag_id, "--no-wait", "--run-id", run_id];
    airlock.ok(&[&arguments, more].concat());
}

/// Waits until a run has a state.
fn until_run(airlock: &Airlock, dag_id: &str, run_id: &str, state: &str) -> Value {
    airlock.until(&["runs", "show", dag_id, run_id], |run| {
        run["state"] == state
    })
}

fn instance<'a>(run: &'a Value, task_id: &str) -> &'a Value {
    let mut rows = run["task_instances"].as_array().unwrap().iter();
    rows.find(|row| row["task_id"] == task_id).unwrap()
}

fn xcom<'a>(run: &'a Value, task_id: &str) -> &'a Value {
    let mut rows = run["xcoms"].as_array().unwrap().iter();
    let found = rows.find(|row| row["task_id"] == task_id && row["key"] == "return_value");
    &found.unwrap_or_else(|| panic!("{task_id} has no value: {run}"))["value"]
}

fn count(rows: &Value, member: &str, value: &str) -> usize {
    let rows = rows.as_array().unwrap().iter();
    rows.filter(|row| row[member] == value).count()
}
