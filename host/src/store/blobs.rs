//! Content-addressed files `blobs/ab/<sha256>`. It owns their durability: whole, synced and named before anybody may name them in
//! a commit. It refuses bytes that do not match their name, and never removes a blob: callers keep digests in payloads that the
//! store cannot read.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::codec::digest;
use super::files;
use super::types::{Digest, StoreError};

/// How many digests are remembered as durable before the memory is emptied.
const KNOWN_MAX: usize = 65_536;
const TMP: &str = "tmp";

/// The folder of blobs.
pub(super) struct BlobStore {
    root: PathBuf,
    /// Proved durable by this process, so that the same bytes again cost nothing.
    known: Mutex<HashSet<Digest>>,
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
            known: Mutex::default(),
            next_tmp: AtomicU64::new(0),
        })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        let shard = name.get(..2).unwrap_or("00");
        self.root.join(shard).join(&name)
    }

    /// Makes blobs durable; folders are synced once each, at the end.
    pub(super) fn put(&self, blobs: &[(Digest, impl AsRef<[u8]>)]) -> Result<(), StoreError> {
        let mut dirs = BTreeSet::new();
        let mut written = Vec::new();
        for (digest, bytes) in blobs {
            if self.is_known(digest) {
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

    fn is_known(&self, digest: &Digest) -> bool {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(digest)
    }

    fn remember(&self, digests: &[Digest]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() + digests.len() > KNOWN_MAX {
            known.clear();
        }
        known.extend(digests);
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
                found.extend(path.file_name().and_then(|name| parse_name(name.to_str()?)));
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

fn parse_name(name: &str) -> Option<Digest> {
    let mut digest = [0; 32];
    if name.len() != 64 || !name.is_ascii() {
        return None;
    }
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(name.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(Digest(digest))
}
