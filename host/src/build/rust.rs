//! Rust: a crate to a component. cargo emits one for the target `wasm32-wasip2` by itself.

use super::tools::{command, run};
use super::{BuildError, Language, Source, Tools};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target whose linker makes components.
const TARGET: &str = "wasm32-wasip2";

/// Makes the component.
pub(super) fn build(source: &Source, out: &Path, tools: &Tools) -> Result<(), BuildError> {
    let cargo = tools.need(
        Language::Rust,
        "cargo",
        "curl -sSf https://sh.rustup.rs | sh",
    )?;
    ensure_target(source, tools)?;
    let mut build = command(&cargo);
    build
        .args(["build", "--release", "--target", TARGET])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(&source.folder);
    let messages = run(&mut build, &source.folder)?;
    let made = component_of(&messages, &source.folder)?;
    std::fs::copy(&made, out).map_err(|error| BuildError::io(out, error))?;
    Ok(())
}

/// The component among the files that cargo says it made: the crate's own, because its dependencies are made before it.
fn component_of(messages: &str, folder: &Path) -> Result<PathBuf, BuildError> {
    let mut last = None;
    for line in messages.lines() {
        let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else {
            continue;
        };
        let files = message.get("filenames").and_then(|files| files.as_array());
        for file in files.into_iter().flatten().filter_map(|file| file.as_str()) {
            if Path::new(file)
                .extension()
                .is_some_and(|ending| ending == "wasm")
            {
                last = Some(PathBuf::from(file));
            }
        }
    }
    last.ok_or_else(|| BuildError::Invalid {
        path: folder.to_owned(),
        reason:
            "cargo made no component; Cargo.toml needs `[lib]` with `crate-type = [\"cdylib\"]`"
                .to_owned(),
    })
}

/// Adds the target where rustup is there and the target is not.
fn ensure_target(source: &Source, tools: &Tools) -> Result<(), BuildError> {
    let missing = || BuildError::MissingTool {
        tool: format!("the Rust target {TARGET}"),
        language: Language::Rust,
        install: format!("rustup target add {TARGET}"),
    };
    let rustc = tools.find("rustc").ok_or_else(missing)?;
    let sysroot = run(
        command(&rustc)
            .args(["--print", "sysroot"])
            .current_dir(&source.folder),
        &source.folder,
    )?;
    let libraries = Path::new(sysroot.trim()).join("lib/rustlib").join(TARGET);
    if libraries.is_dir() {
        return Ok(());
    }
    let rustup = tools.find("rustup").ok_or_else(missing)?;
    let added = Command::new(rustup)
        .args(["target", "add", TARGET])
        .current_dir(&source.folder)
        .output();
    match added {
        Ok(output) if output.status.success() => Ok(()),
        _ => Err(missing()),
    }
}
