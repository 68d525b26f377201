//! Programs that nobody here wrote, from the crate registry: pinned, built for WASI, run as tasks.

use airlock_tests::{Airlock, root};
use serde_json::json;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

/// One build at a time: they share a folder.
static BUILDING: Mutex<()> = Mutex::new(());

/// Builds a program once; the next test run finds it.
fn install(name: &str, version: &str, triple: &str, more: &[&str]) -> PathBuf {
    let _turn = BUILDING
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let kept = root()
        .join("target/registry")
        .join(format!("{name}-{version}-{triple}"));
    let program = kept.join("bin").join(format!("{name}.wasm"));
    if !program.exists() {
        let built = Command::new(env!("CARGO"))
            .args([
                "install",
                "--quiet",
                "--locked",
                "--no-track",
                "--version",
                version,
                "--target",
                triple,
            ])
            .arg("--root")
            .arg(&kept)
            .args(more)
            .arg(name)
            .env("CARGO_TARGET_DIR", root().join("target/registry/build"))
            // Fast to build; how fast it runs does not matter here.
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("RUSTFLAGS")
            .status()
            .expect("cargo runs");
        assert!(
            built.success(),
            "{name} {version} does not build for {triple}"
        );
    }
    program
}

/// `examples/wasi_command.yaml` with jaq, a JSON query tool, as a WASI 0.1 module, and pulldown-cmark, a Markdown renderer, as a
/// component.
#[test]
fn programs_from_the_crate_registry_are_tasks_of_a_dag() {
    let jaq = install("jaq", "1.6.0", "wasm32-wasip1", &["--no-default-features"]);
    let markdown = install(
        "pulldown-cmark",
        "0.13.0",
        "wasm32-wasip2",
        &["--features", "getopts"],
    );
    let airlock = Airlock::new();
    let programs = airlock.folder().join("programs");
    std::fs::create_dir(&programs).unwrap();
    std::fs::copy(jaq, programs.join("jaq.wasm")).unwrap();
    std::fs::copy(markdown, programs.join("pulldown-cmark.wasm")).unwrap();
    std::fs::create_dir(airlock.folder().join("input")).unwrap();
    let rows = r#"[{"plan":"a","churned":true},{"plan":"b","churned":false},{"plan":"a","churned":false}]"#;
    std::fs::write(airlock.folder().join("input/customers.json"), rows).unwrap();
    let example = root().join("examples/wasi_command.yaml");
    let done = airlock.run(&[
        "dags",
        "trigger",
        example.to_str().unwrap(),
        "--run-id",
        "r",
        "-q",
    ]);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    let shown = airlock
        .run(&["tasks", "show", "wasi_command", "r", "summarise", "--json"])
        .json();
    let expected = json!({"rows": 3, "churned": 1, "plans": ["a", "b"]});
    assert_eq!(shown["xcoms"][0]["value"], expected, "{shown}");
    let html = airlock
        .run(&["runs", "logs", "wasi_command", "r", "render"])
        .stdout;
    assert!(
        html.contains("<h1>3 customers</h1>") && html.contains("<em>1</em>"),
        "{html}"
    );
}

/// A program that fails says why: the query is wrong, so jaq exits with a code of its own and words on stderr.
#[test]
fn a_foreign_programs_exit_code_and_last_words_are_the_error() {
    let jaq = install("jaq", "1.6.0", "wasm32-wasip1", &["--no-default-features"]);
    let airlock = Airlock::new();
    std::fs::copy(jaq, airlock.folder().join("jaq.wasm")).unwrap();
    let task = json!({"task_id": "t", "operator": "wasi-command",
                      "config": {"program": "jaq.wasm", "args": [".a.b", "-"], "stdin": "[1]"}});
    let done = crate::test(&airlock, &json!({"storage_read": ["file://./"]}), &[task]);
    let (state, error) = crate::ended(&done, "t");
    assert_eq!(state, "failed");
    assert!(
        error.contains("exited with code") && error.contains("last words on stderr"),
        "{error}"
    );
}
