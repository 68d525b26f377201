//! When runs are made and started.

use super::{asks, begin, count, gate, instance, open_gate, probe, until_run};
use airlock_tests::Airlock;
use serde_json::{Value, json};

fn dates(runs: &Value) -> Vec<String> {
    let mut runs: Vec<&Value> = runs.as_array().unwrap().iter().collect();
    runs.sort_by_key(|run| run["start_date"].as_str().unwrap_or_default().to_owned());
    let date = |run: &&Value| run["logical_date"].as_str().unwrap()[..10].to_owned();
    runs.iter().map(date).collect()
}

#[test]
fn a7_catchup_makes_one_run_for_each_missed_tick_oldest_first() {
    let airlock = Airlock::new();
    airlock.dag_file(&json!({
        "dag_id": "missed", "schedule": "@daily", "catchup": true, "max_active_runs": 1,
        "start_date": "2024-01-01", "end_date": "2024-01-04", "tasks": [probe("a", &json!({}), &[])],
    }));
    let service = airlock.serve();
    let runs = airlock.until(&["runs", "list", "missed"], |runs| {
        count(runs, "state", "success") == 4
    });
    assert_eq!(
        dates(&runs),
        ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"]
    );
    assert_eq!(count(&runs, "run_type", "scheduled"), 4);
    assert!(service.stop().success());
}

#[test]
fn a7_without_catchup_only_the_newest_missed_tick_runs() {
    let airlock = Airlock::new();
    airlock.dag_file(&json!({
        "dag_id": "missed", "schedule": "@yearly", "start_date": "2020-01-01",
        "tasks": [probe("a", &json!({}), &[])],
    }));
    let _service = airlock.serve();
    let runs = airlock.until(&["runs", "list", "missed"], |runs| {
        count(runs, "state", "success") == 1
    });
    assert_eq!(runs.as_array().unwrap().len(), 1, "{runs}");
    let listed = airlock.ok(&["dags", "list", "--json"]).json();
    let (made, next) = (&runs[0]["logical_date"], &listed[0]["next_dagrun"]);
    let year = |date: &Value| date.as_str().unwrap()[..4].parse::<u32>().unwrap();
    assert_eq!(year(made) + 1, year(next), "{runs} {listed}");
}

#[test]
fn a11_runs_over_max_active_runs_wait_queued_until_one_ends() {
    let airlock = Airlock::new();
    airlock.dag_file(&json!({"dag_id": "narrow", "max_active_runs": 1, "tasks": [gate("g")]}));
    let _service = airlock.serve();
    for run_id in ["one", "two", "three"] {
        begin(&airlock, "narrow", run_id, &[]);
    }
    for (run_id, left) in [("one", 2), ("two", 1), ("three", 0)] {
        asks(&airlock, "narrow", run_id, "g");
        let runs = airlock.ok(&["runs", "list", "narrow", "--json"]).json();
        assert_eq!(count(&runs, "state", "running"), 1, "{runs}");
        assert_eq!(count(&runs, "state", "queued"), left, "{runs}");
        open_gate(&airlock, "narrow", run_id, "g");
        until_run(&airlock, "narrow", run_id, "success");
    }
}

#[test]
fn b14_a_host_runs_the_queues_that_it_serves_and_says_what_waits_for_another() {
    let airlock = Airlock::new();
    let mut heavy = probe("heavy", &json!({}), &[]);
    heavy["queue"] = json!("gpu");
    airlock
        .dag_file(&json!({"dag_id": "mixed", "tasks": [heavy, probe("light", &json!({}), &[])]}));
    airlock.file("airlock.toml", "queues = [\"default\"]\n");
    let service = airlock.serve();
    begin(&airlock, "mixed", "one", &[]);
    let run = airlock.until(&["runs", "show", "mixed", "one"], |run| {
        instance(run, "light")["state"] == "success"
    });
    assert_eq!(instance(&run, "heavy")["state"], "scheduled", "{run}");
    let deps = airlock.ok(&["tasks", "failed-deps", "mixed", "one", "heavy"]);
    assert!(deps.stdout.contains("gpu"), "{}", deps.stdout);
    service.stop();
    let wrong = airlock.run(&["serve", "--queues", "g p u"]);
    assert_eq!(wrong.code, 2, "{}", wrong.stderr);
    let _service = airlock.serve_with(&["--queues", "gpu,default"]);
    until_run(&airlock, "mixed", "one", "success");
}

#[test]
fn a14_a_paused_dag_starts_no_run_until_it_is_unpaused() {
    let airlock = Airlock::new();
    airlock.dag_file(&json!({"dag_id": "held", "tasks": [probe("a", &json!({}), &[])]}));
    airlock.dag_file(&json!({"dag_id": "other", "tasks": [probe("a", &json!({}), &[])]}));
    let _service = airlock.serve();
    airlock.ok(&["dags", "pause", "held"]);
    begin(&airlock, "held", "run_1", &[]);
    // What the service does first is done when this has ended.
    airlock.ok(&["dags", "trigger", "other", "-q"]);
    let held = airlock
        .ok(&["runs", "show", "held", "run_1", "--json"])
        .json();
    assert_eq!(held["state"], "queued");
    let deps = airlock
        .ok(&["tasks", "failed-deps", "held", "run_1", "a", "--json"])
        .json();
    assert!(deps.to_string().contains("paused"), "{deps}");
    airlock.ok(&["dags", "unpause", "held"]);
    until_run(&airlock, "held", "run_1", "success");
}

#[test]
fn a20_failed_runs_in_a_row_pause_the_dag() {
    let airlock = Airlock::new();
    airlock.dag_file(&json!({
        "dag_id": "breaks", "max_consecutive_failed_dag_runs": 2,
        "tasks": [probe("a", &json!({"result": "fail"}), &[])],
    }));
    let _service = airlock.serve();
    let is_paused = || airlock.ok(&["dags", "list", "--json"]).json()[0]["is_paused"].clone();
    assert_eq!(airlock.run(&["dags", "trigger", "breaks", "-q"]).code, 10);
    assert_eq!(is_paused(), false);
    assert_eq!(airlock.run(&["dags", "trigger", "breaks", "-q"]).code, 10);
    airlock.until(&["dags", "list"], |dags| dags[0]["is_paused"] == true);
    airlock.ok(&["dags", "unpause", "breaks"]);
    assert_eq!(airlock.run(&["dags", "trigger", "breaks", "-q"]).code, 10);
    assert_eq!(is_paused(), false, "unpausing forgets the failures");
}

#[test]
fn b9_a_task_waits_for_its_own_success_in_the_run_before() {
    let airlock = Airlock::new();
    airlock.dag_file(&json!({"dag_id": "past", "tasks": [{
        "task_id": "a", "operator": "probe", "depends_on_past": true,
        "config": {"result": "{{ 'fail' if ds == '2024-01-01' else 'success' }}"},
    }]}));
    let _service = airlock.serve();
    let first = [
        "dags",
        "trigger",
        "past",
        "--run-id",
        "one",
        "--logical-date",
        "2024-01-01",
        "-q",
    ];
    assert_eq!(airlock.run(&first).code, 10);
    begin(&airlock, "past", "two", &["--logical-date", "2024-01-02"]);
    let deps = ["tasks", "failed-deps", "past", "two", "a"];
    airlock.until(&deps, |deps| deps.to_string().contains("one"));
    let second = airlock
        .ok(&["runs", "show", "past", "two", "--json"])
        .json();
    assert_eq!(second["state"], "running");
    assert_eq!(instance(&second, "a")["state"], "none", "{second}");
    airlock.ok(&["tasks", "mark-success", "past", "one", "a"]);
    until_run(&airlock, "past", "two", "success");
}

#[test]
fn g2_a_run_sees_the_dates_of_the_last_run_that_ended_well() {
    let airlock = Airlock::new();
    let value = "{{ prev_data_interval_start_success | ds }} {{ prev_ds }} {{ next_ds }} \
        {{ prev_end_date_success is not none and prev_start_date_success <= prev_end_date_success }}";
    airlock.dag_file(&json!({"dag_id": "before", "tasks": [
        probe("a", &json!({"value": value}), &[]),
        probe("b", &json!({"result": "{{ 'fail' if ds == '2024-01-03' else 'success' }}"}), &["a"]),
    ]}));
    let _service = airlock.serve();
    let seen = |day: u32| {
        let (run_id, date) = (format!("day_{day}"), format!("2024-01-0{day}"));
        let trigger = ["dags", "trigger", "before", "-q", "--run-id", &run_id];
        airlock.run(&[&trigger[..], &["--logical-date", &date]].concat());
        let show = ["runs", "show", "before", &run_id, "--json"];
        super::xcom(&airlock.ok(&show).json(), "a").clone()
    };
    assert_eq!(seen(1), "None None None False");
    assert_eq!(seen(3), "2024-01-01 2024-01-01 None True");
    assert_eq!(
        seen(4),
        "2024-01-01 2024-01-03 None True",
        "the third failed"
    );
    // By date, whenever it is made.
    assert_eq!(seen(2), "2024-01-01 2024-01-01 None True");
    assert_eq!(seen(5), "2024-01-04 2024-01-04 None True");
}

#[test]
fn b10_a_task_waits_for_what_is_directly_below_it_in_the_run_before() {
    let airlock = Airlock::new();
    let mut below = gate("below");
    below["depends_on"] = json!(["a"]);
    airlock.dag_file(&json!({"dag_id": "past", "tasks": [
        {"task_id": "a", "operator": "probe", "wait_for_downstream": true}, below,
    ]}));
    let _service = airlock.serve();
    begin(&airlock, "past", "one", &["--logical-date", "2024-01-01"]);
    begin(&airlock, "past", "two", &["--logical-date", "2024-01-02"]);
    asks(&airlock, "past", "one", "below");
    let deps = ["tasks", "failed-deps", "past", "two", "a"];
    airlock.until(&deps, |deps| deps.to_string().contains("one"));
    let second = airlock
        .ok(&["runs", "show", "past", "two", "--json"])
        .json();
    assert_eq!(instance(&second, "a")["state"], "none", "{second}");
    open_gate(&airlock, "past", "one", "below");
    open_gate(&airlock, "past", "two", "below");
    until_run(&airlock, "past", "two", "success");
}

#[test]
fn i8_a_trigger_takes_conf_run_id_logical_date_and_note() {
    let airlock = Airlock::new();
    airlock.dag_file(&json!({
        "dag_id": "asked", "params": {"n": {"type": "integer", "default": 1}},
        "tasks": [probe("a", &json!({"value": "{{ params.n }} {{ ds }}"}), &[])],
    }));
    let _service = airlock.serve();
    airlock.ok(&[
        "dags",
        "trigger",
        "asked",
        "--run-id",
        "mine",
        "--logical-date",
        "2024-02-29",
        "--conf",
        r#"{"n": 7}"#,
        "--note",
        "a second look",
        "-q",
    ]);
    let run = airlock
        .ok(&["runs", "show", "asked", "mine", "--json"])
        .json();
    assert_eq!(super::xcom(&run, "a"), "7 2024-02-29");
    assert_eq!(run["note"], "a second look");
    assert_eq!(run["triggered_by"], "cli user tester");
    let again = airlock.run(&["dags", "trigger", "asked", "--run-id", "mine"]);
    assert_eq!(again.code, 7, "{}", again.stderr);
    let wrong = airlock.run(&["dags", "trigger", "asked", "--conf", r#"{"n": "x"}"#]);
    assert_eq!(wrong.code, 2, "{}", wrong.stderr);
}
