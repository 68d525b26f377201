//! `cargo xtask guests`: builds every bundled plugin into a component, and only when something that it is made of changed.
//! It refuses to build anything for the host.

use crate::component;
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-wasip2";
/// The tests build command-line programs for it.
const MODULE_TARGET: &str = "wasm32-wasip1";
/// What the components are made of, relative to the repository's root.
const SOURCES: [&str; 3] = ["plugins", "sdk-guest/rust", "wit"];
/// Beside the components: the digest of what they were made of.
const STAMP: &str = ".digest";

/// Builds what is out of date and says what there is.
pub(crate) fn run() -> Result<()> {
    let root = root()?;
    let output = root.join("target/guests");
    let digest = digest(&root)?;
    let names = plugins(&root)?;
    ensure_targets(&root)?;
    if !is_current(&output, &digest, &names) {
        build(&root)?;
        collect(&root, &output, &names)?;
        fs::write(output.join(STAMP), &digest)?;
    }
    report(&output, &names)
}

fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().nth(2);
    Ok(root
        .context("xtask lies two folders below the root")?
        .to_owned())
}

/// The plugins' names, sorted: every folder under `plugins/` with a manifest.
fn plugins(root: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root.join("plugins"))? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn is_current(output: &Path, digest: &str, names: &[String]) -> bool {
    let stamped = fs::read_to_string(output.join(STAMP));
    stamped.is_ok_and(|stamp| stamp == digest)
        && names
            .iter()
            .all(|name| component_path(output, name).is_file())
}

fn component_path(output: &Path, name: &str) -> PathBuf {
    output.join(format!("{name}.wasm"))
}

/// SHA-256, in hex, of all sources with their paths, and of the compiler's version.
fn digest(root: &Path) -> Result<String> {
    let mut files = Vec::new();
    for source in SOURCES {
        list(&root.join(source), &mut files)?;
    }
    files.sort();
    let mut hasher = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    for file in files {
        let name = file.strip_prefix(root)?.to_string_lossy().into_owned();
        add(name.as_bytes());
        add(&fs::read(&file).with_context(|| format!("read {}", file.display()))?);
    }
    let version = Command::new("rustc").arg("-vV").current_dir(root).output();
    add(&version
        .context("run `rustc -vV`: is rustup installed?")?
        .stdout);
    let digest = hasher.finalize();
    let hex = digest.iter().map(|byte| format!("{byte:02x}"));
    Ok(hex.collect::<Vec<_>>().concat())
}

/// All files under a folder but for build outputs.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if entry.file_name() != "target" {
                list(&path, files)?;
            }
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// Adds the targets where rustup is there and they are not.
fn ensure_targets(root: &Path) -> Result<()> {
    [TARGET, MODULE_TARGET]
        .iter()
        .try_for_each(|target| ensure_target(root, target))
}

fn ensure_target(root: &Path, target: &str) -> Result<()> {
    let sysroot = Command::new("rustc")
        .args(["--print", "sysroot"])
        .current_dir(root)
        .output()
        .context("run `rustc --print sysroot`: is rustup installed?")?;
    let sysroot = String::from_utf8(sysroot.stdout)?;
    if Path::new(sysroot.trim())
        .join("lib/rustlib")
        .join(target)
        .is_dir()
    {
        return Ok(());
    }
    eprintln!("adding the Rust target {target}");
    let added = Command::new("rustup")
        .args(["target", "add", target])
        .current_dir(root)
        .status();
    match added {
        Ok(status) if status.success() => Ok(()),
        _ => bail!(
            "the Rust target {target} is missing and could not be added: run `rustup target add {target}` in this folder"
        ),
    }
}

fn build(root: &Path) -> Result<()> {
    let status = Command::new("cargo")
        .args([
            "build",
            "--release",
            "--locked",
            "--workspace",
            "--target",
            TARGET,
        ])
        .current_dir(root.join("plugins"))
        .env("CARGO_TARGET_DIR", root.join("target/guests-build"))
        // What this process was started with is meant for the host.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .context("run cargo in plugins/")?;
    if !status.success() {
        bail!("the plugins do not build; the compiler's messages are above");
    }
    Ok(())
}

/// Copies the components to their place, and removes those of plugins that are no more.
fn collect(root: &Path, output: &Path, names: &[String]) -> Result<()> {
    fs::create_dir_all(output)?;
    for entry in fs::read_dir(output)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "wasm")
        {
            fs::remove_file(path)?;
        }
    }
    let built = root
        .join("target/guests-build")
        .join(TARGET)
        .join("release");
    for name in names {
        let from = component_path(&built, name);
        fs::copy(&from, component_path(output, name))
            .with_context(|| format!("copy {}", from.display()))?;
    }
    Ok(())
}

fn report(output: &Path, names: &[String]) -> Result<()> {
    for name in names {
        let path = component_path(output, name);
        let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let imports = component::imports(&bytes).with_context(|| path.display().to_string())?;
        println!(
            "{name:<14} {:>5} KiB  {}",
            bytes.len() / 1024,
            imports.join(" ")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_of_the_plugin_workspace_is_built() {
        let root = root().unwrap();
        let manifest = fs::read_to_string(root.join("plugins/Cargo.toml")).unwrap();
        let names = plugins(&root).unwrap();
        assert!(!names.is_empty());
        for name in names {
            assert!(
                manifest.contains(&format!("\"{name}\"")),
                "{name} is no member"
            );
        }
    }

    #[test]
    fn the_digest_is_stable_and_a_missing_component_is_noticed() {
        let root = root().unwrap();
        let first = digest(&root).unwrap();
        assert_eq!(first, digest(&root).unwrap());
        assert!(!is_current(
            &root.join("wit"),
            &first,
            &["probe".to_owned()]
        ));
    }
}
