//! `airlock dags test` plays what Airflow 3.3.2 answered: 150 random DAGs, each operator a sandboxed component.

use airlock_tests::Airlock;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The oracle's task as a DAG file's task.
fn task(oracle: &Value) -> Value {
    let mut task = json!({
        "task_id": oracle["task_id"], "operator": "probe", "depends_on": oracle["depends_on"], "trigger_rule": oracle["trigger_rule"],
    });
    match oracle["do"].get("map") {
        Some(elements) => task["expand"] = json!({"result": elements}),
        None => task["config"] = oracle["do"].clone(),
    }
    task
}

fn states(rows: &Value) -> BTreeMap<(String, i64), String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    rows.as_array()
        .unwrap()
        .iter()
        .map(|row| match row {
            Value::Array(row) => ((text(&row[0]), row[1].as_i64().unwrap()), text(&row[2])),
            row => (
                (text(&row["task_id"]), row["map_index"].as_i64().unwrap()),
                text(&row["state"]),
            ),
        })
        .collect()
}

#[test]
fn i10_every_random_dag_ends_as_airflow_says() {
    let airlock = Airlock::new();
    let oracle = include_str!("oracle/dag_runs.jsonl");
    let mut wrong = Vec::new();
    let mut played = 0;
    for line in oracle.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let tasks: Vec<Value> = case["tasks"].as_array().unwrap().iter().map(task).collect();
        let dag = json!({"dag_id": case["dag_id"], "tasks": tasks});
        let path = airlock.file("dag.yaml", &dag.to_string());
        let done = airlock.run_bare(&["dags", "test", path.to_str().unwrap(), "--json"]);
        let answer = done.json();
        let expected = states(&case["airflow"]["task_instances"]);
        if answer["state"] != case["airflow"]["run"]
            || states(&answer["task_instances"]) != expected
        {
            wrong.push(format!(
                "{}: {} {}\n{}",
                case["dag_id"], done.code, done.stderr, answer
            ));
        }
        let code = if case["airflow"]["run"] == "success" {
            0
        } else {
            10
        };
        assert_eq!(done.code, code, "{}", done.stderr);
        played += 1;
    }
    assert_eq!(played, 150);
    assert!(
        wrong.is_empty(),
        "{} of {played} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn f3_a_task_is_mapped_over_what_its_upstream_just_returned() {
    let airlock = Airlock::new();
    let dag = json!({"dag_id": "mapped", "tasks": [
        {"task_id": "list", "operator": "probe", "config": {"value": [1, 2, 3]}},
        {"task_id": "each", "operator": "probe", "depends_on": "list",
            "expand": {"value": "{{ xcom_pull('list') }}"}},
    ]});
    let path = airlock.file("dag.yaml", &dag.to_string());
    let done = airlock.run_bare(&["dags", "test", path.to_str().unwrap(), "--json"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let each = |index| (("each".to_owned(), index), "success".to_owned());
    let list = (("list".to_owned(), -1), "success".to_owned());
    let expected = BTreeMap::from([list, each(0), each(1), each(2)]);
    assert_eq!(states(&done.json()["task_instances"]), expected);
}
