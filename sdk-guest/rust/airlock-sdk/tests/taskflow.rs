//! DAGs as code: what the calls of tasks come to.

use airlock_sdk::dag::DagRegistration;
use airlock_sdk::prelude::*;
use airlock_sdk::testing::Host;

/// Numbers up to a limit.
#[task]
fn extract(limit: u32) -> Result<Vec<u32>, TaskError> {
    Ok((1..=limit).collect())
}

/// Adds them up.
#[task(retries = 2, pool = "small")]
fn total(rows: Vec<u32>, task: &Task) -> Result<Value, TaskError> {
    info!("try {}", task.try_number);
    Ok(json!({"sum": rows.iter().sum::<u32>()}))
}

/// Tells about it.
#[task]
fn report(sum: u32, text: String) -> Result<(), TaskError> {
    info!("{text}: {sum}");
    Ok(())
}

/// Every night.
#[dag(schedule = "@daily", tags = ["a", "b"], params = {"limit": {"type": "integer", "default": 3}})]
fn nightly() {
    let rows = extract(template("{{ params.limit }}"));
    let sum = total(&rows);
    let again = total(rows).set("retries", 0);
    report(sum.get("sum"), "the sum")
        .after(&again)
        .set("trigger_rule", "all_done");
}

#[test]
fn calls_are_dependencies() {
    let document = DagRegistration::of::<nightly>().document("sums");
    let expected = json!({
        "dag_id": "nightly", "schedule": "@daily", "tags": ["a", "b"],
        "params": {"limit": {"type": "integer", "default": 3}},
        "tasks": [
            {"task_id": "extract", "operator": "sums.extract", "config": {"limit": "{{ params.limit }}"}, "depends_on": []},
            {"task_id": "total", "operator": "sums.total", "config": {"rows": "{{ xcom_pull(\"extract\") }}"},
                "depends_on": ["extract"], "retries": 2, "pool": "small"},
            {"task_id": "total__1", "operator": "sums.total", "config": {"rows": "{{ xcom_pull(\"extract\") }}"},
                "depends_on": ["extract"], "retries": 0, "pool": "small"},
            {"task_id": "report", "operator": "sums.report",
                "config": {"sum": "{{ xcom_pull(\"total\")[\"sum\"] }}", "text": "the sum"},
                "depends_on": ["total", "total__1"], "trigger_rule": "all_done"},
        ],
    });
    assert_eq!(document, expected);
}

#[test]
fn a_task_is_an_operator() {
    let host = Host::new();
    let ended = host.run::<total>(json!({"rows": [1, 2, 3]}));
    assert_eq!(ended, Ok(Outcome::Success(json!({"sum": 6}))));
    let ended = host.run::<total>(json!({"rows": ["one"]}));
    assert!(matches!(ended, Err(TaskError::InvalidInput { field, .. }) if field == "rows[0]"));
}

#[test]
fn a_plugin_of_a_dag_has_the_operators_of_its_tasks_once() {
    let info = airlock_sdk::describe("sums", "0.1.0", &[], &[DagRegistration::of::<nightly>()]);
    let names: Vec<&str> = info
        .operators
        .iter()
        .map(|operator| operator.name.as_str())
        .collect();
    assert_eq!(names, ["extract", "total", "report"]);
    assert_eq!(info.dags.len(), 1);
}
