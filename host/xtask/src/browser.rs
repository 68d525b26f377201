//! The pages in a real browser: `tests/browser`, with playwright-core and axe-core from npm under `target` and the system's Chromium.

use crate::shell::{has, root, run, say};
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::process::Command;

/// Exactly these: no release of today changes what is tested.
const PACKAGES: [&str; 2] = ["playwright-core@1.65.1", "axe-core@4.14.1"];
const BROWSERS: [&str; 2] = ["chromium", "chromium-browser"];

/// `cargo xtask browser [--speeds] [FLOW]`: the flows whose name holds FLOW, or the measurements; with the program that is built.
pub(crate) fn run_with(arguments: &[String]) -> Result<()> {
    match start(arguments)? {
        Some(missing) => bail!("{missing}; install it and try again"),
        None => Ok(()),
    }
}

/// Carries the flows out; yields what they lack on this machine.
pub(crate) fn test() -> Result<Option<String>> {
    start(&[])
}

/// The program that is looked at: `AIRLOCK_PROGRAM`, or what the tests made.
fn program() -> PathBuf {
    let named = std::env::var_os("AIRLOCK_PROGRAM").map(PathBuf::from);
    named.unwrap_or_else(|| root().join("target/debug/airlock"))
}

fn start(arguments: &[String]) -> Result<Option<String>> {
    say("pages in a browser");
    for program in ["node", "npm"] {
        if !has(program) {
            return Ok(Some(format!("tests/browser: {program} is missing")));
        }
    }
    let Some(chromium) = BROWSERS.into_iter().find(|program| has(program)) else {
        return Ok(Some("tests/browser: chromium is missing".to_owned()));
    };
    let place = root().join("target/browser");
    install(&place)?;
    run(Command::new("node")
        .arg("tests/browser/main.mjs")
        .args(arguments)
        .env("AIRLOCK_PROGRAM", program())
        .env("AIRLOCK_BROWSER_MODULES", &place)
        .env("AIRLOCK_SCREENSHOTS", place.join("screenshots"))
        .env("AIRLOCK_CHROMIUM", path_of(chromium)))?;
    Ok(None)
}

/// Once for each list of packages.
fn install(place: &PathBuf) -> Result<()> {
    let finished = place.join("finished");
    if std::fs::read_to_string(&finished).is_ok_and(|text| text == PACKAGES.join(" ")) {
        return Ok(());
    }
    std::fs::create_dir_all(place)?;
    std::fs::write(place.join("package.json"), "{\"private\": true}\n")?;
    run(Command::new("npm")
        .args([
            "install",
            "--silent",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--save-exact",
            "--prefix",
        ])
        .arg(place)
        .args(PACKAGES))?;
    std::fs::write(finished, PACKAGES.join(" "))?;
    Ok(())
}

/// Where a program is: the browser's driver wants its path.
fn path_of(program: &str) -> PathBuf {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).map(|folder| folder.join(program));
    found
        .into_iter()
        .find(|path| path.is_file())
        .unwrap_or_else(|| program.into())
}
