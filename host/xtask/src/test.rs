//! `cargo xtask test`: every test there is. What a missing tool leaves out is said, and with `CI=true` is a failure.

use crate::browser;
use crate::guests;
use crate::shell::{cargo, has, root, run, say};
use crate::simulate;
use anyhow::{Result, bail};
use std::process::Command;

/// Scripts that compare with other people's packages, run with a Python of their own under `target`.
const PYTHON: &[&str] = &[
    "tests/python/check_exports.py",
    "tests/python/check_mlflow.py",
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
