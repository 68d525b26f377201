//! `cargo xtask test`: every test there is. What a missing tool leaves out is said, and with `CI=true` is a failure.

use crate::browser;
use crate::guests;
use crate::shell::{cargo, has, root, run, say};
use crate::simulate;
use anyhow::{Result, bail};
use std::process::Command;

/// Scripts that compare with other people's packages, run with a Python of their own under `target`.
const PYTHON: &[&str] = &[
    "tests/python/check_airflow_client.py",
    "tests/python/check_exports.py",
    "tests/python/check_mlflow.py",
    "tests/python/check_airflow_examples.py",
];

/// Tools that `tests/languages` needs beside those that Airlock fetches itself.
const LANGUAGES: &[(&str, &str)] = &[
    ("python3", "Python and C"),
    ("make", "C"),
    ("node", "TypeScript"),
    ("npm", "TypeScript"),
];

pub(crate) fn run_all() -> Result<()> {
    let mut left_out = Vec::new();
    say("format");
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    say("plugins");
    guests::run()?;
    say("lints");
    run(&mut cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ]))?;
    say("plugins' own tests");
    for manifest in ["sdk-guest/rust/Cargo.toml", "plugins/Cargo.toml"] {
        let mut command = cargo(&[
            "test",
            "--workspace",
            "--quiet",
            "--manifest-path",
            manifest,
        ]);
        run(command.env("CARGO_TARGET_DIR", root().join("target/guests-native")))?;
    }
    say("tests");
    // Builds the `airlock` program too, which the tests start; a build of its own would compile wasmtime once more, because
    // tests ask for other features of what they share.
    run(&mut cargo(&["test", "--workspace", "--no-fail-fast"]))?;
    if has("python3") {
        say("the Python SDK's own tests");
        let mut unittest = Command::new("python3");
        unittest.args(["-m", "unittest", "discover", "-s", "tests"]);
        run(unittest
            .current_dir(root().join("sdk-guest/python"))
            .env("PYTHONDONTWRITEBYTECODE", "1"))?;
    }
    say("simulated worlds");
    simulate::test()?;
    for script in PYTHON {
        say(script);
        if has("python3") {
            // The program that the tests made: a script alone would build its own.
            let program = root().join("target/debug/airlock");
            run(Command::new("python3")
                .arg(script)
                .env("AIRLOCK_PROGRAM", program))?;
        } else {
            left_out.push(format!("{script}: python3 is missing"));
        }
    }
    // The tests of languages pass over one whose tool is missing.
    for (tool, language) in LANGUAGES {
        if !has(tool) {
            left_out.push(format!("operators in {language}: {tool} is missing"));
        }
    }
    if !has("docker-registry") {
        left_out.push("plugins from an OCI registry: docker-registry is missing".to_owned());
    }
    left_out.extend(browser::test()?);
    report(&left_out)
}

fn report(left_out: &[String]) -> Result<()> {
    if left_out.is_empty() {
        say("every test passed");
        return Ok(());
    }
    say(&format!(
        "passed, but left out:\n    {}",
        left_out.join("\n    ")
    ));
    if std::env::var("CI").as_deref() == Ok("true") {
        bail!("with CI=true nothing may be left out");
    }
    Ok(())
}
