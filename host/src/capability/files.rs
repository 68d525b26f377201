//! Objects on the local disk, under the attempt's storage grants: what `storage` and `dataset` stand on. Every path is opened
//! beneath the granted folder (no `..` and no symbolic link leads out), writes become visible whole or not at all.
//! It refuses anything that is not a plain file. Blocks: callers move it off the async threads.

use super::Answer;
use super::granted::Granted;
use super::policy;
use super::uri::{self, TEMPORARY_PREFIX};
use crate::sandbox::bindings::airlock::operator::storage::ObjectInfo;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt};
use rustix::fs::{FlockOperation, OFlags, flock};
use sha2::{Digest as _, Sha256};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest object that may be written, bytes.
pub(super) const OBJECT_BYTES_MAX: u64 = 64 << 30;
/// The most entries in one answer of `list`.
pub(super) const LIST_MAX: usize = 1_000;
/// The deepest folder that `list` enters.
const DEPTH_MAX: usize = 32;
/// How often a new temporary file is tried when a sweeper took it.
const TEMPORARY_TRIES_MAX: usize = 8;

/// The objects that one attempt may reach.
#[derive(Clone)]
pub(super) struct Files {
    grants: Arc<Granted>,
    base: Arc<Path>,
}

/// An object below its granted folder.
struct Place {
    /// The granted folder, on disk.
    root: PathBuf,
    /// Below it; empty for the folder itself.
    path: String,
}

impl Files {
    /// `base` is what `file://./` stands for.
    pub(super) fn new(grants: Arc<Granted>, base: &Path) -> Self {
        Self {
            grants,
            base: base.into(),
        }
    }

    fn place(&self, uri: &str, write: bool, folder: bool) -> Answer<Place> {
        uri::check(uri, folder)?;
        let prefix = policy::storage_prefix(&self.grants, uri, write)?;
        uri::check(prefix, true)?;
        let on_disk = prefix.strip_prefix("file://").unwrap_or(prefix);
        Ok(Place {
            root: self.base.join(on_disk),
            path: uri.strip_prefix(prefix).unwrap_or_default().to_owned(),
        })
    }

    /// Opens an object for reading and yields it with its size.
    pub(super) fn open(&self, uri: &str) -> Answer<(File, u64)> {
        let place = self.place(uri, false, false)?;
        let dir = place
            .open_root()
            .map_err(|error| failed("read", uri, &error))?;
        let mut options = OpenOptions::new();
        // A FIFO must not hang the thread.
        options
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        let file = dir
            .open_with(&place.path, &options)
            .map_err(|error| failed("read", uri, &error))?;
        let metadata = file
            .metadata()
            .map_err(|error| failed("read", uri, &error))?;
        if !metadata.is_file() {
            return Err(CapabilityError::Invalid(format!("{uri} is no plain file")));
        }
        Ok((file, metadata.len()))
    }

    /// Size of an object, or none where there is nothing.
    pub(super) fn head(&self, uri: &str) -> Answer<Option<ObjectInfo>> {
        match self.open(uri) {
            Ok((_, size)) => Ok(Some(ObjectInfo {
                uri: uri.to_owned(),
                size,
            })),
            Err(CapabilityError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Begins an object: a temporary file beside its place.
    pub(super) fn create(&self, uri: &str) -> Answer<Writer> {
        let place = self.place(uri, true, false)?;
        Writer::create(uri, &place).map_err(|error| failed("create", uri, &error))
    }

    /// Removes an object, durably; nothing there is no error.
    pub(super) fn delete(&self, uri: &str) -> Answer<()> {
        let place = self.place(uri, true, false)?;
        let (folder, name) = place.split();
        let removed = place.open_root().and_then(|root| {
            let dir = open_below(&root, folder)?;
            dir.remove_file(name)?;
            sync(&dir)
        });
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("delete", uri, &error)),
            _ => Ok(()),
        }
    }

    /// Objects whose URI begins with `prefix` and is greater than `after`, in order, at most `LIST_MAX`.
    pub(super) fn list(&self, prefix: &str, after: Option<&str>) -> Answer<Vec<ObjectInfo>> {
        let place = self.place(prefix, false, true)?;
        let (folder, _) = place.split();
        let listed = place.open_root().and_then(|root| {
            let dir = open_below(&root, folder)?;
            let folder_uri = prefix.rfind('/').and_then(|end| prefix.get(..=end));
            let mut walk = Walk {
                prefix,
                after: after.unwrap_or_default(),
                found: Vec::new(),
            };
            walk.enter(&dir, folder_uri.unwrap_or(prefix), 0)?;
            Ok(walk.found)
        });
        match listed {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            other => other.map_err(|error| failed("list", prefix, &error)),
        }
    }
}

impl Place {
    /// The folder of the object and its name.
    fn split(&self) -> (&str, &str) {
        self.path.rsplit_once('/').unwrap_or(("", &self.path))
    }

    fn open_root(&self) -> io::Result<Dir> {
        Dir::open_ambient_dir(&self.root, ambient_authority())
    }
}

/// Finds objects in the order of their URIs: a folder sorts as its name with a `/`.
struct Walk<'a> {
    prefix: &'a str,
    after: &'a str,
    found: Vec<ObjectInfo>,
}

impl Walk<'_> {
    fn enter(&mut self, dir: &Dir, at: &str, depth: usize) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in dir.entries()? {
            let entry = entry?;
            let kind = entry.file_type()?;
            // A name that is not UTF-8 has no URI.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let slash = if kind.is_dir() { "/" } else { "" };
            let uri = format!("{at}{name}{slash}");
            if (kind.is_dir() || kind.is_file()) && uri::check(&uri, kind.is_dir()).is_ok() {
                entries.push((uri, name, kind.is_dir()));
            }
        }
        entries.sort();
        for (uri, name, is_dir) in entries {
            if self.found.len() >= LIST_MAX {
                break;
            }
            if is_dir {
                let wanted = uri.starts_with(self.prefix) || self.prefix.starts_with(&uri);
                let passed = self.after >= uri.as_str() && !self.after.starts_with(&uri);
                if wanted && !passed && depth < DEPTH_MAX {
                    self.enter(&dir.open_dir(&name)?, &uri, depth + 1)?;
                }
            } else if uri.starts_with(self.prefix) && uri.as_str() > self.after {
                let size = dir.symlink_metadata(&name)?.len();
                self.found.push(ObjectInfo { uri, size });
            }
        }
        Ok(())
    }
}

/// An object that is being written. Dropped without `finish` it leaves nothing behind.
pub(super) struct Writer {
    uri: String,
    dir: Dir,
    name: String,
    temporary: String,
    file: BufWriter<File>,
    hash: Sha256,
    size: u64,
    finished: bool,
}

impl Writer {
    fn create(uri: &str, place: &Place) -> io::Result<Self> {
        make_root(&place.root)?;
        let (folder, name) = place.split();
        let dir = make_below(&place.open_root()?, folder)?;
        sweep(&dir)?;
        let (temporary, file) = temporary_file(&dir)?;
        Ok(Self {
            uri: uri.to_owned(),
            name: name.to_owned(),
            dir,
            temporary,
            file: BufWriter::new(file),
            hash: Sha256::new(),
            size: 0,
            finished: false,
        })
    }

    /// Adds bytes.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Answer<()> {
        if self.size + bytes.len() as u64 > OBJECT_BYTES_MAX {
            return Err(CapabilityError::TooLarge(OBJECT_BYTES_MAX));
        }
        let written = self.write_all(bytes);
        written.map_err(|error| failed("write", &self.uri, &error))
    }

    /// Makes the object visible, durably, and yields the SHA-256 of its bytes in hex.
    pub(super) fn finish(mut self) -> Answer<String> {
        let published = self.publish();
        published.map_err(|error| failed("finish", &self.uri, &error))?;
        Ok(crate::store::hex(
            &std::mem::take(&mut self.hash).finalize(),
        ))
    }

    /// The order makes it durable: bytes, then name, then folder.
    fn publish(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        self.dir.rename(&self.temporary, &self.dir, &self.name)?;
        self.finished = true;
        sync(&self.dir)
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.size + bytes.len() as u64 > OBJECT_BYTES_MAX {
            return Err(io::Error::new(ErrorKind::FileTooLarge, "object too large"));
        }
        let count = self.file.write(bytes)?;
        self.hash.update(bytes.get(..count).unwrap_or_default());
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.finished {
            // What cannot be removed now is swept by the next writer in this folder.
            let _ = self.dir.remove_file(&self.temporary);
        }
    }
}

/// Makes a temporary file and holds a lock on it for as long as it is open, which tells the living from those of a killed process.
fn temporary_file(dir: &Dir) -> io::Result<(String, File)> {
    for _ in 0..TEMPORARY_TRIES_MAX {
        let name = format!("{TEMPORARY_PREFIX}{}", super::random_hex()?);
        let file = dir.open_with(&name, OpenOptions::new().write(true).create_new(true))?;
        // A sweeper may have come between the two calls: then the file is gone, or held.
        let locked = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        if locked && dir.exists(&name) {
            return Ok((name, file));
        }
    }
    Err(io::Error::other("others keep removing the temporary file"))
}

/// Removes the temporary files of processes that are gone.
fn sweep(dir: &Dir) -> io::Result<()> {
    for entry in dir.entries()? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_string_lossy().starts_with(TEMPORARY_PREFIX)
            && let Ok(file) = dir.open(&name)
            && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            dir.remove_file(&name)?;
        }
    }
    Ok(())
}

fn open_below(root: &Dir, folder: &str) -> io::Result<Dir> {
    root.open_dir(if folder.is_empty() { "." } else { folder })
}

/// Makes the granted folder where it is missing, each step durably.
fn make_root(root: &Path) -> io::Result<()> {
    let Some(parent) = root.parent().filter(|_| !root.is_dir()) else {
        return Ok(());
    };
    make_root(parent)?;
    match std::fs::create_dir(root) {
        Ok(()) => std::fs::File::open(parent)?.sync_all(),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Opens a folder below another and makes what is missing, each step durably.
fn make_below(root: &Dir, folder: &str) -> io::Result<Dir> {
    let mut dir = open_below(root, "")?;
    for segment in folder.split('/').filter(|segment| !segment.is_empty()) {
        match dir.create_dir(segment) {
            Ok(()) => sync(&dir)?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        dir = dir.open_dir(segment)?;
    }
    Ok(dir)
}

fn sync(dir: &Dir) -> io::Result<()> {
    dir.open(".")?.sync_all()
}

/// Turns a system error into an answer. The text names the URI and never the host's path.
fn failed(action: &str, uri: &str, error: &io::Error) -> CapabilityError {
    match error.kind() {
        ErrorKind::NotFound => CapabilityError::NotFound(format!("there is nothing at {uri}")),
        ErrorKind::PermissionDenied => CapabilityError::Denied(format!(
            "cannot {action} {uri}: it leads out of the granted folder, or the system forbids it"
        )),
        ErrorKind::IsADirectory | ErrorKind::NotADirectory => {
            CapabilityError::Invalid(format!("cannot {action} {uri}: {}", error.kind()))
        }
        ErrorKind::FileTooLarge => CapabilityError::TooLarge(OBJECT_BYTES_MAX),
        kind => CapabilityError::Unavailable(format!("cannot {action} {uri}: {kind}")),
    }
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
