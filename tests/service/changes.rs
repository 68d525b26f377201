//! Clearing, marking, editing XComs, and which version of a DAG a run goes on with.

use super::{asks, begin, count, gate, instance, open_gate, probe, until_run, xcom};
use airlock_tests::Airlock;
use serde_json::{Value, json};

fn run_of(airlock: &Airlock, dag_id: &str, run_id: &str) -> Value {
    airlock
        .ok(&["runs", "show", dag_id, run_id, "--json"])
        .json()
}

/// Fails at first; what is below does not run.
fn mends() -> Value {
    json!({"dag_id": "mends", "tasks": [
        probe("before", &json!({}), &[]),
        probe("breaks", &json!({"succeed_on_try": 2}), &["before"]),
        probe("after", &json!({}), &["breaks"]),
    ]})
}

#[test]
fn i6_a_clear_runs_what_failed_and_what_is_below_it_again() {
    let airlock = Airlock::new();
    airlock.dag_file(&mends());
    let _service = airlock.serve();
    let trigger = ["dags", "trigger", "mends", "--run-id", "one", "-q"];
    assert_eq!(airlock.run(&trigger).code, 10);
    let clear = ["tasks", "clear", "mends", "one", "breaks", "--downstream"];
    let asked = airlock.run(&clear);
    assert_eq!(asked.code, 2, "nobody can be asked");
    assert!(asked.stderr.contains("--yes"), "{}", asked.stderr);
    let dry = airlock
        .ok(&[&clear[..], &["--dry-run", "--json"]].concat())
        .json();
    let names: Vec<&Value> = dry
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["task_id"])
        .collect();
    assert_eq!(names, ["breaks", "after"], "{dry}");
    assert_eq!(dry[1]["state"], "upstream_failed");
    assert_eq!(
        run_of(&airlock, "mends", "one")["state"],
        "failed",
        "nothing was cleared yet"
    );
    airlock.ok(&[&clear[..], &["--yes"]].concat());
    let run = until_run(&airlock, "mends", "one", "success");
    assert_eq!(instance(&run, "before")["try_number"], 1);
    assert_eq!(instance(&run, "breaks")["try_number"], 2, "tries count on");
    let unknown = airlock.run(&["tasks", "clear", "mends", "one", "nothing", "--yes"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("breaks"), "{}", unknown.stderr);
}

#[test]
fn i6_a_clear_takes_runs_by_their_dates() {
    let airlock = Airlock::new();
    airlock.dag_file(&json!({"dag_id": "dated", "tasks": [probe("a", &json!({}), &[])]}));
    let _service = airlock.serve();
    for day in ["01", "02", "03"] {
        let date = format!("2024-01-{day}");
        airlock.ok(&[
            "dags",
            "trigger",
            "dated",
            "--run-id",
            day,
            "--logical-date",
            &date,
            "-q",
        ]);
    }
    let dry = |arguments: &[&str]| {
        let all = [
            &["runs", "clear", "dated"],
            arguments,
            &["--dry-run", "--json"],
        ]
        .concat();
        let rows = airlock.ok(&all).json();
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| row["run_id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(dry(&["02"]), ["02"]);
    assert_eq!(dry(&["02", "--past"]), ["01", "02"]);
    assert_eq!(dry(&["02", "--future"]), ["02", "03"]);
    assert_eq!(dry(&["all", "--from", "2024-01-02"]), ["02", "03"]);
    assert_eq!(
        dry(&["all", "--from", "2024-01-02", "--to", "2024-01-02"]),
        ["02"]
    );
    airlock.ok(&["runs", "clear", "dated", "02", "--future", "--yes"]);
    for (run_id, tries) in [("01", 1), ("02", 2), ("03", 2)] {
        let run = airlock.until(&["runs", "show", "dated", run_id], |run| {
            run["state"] == "success" && instance(run, "a")["try_number"] == tries
        });
        assert_eq!(run["run_id"], run_id);
    }
}

#[test]
fn i6_without_a_service_a_cleared_run_waits_for_one() {
    let airlock = Airlock::new();
    let path = airlock.file("mends.yaml", &mends().to_string());
    let trigger = [
        "dags",
        "trigger",
        path.to_str().unwrap(),
        "--run-id",
        "one",
        "-q",
    ];
    assert_eq!(airlock.run(&trigger).code, 10);
    let cleared = airlock.ok(&["runs", "clear", "mends", "one", "--only-failed", "--yes"]);
    assert!(
        cleared.stderr.contains("airlock serve"),
        "{}",
        cleared.stderr
    );
    assert_eq!(run_of(&airlock, "mends", "one")["state"], "queued");
    airlock.ok(&["runs", "resume", "--json"]);
    let run = run_of(&airlock, "mends", "one");
    assert_eq!(run["state"], "success", "{run}");
    assert_eq!(instance(&run, "before")["try_number"], 1);
}

#[test]
fn i7_marking_gives_a_state_without_running() {
    let airlock = Airlock::new();
    airlock.dag_file(&json!({"dag_id": "marked", "tasks": [
        gate("g"), probe("after", &json!({}), &["g"]),
        probe("sleeps", &json!({"sleep": "10m"}), &[]),
    ]}));
    let _service = airlock.serve();
    begin(&airlock, "marked", "one", &[]);
    asks(&airlock, "marked", "one", "g");
    airlock.ok(&["tasks", "mark-success", "marked", "one", "g"]);
    airlock.until(&["runs", "show", "marked", "one"], |run| {
        instance(run, "after")["state"] == "success"
            && instance(run, "sleeps")["state"] == "running"
    });
    airlock.ok(&["tasks", "mark-failed", "marked", "one", "sleeps"]);
    let run = until_run(&airlock, "marked", "one", "failed");
    assert_eq!(instance(&run, "sleeps")["state"], "failed");
    begin(&airlock, "marked", "two", &[]);
    asks(&airlock, "marked", "two", "g");
    airlock.until(&["runs", "show", "marked", "two"], |run| {
        instance(run, "sleeps")["state"] == "running"
    });
    airlock.ok(&["runs", "mark-failed", "marked", "two"]);
    let run = until_run(&airlock, "marked", "two", "failed");
    assert_eq!(instance(&run, "sleeps")["state"], "failed", "what was live");
    assert_eq!(instance(&run, "after")["state"], "skipped", "what waited");
    airlock.ok(&["runs", "mark-success", "marked", "two"]);
    until_run(&airlock, "marked", "two", "success");
}

#[test]
fn e8_people_edit_xcoms_and_what_is_below_sees_it() {
    let airlock = Airlock::new();
    let mut held = gate("g");
    held["depends_on"] = json!(["makes"]);
    airlock.dag_file(&json!({"dag_id": "edited", "tasks": [
        probe("makes", &json!({"value": 1}), &[]), held,
        probe("reads", &json!({"value": "{{ xcom_pull('makes') }}"}), &["g"]),
    ]}));
    let _service = airlock.serve();
    begin(&airlock, "edited", "one", &[]);
    asks(&airlock, "edited", "one", "g");
    airlock.ok(&[
        "tasks",
        "set-xcom",
        "edited",
        "one",
        "makes",
        "return_value",
        "[7]",
    ]);
    airlock.ok(&[
        "tasks", "set-xcom", "edited", "one", "makes", "note", "\"x\"",
    ]);
    airlock.ok(&["tasks", "delete-xcom", "edited", "one", "makes", "note"]);
    let twice = airlock.run(&["tasks", "delete-xcom", "edited", "one", "makes", "note"]);
    assert_eq!(twice.code, 2, "{}", twice.stderr);
    open_gate(&airlock, "edited", "one", "g");
    let run = until_run(&airlock, "edited", "one", "success");
    assert_eq!(xcom(&run, "reads"), &json!([7]));
    assert_eq!(count(&run["xcoms"], "key", "note"), 0);
}

#[test]
fn a25_a_run_finishes_on_its_version_and_a_clear_keeps_it_unless_told() {
    let airlock = Airlock::new();
    let version = |value: u32| {
        json!({"dag_id": "edited", "tasks": [
            gate("g"), probe("work", &json!({"value": value}), &["g"]),
        ]})
    };
    airlock.dag_file(&version(1));
    let _service = airlock.serve();
    begin(&airlock, "edited", "one", &[]);
    asks(&airlock, "edited", "one", "g");
    let before = airlock.ok(&["dags", "list", "--json"]).json()[0]["dag_version"].clone();
    airlock.dag_file(&version(2));
    airlock.until(&["dags", "list"], |dags| dags[0]["dag_version"] != before);
    open_gate(&airlock, "edited", "one", "g");
    let run = until_run(&airlock, "edited", "one", "success");
    assert_eq!(
        (xcom(&run, "work"), &run["dag_version"]),
        (&json!(1), &before)
    );
    let clear = ["tasks", "clear", "edited", "one", "work", "--yes"];
    for (more, tries, value) in [(&[][..], 2, 1), (&["--latest-version"][..], 3, 2)] {
        airlock.ok(&[&clear[..], more].concat());
        let run = airlock.until(&["runs", "show", "edited", "one"], |run| {
            run["state"] == "success" && instance(run, "work")["try_number"] == tries
        });
        assert_eq!(xcom(&run, "work"), &json!(value));
    }
}
