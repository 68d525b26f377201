//! `native.command` in a DAG: off, on, marked, limited, cancelled.

use crate::{ended, log, test, trigger, xcom};
use airlock_tests::Airlock;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A program for the tests, in a folder that is nobody else's.
fn program(airlock: &Airlock, name: &str, text: &str) -> String {
    let folder = airlock.folder().canonicalize().unwrap();
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn allow(airlock: &Airlock, program: &str, settings: &str) {
    airlock.file(
        "airlock.toml",
        &format!("[native.{program:?}]\n{settings}\n"),
    );
}

fn task(config: &Value) -> Value {
    json!({"task_id": "t", "operator": "native.command", "config": config})
}

#[test]
fn it_is_off_until_airlock_toml_allows_the_very_path() {
    let airlock = Airlock::new();
    let good = program(&airlock, "good", "echo ran");
    let other = program(&airlock, "other", "echo ran");
    let run = |program: &str| {
        let done = test(&airlock, &json!({}), &[task(&json!({"program": program}))]);
        ended(&done, "t")
    };
    let (state, error) = run(&good);
    assert_eq!(state, "failed");
    assert!(
        error.contains("airlock.toml allows no program") && error.contains("would allow it"),
        "{error}"
    );
    allow(&airlock, &good, "");
    assert_eq!(run(&good), ("success".into(), String::new()));
    let folder = Path::new(&good).parent().unwrap();
    std::os::unix::fs::symlink(&good, folder.join("link")).unwrap();
    let link = folder.join("link").to_str().unwrap().to_owned();
    for bad in [
        &other,
        &link,
        &good.replace("/good", "//good"),
        &good.replace("/good", "/./good"),
        "good",
        "/bin/sh",
        "",
    ] {
        let (state, error) = run(bad);
        assert_eq!(state, "failed", "{bad}");
        assert!(error.contains("may not start"), "{bad}: {error}");
    }
    // What was allowed is replaced by a link: it is not followed.
    std::fs::remove_file(&good).unwrap();
    std::os::unix::fs::symlink(&other, &good).unwrap();
    let done = test(&airlock, &json!({}), &[task(&json!({"program": good}))]);
    assert_eq!(done.code, 2, "{}", done.stderr);
    assert!(
        done.stderr.contains("by a link or a detour"),
        "{}",
        done.stderr
    );
}

#[test]
fn e7_a_native_program_says_its_result_as_one_in_the_sandbox_does() {
    let airlock = Airlock::new();
    let text = r#"case "$1" in
        value) echo first; echo '{"rows": 3}';;
        read) wc -c;;
        skip) echo nothing to do >&2; exit 99;;
        fail) echo it broke >&2; exit 5;;
        die) kill -9 $$;;
        esac"#;
    let good = program(&airlock, "good", text);
    allow(&airlock, &good, "");
    let with = |task_id: &str, config: Value| json!({"task_id": task_id, "operator": "native.command", "config": config, "trigger_rule": "all_done"});
    let tasks = [
        with("value", json!({"program": good, "args": ["value"]})),
        with(
            "read",
            json!({"program": good, "args": ["read"], "stdin": "12345"}),
        ),
        with("skip", json!({"program": good, "args": ["skip"]})),
        with("fail", json!({"program": good, "args": ["fail"]})),
        with("die", json!({"program": good, "args": ["die"]})),
    ];
    trigger(&airlock, &json!({}), &tasks);
    assert_eq!(xcom(&airlock, "value"), json!({"rows": 3}));
    let text = log(&airlock, "value");
    assert!(
        text.contains("WARN  airlock: native: outside the sandbox: starts"),
        "{text}"
    );
    assert!(text.contains("INFO  stdout: first\n"), "{text}");
    assert!(log(&airlock, "read").contains("stdout: 5\n"));
    let run = airlock.run(&["runs", "show", "d", "r", "--json"]);
    assert_eq!(ended(&run, "skip").0, "skipped");
    let (state, error) = ended(&run, "fail");
    assert_eq!(state, "failed");
    assert!(
        error.contains("exited with code 5") && error.contains("it broke"),
        "{error}"
    );
    assert!(ended(&run, "die").1.contains("ended by signal 9"));
}

#[test]
fn its_environment_its_folder_and_its_limits_are_its_own() {
    let airlock = Airlock::new();
    let text = r"env | sort | tr '\n' ' '; echo
        pwd; ls -A | wc -l; ulimit -n; ulimit -c; ulimit -f; cat /proc/self/status | grep NoNewPrivs";
    let good = program(&airlock, "good", text);
    let settings =
        "env = [\"EPOCHS\"]\nset_env = { CARD = \"0\" }\nopen_files = 77\nfile_size = \"1MiB\"";
    allow(&airlock, &good, settings);
    let config = json!({"program": good, "env": {"EPOCHS": 3}});
    let done = trigger(&airlock, &json!({}), &[task(&config)]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let text = log(&airlock, "t");
    for part in [
        "AIRLOCK_DAG_ID=d ",
        "AIRLOCK_TASK_ID=t ",
        "CARD=0 ",
        "EPOCHS=3 ",
        "LANG=C.UTF-8 ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    for part in [
        "XDG_CACHE_HOME",
        "NO_COLOR",
        "USER=",
        "AIRLOCK_LISTEN",
        "CARGO",
    ] {
        assert!(!text.contains(part), "{part}: {text}");
    }
    let work = airlock.data().canonicalize().unwrap().join("work");
    assert!(
        text.contains(&format!("stdout: {}/", work.display())),
        "{text}"
    );
    for part in [
        "stdout: 77\n",
        "stdout: 2048\n",
        "NoNewPrivs:\t1",
        "stdout: 0\n",
    ] {
        assert!(
            text.contains(part) || text.contains(&part.replace('\t', " ")),
            "{part}: {text}"
        );
    }
    let left = std::fs::read_dir(work).map_or(0, Iterator::count);
    assert_eq!(left, 0, "its folder is gone");
    for (env, words) in [
        ("LD_PRELOAD", "may not set"),
        ("CARD", "may not set"),
        ("PATH", "may not set"),
    ] {
        let config = json!({"program": good, "env": {env: "x"}});
        let (_, error) = ended(&test(&airlock, &json!({}), &[task(&config)]), "t");
        assert!(error.contains(words), "{env}: {error}");
    }
}

#[test]
fn a_flooded_log_is_cut_and_the_program_goes_on() {
    let airlock = Airlock::new();
    let good = program(
        &airlock,
        "good",
        "yes 0123456789 | head -c 300000; printf '\\033[31mred\\n'; echo '{\"end\":1}'",
    );
    allow(&airlock, &good, "");
    let done = trigger(
        &airlock,
        &json!({"limits": {"log": "5kB"}}),
        &[task(&json!({"program": good}))],
    );
    assert_eq!(done.code, 0, "{}", done.stderr);
    let text = log(&airlock, "t");
    assert_eq!(text.matches("over its limit of 5000").count(), 1);
    assert!(
        text.len() < 40_000 && !text.contains('\u{1b}'),
        "{} bytes",
        text.len()
    );
    assert_eq!(xcom(&airlock, "t"), json!({"end": 1}));
}

#[test]
fn at_its_timeout_it_is_told_and_then_ended() {
    let airlock = Airlock::new();
    let good = program(&airlock, "good", "exec sleep 1000");
    allow(&airlock, &good, "");
    let mut timed = task(&json!({"program": good}));
    timed["execution_timeout"] = json!("1s");
    let (state, error) = ended(&test(&airlock, &json!({}), &[timed]), "t");
    assert_eq!(state, "failed");
    assert!(error.contains("execution_timeout of 1s"), "{error}");
    assert!(error.contains("it was sent SIGTERM and ended"), "{error}");
}

#[test]
fn a_stopped_program_is_killed_with_everything_that_it_started() {
    let airlock = Airlock::new();
    // Both ignore the polite signal.
    let text = "trap '' TERM\nsh -c 'trap \"\" TERM; echo $$ > \"$0/child\"; while :; do sleep 1; done' \"$1\" &\necho $$ > \"$1/parent\"\nwhile :; do sleep 1; done";
    let good = program(&airlock, "good", text);
    allow(&airlock, &good, "");
    let pids = airlock.folder().join("pids");
    std::fs::create_dir(&pids).unwrap();
    let dag = json!({"dag_id": "d", "tasks": [task(&json!({"program": good, "args": [pids]}))]});
    airlock.file("d.yaml", &dag.to_string());
    let service = airlock.serve();
    airlock.ok(&[
        "dags",
        "trigger",
        "d.yaml",
        "--run-id",
        "r",
        "--no-wait",
        "-q",
    ]);
    let pid = |name: &str| wait_for(|| whole_line(&pids.join(name)));
    let (parent, child) = (pid("parent"), pid("child"));
    assert!(is_alive(&parent) && is_alive(&child));
    airlock.ok(&["tasks", "mark-failed", "d", "r", "t"]);
    wait_for(|| (!is_alive(&parent) && !is_alive(&child)).then_some(()));
    drop(service);
}

/// A zombie is dead; whoever adopted it has not looked yet.
fn is_alive(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = status
        .rsplit(')')
        .next()
        .and_then(|rest| rest.split_whitespace().next().map(str::to_owned));
    state.is_some_and(|state| state != "Z" && state != "X")
}

#[test]
fn whatever_shows_it_says_that_it_is_outside_the_sandbox() {
    let airlock = Airlock::new();
    let good = program(&airlock, "good", "echo x");
    let dag = json!({"dag_id": "d", "tasks": [task(&json!({"program": good}))]});
    airlock.file("d.yaml", &dag.to_string());
    let mark = "native: outside the sandbox";
    let validated = airlock.run_bare(&["dags", "validate", "d.yaml"]);
    assert_eq!(validated.code, 0, "{}", validated.stderr);
    assert!(
        validated.stderr.contains(mark) && validated.stderr.contains("warning"),
        "{}",
        validated.stderr
    );
    let listed = airlock.run_bare(&["plugins", "list"]).stdout;
    assert!(
        listed.contains(&format!("{mark}: off, airlock.toml allows no program.")),
        "{listed}"
    );
    allow(&airlock, &good, "");
    let listed = airlock.run_bare(&["plugins", "list"]).stdout;
    assert!(
        listed.contains(&format!("{mark}: may start {good}.")),
        "{listed}"
    );
    let json = airlock.run_bare(&["plugins", "list", "--json"]).json();
    let native = json
        .as_array()
        .unwrap()
        .iter()
        .find(|plugin| plugin["name"] == "native")
        .unwrap();
    assert_eq!(native["isolation"], mark);
    let tasks = airlock.run_bare(&["tasks", "list", "d.yaml"]).stdout;
    assert!(tasks.contains(mark), "{tasks}");
    trigger(&airlock, &json!({}), &[task(&json!({"program": good}))]);
    let shown = airlock.run(&["tasks", "show", "d", "r", "t"]).stdout;
    assert!(shown.contains(mark), "{shown}");
    assert!(log(&airlock, "t").contains(mark));
}

#[test]
fn wrong_settings_are_refused_before_anything_runs() {
    let airlock = Airlock::new();
    let good = program(&airlock, "good", "echo x");
    let bare = good.trim_start_matches('/').to_owned();
    for (text, words) in [
        (format!("[native.{bare:?}]\n"), "absolute path"),
        (
            "[native.\"/nowhere/program\"]\n".to_owned(),
            "cannot be looked at",
        ),
        (format!("[native.{good:?}]\nmemory = \"lots\"\n"), "no size"),
        (format!("[native.{good:?}]\nshell = true\n"), "shell"),
        (
            format!("[native.{good:?}]\nenv = [\"LD_PRELOAD\"]\n"),
            "other code",
        ),
        ("native = true\n".to_owned(), "table of programs"),
        ("nativ = true\n".to_owned(), "did you mean `native`"),
    ] {
        airlock.file("airlock.toml", &text);
        let done = airlock.run_bare(&["plugins", "list"]);
        assert_eq!(done.code, 2, "{text}: {}", done.stderr);
        assert!(done.stderr.contains(words), "{text}: {}", done.stderr);
    }
}

#[test]
fn a_program_dies_with_a_killed_service() {
    let airlock = Airlock::new();
    let good = program(
        &airlock,
        "good",
        "echo $$ > \"$1\"; while :; do sleep 1; done",
    );
    allow(&airlock, &good, "");
    let pid_file = airlock.folder().join("pid");
    let config = json!({"program": good, "args": [pid_file.to_str().unwrap()]});
    let dag = json!({"dag_id": "d", "tasks": [task(&config)]});
    airlock.file("d.yaml", &dag.to_string());
    let service = airlock.serve();
    airlock.ok(&[
        "dags",
        "trigger",
        "d.yaml",
        "--run-id",
        "r",
        "--no-wait",
        "-q",
    ]);
    let pid = wait_for(|| whole_line(&pid_file));
    assert!(is_alive(&pid));
    service.kill();
    wait_for(|| (!is_alive(&pid)).then_some(()));
}

/// What a program wrote about itself, once it is there.
fn whole_line(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    text.strip_suffix('\n').map(str::to_owned)
}

/// Looks until something is there.
fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let begun = std::time::Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed().as_secs() < 90, "it never came");
        std::thread::sleep(std::time::Duration::from_millis(25));
    }
}
