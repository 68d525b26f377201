//! What is a plugin here and what is not, and what is said about it.

use crate::support::*;
use airlock::sandbox::{LoadError, Sandbox, SandboxConfig};

#[test]
fn a_plugin_says_what_it_is_and_what_it_asks_for() {
    let sandbox = sandbox();
    let plugin = zoo(&sandbox);
    assert_eq!((plugin.name(), plugin.version()), ("zoo", "1.0.0"));
    assert!(
        plugin
            .operators()
            .iter()
            .any(|operator| operator.name == "echo")
    );
    let asks = |name: &str| plugin.imports().iter().any(|import| import == name);
    assert!(asks("airlock:operator/storage@0.1.0"));
    assert!(!asks("airlock:operator/training@0.1.0"));
    assert!(
        !plugin
            .imports()
            .iter()
            .any(|import| import.contains("sockets"))
    );
}

#[test]
fn the_same_bytes_are_the_same_plugin() {
    let sandbox = sandbox();
    let (first, second) = (noop(&sandbox), noop(&sandbox));
    assert!(std::sync::Arc::ptr_eq(&first, &second));
}

#[test]
fn what_is_no_component_is_refused_by_kind() {
    let sandbox = sandbox();
    let load = |bytes: &[u8]| sandbox.load(bytes).unwrap_err();
    assert_eq!(load(b"#!/bin/sh"), LoadError::NotWasm("a text file"));
    assert_eq!(load(b"\0asm\x01\0\0\0"), LoadError::CoreModule);
    let mut broken = GUESTS.noop.clone();
    broken.truncate(broken.len() / 2);
    assert!(matches!(load(&broken), LoadError::Invalid(_)));
    assert_eq!(load(b"\0asm\x0d\0\x01\0"), LoadError::NoGuest(vec![]));
}

#[test]
fn another_version_of_the_contract_is_named() {
    let error = sandbox().load(&GUESTS.stray).unwrap_err();
    let message = error.to_string();
    assert!(
        matches!(error, LoadError::NewerContract { .. }),
        "{message}"
    );
    assert!(message.contains("airlock:operator@0.9.0"), "{message}");
}

#[test]
fn unknown_imports_are_named() {
    let error = sandbox().load(&GUESTS.shell).unwrap_err();
    let LoadError::UnknownImports(names) = &error else {
        panic!("{error}");
    };
    assert_eq!(names, &["airlock:operator/shell@0.1.0"]);
}

#[test]
fn a_component_that_is_too_large_at_its_start_is_refused() {
    let run = r#"(table 200000 funcref)
        (func (export "airlock:operator/guest@0.1.0#run") (param i32) (result i32) (unreachable))"#;
    let error = sandbox().load(&wat_guest("", run)).unwrap_err();
    // A pool notices before the limiter is asked.
    assert!(matches!(
        error,
        LoadError::Invalid(_) | LoadError::Describe(_)
    ));
    assert!(error.to_string().contains("table"), "{error}");
}

#[test]
fn the_cache_serves_a_second_start_and_survives_damage() {
    let dir = tempfile::tempdir().unwrap();
    let start = || {
        let config = SandboxConfig {
            cache_dir: Some(dir.path().join("aot")),
            ..SandboxConfig::default()
        };
        let sandbox = Sandbox::new(&config).unwrap();
        noop(&sandbox).digest().to_owned()
    };
    let digest = start();
    let compiled = || {
        let files = std::fs::read_dir(dir.path().join("aot")).unwrap();
        let paths = files.map(|file| file.unwrap().path());
        paths
            .filter(|path| path.extension().is_some_and(|end| end == "cwasm"))
            .collect::<Vec<_>>()
    };
    let [file] = compiled().try_into().unwrap();
    let written = std::fs::metadata(&file).unwrap().modified().unwrap();
    assert_eq!(start(), digest);
    assert_eq!(
        std::fs::metadata(&file).unwrap().modified().unwrap(),
        written
    );
    std::fs::write(&file, b"damaged").unwrap();
    assert_eq!(start(), digest);
    assert!(
        std::fs::metadata(&file).unwrap().len() > 1000,
        "compiled anew"
    );
}
