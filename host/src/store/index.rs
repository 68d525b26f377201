//! The index: sled, for reading only what the journal has made true. It owns the only use of sled and refuses to trust it: every
//! call is caught if it panics, nothing acknowledged rests on its `flush`, and whoever doubts it rebuilds it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::codec;
use super::files;
use super::keys::{self, Range};
use super::memtable::Memtable;
use super::types::{Position, Seq, StoreError};

/// sled's page cache, bytes.
const CACHE_BYTES: u64 = 64 << 20;
/// Keys of one batch while the index is rebuilt.
const BUILD_BATCH: usize = 8_192;

/// How often a closing index looks whether sled's threads are done.
const RELEASE_TRIES: u32 = 400;
/// How long it waits in between.
const RELEASE_PAUSE: std::time::Duration = std::time::Duration::from_millis(5);

/// An open index.
pub(super) struct Index {
    db: sled::Db,
    dir: PathBuf,
}

/// Turns sled's errors and panics into damage of the index.
fn guarded<T>(dir: &Path, call: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    let damaged = |what: String| StoreError::Damaged {
        what,
        place: dir.display().to_string(),
    };
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(sled::Error::Io(source))) => Err(files::refused("use", dir)(source)),
        Ok(Err(error)) => Err(damaged(error.to_string())),
        Err(_) => Err(damaged("the index panicked".to_owned())),
    }
}

impl Index {
    /// Opens the folder, or makes it.
    pub(super) fn open(dir: &Path) -> Result<Self, StoreError> {
        let db = guarded(dir, || {
            sled::Config::new()
                .path(dir)
                .cache_capacity(CACHE_BYTES)
                .flush_every_ms(None)
                .open()
        })?;
        Ok(Self {
            db,
            dir: dir.to_owned(),
        })
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = guarded(&self.dir, || self.db.get(key))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    /// The position up to which the index holds everything; none if it never got so far.
    pub(super) fn applied(&self) -> Result<Option<Position>, StoreError> {
        self.number(&keys::applied())
    }

    pub(super) fn head(&self, stream: &str) -> Result<Seq, StoreError> {
        Ok(self.number(&keys::head(stream))?.unwrap_or(0))
    }

    fn number(&self, key: &[u8]) -> Result<Option<u64>, StoreError> {
        self.get(key)?
            .map(|value| codec::parse_number(&value).map_err(|bad| bad.at("the index")))
            .transpose()
    }

    /// Keys and values in order; an error ends them.
    pub(super) fn range(
        &self,
        range: &Range,
    ) -> impl Iterator<Item = Result<(Vec<u8>, Bytes), StoreError>> + '_ {
        let empty = range.is_empty();
        let mut pairs = self.db.range::<&[u8], _>(range.bounds());
        let mut over = empty;
        std::iter::from_fn(move || {
            if over {
                return None;
            }
            let next = guarded(&self.dir, || pairs.next().transpose()).transpose()?;
            over = next.is_err();
            Some(next.map(|(key, value)| (key.to_vec(), Bytes::copy_from_slice(&value))))
        })
    }

    /// Events of a stream from `from` on, at most `max`.
    pub(super) fn events(
        &self,
        stream: &str,
        from: Seq,
        max: usize,
    ) -> Result<Vec<(Seq, Bytes)>, StoreError> {
        let mut range = keys::chunks(stream);
        let upto = keys::chunk(stream, from);
        let before = guarded(&self.dir, || {
            self.db
                .range(range.start.as_slice()..=upto.as_slice())
                .next_back()
                .transpose()
        })?;
        if let Some((key, _)) = before {
            range.start = key.to_vec();
        }
        let mut found = Vec::new();
        for pair in self.range(&range) {
            let (key, chunk) = pair?;
            let bad = || codec::Malformed.at(stream);
            let (_, first) = keys::parse_chunk(&key).ok_or_else(bad)?;
            for (seq, payload) in (first..).zip(codec::parse_chunk(&chunk).map_err(|_| bad())?) {
                if found.len() == max {
                    return Ok(found);
                }
                if seq >= from {
                    found.push((seq, chunk.slice_ref(payload)));
                }
            }
        }
        Ok(found)
    }

    /// Takes over changes and the position they reach, in one batch.
    pub(super) fn apply(&self, changes: &Memtable) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for stream in changes.removed_streams() {
            for pair in self.range(&keys::chunks(stream)) {
                batch.remove(pair?.0);
            }
        }
        changes.for_index(|key, value| match value {
            Some(value) => batch.insert(key, value),
            None => batch.remove(key),
        });
        batch.insert(keys::applied(), codec::number(changes.last));
        guarded(&self.dir, || self.db.apply_batch(batch))
    }

    /// Removes keys that no answer depends on.
    pub(super) fn forget(&self, forgotten: &[Vec<u8>]) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for key in forgotten {
            batch.remove(key.as_slice());
        }
        guarded(&self.dir, || self.db.apply_batch(batch))
    }

    /// Fills an empty index; the applied position comes last, so that a half-filled one is never trusted.
    pub(super) fn build(
        &self,
        position: Position,
        mut next: impl FnMut() -> Result<Option<(Vec<u8>, Vec<u8>)>, StoreError>,
    ) -> Result<(), StoreError> {
        let mut over = false;
        while !over {
            let mut batch = sled::Batch::default();
            for _ in 0..BUILD_BATCH {
                let Some((key, value)) = next()? else {
                    batch.insert(keys::applied(), codec::number(position));
                    over = true;
                    break;
                };
                batch.insert(key, value);
            }
            guarded(&self.dir, || self.db.apply_batch(batch))?;
        }
        Ok(())
    }

    /// Writes everything to files, makes them durable, and lets the folder go.
    pub(super) fn close(self) -> Result<(), StoreError> {
        let Self { db, dir } = self;
        guarded(&dir, || db.flush())?;
        guarded(&dir, || {
            drop(db);
            Ok(())
        })?;
        wait_until_released(&dir.join("db"));
        // sled's own flush does not sync its file.
        for path in files_of(&dir)? {
            std::fs::File::open(&path)
                .and_then(|file| file.sync_all())
                .map_err(files::refused("sync", &path))?;
        }
        files::sync_dir(&dir)
    }
}

/// sled's own threads may hold its file a moment longer; nobody may look at it before they let go. If they never do, the
/// fingerprint will not match and the next start rebuilds.
fn wait_until_released(db: &Path) {
    let Ok(file) = std::fs::File::open(db) else {
        return;
    };
    for _ in 0..RELEASE_TRIES {
        if file.try_lock().is_ok() {
            return;
        }
        std::thread::sleep(RELEASE_PAUSE);
    }
    tracing::warn!(db = %db.display(), "the index was not let go");
}

fn files_of(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = std::fs::read_dir(dir).map_err(files::refused("list", dir))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(files::refused("list", dir))?.path();
        if path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// A hash over the index's files, by which a cleanly closed index is known to be as it was.
pub(super) fn fingerprint(dir: &Path) -> Result<[u8; 32], StoreError> {
    let mut hash = blake3::Hasher::new();
    for path in files_of(dir)? {
        hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        let mut file = std::fs::File::open(&path).map_err(files::refused("read", &path))?;
        let length = file
            .metadata()
            .map_err(files::refused("read", &path))?
            .len();
        hash.update(&length.to_le_bytes());
        hash.update_reader(&mut file)
            .map_err(files::refused("read", &path))?;
    }
    Ok(*hash.finalize().as_bytes())
}
