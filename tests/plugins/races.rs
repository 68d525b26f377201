//! Two at once, a kill in the middle, and a service that runs.

use super::{all_grants, component, lock, ok, place, refused};
use airlock_tests::{Airlock, GUESTS};
use serde_json::json;
use std::fs::File;
use std::process::{Child, Stdio};
use std::time::Duration;

fn start(airlock: &Airlock, arguments: &[&str]) -> Child {
    let mut command = airlock.command(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

#[test]
fn plugins_that_are_added_at_once_are_all_there() {
    let airlock = place();
    let names = ["a", "b", "c", "d"];
    let adding = names.map(|name| {
        start(
            &airlock,
            &["plugins", "add", "noop.wasm", "--as", name, "--yes"],
        )
    });
    for mut child in adding {
        assert!(child.wait().unwrap().success());
    }
    let verified = ok(&airlock, &["plugins", "verify"]).stdout;
    assert_eq!(
        verified,
        names
            .map(|name| format!("{name}: good, not signed\n"))
            .concat()
    );
}

#[test]
fn a_kill_in_the_middle_leaves_no_half_of_a_plugin() {
    let airlock = place();
    // Who holds the folder's lock keeps `add` waiting between its two steps: the component is durable, the lock file is not.
    let folder = File::open(airlock.folder()).unwrap();
    folder.lock().unwrap();
    let mut adding = start(&airlock, &["plugins", "add", "noop.wasm", "--yes"]);
    let components = airlock.data().join("components");
    let is_kept = || {
        let entries = std::fs::read_dir(&components).into_iter().flatten();
        let mut names = entries.map(|entry| entry.unwrap().path());
        names.any(|path| path.extension().is_some_and(|end| end == "wasm"))
    };
    while !is_kept() {
        assert!(
            adding.try_wait().unwrap().is_none(),
            "it ended before its lock file was free"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    adding.kill().unwrap();
    adding.wait().unwrap();
    folder.unlock().unwrap();
    assert_eq!(lock(&airlock), "");
    assert_eq!(ok(&airlock, &["plugins", "verify"]).stdout, "");
    // What a kill left half-written is swept by the next.
    let half = components.join("0.wasm.1.tmp");
    std::fs::write(&half, "half").unwrap();
    ok(&airlock, &["plugins", "add", "noop.wasm", "--yes"]);
    assert!(!half.exists());
    ok(&airlock, &["plugins", "verify"]);
}

#[test]
fn a_service_takes_up_what_is_added_updated_and_removed() {
    let airlock = place();
    component(&airlock, "tool.wasm", &GUESTS.noop);
    let service = airlock.serve();
    let dag = |operator: &str| {
        let dag = json!({"dag_id": "d", "grants": all_grants(), "tasks": [{"task_id": "t", "operator": operator}]});
        airlock.file("d.yaml", &dag.to_string());
    };
    let trigger = || airlock.run(&["dags", "trigger", "d.yaml", "-q"]);
    dag("tool");
    assert_eq!(trigger().code, 10, "there is no such plugin yet");
    let added = ok(
        &airlock,
        &["plugins", "add", "tool.wasm", "--as", "tool", "--yes"],
    );
    assert!(
        added.stderr.contains("the service took up: tool"),
        "{}",
        added.stderr
    );
    let done = trigger();
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    component(&airlock, "tool.wasm", &GUESTS.since_0_1_0);
    ok(&airlock, &["plugins", "update", "--yes"]);
    dag("tool.work");
    let done = trigger();
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    ok(&airlock, &["plugins", "revoke", "tool", "models"]);
    let done = trigger();
    assert_eq!(done.code, 5, "{}", done.stderr);
    ok(&airlock, &["plugins", "remove", "tool"]);
    assert_eq!(trigger().code, 10);
    // Another folder has another lock file, and this service does not read it.
    let elsewhere = airlock.folder().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let mut command = airlock.command(&["plugins", "add", "../noop.wasm", "--yes"]);
    let done = command.current_dir(&elsewhere).output().unwrap();
    assert_eq!(done.status.code(), Some(7));
    assert!(String::from_utf8_lossy(&done.stderr).contains("the service reads"));
    assert!(service.stop().success());
    refused(
        &airlock,
        &["plugins", "inspect", "tool"],
        3,
        "no plugin is called",
    );
}
