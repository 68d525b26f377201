//! Builds the components of tests/guests. It is a file of two crates: the sandbox's own suite includes it by path. It refuses to
//! reach outside the workspace: cargo, the lock file and the target folder are the workspace's own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

fn guests_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests")
}

/// Builds with cargo, whose own fingerprints skip what did not change.
fn cargo(arguments: &[&str]) -> PathBuf {
    cargo_for("wasm32-wasip2", arguments)
}

fn cargo_for(triple: &str, arguments: &[&str]) -> PathBuf {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/guests-test");
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--release",
            "--locked",
            "--target",
            triple,
        ])
        .args(arguments)
        .current_dir(guests_dir())
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS")
        .status()
        .expect("cargo runs");
    assert!(
        built.success(),
        "the guests do not build; is the target {triple} installed?"
    );
    target.join(triple).join("release")
}

/// The components of tests/guests, each as the bytes of a file.
#[derive(Debug)]
#[allow(
    dead_code,
    reason = "each of the crates that include this file uses some of them"
)]
pub struct Guests {
    /// Does nothing.
    pub noop: Vec<u8>,
    /// Many kinds of guests in one.
    pub zoo: Vec<u8>,
    /// Exports another version of the contract.
    pub stray: Vec<u8>,
    /// Built against the contract of 0.1.0.
    pub since_0_1_0: Vec<u8>,
    /// Imports what no host offers.
    pub shell: Vec<u8>,
    /// A command-line program as a component.
    pub tool: Vec<u8>,
    /// The same as a WASI 0.1 module.
    pub tool_module: Vec<u8>,
}

/// Built at the first use.
pub static GUESTS: LazyLock<Guests> = LazyLock::new(|| {
    let read = |from: &Path, name: &str| std::fs::read(from.join(name)).expect("a built guest");
    let all = cargo(&["--workspace"]);
    let (noop, zoo) = (read(&all, "guest_noop.wasm"), read(&all, "guest_zoo.wasm"));
    let stray = read(&all, "guest_stray.wasm");
    let since_0_1_0 = read(&all, "guest_since_0_1_0.wasm");
    let tool = read(&all, "guest-tool.wasm");
    let module = cargo_for("wasm32-wasip1", &["-p", "guest-tool"]);
    let tool_module = read(&module, "guest-tool.wasm");
    let with_shell = cargo(&["-p", "guest-stray", "--features", "shell"]);
    let shell = read(&with_shell, "guest_stray.wasm");
    Guests {
        noop,
        zoo,
        stray,
        since_0_1_0,
        shell,
        tool,
        tool_module,
    }
});
