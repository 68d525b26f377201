//! `cargo xtask release`: the program as one static file for x86-64 Linux of any distribution, and the folder that the container is
//! made of. It owns what a released file must be: static, no larger than its limit, and seen to carry a DAG out. It refuses to
//! publish anything.

use crate::shell::{cargo, has, root, say};
use crate::{guests, shell};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "x86_64-unknown-linux-musl";
/// The largest file that is released, bytes.
const BYTES_MAX: u64 = 60_000_000;
/// Compiles the C parts against musl.
const C_COMPILER: &str = "musl-gcc";
/// Where Linux distributions keep the certificates of public authorities, the usual place first.
const CERTIFICATES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// Builds, looks at the file, runs it, and puts the container's folder together.
pub(crate) fn run() -> Result<()> {
    if !has(C_COMPILER) {
        bail!(
            "{C_COMPILER} is missing, which compiles the C parts for {TARGET}; on Debian `apt-get install musl-tools` brings it"
        );
    }
    shell::run(Command::new("rustup").args(["target", "add", TARGET]))?;
    guests::run()?;
    shell::run(&mut cargo(&[
        "build",
        "--release",
        "--locked",
        "--target",
        TARGET,
        "--package",
        "airlock",
        "--bin",
        "airlock",
    ]))?;
    let program = target_folder().join(TARGET).join("release/airlock");
    let bytes = checked_size(&program)?;
    check_static(&program)?;
    check_runs(&program)?;
    let folder = container_folder(&program)?;
    say(&format!(
        "{}: static, {:.1} MB of {} MB at most, and it carries a DAG out",
        program.display(),
        megabytes(bytes),
        BYTES_MAX / 1_000_000
    ));
    say(&format!(
        "the container: podman build -t airlock {}",
        folder.display()
    ));
    Ok(())
}

/// Cargo's own folder, where a person moved it.
fn target_folder() -> PathBuf {
    let folder = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    folder.map_or_else(|| root().join("target"), |folder| root().join(folder))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "sizes of files are far below 2^52"
)]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn checked_size(program: &Path) -> Result<u64> {
    let bytes = fs::metadata(program)
        .with_context(|| format!("{} was not built", program.display()))?
        .len();
    if bytes > BYTES_MAX {
        bail!(
            "{} has {:.1} MB, and a release at most {}; `cargo bloat --release` shows what grew",
            program.display(),
            megabytes(bytes),
            BYTES_MAX / 1_000_000
        );
    }
    Ok(bytes)
}

/// A static file names no program that loads it.
fn check_static(program: &Path) -> Result<()> {
    let bytes = fs::read(program)?;
    if interpreter(&bytes).context("the program is no 64-bit ELF file")? {
        bail!(
            "{} needs a dynamic loader; is there a `-crt-static` in RUSTFLAGS?",
            program.display()
        );
    }
    Ok(())
}

/// Whether a little-endian 64-bit ELF file has a segment of type `PT_INTERP`; none where the bytes are no such file.
fn interpreter(bytes: &[u8]) -> Option<bool> {
    const PT_INTERP: u32 = 3;
    if bytes.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let short = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let start = u64::from_le_bytes(bytes.get(32..40)?.try_into().ok()?);
    let start = usize::try_from(start).ok()?;
    let (size, count) = (usize::from(short(54)?), usize::from(short(56)?));
    for number in 0..count {
        let at = start + number * size;
        let kind = u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?);
        if kind == PT_INTERP {
            return Some(true);
        }
    }
    Some(false)
}

/// Carries the smallest example out with an empty environment.
fn check_runs(program: &Path) -> Result<()> {
    let output = Command::new(program)
        .current_dir(root())
        .env_clear()
        .env("XDG_CACHE_HOME", target_folder().join("release-check"))
        .args(["dags", "test", "examples/hello.yaml", "--json"])
        .output()?;
    let report: Option<Value> = serde_json::from_slice(&output.stdout).ok();
    let state = report
        .as_ref()
        .and_then(|report| report.get("state")?.as_str());
    if state != Some("success") {
        bail!(
            "`airlock dags test examples/hello.yaml` ended in {}, state {state:?}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// What the container holds and nothing else: a build of it sends this folder alone.
fn container_folder(program: &Path) -> Result<PathBuf> {
    let folder = target_folder().join("container");
    fs::create_dir_all(folder.join("data"))?;
    let certificates = CERTIFICATES.iter().map(Path::new);
    let certificates = certificates.into_iter().find(|path| path.is_file());
    let certificates = certificates.context(
        "this machine has no certificates of public authorities; on Debian `apt-get install ca-certificates` brings them",
    )?;
    let files = [
        (program, "airlock"),
        (certificates, "ca-certificates.crt"),
        (
            &root().join("examples/deploy/Containerfile"),
            "Containerfile",
        ),
    ];
    for (from, name) in files {
        fs::copy(from, folder.join(name))
            .with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_needs_a_loader_is_told_from_a_static_one() {
        let mut elf = vec![0; 64 + 56];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[32] = 64;
        elf[54] = 56;
        elf[56] = 1;
        elf[64] = 1;
        assert_eq!(interpreter(&elf), Some(false));
        elf[64] = 3;
        assert_eq!(interpreter(&elf), Some(true));
        elf.truncate(100);
        elf[56] = 2;
        elf[64] = 1;
        assert_eq!(interpreter(&elf), None, "a table that is cut off");
        assert_eq!(interpreter(b"#!/bin/sh"), None);
    }
}
