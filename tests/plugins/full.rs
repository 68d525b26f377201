//! A plugin's life on a disk that is full, and with kills at any moment: the lock file never names what is not there, and the same
//! command succeeds afterwards.

use super::{component, lock, ok, place};
use airlock_tests::{Airlock, Done, GUESTS, Mount, fill};
use std::path::Path;
use std::process::Stdio;

/// A small disk; none, with a word, where this process may not mount.
fn small_disk(airlock: &Airlock) -> Option<Mount> {
    let at = airlock.folder().join("small");
    let mount = Mount::new(&["-t", "tmpfs", "-o", "size=8m", "tmpfs"], at);
    if mount.is_none() {
        eprintln!("left out: a full disk needs root to mount one");
    }
    mount
}

fn assert_full(done: &Done) {
    assert_eq!(done.code, 20, "{}{}", done.stdout, done.stderr);
    for words in [
        "No space left on device",
        "nothing was agreed to",
        "check free space",
    ] {
        assert!(done.stderr.contains(words), "{words}: {}", done.stderr);
    }
}

/// Names of the files of a folder that end so.
fn files(folder: &Path, end: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(end)).collect()
}

#[test]
fn a_disk_that_is_full_of_other_things_takes_no_half_of_a_plugin() {
    let airlock = place();
    let Some(mount) = small_disk(&airlock) else {
        return;
    };
    std::os::unix::fs::symlink(mount.path(), airlock.data()).unwrap();
    let add = ["plugins", "add", "noop.wasm", "--yes"];
    let size = u64::try_from(GUESTS.noop.len()).unwrap();
    for left in [0, 4 << 10, size / 2] {
        let filler = fill(mount.path(), left);
        assert_full(&airlock.run(&add));
        assert_eq!(lock(&airlock), "", "{left} bytes left");
        let components = airlock.data().join("components");
        assert_eq!(files(&components, ""), [""; 0], "{left} bytes left");
        assert_eq!(ok(&airlock, &["plugins", "verify"]).stdout, "");
        std::fs::remove_file(filler).unwrap();
    }
    ok(&airlock, &add);
    assert_eq!(
        ok(&airlock, &["plugins", "verify"]).stdout,
        "noop: good, not signed\n"
    );
}

#[test]
fn an_update_on_a_full_disk_leaves_the_plugin_as_it_was() {
    let airlock = place();
    let Some(mount) = small_disk(&airlock) else {
        return;
    };
    std::os::unix::fs::symlink(mount.path(), airlock.data()).unwrap();
    component(&airlock, "tool.wasm", &GUESTS.noop);
    ok(
        &airlock,
        &["plugins", "add", "tool.wasm", "--as", "tool", "--yes"],
    );
    let before = lock(&airlock);
    component(&airlock, "tool.wasm", &GUESTS.since_0_1_0);
    let filler = fill(mount.path(), 4 << 10);
    let update = ["plugins", "update", "tool", "--yes"];
    assert_full(&airlock.run(&update));
    assert_eq!(lock(&airlock), before);
    assert_eq!(
        ok(&airlock, &["plugins", "verify"]).stdout,
        "tool: good, not signed\n"
    );
    std::fs::remove_file(filler).unwrap();
    ok(&airlock, &update);
    assert_ne!(lock(&airlock), before);
    ok(&airlock, &["plugins", "verify"]);
    assert_eq!(files(&airlock.data().join("components"), "").len(), 1);
}

#[test]
fn a_lock_file_on_a_full_disk_is_the_old_one_whole() {
    let airlock = place();
    let Some(mount) = small_disk(&airlock) else {
        return;
    };
    let inside = |arguments: &[&str]| -> Done {
        let mut command = airlock.command(arguments);
        command.current_dir(mount.path()).output().unwrap().into()
    };
    let text = || std::fs::read_to_string(mount.path().join("airlock.lock")).unwrap_or_default();
    let added = inside(&["plugins", "add", "../noop.wasm", "--yes"]);
    assert_eq!(added.code, 0, "{}", added.stderr);
    let before = text();
    let filler = fill(mount.path(), 0);
    let more = ["plugins", "add", "../old.wasm", "--yes"];
    for arguments in [&more[..], &["plugins", "remove", "noop"]] {
        assert_full(&inside(arguments));
        assert_eq!(text(), before, "{arguments:?}");
        assert_eq!(files(mount.path(), ".tmp"), [""; 0], "{arguments:?}");
        let verified = inside(&["plugins", "verify"]);
        assert_eq!(verified.stdout, "noop: good, not signed\n");
    }
    std::fs::remove_file(filler).unwrap();
    assert_eq!(inside(&more).code, 0);
    let verified = inside(&["plugins", "verify"]);
    assert_eq!(
        verified.stdout,
        "noop: good, not signed\nold: good, not signed\n"
    );
}

/// What a step of `add` can be seen by.
const STEPS: [(&str, &str); 5] = [
    ("data", "components"),
    ("data/components", ".tmp"),
    ("data/components", ".wasm"),
    ("", "airlock.lock"),
    ("", ".tmp"),
];

#[test]
fn a_kill_at_any_step_leaves_what_the_next_add_makes_whole() {
    for (folder, end) in STEPS {
        let airlock = place();
        let add = ["plugins", "add", "noop.wasm", "--yes"];
        let mut command = airlock.command(&add);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut adding = command.spawn().unwrap();
        // The step may pass unseen: then it ended well, which is an end that must be whole too.
        let at = airlock.folder().join(folder);
        while files(&at, end).is_empty() && adding.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        adding.kill().unwrap();
        adding.wait().unwrap();
        let named = lock(&airlock).contains("[plugins.noop]");
        let verified = ok(&airlock, &["plugins", "verify"]).stdout;
        assert_eq!(verified == "noop: good, not signed\n", named, "{end}");
        ok(&airlock, &["plugins", "list"]);
        ok(&airlock, &add);
        let verified = ok(&airlock, &["plugins", "verify"]).stdout;
        assert_eq!(verified, "noop: good, not signed\n", "{end}");
        if !named {
            let components = airlock.data().join("components");
            assert_eq!(files(&components, "").len(), 1, "{end}");
        }
    }
}
