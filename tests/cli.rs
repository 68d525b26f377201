//! The command line as a person meets it: help, output and errors, as snapshots.

use airlock_tests::{Airlock, root};
use serde_json::json;

fn snapshot(name: &str, airlock: &Airlock, arguments: &[&str]) {
    let done = airlock.run(arguments);
    insta::assert_snapshot!(name, done.transcript(airlock.folder()));
}

#[test]
fn help_of_every_command() {
    let airlock = Airlock::new();
    for command in [
        "",
        "dags",
        "runs",
        "tasks",
        "experiments",
        "experiments runs list",
        "models",
        "models history",
        "plugins",
        "pools",
        "variables",
        "connections",
        "connections set",
        "tasks show",
        "tasks clear",
        "tasks answer",
        "runs clear",
        "backfill",
        "backfill create",
        "assets",
        "dags trigger",
        "db",
        "dags test",
        "dags next-execution",
        "serve",
        "tokens",
        "tokens create",
        "runs logs",
        "bench",
    ] {
        let mut arguments: Vec<&str> = command.split_whitespace().collect();
        arguments.push("--help");
        let done = airlock.run_bare(&arguments);
        assert_eq!(done.code, 0);
        insta::assert_snapshot!(format!("help {command}"), done.stdout);
    }
}

#[test]
fn a_file_with_ten_mistakes_gets_ten_errors_with_places_and_hints() {
    let airlock = Airlock::new();
    airlock.file("ten.yaml", include_str!("fixtures/ten_mistakes.yaml"));
    let done = airlock.run_bare(&["dags", "validate", "ten.yaml"]);
    assert_eq!(done.code, 4);
    assert_eq!(
        done.stderr
            .matches("error[")
            .count()
            .max(done.stderr.matches("\nerror").count()),
        10,
        "{}",
        done.stderr
    );
    insta::assert_snapshot!(done.transcript(airlock.folder()));
}

#[test]
fn a_dag_that_is_not_there_is_exit_3_with_a_hint() {
    let airlock = Airlock::new();
    snapshot(
        "no such file",
        &airlock,
        &["dags", "validate", "nowhere.yaml"],
    );
    snapshot("no data folder", &airlock, &["runs", "list"]);
    assert_eq!(airlock.run(&["pools", "set", "gpu", "1"]).code, 0);
    snapshot("no such dag", &airlock, &["dags", "show", "nowhere"]);
    snapshot(
        "no such run",
        &airlock,
        &["runs", "show", "nowhere", "run_1"],
    );
    snapshot("no such model", &airlock, &["models", "show", "nowhere"]);
}

#[test]
fn experiments_are_listed_and_mistakes_in_a_filter_are_shown() {
    let airlock = Airlock::new();
    assert_eq!(airlock.run(&["pools", "set", "gpu", "1"]).code, 0);
    snapshot("experiments list", &airlock, &["experiments", "list"]);
    snapshot(
        "experiments show",
        &airlock,
        &["experiments", "show", "Default"],
    );
    let wrong = [
        "experiments",
        "runs",
        "list",
        "Default",
        "--filter",
        "metrics.auc > 'high'",
    ];
    snapshot("experiments wrong filter", &airlock, &wrong);
    let wrong = ["experiments", "list", "--filter", "nme = 'a'"];
    snapshot("experiments wrong field", &airlock, &wrong);
    snapshot(
        "no such experiment",
        &airlock,
        &["experiments", "show", "nowhere"],
    );
    let missing = ["experiments", "runs", "show", "nowhere"];
    snapshot("no such tracking run", &airlock, &missing);
    let missing = ["models", "history", "nowhere", "--at", "2026-01-05"];
    snapshot("no such model history", &airlock, &missing);
}

#[test]
fn a_pool_that_is_not_there_is_told_before_the_run_is_recorded() {
    let airlock = Airlock::new();
    let dag = json!({"dag_id": "pooled", "tasks": [{"task_id": "train", "operator": "probe", "pool": "gpu"}]});
    airlock.file("pooled.yaml", &dag.to_string());
    snapshot(
        "no such pool",
        &airlock,
        &["dags", "trigger", "pooled.yaml"],
    );
    assert_eq!(airlock.run(&["pools", "set", "gpu", "1"]).code, 0);
    assert_eq!(
        airlock.run(&["dags", "trigger", "pooled.yaml", "-q"]).code,
        0
    );
}

#[test]
fn i13_a_failed_run_is_exit_10_and_names_the_log() {
    let airlock = Airlock::new();
    let dag = json!({"dag_id": "fails", "tasks": [
        {"task_id": "breaks", "operator": "probe", "config": {"result": "fail"}},
        {"task_id": "after", "operator": "probe", "depends_on": "breaks"},
    ]});
    airlock.file("fails.yaml", &dag.to_string());
    let done = airlock.run(&["dags", "trigger", "fails.yaml", "--run-id", "run_1", "-q"]);
    assert_eq!(done.code, 10);
    insta::assert_snapshot!("failed run", done.stderr);
}

#[test]
fn the_same_logical_date_twice_is_a_conflict() {
    let airlock = Airlock::new();
    airlock.file(
        "once.yaml",
        &json!({"dag_id": "once", "tasks": [{"task_id": "a", "operator": "probe"}]}).to_string(),
    );
    let arguments = [
        "dags",
        "trigger",
        "once.yaml",
        "--logical-date",
        "2026-01-05",
        "-q",
    ];
    assert_eq!(airlock.run(&arguments).code, 0);
    snapshot("conflict", &airlock, &arguments);
}

#[test]
fn next_execution_prints_what_the_schedule_makes() {
    let airlock = Airlock::new();
    let dag = json!({"dag_id": "weekly", "schedule": "0 2 * * 1", "start_date": "2024-01-01", "tasks": [{"task_id": "a", "operator": "probe"}]});
    airlock.file("weekly.yaml", &dag.to_string());
    let arguments = [
        "dags",
        "next-execution",
        "weekly.yaml",
        "-n",
        "2",
        "--now",
        "2026-01-07T00:00:00Z",
    ];
    insta::assert_snapshot!("next execution", airlock.run_bare(&arguments).stdout);
    let json = airlock
        .run_bare(&[&arguments[..], &["--json"]].concat())
        .json();
    assert_eq!(
        json[0][0], "2026-01-05T02:00:00+00:00",
        "the newest missed tick still runs"
    );
    assert_eq!(json[1][0], "2026-01-12T02:00:00+00:00");
}

#[test]
fn an_export_is_imported_into_an_empty_folder_and_nowhere_else() {
    let one = Airlock::new();
    one.file("once.yaml", &json!({"dag_id": "once", "tasks": [{"task_id": "a", "operator": "probe", "config": {"value": 7}}]}).to_string());
    assert_eq!(
        one.run(&["dags", "trigger", "once.yaml", "--run-id", "run_1", "-q"])
            .code,
        0
    );
    let file = one.folder().join("export");
    assert_eq!(one.run(&["db", "export", file.to_str().unwrap()]).code, 0);
    let other = Airlock::new();
    assert_eq!(other.run(&["db", "import", file.to_str().unwrap()]).code, 0);
    let show = ["runs", "show", "once", "run_1", "--json"];
    assert_eq!(one.run(&show).json(), other.run(&show).json());
    assert_eq!(other.run(&["db", "import", file.to_str().unwrap()]).code, 7);
}

#[test]
fn a_second_process_on_the_same_folder_is_told_so() {
    let airlock = Airlock::new();
    airlock.file("slow.yaml", &json!({"dag_id": "slow", "tasks": [{"task_id": "a", "operator": "probe", "config": {"sleep": "30s"}}]}).to_string());
    let mut first = airlock
        .command(&["dags", "trigger", "slow.yaml"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(first.stderr.take().unwrap()),
        &mut line,
    )
    .unwrap();
    let second = airlock.run(&["runs", "list"]);
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(second.code, 7, "{line}{}", second.stderr);
    assert!(
        second.stderr.contains("another Airlock process"),
        "{}",
        second.stderr
    );
}

#[test]
fn every_example_is_valid() {
    let airlock = Airlock::new();
    let mut folders = vec![root().join("examples")];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "yaml")
            {
                let done = airlock.run_bare(&["dags", "validate", path.to_str().unwrap()]);
                assert_eq!(done.code, 0, "{}", done.stderr);
                seen += 1;
            }
        }
    }
    assert!(seen >= 3);
}

#[test]
fn settings_come_from_airlock_toml_where_no_flag_says_otherwise() {
    let airlock = Airlock::new();
    airlock.file("airlock.toml", "data = \"elsewhere\"\n");
    assert_eq!(airlock.run_bare(&["pools", "set", "gpu", "1"]).code, 0);
    assert!(airlock.folder().join("elsewhere").is_dir());
    assert_eq!(airlock.run(&["pools", "set", "gpu", "2"]).code, 0);
    assert!(airlock.data().is_dir(), "a flag wins");
    airlock.file("airlock.toml", "paralelism = 4\n");
    snapshot("unknown setting", &airlock, &["pools", "list"]);
}
