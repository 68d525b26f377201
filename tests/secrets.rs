//! Variables, connections and pools as a person meets them, and that no secret comes out where it must not.

#![expect(
    clippy::too_many_lines,
    reason = "a story a test: what a person does, step by step"
)]

use airlock_tests::{Airlock, Done};
use serde_json::{Value, json};
use std::io::Write;
use std::process::Stdio;

const PASSWORD: &str = "hunter2-swordfish";

fn snapshot(name: &str, airlock: &Airlock, arguments: &[&str]) {
    let done = airlock.run(arguments);
    insta::assert_snapshot!(name, done.transcript(airlock.folder()));
}

fn ok(airlock: &Airlock, arguments: &[&str]) -> Done {
    let done = airlock.run(arguments);
    assert_eq!(done.code, 0, "{arguments:?}: {}", done.stderr);
    done
}

fn with_stdin(airlock: &Airlock, arguments: &[&str], input: &str) -> Done {
    let mut child = airlock
        .command(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap().into()
}

/// Every file of the data folder that holds the secret.
fn leaks(airlock: &Airlock) -> Vec<String> {
    let (mut folders, mut found) = (vec![airlock.data()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if holds(&std::fs::read(&path).unwrap()) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

fn holds(bytes: &[u8]) -> bool {
    bytes
        .windows(PASSWORD.len())
        .any(|window| window == PASSWORD.as_bytes())
}

#[test]
fn i14_variables_are_set_read_listed_and_deleted() {
    let airlock = Airlock::new();
    ok(
        &airlock,
        &[
            "variables",
            "set",
            "bucket",
            "s3://data",
            "--description",
            "where it lies",
        ],
    );
    ok(&airlock, &["variables", "set", "limits", r#"{"rows": 7}"#]);
    let set = with_stdin(
        &airlock,
        &["variables", "set", "slack_token", "-"],
        &format!("{PASSWORD}\n"),
    );
    assert_eq!(set.code, 0, "{}", set.stderr);
    snapshot("variables list", &airlock, &["variables", "list"]);
    snapshot("variables get", &airlock, &["variables", "get", "bucket"]);
    snapshot(
        "variables get secret",
        &airlock,
        &["variables", "get", "slack_token"],
    );
    let shown = ok(
        &airlock,
        &[
            "variables",
            "get",
            "slack_token",
            "--with-secrets",
            "--json",
        ],
    )
    .json();
    assert_eq!(
        shown,
        json!({"key": "slack_token", "value": PASSWORD, "source": "store"})
    );
    let fallback = ok(&airlock, &["variables", "get", "nowhere", "--default", "x"]);
    assert_eq!(fallback.stdout, "x\n");
    snapshot(
        "variables get missing",
        &airlock,
        &["variables", "get", "nowhere"],
    );
    ok(&airlock, &["variables", "delete", "bucket"]);
    snapshot(
        "variables delete missing",
        &airlock,
        &["variables", "delete", "bucket"],
    );
    snapshot(
        "variables bad key",
        &airlock,
        &["variables", "set", "../x", "1"],
    );
    assert_eq!(leaks(&airlock), Vec::<String>::new());
}

#[test]
fn i14_connections_never_show_their_secrets() {
    let airlock = Airlock::new();
    let uri = format!(
        "postgres://robot:{PASSWORD}@db.internal:5432/churn?api_key={PASSWORD}&sslmode=require"
    );
    ok(&airlock, &["connections", "set", "db", "--conn-uri", &uri]);
    ok(
        &airlock,
        &[
            "connections",
            "set",
            "slack",
            "--conn-type",
            "http",
            "--conn-host",
            "hooks.slack.com",
            "--conn-password",
            PASSWORD,
        ],
    );
    let json = with_stdin(
        &airlock,
        &["connections", "set", "aws", "--conn-json", "-"],
        &json!({"conn_type": "aws", "extra": {"region": "eu"}}).to_string(),
    );
    assert_eq!(json.code, 0, "{}", json.stderr);
    snapshot("connections list", &airlock, &["connections", "list"]);
    snapshot("connections get", &airlock, &["connections", "get", "db"]);
    snapshot(
        "connections get json",
        &airlock,
        &["connections", "get", "db", "--json"],
    );
    snapshot(
        "connections get missing",
        &airlock,
        &["connections", "get", "nowhere"],
    );
    snapshot(
        "connections set wrong",
        &airlock,
        &[
            "connections",
            "set",
            "x",
            "--conn-uri",
            &format!("http://a:{PASSWORD}:x@h:port"),
        ],
    );
    snapshot(
        "connections export",
        &airlock,
        &["connections", "export", "-"],
    );
    ok(&airlock, &["connections", "delete", "aws"]);
    for command in [
        &["connections", "list", "--json"][..],
        &["connections", "export", "-"],
        &["connections", "get", "slack"],
    ] {
        let done = ok(&airlock, command);
        assert!(
            !holds(done.stdout.as_bytes()),
            "{command:?}: {}",
            done.stdout
        );
    }
    let backup = airlock.folder().join("backup");
    ok(&airlock, &["db", "export", backup.to_str().unwrap()]);
    assert!(
        !holds(&std::fs::read(backup).unwrap()),
        "a backup holds no secret in the clear"
    );
    assert_eq!(leaks(&airlock), Vec::<String>::new());
}

#[test]
fn i14_exports_are_imported_elsewhere_as_they_were() {
    let (one, other) = (Airlock::new(), Airlock::new());
    ok(&one, &["variables", "set", "slack_token", PASSWORD]);
    ok(
        &one,
        &[
            "variables",
            "set",
            "limits",
            r#"{"rows":7}"#,
            "--description",
            "d",
        ],
    );
    ok(&one, &["variables", "set", "code", "007"]);
    ok(
        &one,
        &[
            "connections",
            "set",
            "db",
            "--conn-uri",
            &format!("postgres://robot:{PASSWORD}@h/x"),
        ],
    );
    ok(
        &one,
        &["pools", "set", "gpu", "2", "cards", "--include-deferred"],
    );
    for (noun, secrets) in [("variables", true), ("connections", true), ("pools", false)] {
        let file = one.folder().join(noun);
        let mut export = vec![noun, "export", file.to_str().unwrap()];
        if secrets {
            export.push("--with-secrets");
        }
        ok(&one, &export);
        assert_eq!(
            one.run(&export).code,
            2,
            "an export is never written over another file"
        );
        ok(&other, &[noun, "import", file.to_str().unwrap()]);
        let mut shown = vec![noun, "export", "-"];
        if secrets {
            shown.push("--with-secrets");
        }
        assert_eq!(ok(&one, &shown).json(), ok(&other, &shown).json(), "{noun}");
    }
    let refused = with_stdin(
        &other,
        &[
            "variables",
            "import",
            "-",
            "--action-on-existing-key",
            "fail",
        ],
        r#"{"new": 1, "code": "8"}"#,
    );
    assert_eq!(refused.code, 7, "{}", refused.stderr);
    assert_eq!(
        other.run(&["variables", "get", "new"]).code,
        3,
        "nothing was imported"
    );
    let skipped = with_stdin(
        &other,
        &[
            "variables",
            "import",
            "-",
            "--action-on-existing-key",
            "skip",
            "--json",
        ],
        r#"{"new": 1, "code": "8"}"#,
    );
    assert_eq!(
        skipped.json(),
        json!({"imported": ["new"], "skipped": ["code"]})
    );
    assert_eq!(ok(&other, &["variables", "get", "code"]).stdout, "007\n");
}

#[test]
fn i15_flags_and_environment_are_looked_at_before_the_store() {
    let airlock = Airlock::new();
    ok(&airlock, &["variables", "set", "bucket", "stored"]);
    let get = |environment: &[(&str, &str)], more: &[&str]| -> Value {
        let mut command =
            airlock.command(&[&["variables", "get", "bucket", "--json"], more].concat());
        for (name, value) in environment {
            command.env(name, value);
        }
        let done = Done::from(command.output().unwrap());
        assert_eq!(done.code, 0, "{}", done.stderr);
        done.json()["source"].clone()
    };
    std::fs::create_dir_all(airlock.folder().join("mounted/variables")).unwrap();
    airlock.file("mounted/variables/bucket", "mounted\n");
    assert_eq!(get(&[], &[]), "store");
    assert_eq!(get(&[("AIRLOCK_VAR_BUCKET", "e")], &[]), "environment");
    assert_eq!(
        get(&[("AIRLOCK_VAR_BUCKET", "e")], &["--secrets", "mounted"]),
        "secrets"
    );
    assert_eq!(get(&[("AIRLOCK_SECRETS", "mounted")], &[]), "secrets");
    airlock.file("airlock.toml", "secrets = \"mounted\"\n");
    assert_eq!(get(&[], &[]), "secrets");
}

#[test]
fn a_rotated_key_opens_what_was_there_and_another_folders_key_does_not() {
    let airlock = Airlock::new();
    ok(&airlock, &["variables", "set", "slack_token", PASSWORD]);
    let key = airlock.data().join("secret.key");
    let before = std::fs::read(&key).unwrap();
    snapshot("rotate key", &airlock, &["db", "rotate-key"]);
    assert_ne!(std::fs::read(&key).unwrap(), before);
    let get = ["variables", "get", "slack_token", "--with-secrets"];
    assert_eq!(ok(&airlock, &get).stdout, format!("{PASSWORD}\n"));
    std::fs::write(&key, before).unwrap();
    snapshot("wrong key", &airlock, &get);
}

#[test]
fn i14_a_pool_that_is_needed_is_not_deleted() {
    let airlock = Airlock::new();
    ok(&airlock, &["pools", "set", "gpu", "1"]);
    snapshot("pools list", &airlock, &["pools", "list"]);
    snapshot(
        "delete default pool",
        &airlock,
        &["pools", "delete", "default_pool"],
    );
    let dag = json!({"dag_id": "slow", "tasks": [
        {"task_id": "train", "operator": "probe", "pool": "gpu", "config": {"sleep": "30s"}},
        {"task_id": "after", "operator": "probe", "depends_on": "train"},
    ]});
    airlock.file("slow.yaml", &dag.to_string());
    let mut running = airlock
        .command(&["dags", "trigger", "slow.yaml", "--run-id", "run_1"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stderr = std::io::BufReader::new(running.stderr.take().unwrap());
    std::io::BufRead::read_line(&mut stderr, &mut line).unwrap();
    running.kill().unwrap();
    running.wait().unwrap();
    let refused = airlock.run(&["pools", "delete", "gpu"]);
    assert_eq!(refused.code, 7, "{}", refused.stderr);
    assert!(
        refused
            .stderr
            .contains("task train of run run_1 of dag slow"),
        "{}",
        refused.stderr
    );
    ok(&airlock, &["runs", "cancel", "slow", "run_1"]);
    ok(&airlock, &["pools", "delete", "gpu"]);
    snapshot("delete missing pool", &airlock, &["pools", "delete", "gpu"]);
}

#[test]
fn g1_templates_read_variables_and_connections_and_their_secrets_stay_hidden() {
    let airlock = Airlock::new();
    ok(&airlock, &["variables", "set", "bucket", "s3://data"]);
    ok(&airlock, &["variables", "set", "slack_token", PASSWORD]);
    ok(
        &airlock,
        &[
            "connections",
            "set",
            "db",
            "--conn-uri",
            &format!("postgres://robot:{PASSWORD}@db.internal/churn?token={PASSWORD}"),
        ],
    );
    let dag = json!({"dag_id": "reads", "tasks": [
        {"task_id": "plain", "operator": "probe", "config": {"value": {"bucket": "{{ var.value.bucket }}/{{ ds }}", "host": "{{ conn.db.host }}", "extra": "{{ conn.db.extra.token }}"}}},
        {"task_id": "leaks", "operator": "probe", "config": {"value": ["{{ var.value.slack_token }}", "token={{ var.value.slack_token }}"]}},
        {"task_id": "fails", "operator": "probe", "trigger_rule": "always", "config": {"result": "{{ var.value.slack_token }}"}},
        {"task_id": "no_grant", "operator": "probe", "config": {"value": "{{ conn.db.password }}"}},
        {"task_id": "granted", "operator": "probe", "grants": {"secrets": {"db": ["db.internal"]}}, "config": {"value": "{{ conn.db.password }}"}},
        {"task_id": "missing", "operator": "probe", "config": {"value": "{{ var.value.nowhere }}"}},
    ], "grants": {"secrets": {"db": ["db.internal"]}}});
    // A task without grants of its own has the DAG's, so this one gives them up.
    let mut dag = dag;
    dag["tasks"][3]["grants"] = json!({"secrets": {}});
    airlock.file("reads.yaml", &dag.to_string());
    let arguments = [
        "dags",
        "trigger",
        "reads.yaml",
        "--run-id",
        "run_1",
        "--logical-date",
        "2026-01-05",
    ];
    let done = airlock.run(&arguments);
    assert_eq!(done.code, 10, "{}", done.stderr);
    assert!(!holds(done.stderr.as_bytes()), "{}", done.stderr);
    assert_eq!(leaks(&airlock), Vec::<String>::new());
    let show = ok(&airlock, &["runs", "show", "reads", "run_1", "--json"]).json();
    let xcom = |task: &str| {
        let xcoms = show["xcoms"].as_array().unwrap();
        xcoms
            .iter()
            .find(|xcom| xcom["task_id"] == task)
            .map(|xcom| xcom["value"].clone())
            .unwrap_or_default()
    };
    assert_eq!(
        xcom("plain"),
        json!({"bucket": "s3://data/2026-01-05", "host": "db.internal", "extra": "***"})
    );
    assert_eq!(xcom("leaks"), json!(["***", "token=***"]));
    assert!(
        xcom("granted")
            .as_str()
            .unwrap()
            .starts_with("airlock-secret-"),
        "{}",
        xcom("granted")
    );
    let error = |task: &str| {
        let rows = show["task_instances"].as_array().unwrap();
        let row = rows.iter().find(|row| row["task_id"] == task).unwrap();
        row["error"].as_str().unwrap_or_default().to_owned()
    };
    assert!(
        error("no_grant").contains("no grant covers the password of connection \"db\""),
        "{}",
        error("no_grant")
    );
    assert!(
        error("missing").contains("airlock variables set nowhere VALUE"),
        "{}",
        error("missing")
    );
    assert!(!holds(error("fails").as_bytes()), "{}", error("fails"));
}

#[test]
fn g1_a_task_instance_is_shown_with_everything_about_it() {
    let airlock = Airlock::new();
    let dag = json!({"dag_id": "once", "tasks": [{"task_id": "a", "operator": "probe", "config": {"value": "{{ ds }}"}}]});
    airlock.file("once.yaml", &dag.to_string());
    ok(
        &airlock,
        &[
            "dags",
            "trigger",
            "once.yaml",
            "--run-id",
            "run_1",
            "--logical-date",
            "2026-01-05",
            "-q",
        ],
    );
    let shown = ok(&airlock, &["tasks", "show", "once", "run_1", "a", "--json"]).json();
    assert_eq!(shown["state"], "success");
    assert_eq!(shown["try_number"], 1);
    assert_eq!(shown["xcoms"][0]["value"], "2026-01-05");
    assert!(shown["start_date"].is_string() && shown["end_date"].is_string());
    assert_eq!(shown["rendered_fields"], json!({"value": "2026-01-05"}));
    let text = ok(&airlock, &["tasks", "show", "once", "latest", "a"]).stdout;
    assert!(
        text.starts_with("dag once run run_1 task a: success\n"),
        "{text}"
    );
    snapshot(
        "tasks show missing",
        &airlock,
        &["tasks", "show", "once", "run_1", "b"],
    );
}

#[test]
fn i15_dags_test_with_a_data_folder_sees_what_is_set_there_and_without_one_nothing() {
    let airlock = Airlock::new();
    airlock.ok(&["variables", "set", "bucket", "s3://lake"]);
    let uri = "http://robot@mlflow.internal:5000";
    airlock.ok(&["connections", "set", "mlflow", "--conn-uri", uri]);
    let value = "{{ var.value.bucket }} {{ conn.mlflow.host }}";
    let dag = serde_json::json!({"dag_id": "sees", "tasks": [
        {"task_id": "a", "operator": "probe", "config": {"value": value}},
    ]});
    let path = airlock.file("sees.yaml", &dag.to_string());
    let test = ["dags", "test", path.to_str().unwrap(), "--json"];
    let with = airlock.ok(&test).json();
    let run_id = with["run_id"].as_str().unwrap();
    let run = airlock
        .ok(&["runs", "show", "sees", run_id, "--json"])
        .json();
    assert_eq!(run["xcoms"][0]["value"], "s3://lake mlflow.internal");
    let without = airlock.run_bare(&test);
    assert_eq!(without.code, 10, "{}", without.stderr);
    let error = without.json()["task_instances"][0]["error"].to_string();
    assert!(error.contains("variables set"), "{error}");
}
