//! `airlock.lock`: which plugins were agreed to, to the byte, with what each may do. It is written whole, by one process at a
//! time, after what it names is durable; it is read as a person may have edited it, and refused where it makes no sense.

use super::components::{sync_parent, write_whole};
use super::{RegistryError, refused};
use crate::store::Digest;
use airlock_core::grant::{Asks, Policy};
use airlock_core::ids::OperatorName;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The file's name, beside `airlock.toml`.
pub const LOCK_FILE: &str = "airlock.lock";
/// The most plugins that one lock file names.
pub const PLUGINS_MAX: usize = 1_000;
/// The format that this version writes, and the only one it reads.
const FORMAT: u32 = 1;
const HEAD: &str =
    "# Written by `airlock plugins`. What it names is what runs: keep it with your DAGs.\n\n";

/// One plugin that was agreed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// As the component says.
    pub version: String,
    /// `sha256:` and 64 hexadecimal digits: of the component's bytes.
    #[serde(with = "digest_text")]
    pub digest: Digest,
    /// Where it came from, and where an update looks.
    pub source: String,
    /// Where exactly these bytes are for ever, if there is such a place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<String>,
    /// The public key of who signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// What it asks for: what a person was shown.
    pub asks: Asks,
    /// What it may do at most; a DAG's grants narrow it further.
    #[serde(default)]
    pub grants: Policy,
}

/// What a lock file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    lock_version: u32,
    /// By the name that DAGs use.
    #[serde(default)]
    pub plugins: BTreeMap<String, Locked>,
}

impl Default for Lock {
    fn default() -> Self {
        Self {
            lock_version: FORMAT,
            plugins: BTreeMap::new(),
        }
    }
}

/// The file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockFile(PathBuf);

impl LockFile {
    /// A lock file, which need not be there.
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What it says; nothing where there is no file.
    pub fn read(&self) -> Result<Lock, RegistryError> {
        match std::fs::read_to_string(&self.0) {
            Ok(text) => self.parse(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Lock::default()),
            Err(error) => Err(refused("read", &self.0)(error)),
        }
    }

    /// Changes it. `change` sees what is there now, not what was read before, and nobody else changes it meanwhile.
    pub fn change<T>(
        &self,
        change: impl FnOnce(&mut Lock) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let _guard = self.guard()?;
        let before = self.read()?;
        let mut lock = before.clone();
        let value = change(&mut lock)?;
        if lock != before {
            if lock.plugins.len() > PLUGINS_MAX {
                let reason = format!("it would name over {PLUGINS_MAX} plugins");
                return Err(self.wrong(reason));
            }
            // What could not be read again is not written.
            self.check(&lock)?;
            let text =
                toml::to_string_pretty(&lock).map_err(|error| self.wrong(error.to_string()))?;
            write_whole(&self.0, format!("{HEAD}{text}").as_bytes())?;
            sync_parent(&self.0)?;
        }
        Ok(value)
    }

    /// The folder itself is locked: the file is replaced by every change, and another file would lie about.
    fn guard(&self) -> Result<File, RegistryError> {
        let folder = match self.0.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let open = File::open(folder).map_err(refused("open", folder))?;
        flock(&open, FlockOperation::LockExclusive)
            .map_err(|error| refused("lock", folder)(error.into()))?;
        Ok(open)
    }

    fn parse(&self, text: &str) -> Result<Lock, RegistryError> {
        let lock: Lock = toml::from_str(text).map_err(|error| self.wrong(error.to_string()))?;
        if lock.lock_version != FORMAT {
            return Err(self.wrong(format!(
                "its lock_version is {}, this Airlock reads {FORMAT}",
                lock.lock_version
            )));
        }
        self.check(&lock)?;
        Ok(lock)
    }

    /// Somebody else may have written it: names reach file names and terminals, grants the network.
    fn check(&self, lock: &Lock) -> Result<(), RegistryError> {
        for (name, locked) in &lock.plugins {
            if OperatorName::parse(name).is_err() || name.contains('.') {
                let reason = format!("{name:?} cannot be a plugin's name");
                return Err(self.wrong(reason));
            }
            let texts = [Some(&locked.version), Some(&locked.source)];
            let texts = texts.into_iter().chain([locked.resolved.as_ref()]);
            for text in texts.chain([locked.signer.as_ref()]).flatten() {
                if text.chars().any(char::is_control) {
                    let reason = format!("plugin {name}: {text:?} has control characters");
                    return Err(self.wrong(reason));
                }
            }
            locked
                .grants
                .validate()
                .map_err(|error| self.wrong(format!("plugin {name}: {error}")))?;
        }
        Ok(())
    }

    fn wrong(&self, reason: String) -> RegistryError {
        RegistryError::Lock {
            path: self.0.clone(),
            reason,
        }
    }
}

mod digest_text {
    use crate::store::Digest;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    const KIND: &str = "sha256:";

    pub(super) fn serialize<S: Serializer>(digest: &Digest, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&format!("{KIND}{digest}"))
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(input: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(input)?;
        let digest = text.strip_prefix(KIND).and_then(Digest::parse);
        digest.ok_or_else(|| {
            D::Error::custom(format!(
                "{text:?} is not `sha256:` and 64 hexadecimal digits"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use airlock_core::grant::Capability;

    fn locked(byte: u8) -> Locked {
        let imports = [
            "wasi:http/outgoing-handler@0.2.4",
            "airlock:operator/storage@0.1.0",
        ];
        let asks = Asks::of_imports(&imports);
        let mut grants = asks.policy();
        let hosts = ["hooks.slack.com".to_owned()];
        grants.grant(Capability::Http, &hosts).unwrap();
        let secret = ["hf=hf.co".to_owned()];
        grants.grant(Capability::Secrets, &secret).unwrap();
        Locked {
            version: "1.2.0".to_owned(),
            digest: Digest([byte; 32]),
            source: "oci://registry.example/churn:1".to_owned(),
            resolved: None,
            signer: Some("RWabc".to_owned()),
            asks,
            grants,
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_sorted() {
        let folder = tempfile::tempdir().unwrap();
        let file = LockFile::at(folder.path().join(LOCK_FILE));
        assert_eq!(file.read().unwrap(), Lock::default());
        for (name, byte) in [("zebra", 1), ("ape", 2)] {
            file.change(|lock| {
                lock.plugins.insert(name.to_owned(), locked(byte));
                Ok(())
            })
            .unwrap();
        }
        let lock = file.read().unwrap();
        assert_eq!(lock.plugins["zebra"], locked(1));
        let text = std::fs::read_to_string(file.path()).unwrap();
        let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"));
        assert!(text.starts_with(HEAD));
        assert!(place("lock_version = 1") < place("[plugins.ape]"));
        assert!(place("[plugins.ape]") < place("[plugins.zebra]"));
        place(&format!("digest = \"sha256:{}\"", "01".repeat(32)));
        place("hooks.slack.com");
    }

    #[test]
    fn changes_from_many_threads_are_all_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = LockFile::at(folder.path().join(LOCK_FILE));
        std::thread::scope(|scope| {
            for byte in 0..8 {
                let file = file.clone();
                scope.spawn(move || {
                    file.change(|lock| {
                        lock.plugins.insert(format!("p{byte}"), locked(byte));
                        Ok(())
                    })
                });
            }
        });
        assert_eq!(file.read().unwrap().plugins.len(), 8);
    }

    #[test]
    fn a_refused_change_leaves_the_file_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let file = LockFile::at(folder.path().join(LOCK_FILE));
        let refused = file.change(|lock| {
            lock.plugins.insert("p".to_owned(), locked(1));
            Err::<(), _>(RegistryError::NotFound("nowhere".to_owned()))
        });
        assert!(refused.is_err());
        assert!(!file.path().exists());
    }

    #[test]
    fn names_and_texts_that_mean_harm_are_refused_and_never_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = LockFile::at(folder.path().join(LOCK_FILE));
        let digest = "0".repeat(64);
        for (name, source) in [
            ("../../etc/x", "x.wasm"),
            ("/etc/x", "x.wasm"),
            ("..", "x.wasm"),
            ("", "x.wasm"),
            ("a.b", "x.wasm"),
            ("x\u{1b}[2J", "x.wasm"),
            ("x", "x\u{1b}]0;y\u{7}.wasm"),
        ] {
            let (name, source) = (escaped(name), escaped(source));
            let text = format!(
                "lock_version = 1\n[plugins.{name}]\nversion = \"1\"\nsource = {source}\nasks = []\ndigest = \"sha256:{digest}\"\n"
            );
            std::fs::write(file.path(), &text).unwrap();
            let error = file.read().unwrap_err().to_string();
            let told = ["cannot be a plugin's name", "has control characters"];
            assert!(told.iter().any(|words| error.contains(words)), "{error}");
            assert!(!error.contains('\u{1b}'), "{error:?}");
        }
        std::fs::remove_file(file.path()).unwrap();
        let written = file.change(|lock| {
            let source = "a\nb.wasm".to_owned();
            lock.plugins.insert(
                "p".to_owned(),
                Locked {
                    source,
                    ..locked(1)
                },
            );
            Ok(())
        });
        assert!(written.is_err());
        assert!(!file.path().exists());
    }

    fn escaped(text: &str) -> String {
        toml::Value::String(text.to_owned()).to_string()
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = LockFile::at(folder.path().join(LOCK_FILE));
        let entry = "[plugins.x]\nversion = \"1\"\nsource = \"x\"\nasks = []\n";
        for (text, told) in [
            ("lock_version = 2\n".to_owned(), "lock_version is 2"),
            ("plugins = 3".to_owned(), "plugins"),
            (
                format!("lock_version = 1\n{entry}digest = \"md5:1\"\n"),
                "sha256:",
            ),
            (
                format!(
                    "lock_version = 1\n{entry}digest = \"sha256:{}\"\ngrants = {{http = [\"192.168.1.*\"]}}\n",
                    "0".repeat(64)
                ),
                "192.168.1.*",
            ),
            (
                format!(
                    "lock_version = 1\n{entry}digest = \"sha256:{}\"\ngrants = {{everything = true}}\n",
                    "0".repeat(64)
                ),
                "everything",
            ),
        ] {
            std::fs::write(file.path(), &text).unwrap();
            let error = file.read().unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
