//! Every language from nothing to an operator that runs in the sandbox: `plugins new`, the folder's own test, `plugins build`,
//! `plugins test` and a DAG. A tool that is missing leaves its language out, and with `CI=true` is a failure.

mod errors;
mod life;
mod requests;

use airlock_tests::{Airlock, Done, root};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where tools and compiled dependencies are kept between runs of the tests.
fn kept() -> PathBuf {
    root().join("target/languages")
}

/// Programs that a language needs beside what Airlock fetches itself.
fn has(programs: &[&str]) -> bool {
    let missing: Vec<&&str> = programs
        .iter()
        .filter(|program| {
            let found = Command::new(program).arg("--version").output();
            !found.is_ok_and(|output| output.status.success())
        })
        .collect();
    if missing.is_empty() {
        return true;
    }
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{missing:?} are missing, and with CI=true nothing may be left out"
    );
    eprintln!("left out: {missing:?} are missing");
    false
}

/// The program in the temporary place, with the tools that are kept.
fn command(airlock: &Airlock, arguments: &[&str]) -> Command {
    let mut command = airlock.bare(arguments);
    command
        .env("AIRLOCK_CACHE", kept())
        .env("CARGO_TARGET_DIR", kept().join("rust"));
    command
}

fn run(airlock: &Airlock, arguments: &[&str]) -> Done {
    let output = command(airlock, arguments).output();
    output.expect("the airlock program starts").into()
}

/// Runs a program in a folder and fails with what it said.
fn tool(folder: &Path, program: &str, arguments: &[&str]) {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", kept().join("rust-native"))
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output();
    let output = output.unwrap_or_else(|error| panic!("{program} does not start: {error}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?} failed:\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
