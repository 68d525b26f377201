//! What a component may import and must export. It refuses with names: every import that the host does not know, and what was
//! exported instead of a guest.

use super::config::COMPONENT_BYTES_MAX;
use super::contract::{self, Contract};
use wasmtime::Engine;
use wasmtime::component::Component;

/// The version of `airlock:operator` that this host runs. Later patch versions fit too.
pub(super) const GUEST_EXPORT: &str = "airlock:operator/guest@0.1.0";

/// WASI 0.2 interfaces that every component may import; there is nothing behind stdin, arguments, environment and preopens.
const WASI: [&str; 21] = [
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:clocks/wall-clock",
    "wasi:clocks/monotonic-clock",
    "wasi:random/random",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:cli/exit",
    "wasi:cli/environment",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:filesystem/types",
    "wasi:filesystem/preopens",
    "wasi:http/types",
];

/// Why bytes are not a plugin of this host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Over `COMPONENT_BYTES_MAX`.
    #[error(
        "the component has {0} bytes, the limit is {COMPONENT_BYTES_MAX}; strip debug information or split it"
    )]
    TooLarge(usize),
    /// No WebAssembly at all.
    #[error("this is not WebAssembly but {0}; give the .wasm file that your build made")]
    NotWasm(&'static str),
    /// A core module.
    #[error(
        "this is a core WebAssembly module, not a component; build for wasm32-wasip2, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// Built against a contract that came after this host.
    #[error(
        "the component was built{sdk} against airlock:operator@{asked}, and this host runs {}; use a newer Airlock, or build it with an older SDK",
        version()
    )]
    NewerContract {
        /// The contract's version.
        asked: String,
        /// Which SDK built it, where it says so.
        sdk: String,
    },
    /// A component of another kind.
    #[error("the component has no operators: it is {0}")]
    AnotherWorld(&'static str),
    /// Broken, or uses a proposal that is off here.
    #[error("the component is not valid here: {0}")]
    Invalid(String),
    /// It asks for what this host does not have.
    #[error("the component imports what this host does not offer: {}; build it without them", .0.join(", "))]
    UnknownImports(Vec<String>),
    /// It asks for a known interface in another shape.
    #[error(
        "the component's imports do not fit this host: {0}; rebuild it against this host's wit/"
    )]
    Unlinkable(String),
    /// It does not export the guest interface.
    #[error("the component does not export {GUEST_EXPORT} but {}; rebuild it against this host's wit/", exported(.0))]
    NoGuest(Vec<String>),
    /// It exports the guest interface in another shape.
    #[error(
        "the component's {GUEST_EXPORT} has another shape: {0}; rebuild it against this host's wit/"
    )]
    WrongGuest(String),
    /// No program.
    #[error(
        "this is no command-line program: {0}; build one with a `main` for wasm32-wasip1 or wasm32-wasip2"
    )]
    NoCommand(String),
    /// Compiling it could take the host's memory or time.
    #[error("the component is too large to compile: {0}; split it, or build it with optimisation")]
    TooHeavy(String),
    /// `describe` did not answer.
    #[error(
        "the component does not describe itself: {0}; `describe` must work without any capability"
    )]
    Describe(String),
    /// `describe` answered what cannot be.
    #[error("the component describes itself wrongly: {0}")]
    Description(String),
    /// The sandbox is shutting down.
    #[error("the host is shutting down")]
    ShuttingDown,
}

fn version() -> String {
    contract::CONTRACT
        .map(|number| number.to_string())
        .join(".")
}

/// Worlds that people give instead of operators, by what they export, and what they are.
const OTHER_WORLDS: [(&str, &str); 3] = [
    (
        "wasi:cli/run",
        "a command-line program; build it as a library against wit/, or run it with an operator that runs programs",
    ),
    (
        "wasi:http/incoming-handler",
        "an HTTP server of the wasi:http/proxy world; build it against wit/",
    ),
    (
        "wasi:http/handler",
        "an HTTP server of WASI 0.3; build it against wit/",
    ),
];

/// Checks what a component says about itself, without compiling it.
pub(super) fn check_contract(bytes: &[u8]) -> Result<Contract, LoadError> {
    let contract = contract::read(bytes)?;
    let exports = |name: &str| {
        let mut exports = contract.exports.iter();
        exports.any(|export| export.split('@').next() == Some(name))
    };
    let other = OTHER_WORLDS.iter().find(|(export, _)| exports(export));
    match other {
        Some((_, what)) if !exports("airlock:operator/guest") => Err(LoadError::AnotherWorld(what)),
        _ => Ok(contract),
    }
}

fn exported(names: &[String]) -> String {
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}

/// Checks what can be seen without compiling.
pub(super) fn check_bytes(bytes: &[u8]) -> Result<(), LoadError> {
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Err(LoadError::TooLarge(bytes.len()));
    }
    match bytes.get(..8) {
        Some(b"\0asm\x01\0\0\0") => Err(LoadError::CoreModule),
        Some(head) if head.starts_with(b"\0asm") => Ok(()),
        _ => Err(LoadError::NotWasm(contract::other_file(bytes))),
    }
}

/// Names of everything that the component imports, if the host knows them all.
pub(super) fn imports(engine: &Engine, component: &Component) -> Result<Vec<String>, LoadError> {
    known_imports(engine, component, is_known)
}

/// The same for a command-line program, which gets WASI and nothing of `wit/`.
pub(super) fn command_imports(
    engine: &Engine,
    component: &Component,
) -> Result<Vec<String>, LoadError> {
    known_imports(engine, component, |import| {
        let Some((name, version)) = import.split_once('@') else {
            return false;
        };
        let of_a_command = WASI.contains(&name)
            || name.starts_with("wasi:sockets/")
            || name == "wasi:http/outgoing-handler";
        of_a_command && version.starts_with("0.2.")
    })
}

fn known_imports(
    engine: &Engine,
    component: &Component,
    is_known: impl Fn(&str) -> bool,
) -> Result<Vec<String>, LoadError> {
    let names: Vec<String> = component
        .component_type()
        .imports(engine)
        .map(|(name, _)| name.to_owned())
        .collect();
    let unknown: Vec<String> = names
        .iter()
        .filter(|name| !is_known(name))
        .cloned()
        .collect();
    if unknown.is_empty() {
        Ok(names)
    } else {
        Err(LoadError::UnknownImports(unknown))
    }
}

/// The guest interface in a version that fits must be among the exports.
pub(super) fn check_exports(engine: &Engine, component: &Component) -> Result<(), LoadError> {
    let names: Vec<String> = component
        .component_type()
        .exports(engine)
        .map(|(name, _)| name.to_owned())
        .collect();
    let fits = |name: &String| {
        name.split_once('@')
            .is_some_and(|(name, version)| name == "airlock:operator/guest" && is_0_1(version))
    };
    if names.iter().any(fits) {
        Ok(())
    } else {
        Err(LoadError::NoGuest(names))
    }
}

fn is_known(import: &str) -> bool {
    let Some((name, version)) = import.split_once('@') else {
        return false;
    };
    // Types hold no function, and this `http` is the same capability as that of WASI.
    if matches!(name, "airlock:operator/types" | "airlock:operator/http") {
        return is_0_1(version);
    }
    let own = super::Interface::ALL
        .iter()
        .any(|interface| interface.name() == name);
    if name.starts_with("airlock:") {
        own && is_0_1(version)
    } else {
        (own || WASI.contains(&name)) && version.starts_with("0.2.")
    }
}

fn is_0_1(version: &str) -> bool {
    version.starts_with("0.1.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_tell_components_modules_and_other_things_apart() {
        assert_eq!(check_bytes(b""), Err(LoadError::NotWasm("empty")));
        assert!(matches!(
            check_bytes(b"\x7fELF0000"),
            Err(LoadError::NotWasm(_))
        ));
        assert_eq!(check_bytes(b"\0asm\x01\0\0\0"), Err(LoadError::CoreModule));
        assert_eq!(check_bytes(b"\0asm\x0d\0\x01\0"), Ok(()));
        let large = vec![0; COMPONENT_BYTES_MAX + 1];
        assert_eq!(check_bytes(&large), Err(LoadError::TooLarge(large.len())));
    }

    #[test]
    fn sockets_other_versions_and_foreign_packages_are_unknown() {
        for known in [
            "airlock:operator/log@0.1.0",
            "wasi:io/poll@0.2.9",
            "wasi:http/outgoing-handler@0.2.3",
        ] {
            assert!(is_known(known), "{known}");
        }
        for unknown in [
            "wasi:sockets/tcp@0.2.0",
            "wasi:http/incoming-handler@0.2.0",
            "wasi:io/poll@0.3.0",
            "airlock:operator/log@0.2.0",
            "airlock:operator/shell@0.1.0",
            "log",
        ] {
            assert!(!is_known(unknown), "{unknown}");
        }
    }
}
