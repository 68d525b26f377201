//! The house's walls: which room may name which. A broken wall fails with the sentence of the rule.

use std::fs;
use std::path::{Path, PathBuf};

/// A wall: files under `room` must not hold any of `forbidden` in code.
struct Wall {
    room: &'static str,
    forbidden: &'static [&'static str],
    rule: &'static str,
}

const WALLS: &[Wall] = &[
    Wall {
        room: "host/core/src",
        forbidden: &[
            "tokio",
            "wasmtime",
            "sled",
            "std::fs",
            "std::env",
            "std::net::Tcp",
            "std::thread",
            "std::time::SystemTime",
            "std::time::Instant",
            "Timestamp::now",
            "Zoned::now",
            "std::process",
            "RandomState",
        ],
        rule: "host/core is the pure domain: no IO, no clock, no random numbers, no environment",
    },
    Wall {
        room: "host/simulator/src",
        forbidden: &[
            "tokio",
            "wasmtime",
            "sled",
            "airlock::",
            "std::fs",
            "std::net",
            "std::process::Command",
            "std::time::SystemTime",
            "std::time::Instant",
            "Timestamp::now",
            "Zoned::now",
            "RandomState",
            "HashMap",
            "HashSet",
        ],
        rule: "the simulator plays from a seed: no clock, no files, no order that differs between runs, and only the core to play with",
    },
    Wall {
        room: "host/trainer/src",
        forbidden: &[
            "wasmtime",
            "sled",
            "wit_bindgen",
            "tokio",
            "std::net",
            "airlock::",
            "airlock_core",
        ],
        rule: "the trainer must never import WIT, wasmtime, the store or the network",
    },
    Wall {
        room: "host/src/store",
        forbidden: &[
            "crate::scheduler",
            "crate::sandbox",
            "crate::api",
            "crate::app",
            "crate::cli",
            "crate::capability",
        ],
        rule: "the store must never import the scheduler, the sandbox or the API",
    },
    Wall {
        room: "host/src/scheduler",
        forbidden: &[
            "wasmtime",
            "axum",
            "sled",
            "crate::sandbox",
            "crate::capability",
            "crate::training",
            "airlock_trainer",
            "crate::app",
            "crate::cli",
            "crate::executor",
        ],
        rule: "the scheduler must never import wasmtime, axum or sled; attempts go through its `Executor` trait",
    },
    Wall {
        room: "host/src/sandbox",
        forbidden: &[
            "crate::store",
            "crate::scheduler",
            "crate::api",
            "crate::app",
            "crate::cli",
            "crate::capability",
            "crate::tracking",
        ],
        rule: "the sandbox must never import the store, the scheduler or the API: it talks in messages through its ports",
    },
    Wall {
        room: "host/src/capability",
        forbidden: &[
            "crate::scheduler",
            "crate::app",
            "crate::cli",
            "crate::executor",
            "wasmtime::",
        ],
        rule: "a capability must never import the scheduler: it gets its grant and answers",
    },
    Wall {
        room: "host/src/tracking",
        forbidden: &[
            "crate::scheduler",
            "crate::sandbox",
            "crate::capability",
            "crate::app",
            "crate::cli",
            "wasmtime",
        ],
        rule: "tracking knows the store alone",
    },
    Wall {
        room: "host/src/secrets",
        forbidden: &[
            "crate::scheduler",
            "crate::sandbox",
            "crate::capability",
            "crate::executor",
            "crate::app",
            "crate::cli",
        ],
        rule: "secrets knows the store alone: who may have one is decided elsewhere",
    },
    Wall {
        room: "host/src/email",
        forbidden: &[
            "crate::store",
            "crate::scheduler",
            "crate::sandbox",
            "crate::capability",
            "crate::executor",
            "crate::app",
            "crate::cli",
        ],
        rule: "email knows plain data alone: who is told what is decided elsewhere",
    },
    Wall {
        room: "host/src/registry",
        forbidden: &[
            "crate::sandbox",
            "crate::scheduler",
            "crate::capability",
            "crate::executor",
            "crate::plugins",
            "crate::app",
            "crate::cli",
            "wasmtime",
            "sled",
        ],
        rule: "the registry moves and judges bytes: it never compiles, runs or asks, and never imports the sandbox or the scheduler",
    },
    Wall {
        room: "host/src/training",
        forbidden: &[
            "crate::store",
            "crate::scheduler",
            "crate::sandbox",
            "crate::capability",
            "crate::executor",
            "crate::tracking",
            "crate::app",
            "crate::cli",
            "wasmtime",
            "sled",
            "std::net::Tcp",
        ],
        rule: "training knows the trainer and its worker processes alone: grants, guests and artifacts are decided elsewhere",
    },
    Wall {
        room: "host/src/build",
        forbidden: &[
            "wasmtime",
            "sled",
            "crate::store",
            "crate::scheduler",
            "crate::sandbox",
            "crate::capability",
            "crate::executor",
            "crate::app",
            "crate::api",
            "crate::cli",
        ],
        rule: "build makes components from sources: it never runs one, and knows neither the sandbox, the scheduler nor the store",
    },
    Wall {
        room: "host/src/metrics",
        forbidden: &[
            "axum",
            "sled",
            "wasmtime",
            "crate::sandbox",
            "crate::capability",
            "crate::executor",
            "crate::api",
            "crate::app",
            "crate::cli",
        ],
        rule: "metrics are folded from what was committed: who asks for them is not their concern",
    },
    Wall {
        room: "host/src/lineage",
        forbidden: &[
            "axum",
            "sled",
            "wasmtime",
            "crate::sandbox",
            "crate::capability",
            "crate::executor",
            "crate::api",
            "crate::app",
            "crate::cli",
        ],
        rule: "lineage events are made of durable runs, and change nothing",
    },
    Wall {
        room: "host/src/traces",
        forbidden: &[
            "axum",
            "sled",
            "wasmtime",
            "crate::sandbox",
            "crate::capability",
            "crate::executor",
            "crate::api",
            "crate::app",
            "crate::cli",
        ],
        rule: "traces are made of a run's durable events, and change nothing",
    },
    Wall {
        room: "host/src/native",
        forbidden: &[
            "crate::store",
            "crate::scheduler",
            "crate::sandbox",
            "crate::capability",
            "crate::executor",
            "crate::app",
            "crate::cli",
            "airlock_core",
            "wasmtime",
            "sled",
        ],
        rule: "native programs are started and ended there and nothing else: attempts, grants and logs are decided elsewhere",
    },
    Wall {
        room: "host/src/executor",
        forbidden: &["crate::cli", "crate::app", "sled", "wasmtime"],
        rule: "the executor carries attempts out: it knows the sandbox and the capabilities, not who asked",
    },
    Wall {
        room: "host/src/api",
        forbidden: &[
            "sled",
            "wasmtime",
            "crate::store",
            "crate::scheduler",
            "crate::sandbox",
            "crate::capability",
            "crate::executor",
            "crate::training",
            "crate::secrets",
            "crate::cli",
            "std::fs::File",
        ],
        rule: "the API goes through the application handle: never the store, the scheduler, the sandbox or a capability",
    },
    Wall {
        room: "host/src/web",
        forbidden: &[
            "sled",
            "wasmtime",
            "crate::store",
            "crate::scheduler",
            "crate::sandbox",
            "crate::capability",
            "crate::executor",
            "crate::training",
            "crate::secrets",
            "crate::cli",
            "crate::api",
            "std::fs",
        ],
        rule: "the pages go through the application handle, and know nothing of the API that serves them",
    },
    Wall {
        room: "host/src/cli",
        forbidden: &[
            "sled",
            "wasmtime::",
            "crate::store::local",
            "crate::capability",
        ],
        rule: "the command line goes through the application handle: never sled, never wasmtime",
    },
    Wall {
        room: "host/src/app",
        forbidden: &["crate::cli", "wasmtime", "sled"],
        rule: "the application handle refuses to print and to know how bytes are stored",
    },
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The line without its comment and without what is in quotes: prose may name anything.
fn code_of(line: &str) -> String {
    let code = line.split("//").next().unwrap_or_default();
    code.split('"').step_by(2).collect()
}

fn holds_word(code: &str, word: &str) -> bool {
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        let open_end = word.ends_with(':') || word.ends_with("Tcp");
        !before.is_some_and(is_name) && (open_end || !after.is_some_and(is_name))
    })
}

#[test]
fn no_room_names_what_its_rule_forbids() {
    let mut broken = Vec::new();
    for wall in WALLS {
        let mut files = Vec::new();
        rust_files(&root().join(wall.room), &mut files);
        assert!(
            !files.is_empty(),
            "{} holds no code: the wall guards nothing",
            wall.room
        );
        for path in files {
            let text = fs::read_to_string(&path).unwrap();
            let tests_begin = text.find("#[cfg(test)]").unwrap_or(text.len());
            let is_test = path
                .components()
                .any(|part| part.as_os_str().to_string_lossy().contains("test"));
            for (number, line) in text[..tests_begin].lines().enumerate().filter(|_| !is_test) {
                let code = code_of(line);
                for word in wall.forbidden {
                    if holds_word(&code, word) {
                        broken.push(format!(
                            "{}:{}: names {word}: {}",
                            path.display(),
                            number + 1,
                            wall.rule
                        ));
                    }
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn a_capability_never_names_another_one() {
    let folder = root().join("host/src/capability");
    let mut files = Vec::new();
    rust_files(&folder, &mut files);
    let ports = [
        "http",
        "storage",
        "xcom",
        "tracking",
        "models",
        "training",
        "secrets",
        "dag_state",
        "dag_runs",
        "human",
        "calendar",
        "dataset",
    ];
    for path in files {
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let parent = path
            .parent()
            .unwrap()
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let Some(own) = ports.iter().find(|port| stem == **port || parent == **port) else {
            continue;
        };
        for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            for other in ports.iter().filter(|port| *port != own) {
                let names_it = ["crate::capability::", "super::"]
                    .iter()
                    .any(|prefix| code_of(line).contains(&format!("{prefix}{other}::")));
                // `super::super::` and bindings are other roads.
                assert!(
                    !names_it,
                    "{}:{}: a capability must never import another capability",
                    path.display(),
                    number + 1
                );
            }
        }
    }
}

#[test]
fn only_the_frame_of_a_page_puts_markup_in_unescaped() {
    let mut files = Vec::new();
    rust_files(&root().join("host/src/web"), &mut files);
    let unescaped: Vec<_> = files
        .iter()
        .filter(|path| fs::read_to_string(path).unwrap().contains("PreEscaped"))
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(
        unescaped,
        ["layout.rs"],
        "what comes from outside is text; layout.rs alone puts in the shapes that are part of the program"
    );
}

#[test]
fn no_file_is_longer_than_800_lines() {
    let mut files = Vec::new();
    for folder in ["host", "sdk-guest", "plugins", "tests"] {
        rust_files(&root().join(folder), &mut files);
    }
    let long: Vec<String> = files
        .iter()
        .filter(|path| !path.components().any(|part| part.as_os_str() == "target"))
        .filter_map(|path| {
            let lines = fs::read_to_string(path).unwrap().lines().count();
            (lines > 800).then(|| format!("{}: {lines} lines", path.display()))
        })
        .collect();
    assert!(
        long.is_empty(),
        "a file has at most 800 lines; split it by what it owns:\n{}",
        long.join("\n")
    );
}

#[test]
fn the_top_level_holds_the_house_and_nothing_else() {
    let allowed = [
        "Cargo.toml",
        "Cargo.lock",
        "host",
        "wit",
        "plugins",
        "sdk-guest",
        "examples",
        "tests",
        "README.md",
        "ARCHITECTURE.md",
        "LICENSE",
        "CHANGELOG.md",
        "rust-toolchain.toml",
        "target",
    ];
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(
            name.starts_with('.') || allowed.contains(&name.as_str()),
            "{name} does not belong at the top level"
        );
    }
}
