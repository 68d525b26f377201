//! Bugs planted on purpose: each file under `host/simulator/planted` changes one line of the core, and the simulator must find it.
//! Works on a copy under `target/planted`; it refuses to touch the sources.

use crate::shell::{cargo, root, say};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Worlds in which a planted bug must show.
const SEEDS_MAX: u64 = 5_000;
/// What a planted bug changes is compiled again for each: that is where the time goes.
const PROFILE: &str = "[dev]\nopt-level = 0\ndebug = false\n[dev.package.\"*\"]\nopt-level = 1\n";
const BUGS: &str = "host/simulator/planted";
/// The crates that the copy holds.
const CRATES: [&str; 2] = ["host/core", "host/simulator"];

/// One planted bug; its name is its file's.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bug {
    #[serde(skip)]
    name: String,
    /// What is wrong then.
    sentence: String,
    /// Under `host/core/src`.
    file: PathBuf,
    /// Text that is there exactly once.
    find: String,
    replace: String,
}

impl Bug {
    /// The file's text with the bug in it.
    fn plant(&self, text: &str) -> Result<String> {
        let found = text.matches(&self.find).count();
        if found != 1 {
            bail!(
                "planted bug {}: its text is {found} times in {}, and must be there once: mend {BUGS}/{}.toml",
                self.name,
                self.file.display(),
                self.name
            );
        }
        Ok(text.replacen(&self.find, &self.replace, 1))
    }
}

/// Plants each bug, or the one called `name`, and prints which seed found it and how.
pub(crate) fn run(name: Option<&str>) -> Result<()> {
    let bugs = bugs(&root())?;
    let chosen: Vec<&Bug> = bugs
        .iter()
        .filter(|bug| name.is_none_or(|name| bug.name == name))
        .collect();
    if chosen.is_empty() {
        bail!("there is no planted bug of that name; see {BUGS}");
    }
    let copy = root().join("target/planted");
    prepare(&copy)?;
    let mut missed = Vec::new();
    for bug in &chosen {
        say(&format!("{}: {}", bug.name, bug.sentence));
        if let Some(line) = hunt(&copy, bug)? {
            println!("{:<40} {line}", bug.name);
        } else {
            println!("{:<40} not found in {SEEDS_MAX} seeds", bug.name);
            missed.push(bug.name.as_str());
        }
    }
    println!(
        "{} of {} planted bugs found",
        chosen.len() - missed.len(),
        chosen.len()
    );
    if !missed.is_empty() {
        bail!("the simulator missed: {}", missed.join(", "));
    }
    Ok(())
}

fn bugs(root: &Path) -> Result<Vec<Bug>> {
    let mut bugs = Vec::new();
    for entry in fs::read_dir(root.join(BUGS))? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        let mut bug: Bug = toml::from_str(&text).with_context(|| path.display().to_string())?;
        bug.name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        bugs.push(bug);
    }
    bugs.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(bugs)
}

/// A workspace of the core and the simulator alone, compiled fast.
fn prepare(copy: &Path) -> Result<()> {
    for krate in CRATES {
        let to = copy.join(krate);
        if to.exists() {
            fs::remove_dir_all(&to)?;
        }
        copy_folder(&root().join(krate), &to)?;
    }
    let manifest: toml::Table = toml::from_str(&fs::read_to_string(root().join("Cargo.toml"))?)?;
    fs::write(copy.join("Cargo.toml"), shrink(manifest)?)?;
    fs::copy(root().join("Cargo.lock"), copy.join("Cargo.lock"))?;
    fs::copy(
        root().join("rust-toolchain.toml"),
        copy.join("rust-toolchain.toml"),
    )?;
    Ok(())
}

fn shrink(mut manifest: toml::Table) -> Result<String> {
    let missing = "the workspace's Cargo.toml has lost a table that planted bugs need";
    let workspace = manifest
        .get_mut("workspace")
        .and_then(toml::Value::as_table_mut)
        .context(missing)?;
    workspace.insert("members".to_owned(), toml::Value::from(CRATES.to_vec()));
    workspace.remove("exclude");
    let profile: toml::Table = toml::from_str(PROFILE)?;
    manifest.insert("profile".to_owned(), toml::Value::Table(profile));
    Ok(toml::to_string(&manifest)?)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Plants a bug, plays seeds until one finds it, takes it out again. Gives the simulator's sentence.
fn hunt(copy: &Path, bug: &Bug) -> Result<Option<String>> {
    let file = copy.join("host/core/src").join(&bug.file);
    let sound = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    fs::write(&file, bug.plant(&sound)?)?;
    let played = play(copy);
    fs::write(&file, sound)?;
    let output = played?;
    let found = output.lines().find(|line| line.starts_with("seed "));
    if found.is_none() && !output.contains("0 violations") {
        bail!(
            "planted bug {}: the simulator does not build or run with it",
            bug.name
        );
    }
    Ok(found.map(str::to_owned))
}

fn play(copy: &Path) -> Result<String> {
    let seeds = SEEDS_MAX.to_string();
    let output = cargo(&[
        "run",
        "--quiet",
        "--offline",
        "--package",
        "airlock-simulator",
        "--",
        "--seeds",
        &seeds,
    ])
    .current_dir(copy)
    .env("CARGO_TARGET_DIR", copy.join("target"))
    .env("RUSTFLAGS", "-Awarnings")
    .stderr(Stdio::inherit())
    .output()
    .context("cannot start cargo")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_thirty_planted_bugs_and_each_fits_the_core_as_it_is() {
        let bugs = bugs(&root()).unwrap();
        assert!(bugs.len() >= 30, "{} planted bugs", bugs.len());
        for bug in bugs {
            let text = fs::read_to_string(root().join("host/core/src").join(&bug.file)).unwrap();
            assert_ne!(
                bug.plant(&text).unwrap(),
                text,
                "{} changes nothing",
                bug.name
            );
        }
    }
}
