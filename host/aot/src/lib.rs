//! Compiled components on disk. It owns one folder and one key, and refuses every file that this host did not write.
//!
//! `Component::deserialize` runs whatever machine code it is given, so wasmtime marks it `unsafe`: the caller must know that
//! the bytes came out of `Component::serialize` unchanged. That is what this crate proves, and all that it does: a file is
//! `BLAKE3(key, engine || component digest || code) || code`, the key is random, drawn once per folder and readable by the
//! host's user alone, and the tag is checked on the very buffer that is then handed over (no second read, no mapping).
//! Nothing outside this file can reach the unsafe call with other bytes.

use std::fs::{self, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use wasmtime::Engine;
use wasmtime::component::Component;

/// The largest compiled component that is read back, bytes. A Python component is about 32 MB.
pub const COMPILED_BYTES_MAX: u64 = 512 << 20;

const KEY_FILE: &str = "host.key";
const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = blake3::OUT_LEN;

/// The SHA-256 of a component's bytes.
pub type Digest = [u8; 32];

/// Why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// A file operation failed.
    #[error(
        "the cache of compiled components at {path}: cannot {action}: {source}; check that the folder is writable"
    )]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key file is not a key.
    #[error("the key of the cache at {0} is damaged; remove the folder, it is rebuilt by itself")]
    Key(PathBuf),
    /// Wasmtime could not serialise a component.
    #[error("a compiled component cannot be written down: {0}")]
    Serialize(String),
}

/// A folder of compiled components.
pub struct Cache {
    dir: PathBuf,
    key: [u8; KEY_BYTES],
    /// Makes names of unfinished files unique in this process.
    sequence: AtomicU64,
}

impl Cache {
    /// Opens `dir`, making it (0700) and its key (0600) where they are missing.
    pub fn open(dir: &Path) -> Result<Self, CacheError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|source| fault("make the folder", dir, source))?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
            .map_err(|source| fault("make the folder private", dir, source))?;
        Ok(Self {
            dir: dir.to_owned(),
            key: read_or_make_key(dir)?,
            sequence: AtomicU64::new(0),
        })
    }

    /// The compiled form of the component with this digest for exactly this engine, or none where there is no file, the
    /// file is not this host's, or wasmtime refuses it. A refused file is removed.
    pub fn load(&self, engine: &Engine, digest: &Digest) -> Option<Component> {
        let path = self.path(engine, digest);
        let mut sealed = Vec::new();
        File::open(&path)
            .ok()?
            .take(COMPILED_BYTES_MAX)
            .read_to_end(&mut sealed)
            .ok()?;
        let component = self.unseal(engine, digest, &sealed);
        if component.is_none() {
            // Best effort: it is overwritten by the next `store` anyway.
            let _ = fs::remove_file(&path);
        }
        component
    }

    /// Writes a compiled component: whole or not at all, readable by the host's user alone.
    pub fn store(
        &self,
        engine: &Engine,
        digest: &Digest,
        component: &Component,
    ) -> Result<(), CacheError> {
        let code = component
            .serialize()
            .map_err(|error| CacheError::Serialize(error.to_string()))?;
        let tag = self.tag(engine, digest, &code);
        let path = self.path(engine, digest);
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        let unfinished = path.with_extension(format!("{}-{sequence}.tmp", std::process::id()));
        let written = write_private(&unfinished, &[tag.as_bytes(), &code])
            .and_then(|()| fs::rename(&unfinished, &path));
        written.map_err(|source| {
            let _ = fs::remove_file(&unfinished);
            fault("write", &path, source)
        })
    }

    #[expect(unsafe_code, reason = "the one call that this crate exists for")]
    fn unseal(&self, engine: &Engine, digest: &Digest, sealed: &[u8]) -> Option<Component> {
        let (tag, code) = sealed.split_at_checked(TAG_BYTES)?;
        let tag: [u8; TAG_BYTES] = tag.try_into().ok()?;
        // `blake3::Hash` compares in constant time.
        if self.tag(engine, digest, code) != blake3::Hash::from_bytes(tag) {
            return None;
        }
        // SAFETY: the tag over `code`, checked above on this same buffer, can only be made with the host's key, and the only
        // place that makes one (`store`) does so over the output of `Component::serialize`. Whether it fits this engine
        // is in the tag too, and wasmtime checks version and settings once more.
        unsafe { Component::deserialize(engine, code) }.ok()
    }

    fn tag(&self, engine: &Engine, digest: &Digest, code: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&engine_id(engine));
        hasher.update(digest);
        hasher.update(code);
        hasher.finalize()
    }

    fn path(&self, engine: &Engine, digest: &Digest) -> PathBuf {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(b"name");
        hasher.update(&engine_id(engine));
        hasher.update(digest);
        self.dir
            .join(format!("{}.cwasm", hasher.finalize().to_hex()))
    }
}

/// Wasmtime's version, target and every setting that changes code, in one number.
fn engine_id(engine: &Engine) -> [u8; 32] {
    /// Feeds what `Hash` yields into BLAKE3: the standard hasher is not promised to stay the same between builds.
    struct Feed(blake3::Hasher);
    impl Hasher for Feed {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut feed = Feed(blake3::Hasher::new());
    engine.precompile_compatibility_hash().hash(&mut feed);
    *feed.0.finalize().as_bytes()
}

fn read_or_make_key(dir: &Path) -> Result<[u8; KEY_BYTES], CacheError> {
    let path = dir.join(KEY_FILE);
    if let Some(key) = read_key(&path)? {
        return Ok(key);
    }
    let mut key = [0; KEY_BYTES];
    let urandom = Path::new("/dev/urandom");
    File::open(urandom)
        .and_then(|mut file| file.read_exact(&mut key))
        .map_err(|source| fault("draw a key from", urandom, source))?;
    let unfinished = dir.join(format!("{KEY_FILE}.{}.tmp", std::process::id()));
    // A hard link, unlike a rename, does not replace the key of another process that was faster.
    let made = write_private(&unfinished, &[&key]).and_then(|()| fs::hard_link(&unfinished, &path));
    let _ = fs::remove_file(&unfinished);
    match made {
        Ok(()) => Ok(key),
        Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {
            read_key(&path)?.ok_or(CacheError::Key(path))
        }
        Err(source) => Err(fault("write", &path, source)),
    }
}

fn read_key(path: &Path) -> Result<Option<[u8; KEY_BYTES]>, CacheError> {
    match fs::read(path) {
        Ok(bytes) => bytes
            .try_into()
            .map(Some)
            .map_err(|_| CacheError::Key(path.to_owned())),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(fault("read", path, source)),
    }
}

fn write_private(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()
}

fn fault(action: &'static str, path: &Path, source: io::Error) -> CacheError {
    CacheError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::Config;

    const DIGEST: Digest = [7; 32];

    fn engine(fuel: bool) -> Engine {
        Engine::new(Config::new().consume_fuel(fuel)).unwrap()
    }

    /// The smallest component: a header and nothing else.
    fn empty(engine: &Engine) -> Component {
        Component::new(engine, b"\0asm\x0d\0\x01\0").unwrap()
    }

    fn only_file(dir: &Path) -> PathBuf {
        let mut files = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "cwasm"));
        let first = files.next().unwrap();
        assert_eq!(files.next(), None);
        first
    }

    #[test]
    fn what_is_stored_is_loaded_by_another_process_of_the_same_host() {
        let dir = tempfile::tempdir().unwrap();
        let engine = engine(false);
        let cache = Cache::open(dir.path()).unwrap();
        assert!(cache.load(&engine, &DIGEST).is_none());
        cache.store(&engine, &DIGEST, &empty(&engine)).unwrap();
        let reopened = Cache::open(dir.path()).unwrap();
        assert!(reopened.load(&engine, &DIGEST).is_some());
        assert!(reopened.load(&engine, &[8; 32]).is_none());
    }

    #[test]
    fn every_changed_byte_is_refused_and_the_file_removed() {
        let dir = tempfile::tempdir().unwrap();
        let engine = engine(false);
        let cache = Cache::open(dir.path()).unwrap();
        cache.store(&engine, &DIGEST, &empty(&engine)).unwrap();
        let path = only_file(dir.path());
        let good = fs::read(&path).unwrap();
        for at in [0, TAG_BYTES - 1, TAG_BYTES, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert!(cache.load(&engine, &DIGEST).is_none(), "byte {at}");
            assert!(!path.exists());
        }
        fs::write(&path, &good[..TAG_BYTES - 1]).unwrap();
        assert!(cache.load(&engine, &DIGEST).is_none());
    }

    #[test]
    fn another_engine_or_another_key_finds_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let first = engine(false);
        let cache = Cache::open(dir.path()).unwrap();
        cache.store(&first, &DIGEST, &empty(&first)).unwrap();
        assert!(cache.load(&engine(true), &DIGEST).is_none());
        let stolen = tempfile::tempdir().unwrap();
        let other = Cache::open(stolen.path()).unwrap();
        fs::copy(only_file(dir.path()), other.path(&first, &DIGEST)).unwrap();
        assert!(other.load(&first, &DIGEST).is_none());
    }

    #[test]
    fn folder_and_files_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("aot");
        let engine = engine(false);
        let cache = Cache::open(&inner).unwrap();
        cache.store(&engine, &DIGEST, &empty(&engine)).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&inner), 0o700);
        assert_eq!(mode(&only_file(&inner)), 0o600);
        assert_eq!(mode(&inner.join(KEY_FILE)), 0o600);
    }

    #[test]
    fn a_damaged_key_is_an_error_that_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(KEY_FILE), b"short").unwrap();
        let message = Cache::open(dir.path()).err().unwrap().to_string();
        assert!(message.contains("remove the folder"), "{message}");
    }
}
