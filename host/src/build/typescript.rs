//! TypeScript and JavaScript: a package, or one file, in a `QuickJS` engine. The work is done by a script beside tools that npm
//! fetches: the type checker, esbuild and componentize-qjs.

use super::tools::{NpmTool, command, run_within};
use super::{BuildError, Language, Source, Tools, sdk};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The tools.
const TOOLS: NpmTool = NpmTool {
    name: "typescript-tools",
    version: "1",
    manifest: include_str!("tools/npm_package.json"),
    lock: include_str!("tools/npm_package_lock.json"),
};
/// What drives them.
const SCRIPT: &str = include_str!("tools/componentize.mjs");
/// How long they may take. A module's top level runs meanwhile.
const TIME_MAX: Duration = Duration::from_mins(3);
/// Where a package begins that does not say it.
const ENTRIES: [&str; 4] = ["src/index.ts", "index.ts", "src/index.js", "index.js"];

/// Makes the component.
pub(super) fn build(source: &Source, out: &Path, tools: &Tools) -> Result<(), BuildError> {
    let node = tools.need(Language::TypeScript, "node", "apt-get install nodejs npm")?;
    let folder = tools.npm(Language::TypeScript, &TOOLS)?;
    let sdk = sdk::folder(source, "sdk-guest/typescript/", tools)?;
    let manifest = manifest(source)?;
    let entry = match &source.file {
        Some(file) => file.clone(),
        None => entry(source, &manifest)?,
    };
    let text = |key: &str| manifest.get(key).and_then(Value::as_str);
    let request = json!({
        "entry": entry, "folder": source.folder, "sdk": sdk.join("sdk-guest/typescript"), "wit": sdk.join("wit"), "out": out,
        "name": text("name").unwrap_or(&source.name), "version": text("version").unwrap_or("0.1.0"),
    });
    // A file of this process's own: another version of Airlock may share the cache.
    let script = folder.join(format!("componentize-{}.mjs", std::process::id()));
    std::fs::write(&script, SCRIPT).map_err(|error| BuildError::io(&script, error))?;
    let mut componentize = command(&node);
    componentize
        .arg(&script)
        .env("AIRLOCK_REQUEST", request.to_string())
        .current_dir(&source.folder);
    let done = run_within(&mut componentize, &entry, TIME_MAX);
    let _ = std::fs::remove_file(&script);
    done.map(drop)
}

/// `package.json`; empty where one file was named, whose folder may be anything.
fn manifest(source: &Source) -> Result<Value, BuildError> {
    let path = source.folder.join("package.json");
    if source.file.is_some() || !path.is_file() {
        return Ok(Value::Null);
    }
    let text = std::fs::read_to_string(&path).map_err(|error| BuildError::io(&path, error))?;
    serde_json::from_str(&text).map_err(|error| BuildError::Invalid {
        path,
        reason: format!("this is no JSON: {error}"),
    })
}

/// The file that a package begins with.
fn entry(source: &Source, manifest: &Value) -> Result<PathBuf, BuildError> {
    if let Some(main) = manifest.get("main").and_then(Value::as_str) {
        return Ok(source.folder.join(main));
    }
    let found = ENTRIES
        .iter()
        .map(|entry| source.folder.join(entry))
        .find(|path| path.is_file());
    found.ok_or_else(|| BuildError::Invalid {
        path: source.folder.clone(),
        reason: format!(
            "nothing says where it begins: set `main` in package.json, or make one of {}",
            ENTRIES.join(", ")
        ),
    })
}
