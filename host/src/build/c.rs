//! C: the `*.c` files at the top of a folder, or one file, with `zig cc`, which brings a compiler for WebAssembly and a C library
//! in one package of `PyPI`.

use super::tools::{PypiTool, command, run};
use super::{BuildError, Language, Source, Tools, component, sdk};
use std::path::{Path, PathBuf};

/// The compiler.
const ZIG: PypiTool = PypiTool {
    name: "ziglang",
    version: "0.17.1",
    requirements: include_str!("tools/ziglang.txt"),
};

/// Files of the SDK that belong into a component.
const SDK_FILES: [&str; 4] = [
    "src/airlock.c",
    "src/component.c",
    "generated/operator.c",
    "third_party/cjson/cJSON.c",
];

/// Makes the component.
pub(super) fn build(source: &Source, out: &Path, tools: &Tools) -> Result<(), BuildError> {
    let zig = tools.pypi(Language::C, &ZIG)?;
    let sdk = sdk::folder(source, "sdk-guest/c/", tools)?;
    let library = sdk.join("sdk-guest/c");
    let scratch = tempfile::tempdir().map_err(|error| BuildError::io(out, error))?;
    let module = scratch.path().join("module.wasm");
    let mut compile = command(&zig.join("bin/python"));
    compile
        .args(["-m", "ziglang", "cc", "--target=wasm32-wasi"])
        .args(["-mexec-model=reactor", "-std=c11", "-Os", "-Wall"])
        .args(["-ffunction-sections", "-fdata-sections"])
        .args(["-Wl,--gc-sections", "-Wl,--strip-debug", "-o"])
        .arg(&module);
    for folder in ["include", "src", "generated", "third_party/cjson"] {
        compile.arg("-I").arg(library.join(folder));
    }
    compile
        .args(files(source)?)
        .args(SDK_FILES.map(|file| library.join(file)))
        .current_dir(&source.folder)
        // What was compiled before is kept; the user's own cache of zig is left alone.
        .env("ZIG_GLOBAL_CACHE_DIR", tools.kept("zig"))
        .env("ZIG_LOCAL_CACHE_DIR", tools.kept("zig"));
    run(&mut compile, &source.folder)?;
    let bytes = std::fs::read(&module).map_err(|error| BuildError::io(&module, error))?;
    let bytes = component::encode(bytes, &sdk.join("wit"), "operator", &source.folder)?;
    std::fs::write(out, bytes).map_err(|error| BuildError::io(out, error))
}

/// The file that was named, or every `*.c` at the top of the folder, by name, relative to it.
fn files(source: &Source) -> Result<Vec<PathBuf>, BuildError> {
    if let Some(file) = &source.file {
        return Ok(vec![file.clone()]);
    }
    let io = |error| BuildError::io(&source.folder, error);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&source.folder).map_err(io)? {
        let name = PathBuf::from(entry.map_err(io)?.file_name());
        if name.extension().is_some_and(|ending| ending == "c") {
            files.push(name);
        }
    }
    files.sort();
    Ok(files)
}
