//! Content-addressed files `blobs/ab/<sha256>`. It owns their durability: whole, synced and named before anybody may name them in
//! a commit. It refuses bytes that do not match their name, and to remove a blob that was put a moment ago: the commit that names
//! it may be on its way.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::codec::digest;
use super::files;
use super::types::{BLOB_GRACE_MS, Collected, Digest, StoreError};

/// How many digests are remembered as durable before the memory is emptied.
const KNOWN_MAX: usize = 65_536;
const TMP: &str = "tmp";

/// What this process knows about blobs. A collection holds it while it removes one.
#[derive(Default)]
struct Memory {
    /// Proved durable, so that the same bytes again cost nothing.
    known: HashSet<Digest>,
    /// When each was last put, milliseconds since the epoch. Who put one and is gone names it no more, so nothing older counts.
    put_at: HashMap<Digest, i64>,
}

/// The folder of blobs.
pub(super) struct BlobStore {
    root: PathBuf,
    memory: Mutex<Memory>,
    next_tmp: AtomicU64,
}

impl BlobStore {
    /// Makes the folder if needed and removes what a crash left half-written.
    pub(super) fn open(root: &Path) -> Result<Self, StoreError> {
        files::ensure_dir(root)?;
        let tmp = root.join(TMP);
        files::remove(&tmp)?;
        std::fs::create_dir(&tmp).map_err(files::refused("create", &tmp))?;
        Ok(Self {
            root: root.to_owned(),
            memory: Mutex::default(),
            next_tmp: AtomicU64::new(0),
        })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        let shard = name.get(..2).unwrap_or("00");
        self.root.join(shard).join(&name)
    }

    /// Makes blobs durable; folders are synced once each, at the end.
    pub(super) fn put(
        &self,
        blobs: &[(Digest, impl AsRef<[u8]>)],
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let mut dirs = BTreeSet::new();
        let mut written = Vec::new();
        for (digest, bytes) in blobs {
            if self.hold(digest, now_ms) {
                continue;
            }
            let path = self.path(digest);
            // A file that is there may still lack a synced name, or have gone bad.
            if files::read(&path)?.is_none_or(|found| found != bytes.as_ref()) {
                self.write(&path, bytes.as_ref())?;
            }
            dirs.extend(path.parent().map(Path::to_owned));
            written.push(*digest);
        }
        dirs.iter().try_for_each(|dir| files::sync_dir(dir))?;
        self.remember(&written);
        Ok(())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        path.parent().map_or(Ok(()), files::ensure_dir)?;
        let number = self.next_tmp.fetch_add(1, Ordering::Relaxed);
        let tmp = self.root.join(TMP).join(number.to_string());
        File::create(&tmp)
            .and_then(|mut file| {
                file.write_all(bytes)?;
                file.sync_all()
            })
            .map_err(files::refused("write", &tmp))?;
        std::fs::rename(&tmp, path).map_err(files::refused("name", path))
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a blob from being collected for a while; answers whether it is known to be durable.
    fn hold(&self, digest: &Digest, now_ms: i64) -> bool {
        let mut memory = self.memory();
        let at = memory.put_at.entry(*digest).or_insert(now_ms);
        *at = now_ms.max(*at);
        memory.known.contains(digest)
    }

    fn remember(&self, digests: &[Digest]) {
        let mut memory = self.memory();
        if memory.known.len() + digests.len() > KNOWN_MAX {
            memory.known.clear();
        }
        memory.known.extend(digests);
    }

    /// Blobs that nobody put within the grace.
    pub(super) fn old(&self, now_ms: i64) -> Result<HashSet<Digest>, StoreError> {
        let since = now_ms.saturating_sub(BLOB_GRACE_MS);
        self.memory().put_at.retain(|_, at| *at > since);
        let all = self.list()?;
        let memory = self.memory();
        let is_old = |digest: &Digest| !memory.put_at.contains_key(digest);
        Ok(all.into_iter().filter(is_old).collect())
    }

    /// Removes those of `blobs` that nobody put since they were found to be `old`. A crash in between leaves blobs that nothing
    /// names, for the next collection.
    pub(super) fn remove(&self, blobs: &HashSet<Digest>) -> Result<Collected, StoreError> {
        let mut collected = Collected::default();
        for digest in blobs {
            let path = self.path(digest);
            // Whoever puts the same bytes now waits, and then finds that they are not there.
            let mut memory = self.memory();
            if memory.put_at.contains_key(digest) {
                continue;
            }
            memory.known.remove(digest);
            let metadata = path.metadata().map_err(files::refused("read", &path))?;
            files::remove(&path)?;
            collected.blobs += 1;
            collected.bytes += metadata.len();
        }
        Ok(collected)
    }

    /// A blob whose bytes match its name.
    pub(super) fn get(&self, name: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(name);
        let Some(bytes) = files::read(&path)? else {
            return Ok(None);
        };
        if digest(&bytes) != *name {
            return Err(StoreError::Damaged {
                what: "its bytes do not match its name".to_owned(),
                place: path.display().to_string(),
            });
        }
        Ok(Some(bytes))
    }

    /// Every blob's name.
    pub(super) fn list(&self) -> Result<Vec<Digest>, StoreError> {
        let mut found = Vec::new();
        for shard in list_dir(&self.root)? {
            if shard.file_name().is_some_and(|name| name == TMP) || !shard.is_dir() {
                continue;
            }
            for path in list_dir(&shard)? {
                found.extend(
                    path.file_name()
                        .and_then(|name| Digest::parse(name.to_str()?)),
                );
            }
        }
        found.sort();
        Ok(found)
    }
}

fn list_dir(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    std::fs::read_dir(dir)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(files::refused("list", dir))
}
