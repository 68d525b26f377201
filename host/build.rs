//! Puts the components that `cargo xtask guests` built, and the SDKs, into the binary. It builds none itself: cargo inside cargo deadlocks on
//! locks and hides failures.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() {
    bundle_plugins();
    bundle_sdk();
}

/// The contract, the SDKs and the templates of `plugins new`, as text by path.
fn bundle_sdk() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for folder in ["wit", "sdk-guest"] {
        println!("cargo::rerun-if-changed={}", root.join(folder).display());
        list(&root.join(folder), &mut files);
    }
    files.sort();
    let mut code = String::from(
        "/// Path, from the repository's root, and text of each file.\nstatic FILES: &[(&str, &str)] = &[\n",
    );
    for path in &files {
        let name = path
            .strip_prefix(&root)
            .unwrap_or(path)
            .display()
            .to_string();
        let file = path.canonicalize().unwrap_or_else(|_| path.clone());
        let _ = writeln!(
            code,
            "    ({name:?}, include_str!({:?})),",
            file.display().to_string()
        );
    }
    code.push_str("];\n");
    write("sdk.rs", &code);
}

/// All files under a folder but for what tools left there.
fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let is_left = name.starts_with('.')
            || name.ends_with(".egg-info")
            || name.ends_with(".pyc")
            || ["target", "node_modules", "__pycache__", "build", "dist"].contains(&name.as_ref());
        match path.is_dir() {
            _ if is_left => {}
            true => list(&path, files),
            false => files.push(path),
        }
    }
}

fn write(name: &str, code: &str) {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default()).join(name);
    if let Err(error) = std::fs::write(&out, code) {
        println!("cargo::error=cannot write {}: {error}", out.display());
    }
}

fn bundle_plugins() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = std::env::var_os("AIRLOCK_GUESTS")
        .map_or_else(|| root.join("target/guests"), PathBuf::from);
    println!("cargo::rerun-if-env-changed=AIRLOCK_GUESTS");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut components: Vec<PathBuf> = std::fs::read_dir(&folder)
        .map(|entries| {
            entries
                .filter_map(|entry| Some(entry.ok()?.path()))
                .collect()
        })
        .unwrap_or_default();
    components.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "wasm")
    });
    components.sort();
    if components.is_empty() {
        println!(
            "cargo::warning=no bundled plugins: run `cargo xtask guests` first, or operators such as `probe` will be missing"
        );
    }
    let mut code = String::from(
        "/// Name and bytes of each bundled plugin.\npub(super) const PLUGINS: &[(&str, &[u8])] = &[\n",
    );
    for path in &components {
        println!("cargo::rerun-if-changed={}", path.display());
        let name = path
            .file_stem()
            .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        let file = path.canonicalize().unwrap_or_else(|_| path.clone());
        let _ = writeln!(
            code,
            "    ({name:?}, include_bytes!({:?})),",
            file.display().to_string()
        );
    }
    code.push_str("];\n");
    write("bundled.rs", &code);
}
