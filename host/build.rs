//! Puts the components that `cargo xtask guests` built into the binary. It builds none itself: cargo inside cargo deadlocks on
//! locks and hides failures.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() {
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
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default()).join("bundled.rs");
    if let Err(error) = std::fs::write(&out, code) {
        println!("cargo::error=cannot write {}: {error}", out.display());
    }
}
