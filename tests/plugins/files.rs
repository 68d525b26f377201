//! Files that are no plugin of this host: one sentence each.

use super::{component, ok};
use airlock_tests::{Airlock, GUESTS, root};

/// The header of a component, then a custom section with what an SDK of a later contract would say.
fn from_the_future() -> Vec<u8> {
    let stamp = b"rust 9.1.0 0.9.0";
    let name = b"airlock:sdk-version";
    let length = |length: usize| u8::try_from(length).unwrap();
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    bytes.extend([0, length(1 + name.len() + stamp.len()), length(name.len())]);
    bytes.extend(name);
    bytes.extend(stamp);
    bytes
}

#[test]
fn each_wrong_file_is_told_apart_in_one_sentence() {
    let airlock = Airlock::new();
    let files: [(&str, &[u8], &str); 9] = [
        (
            "core_module",
            b"\0asm\x01\0\0\0",
            "wasm-tools component new",
        ),
        (
            "random",
            b"\x93\xf2\x01\x99\xab\xcd\xef\x77\x12",
            "not WebAssembly but something else",
        ),
        (
            "text",
            b"print('hello')\n",
            "not WebAssembly but a text file",
        ),
        ("text_of_a_component", b"(component)", "`wasm-tools parse`"),
        (
            "program",
            b"\x7fELF\x02\x01\x01",
            "build it for wasm32-wasip2",
        ),
        ("empty", b"", "not WebAssembly but empty"),
        (
            "another_version",
            &GUESTS.stray,
            "against airlock:operator@0.9.0, and this host runs 0.1.0",
        ),
        (
            "unknown_import",
            &GUESTS.shell,
            "airlock:operator/shell@0.1.0",
        ),
        (
            "from_the_future",
            &from_the_future(),
            "version 9.1.0 of the rust SDK",
        ),
    ];
    for (name, bytes, told) in files {
        let file = format!("{name}.wasm");
        component(&airlock, &file, bytes);
        let done = airlock.run(&["plugins", "add", &file, "--yes"]);
        assert_eq!(done.code, 2, "{name}: {}", done.stderr);
        assert!(done.stderr.contains(told), "{name}: {}", done.stderr);
        assert_eq!(done.stderr.lines().count(), 1, "{name}: {}", done.stderr);
    }
    let missing = airlock.run(&["plugins", "add", "nowhere.wasm", "--yes"]);
    assert_eq!(missing.code, 3, "{}", missing.stderr);
    assert!(!airlock.folder().join("airlock.lock").exists());
}

#[test]
fn a_component_of_the_sdk_says_what_built_it() {
    let airlock = Airlock::new();
    let told = ok(&airlock, &["plugins", "inspect", "probe", "--json"]).json();
    assert_eq!(told["sdk"]["language"], "rust");
    assert_eq!(told["sdk"]["contract"], "0.1.0");
    // What the host reads is what the SDK's source says.
    let sdk = std::fs::read_to_string(root().join("sdk-guest/rust/Cargo.toml")).unwrap();
    let version = format!("version = {}", told["sdk"]["version"]);
    assert!(sdk.contains(&version), "{version}");
}
