//! The keys that seal the store's secrets: from `AIRLOCK_SECRET_KEY`, or from `secret.key` in the data folder, made on first use.
//! The first key seals, all of them open; so a rotation may be cut at any moment. It refuses a key file that others may read.

use super::SecretsError;
use super::cipher::{Key, random};
use std::fmt;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Holds keys as 64 hex digits each, separated by commas; the first one seals.
pub(super) const VARIABLE: &str = "AIRLOCK_SECRET_KEY";
/// The file in the data folder: one key a line, the first one seals.
const FILE: &str = "secret.key";
/// The permissions of the file: its owner alone.
const MODE: u32 = 0o600;

/// See the module's documentation.
pub(super) struct Keys {
    file: PathBuf,
    given: Option<String>,
    ring: Mutex<Option<Vec<Key>>>,
}

impl Keys {
    pub(super) fn new(folder: &Path, given: Option<String>) -> Self {
        Self {
            file: folder.join(FILE),
            given,
            ring: Mutex::new(None),
        }
    }

    /// Whether the environment has the keys, so that no file is read or written.
    pub(super) fn are_given(&self) -> bool {
        self.given.is_some()
    }

    /// The keys that there are; none where nothing was ever sealed.
    pub(super) fn known(&self) -> Result<Vec<Key>, SecretsError> {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = &*ring {
            return Ok(keys.clone());
        }
        let keys = match &self.given {
            Some(text) => parse(text.split(',')).map_err(|reason| wrong(VARIABLE, &reason))?,
            None => self.read()?,
        };
        // An absent file is looked for again: another call may make it.
        if !keys.is_empty() {
            *ring = Some(keys.clone());
        }
        Ok(keys)
    }

    /// The keys, with a first one made where there was none.
    pub(super) fn ready(&self) -> Result<Vec<Key>, SecretsError> {
        let keys = self.known()?;
        if !keys.is_empty() {
            return Ok(keys);
        }
        self.replace(vec![self.fresh()?])
    }

    /// A new key.
    pub(super) fn fresh(&self) -> Result<Key, SecretsError> {
        let no_random = || self.wrong("the system gives no random bytes");
        random().map(Key::new).ok_or_else(no_random)
    }

    /// Writes the file anew, durably, and yields what it holds.
    pub(super) fn replace(&self, keys: Vec<Key>) -> Result<Vec<Key>, SecretsError> {
        let text: String = keys.iter().map(|key| key.hex() + "\n").collect();
        self.write(&text).map_err(|error| self.wrong(error))?;
        *self.ring.lock().unwrap_or_else(PoisonError::into_inner) = Some(keys.clone());
        Ok(keys)
    }

    fn write(&self, text: &str) -> std::io::Result<()> {
        let temporary = self.file.with_extension("key.new");
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = std::fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(MODE)
            .open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, &self.file)?;
        let folder = self.file.parent().unwrap_or(Path::new("."));
        std::fs::File::open(folder)?.sync_all()
    }

    fn read(&self) -> Result<Vec<Key>, SecretsError> {
        let text = match std::fs::read_to_string(&self.file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.wrong(error)),
        };
        let data = std::fs::metadata(&self.file).map_err(|error| self.wrong(error))?;
        if data.permissions().mode() & 0o077 != 0 {
            let command = format!("others may read it: `chmod 600 {}`", self.file.display());
            return Err(self.wrong(command));
        }
        parse(text.lines()).map_err(|reason| self.wrong(reason))
    }

    fn wrong(&self, reason: impl fmt::Display) -> SecretsError {
        wrong(&self.file.display().to_string(), &reason)
    }
}

fn wrong(place: &str, reason: &dyn fmt::Display) -> SecretsError {
    SecretsError::Key {
        place: place.to_owned(),
        reason: reason.to_string(),
    }
}

fn parse<'a>(parts: impl Iterator<Item = &'a str>) -> Result<Vec<Key>, &'static str> {
    let parts = parts.map(str::trim).filter(|part| !part.is_empty());
    let keys: Option<Vec<Key>> = parts.map(Key::from_hex).collect();
    match keys {
        Some(keys) if !keys.is_empty() => Ok(keys),
        _ => Err("a key is 64 hex digits (`openssl rand -hex 32` makes one)"),
    }
}
