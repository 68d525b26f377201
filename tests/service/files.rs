//! DAG files: saved, broken, removed. And one data folder has one service.

use super::probe;
use airlock_tests::Airlock;
use serde_json::{Value, json};

fn dag(value: &Value) -> Value {
    json!({"dag_id": "filed", "tasks": [probe("a", &json!({"value": value}), &[])]})
}

fn value_of_a_run(airlock: &Airlock) -> Value {
    let run = airlock.ok(&["dags", "trigger", "filed", "--json"]).json();
    let run_id = run["run_id"].as_str().unwrap();
    let run = airlock
        .ok(&["runs", "show", "filed", run_id, "--json"])
        .json();
    super::xcom(&run, "a").clone()
}

#[test]
fn a_saved_file_is_read_a_broken_one_keeps_the_last_good_version_a_removed_one_makes_the_dag_stale()
{
    let airlock = Airlock::new();
    let service = airlock.serve();
    assert_eq!(airlock.ok(&["dags", "list", "--json"]).json(), json!([]));
    airlock.dag_file(&dag(&json!(1)));
    let listed = airlock.until(&["dags", "list"], |dags| dags[0]["dag_id"] == "filed");
    assert_eq!(value_of_a_run(&airlock), 1);
    airlock.dag_file(&dag(&json!(2)));
    airlock.until(&["dags", "list"], |dags| {
        dags[0]["dag_version"] != listed[0]["dag_version"]
    });
    assert_eq!(value_of_a_run(&airlock), 2);

    airlock.dag_file(&json!({"dag_id": "filed", "tasks": [{"task_id": "a"}]}));
    let errors = airlock.until(&["dags", "list-import-errors"], |errors| {
        errors != &json!([])
    });
    let error = &errors[0];
    assert!(
        error["fileloc"].as_str().unwrap().ends_with("filed.yaml"),
        "{errors}"
    );
    assert!(
        error["message"].as_str().unwrap().contains("operator"),
        "{errors}"
    );
    assert_eq!(value_of_a_run(&airlock), 2, "the last good version");
    airlock.dag_file(&dag(&json!(3)));
    airlock.until(&["dags", "list-import-errors"], |errors| {
        errors == &json!([])
    });
    assert_eq!(value_of_a_run(&airlock), 3);

    std::fs::remove_file(airlock.folder().join("dags/filed.yaml")).unwrap();
    airlock.until(&["dags", "list"], |dags| dags[0]["is_stale"] == true);
    airlock.dag_file(&dag(&json!(4)));
    airlock.until(&["dags", "list"], |dags| dags[0]["is_stale"] == false);
    assert_eq!(value_of_a_run(&airlock), 4);
    assert!(service.stop().success());
}

#[test]
fn a_second_service_on_a_folder_refuses_with_a_hint() {
    let airlock = Airlock::new();
    let _service = airlock.serve();
    let second = airlock.run_within(60, &["serve", "--data", airlock.data().to_str().unwrap()]);
    assert_eq!(second.code, 7, "{}", second.stderr);
    assert!(
        second.stderr.contains("another Airlock process"),
        "{}",
        second.stderr
    );
    assert!(second.stderr.contains("hint: "), "{}", second.stderr);
}
