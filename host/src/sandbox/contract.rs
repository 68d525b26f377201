//! What can be read from a component without compiling it: what it imports and exports, and the stamp that an SDK leaves in it.
//! It refuses components that were built against a newer contract, and tells what else a file is.

use super::inspect::LoadError;
use wasmparser::{Parser, Payload};

/// The contract that this host runs, `airlock:operator@MAJOR.MINOR.PATCH`; a newer patch is tried.
pub(super) const CONTRACT: [u64; 3] = [0, 1, 0];
/// The custom section in which an SDK says what built the component: language, version of the SDK, version of the contract, each
/// after a space.
const STAMP_SECTION: &str = "airlock:sdk-version";
/// A longer stamp is not one.
const STAMP_BYTES_MAX: usize = 256;

/// What an SDK said about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// For example `rust`.
    pub language: String,
    /// Of the SDK.
    pub version: String,
    /// Of the contract.
    pub contract: String,
}

impl Stamp {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes.get(..bytes.len().min(STAMP_BYTES_MAX))?).ok()?;
        let is_plain = |word: &&str| word.bytes().all(|byte| byte.is_ascii_graphic());
        let words: Vec<&str> = text.split(' ').filter(is_plain).collect();
        match words[..] {
            [language, version, contract] => Some(Self {
                language: language.to_owned(),
                version: version.to_owned(),
                contract: contract.to_owned(),
            }),
            _ => None,
        }
    }
}

/// What a component says about itself, unchecked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Contract {
    pub(super) stamp: Option<Stamp>,
    pub(super) imports: Vec<String>,
    pub(super) exports: Vec<String>,
}

/// Reads what a component says, and refuses what this host is too old for. What is malformed is left to the compiler, which
/// says where.
pub(super) fn read(bytes: &[u8]) -> Result<Contract, LoadError> {
    let contract = sections(bytes);
    let interfaces = contract.imports.iter().chain(&contract.exports);
    let own = interfaces.filter_map(|name| name.strip_prefix("airlock:operator/")?.split_once('@'));
    let stamped = contract.stamp.iter().map(|stamp| stamp.contract.as_str());
    for version in own.map(|(_, version)| version).chain(stamped) {
        if is_newer(version) {
            return Err(LoadError::NewerContract {
                asked: version.to_owned(),
                sdk: contract.stamp.as_ref().map_or_else(String::new, |stamp| {
                    format!(
                        " with version {} of the {} SDK",
                        stamp.version, stamp.language
                    )
                }),
            });
        }
    }
    Ok(contract)
}

/// Whether a version is one that this host cannot know: a later minor or major one.
fn is_newer(version: &str) -> bool {
    let mut numbers = version.split(['.', '-', '+']).map(str::parse::<u64>);
    let mut next = || numbers.next().and_then(Result::ok).unwrap_or(0);
    let [major, minor, _] = CONTRACT;
    (next(), next()) > (major, minor)
}

fn sections(bytes: &[u8]) -> Contract {
    let mut contract = Contract::default();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload {
            Ok(Payload::ModuleSection { .. } | Payload::ComponentSection { .. }) => depth += 1,
            // The end of the outermost comes when nothing is open.
            Ok(Payload::End(_)) => depth = depth.saturating_sub(1),
            Ok(Payload::ComponentImportSection(section)) if depth == 0 => {
                let names = section.into_iter().flatten();
                contract
                    .imports
                    .extend(names.map(|import| import.name.name.to_owned()));
            }
            Ok(Payload::ComponentExportSection(section)) if depth == 0 => {
                let names = section.into_iter().flatten();
                contract
                    .exports
                    .extend(names.map(|export| export.name.name.to_owned()));
            }
            Ok(Payload::CustomSection(section)) if section.name() == STAMP_SECTION => {
                let found = contract.stamp.take();
                contract.stamp = found.or_else(|| Stamp::parse(section.data()));
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    contract
}

/// What a file is that is no WebAssembly, in words that end a sentence.
pub(super) fn other_file(bytes: &[u8]) -> &'static str {
    const KNOWN: [(&[u8], &str); 7] = [
        (
            b"\x7fELF",
            "a native program or library; build it for wasm32-wasip2",
        ),
        (b"PK\x03\x04", "a ZIP archive, as a Python wheel is"),
        (b"\x1f\x8b", "compressed with gzip"),
        (
            b"(component",
            "WebAssembly as text; `wasm-tools parse` makes a component of it",
        ),
        (
            b"(module",
            "WebAssembly as text of a core module, not a component",
        ),
        (
            b"<",
            "an HTML or XML page, perhaps what a server said instead of the file",
        ),
        (
            b"untrusted comment:",
            "a signature or a key; give the component itself",
        ),
    ];
    let known = KNOWN.iter().find(|(head, _)| bytes.starts_with(head));
    match known {
        Some((_, what)) => what,
        None if bytes.is_empty() => "empty",
        None if std::str::from_utf8(bytes).is_ok() => "a text file",
        None => "something else: it does not begin with `\\0asm`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";

    fn custom(name: &str, data: &[u8]) -> Vec<u8> {
        let length = |length: usize| u8::try_from(length).unwrap();
        let mut section = vec![0, length(1 + name.len() + data.len()), length(name.len())];
        section.extend(name.as_bytes());
        section.extend(data);
        section
    }

    fn stamped(data: &[u8]) -> Vec<u8> {
        [HEADER, &custom(STAMP_SECTION, data)].concat()
    }

    #[test]
    fn a_stamp_is_read_before_anything_is_compiled() {
        let contract = read(&stamped(b"rust 0.1.0 0.1.0")).unwrap();
        let stamp = contract.stamp.unwrap();
        assert_eq!(
            (&stamp.language[..], &stamp.version[..], &stamp.contract[..]),
            ("rust", "0.1.0", "0.1.0")
        );
        assert_eq!(read(HEADER).unwrap(), Contract::default());
        for broken in [
            &b"rust"[..],
            b"a b c d",
            b"rust 0.1.0 \x1b[31m",
            b"\xff \xff \xff",
        ] {
            assert_eq!(read(&stamped(broken)).unwrap().stamp, None, "{broken:?}");
        }
    }

    #[test]
    fn a_newer_contract_is_refused_with_both_versions() {
        let error = read(&stamped(b"python 2.0.0 0.2.0"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("airlock:operator@0.2.0"), "{error}");
        assert!(error.contains("version 2.0.0 of the python SDK"), "{error}");
        assert!(error.contains("newer Airlock"), "{error}");
        for (version, newer) in [
            ("0.1.0", false),
            ("0.1.9", false),
            ("0.0.9", false),
            ("0.2.0", true),
            ("0.10.0", true),
            ("1.0.0", true),
            ("1", true),
            ("nonsense", false),
        ] {
            assert_eq!(is_newer(version), newer, "{version}");
        }
    }

    #[test]
    fn other_files_are_told_apart() {
        for (bytes, told) in [
            (&b"\x7fELF\x02"[..], "native program"),
            (b"PK\x03\x04...", "ZIP"),
            (b"(module)", "core module"),
            (b"def run():\n", "a text file"),
            (b"", "empty"),
            (b"\x80\x81\x82", "something else"),
        ] {
            assert!(other_file(bytes).contains(told), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
            let _ = read(&[HEADER, &bytes[..]].concat());
            let _ = read(&stamped(&bytes[..bytes.len().min(90)]));
            other_file(&bytes);
        }
    }
}
