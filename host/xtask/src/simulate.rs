//! `cargo xtask simulate`: builds and runs the simulator; `--planted` shows that it finds bugs that were put in on purpose.
//! It refuses to play a world itself.

use crate::planted;
use crate::shell::{cargo, root, run};
use anyhow::Result;
use std::path::PathBuf;
use std::process::Command;

/// Worlds that `cargo xtask test` plays.
pub(crate) const TEST_SEEDS: u64 = 10_000;

/// Passes everything but `--planted [NAME]` on.
pub(crate) fn run_with(arguments: &[String]) -> Result<()> {
    if let Some(place) = arguments.iter().position(|word| word == "--planted") {
        return planted::run(arguments.get(place + 1).map(String::as_str));
    }
    let mut command = cargo(&["run", "--quiet", "--package", "airlock-simulator", "--"]);
    run(command.args(arguments))
}

/// Plays the worlds of `cargo xtask test` with the program that the workspace's tests have built.
pub(crate) fn test() -> Result<()> {
    let built = target().join("debug/airlock-simulator");
    run(Command::new(built).args(["--seeds", &TEST_SEEDS.to_string()]))
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
