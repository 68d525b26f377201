//! Fetching a pinned tool into its folder, once, whoever else wants it at the same time. It refuses what has another digest than
//! the one that is pinned here.

use super::process::{command, output, said, show};
use crate::build::BuildError;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Written last: a folder without it is half of something.
const COMPLETE: &str = ".complete";

/// A tool of `PyPI`.
pub(in crate::build) struct PypiTool {
    /// Its folder's name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Lines of a requirements file with digests: packages and their dependencies.
    pub requirements: &'static str,
}

/// Tools of npm.
pub(in crate::build) struct NpmTool {
    /// Its folder's name.
    pub name: &'static str,
    /// Changes when the lock file does.
    pub version: &'static str,
    /// `package.json`.
    pub manifest: &'static str,
    /// `package-lock.json`, which holds the digests.
    pub lock: &'static str,
}

pub(super) fn pypi(folder: &Path, python: &Path, tool: &PypiTool) -> Result<PathBuf, BuildError> {
    once(folder, || {
        let label = format!("{} {} from PyPI", tool.name, tool.version);
        let requirements = folder.join("requirements.txt");
        write(&requirements, tool.requirements)?;
        let mut venv = command(python);
        venv.args(["-m", "venv"]).arg(folder);
        fetch(&mut venv, &label)?;
        let mut install = command(&folder.join("bin/python"));
        install
            .args(["-m", "pip", "install", "--quiet", "--require-hashes"])
            .args([
                "--only-binary",
                ":all:",
                "--disable-pip-version-check",
                "-r",
            ])
            .arg(&requirements);
        fetch(&mut install, &label)
    })
}

pub(super) fn npm(folder: &Path, npm: &Path, tool: &NpmTool) -> Result<PathBuf, BuildError> {
    once(folder, || {
        write(&folder.join("package.json"), tool.manifest)?;
        write(&folder.join("package-lock.json"), tool.lock)?;
        let mut install = command(npm);
        install
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(folder);
        fetch(
            &mut install,
            &format!("{} {} from npm", tool.name, tool.version),
        )
    })
}

/// Fills the folder if it is not whole. A lock beside it makes a second process wait instead of spoiling the first one's work.
fn once(
    folder: &Path,
    fill: impl FnOnce() -> Result<(), BuildError>,
) -> Result<PathBuf, BuildError> {
    let mark = folder.join(COMPLETE);
    if mark.is_file() {
        return Ok(folder.to_owned());
    }
    let io = |error| BuildError::io(folder, error);
    std::fs::create_dir_all(folder).map_err(io)?;
    let mut lock_path = folder.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock_path = PathBuf::from(lock_path);
    let lock = File::create(&lock_path).map_err(|error| BuildError::io(&lock_path, error))?;
    lock.lock().map_err(io)?;
    if mark.is_file() {
        return Ok(folder.to_owned());
    }
    // What a killed process left is not built upon.
    std::fs::remove_dir_all(folder).map_err(io)?;
    std::fs::create_dir_all(folder).map_err(io)?;
    fill()?;
    File::create(&mark).map_err(io)?;
    Ok(folder.to_owned())
}

fn fetch(command: &mut Command, tool: &str) -> Result<(), BuildError> {
    let done = output(command)?;
    if done.status.success() {
        return Ok(());
    }
    Err(BuildError::Fetch {
        tool: tool.to_owned(),
        command: show(command),
        output: said(&done),
    })
}

fn write(path: &Path, text: &str) -> Result<(), BuildError> {
    std::fs::write(path, text).map_err(|error| BuildError::io(path, error))
}
