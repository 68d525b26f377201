//! `cargo xtask guests`: builds the plugins into `target/guests`, once for the same sources.

use crate::shell::{cargo, root, run, say};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-wasip2";
/// What the components are made from; a change in any of it builds them again.
const SOURCES: &[&str] = &["plugins", "sdk-guest/rust", "wit", "rust-toolchain.toml"];

/// Builds what changed; yields the components.
pub(crate) fn build() -> Result<Vec<PathBuf>> {
    let folder = root().join("target/guests");
    let stamp = folder.join("sources.sha256");
    let digest = sources_digest()?;
    if std::fs::read_to_string(&stamp).is_ok_and(|old| old == digest) {
        return components(&folder);
    }
    add_target()?;
    say("building the plugins");
    let build = root().join("target/guests-build");
    let mut command = cargo(&["build", "--release", "--locked", "--quiet", "--workspace", "--target", TARGET]);
    command.args(["--manifest-path", "plugins/Cargo.toml"]).env("CARGO_TARGET_DIR", &build);
    run(&mut command)?;
    std::fs::create_dir_all(&folder).context("cannot make target/guests")?;
    for old in components(&folder)? {
        std::fs::remove_file(&old).with_context(|| format!("cannot remove {}", old.display()))?;
    }
    for component in components(&build.join(TARGET).join("release"))? {
        let name = component.file_name().unwrap_or_default();
        std::fs::copy(&component, folder.join(name)).with_context(|| format!("cannot copy {}", component.display()))?;
    }
    // Last, so that an interrupted build is no finished one.
    std::fs::write(&stamp, digest).context("cannot write target/guests/sources.sha256")?;
    let built = components(&folder)?;
    if built.is_empty() {
        bail!("the plugins were built, but no component came out");
    }
    for component in &built {
        let size = component.metadata().map_or(0, |metadata| metadata.len());
        let name = component.file_stem().unwrap_or_default().to_string_lossy();
        say(&format!("plugin {name}: {} KiB", size / 1024));
    }
    Ok(built)
}

/// Adds the guests' target where rustup can; says what to do where it cannot.
fn add_target() -> Result<()> {
    let installed = Command::new("rustup").args(["target", "list", "--installed"]).current_dir(root()).output();
    let has_target = |text: &[u8]| String::from_utf8_lossy(text).lines().any(|line| line.trim() == TARGET);
    match installed {
        Ok(output) if has_target(&output.stdout) => Ok(()),
        Ok(_) => {
            say(&format!("adding the target {TARGET}"));
            run(Command::new("rustup").args(["target", "add", TARGET]))
        }
        Err(error) => bail!("rustup cannot be started ({error}); install rustup, or the target {TARGET} for this rustc"),
    }
}

fn components(folder: &Path) -> Result<Vec<PathBuf>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.context("cannot list components")?.path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// SHA-256 over every source file's name and bytes, and the compiler's version.
fn sources_digest() -> Result<String> {
    let mut files = Vec::new();
    for source in SOURCES {
        collect(&root().join(source), &mut files)?;
    }
    files.sort();
    let mut hash = Sha256::new();
    let rustc = Command::new("rustc").arg("-vV").current_dir(root()).output().context("cannot start rustc")?;
    hash.update(&rustc.stdout);
    for file in files {
        let name = file.strip_prefix(root()).unwrap_or(&file).to_string_lossy().into_owned();
        let bytes = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        hash.update(name.len().to_le_bytes());
        hash.update(name);
        hash.update(bytes.len().to_le_bytes());
        hash.update(bytes);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_file() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    let Ok(entries) = std::fs::read_dir(path) else { return Ok(()) };
    for entry in entries {
        let path = entry.context("cannot list sources")?.path();
        if path.file_name().is_some_and(|name| name != "target") {
            collect(&path, files)?;
        }
    }
    Ok(())
}
