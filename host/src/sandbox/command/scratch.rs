//! The quota of a scratch folder. wasmtime's file system is used as it is; the few calls that make something larger are led
//! through here first. What is charged is what was asked for; when that is over the quota the folder is measured, so that
//! what was removed or overwritten counts no more. It refuses to let an open file that has no name any more go uncounted.

use super::run::Scratch;
use crate::sandbox::state::GuestState;
use bytes::Bytes;
use rustix::io::Errno;
use std::collections::HashSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::filesystem::WasiFilesystemView as _;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    Descriptor, DescriptorFlags, ErrorCode, HostDescriptor as _, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::pipe::ClosedOutputStream;
use wasmtime_wasi::p2::{
    DynOutputStream, FsResult, OutputStream, Pollable, StreamError, StreamResult,
};

/// What a name in the folder is counted with, bytes: a file system needs about so much for one.
const ENTRY_BYTES: u64 = 4 << 10;
/// The deepest folder that is measured; deeper ones are refused when they are made, because their names would not fit a path.
const DEPTH_MAX: usize = 1_000;
/// The file system's interface as wasmtime offers it. The test of the quota notices when that is another version.
const TYPES: &str = "wasi:filesystem/types@0.2.12";

/// What may still be put into one folder.
pub(in crate::sandbox) struct Quota {
    scratch: Scratch,
    /// Measured last, and charged since.
    used: Mutex<u64>,
}

impl Quota {
    pub(super) fn new(scratch: Scratch) -> Self {
        let used = Mutex::new(measure(&scratch.folder));
        Self { scratch, used }
    }

    /// Takes `bytes` more, if they fit.
    fn charge(&self, bytes: u64) -> Result<(), ErrorCode> {
        let limit = self.scratch.quota_bytes;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.saturating_add(bytes) > limit {
            *used = measure(&self.scratch.folder);
        }
        if used.saturating_add(bytes) > limit {
            return Err(ErrorCode::InsufficientSpace);
        }
        *used += bytes;
        Ok(())
    }

    /// A file may not end behind the quota: a hole counts as what it is named.
    fn reach(&self, end: u64) -> Result<(), ErrorCode> {
        if end > self.scratch.quota_bytes {
            return Err(ErrorCode::InsufficientSpace);
        }
        Ok(())
    }
}

/// Bytes of everything below `folder`, and of files that were removed from it while they are open. Each file counts once.
fn measure(folder: &Path) -> u64 {
    let mut seen = HashSet::new();
    below(folder, 0, &mut seen).saturating_add(removed(folder, &mut seen))
}

fn below(folder: &Path, depth: usize, seen: &mut HashSet<(u64, u64)>) -> u64 {
    let mut bytes = 0_u64;
    // What cannot be read holds nothing that its program could have put there.
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        bytes = bytes.saturating_add(ENTRY_BYTES);
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        if metadata.is_dir() {
            if depth < DEPTH_MAX {
                bytes = bytes.saturating_add(below(&entry.path(), depth + 1, seen));
            }
        } else if seen.insert((metadata.dev(), metadata.ino())) {
            bytes = bytes.saturating_add(metadata.len());
        }
    }
    bytes
}

/// The kernel names an open file that has no name any more `/its/old/path (deleted)`.
fn removed(folder: &Path, seen: &mut HashSet<(u64, u64)>) -> u64 {
    let mut bytes = 0_u64;
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten();
    for entry in open.flatten() {
        let is_ours = std::fs::read_link(entry.path()).is_ok_and(|path| {
            path.starts_with(folder) && path.to_string_lossy().ends_with(" (deleted)")
        });
        if let (true, Ok(metadata)) = (is_ours, std::fs::metadata(entry.path()))
            && seen.insert((metadata.dev(), metadata.ino()))
        {
            bytes = bytes.saturating_add(metadata.len());
        }
    }
    bytes
}

type Store<'a> = StoreContextMut<'a, GuestState>;
type Answer<T> = wasmtime::Result<(Result<T, ErrorCode>,)>;
type Pending<'a, T> = Box<dyn Future<Output = Answer<T>> + Send + 'a>;
type Fd = Resource<Descriptor>;

/// An error of the file system is a value for the program; anything else ends it.
fn answer<T>(result: FsResult<T>) -> Answer<T> {
    match result {
        Ok(value) => Ok((Ok(value),)),
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}

fn charge(state: &GuestState, bytes: u64, end: u64) -> Result<(), ErrorCode> {
    // Without a folder no descriptor is ever handed out.
    let quota = state.quota.as_ref().ok_or(ErrorCode::NotPermitted)?;
    quota.reach(end)?;
    quota.charge(bytes)
}

/// Puts the quota before the calls of `linker`'s file system that make something larger.
pub(in crate::sandbox) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance(TYPES)?;
    types.func_wrap_async("[method]descriptor.write", write)?;
    types.func_wrap_async("[method]descriptor.set-size", set_size)?;
    types.func_wrap_async(
        "[method]descriptor.create-directory-at",
        create_directory_at,
    )?;
    types.func_wrap_async("[method]descriptor.symlink-at", symlink_at)?;
    types.func_wrap_async("[method]descriptor.link-at", link_at)?;
    types.func_wrap_async("[method]descriptor.open-at", open_at)?;
    types.func_wrap("[method]descriptor.write-via-stream", write_via_stream)?;
    types.func_wrap("[method]descriptor.append-via-stream", append_via_stream)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn write(mut store: Store<'_>, (fd, bytes, offset): (Fd, Vec<u8>, u64)) -> Pending<'_, u64> {
    Box::new(async move {
        let state = store.data_mut();
        let length = bytes.len() as u64;
        if let Err(code) = charge(state, length, offset.saturating_add(length)) {
            return Ok((Err(code),));
        }
        answer(state.filesystem().write(fd, bytes, offset).await)
    })
}

fn set_size(mut store: Store<'_>, (fd, size): (Fd, u64)) -> Pending<'_, ()> {
    Box::new(async move {
        let state = store.data_mut();
        if let Err(code) = charge(state, size, size) {
            return Ok((Err(code),));
        }
        answer(state.filesystem().set_size(fd, size).await)
    })
}

fn create_directory_at(mut store: Store<'_>, (fd, path): (Fd, String)) -> Pending<'_, ()> {
    Box::new(async move {
        let state = store.data_mut();
        if let Err(code) = charge(state, ENTRY_BYTES, 0) {
            return Ok((Err(code),));
        }
        answer(state.filesystem().create_directory_at(fd, path).await)
    })
}

fn symlink_at(mut store: Store<'_>, (fd, old, new): (Fd, String, String)) -> Pending<'_, ()> {
    Box::new(async move {
        let state = store.data_mut();
        if let Err(code) = charge(state, ENTRY_BYTES.saturating_add(old.len() as u64), 0) {
            return Ok((Err(code),));
        }
        answer(state.filesystem().symlink_at(fd, old, new).await)
    })
}

type LinkAt = (Fd, PathFlags, String, Fd, String);

fn link_at(mut store: Store<'_>, (fd, flags, old, to, new): LinkAt) -> Pending<'_, ()> {
    Box::new(async move {
        let state = store.data_mut();
        if let Err(code) = charge(state, ENTRY_BYTES, 0) {
            return Ok((Err(code),));
        }
        answer(state.filesystem().link_at(fd, flags, old, to, new).await)
    })
}

type OpenAt = (Fd, PathFlags, String, OpenFlags, DescriptorFlags);

fn open_at(mut store: Store<'_>, (fd, follow, path, how, flags): OpenAt) -> Pending<'_, Fd> {
    Box::new(async move {
        let state = store.data_mut();
        if how.contains(OpenFlags::CREATE)
            && let Err(code) = charge(state, ENTRY_BYTES, 0)
        {
            return Ok((Err(code),));
        }
        answer(
            state
                .filesystem()
                .open_at(fd, follow, path, how, flags)
                .await,
        )
    })
}

fn write_via_stream(
    mut store: Store<'_>,
    (fd, offset): (Fd, u64),
) -> Answer<Resource<DynOutputStream>> {
    let state = store.data_mut();
    let stream = state.filesystem().write_via_stream(fd, offset);
    counted(state, stream, offset)
}

fn append_via_stream(mut store: Store<'_>, (fd,): (Fd,)) -> Answer<Resource<DynOutputStream>> {
    let state = store.data_mut();
    let stream = state.filesystem().append_via_stream(fd);
    counted(state, stream, 0)
}

fn counted(
    state: &mut GuestState,
    stream: FsResult<Resource<DynOutputStream>>,
    position: u64,
) -> Answer<Resource<DynOutputStream>> {
    let quota = state.quota.clone();
    if let (Ok(stream), Some(quota)) = (&stream, quota) {
        let place = state.filesystem().table.get_mut(stream)?;
        let nothing: DynOutputStream = Box::new(ClosedOutputStream);
        let inner = std::mem::replace(place, nothing);
        *place = Box::new(Counted {
            inner,
            quota,
            position,
        });
    }
    answer(stream)
}

/// A stream into a file whose bytes are charged before they are written.
struct Counted {
    inner: DynOutputStream,
    quota: Arc<Quota>,
    /// Where it writes; 0 where it appends, whose place only the file knows.
    position: u64,
}

impl Counted {
    fn charge(&mut self, bytes: usize) -> StreamResult<()> {
        self.position = self.position.saturating_add(bytes as u64);
        let fits = self.quota.reach(self.position);
        fits.and_then(|()| self.quota.charge(bytes as u64))
            .map_err(|_| StreamError::LastOperationFailed(io::Error::from(Errno::NOSPC).into()))
    }
}

#[async_trait::async_trait]
impl Pollable for Counted {
    async fn ready(&mut self) {
        self.inner.ready().await;
    }
}

#[async_trait::async_trait]
impl OutputStream for Counted {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.charge(bytes.len())?;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.inner.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.inner.check_write()
    }

    async fn blocking_write_and_flush(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.charge(bytes.len())?;
        self.inner.blocking_write_and_flush(bytes).await
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(folder: &Path, quota_bytes: u64) -> Quota {
        Quota::new(Scratch {
            folder: folder.to_owned(),
            quota_bytes,
        })
    }

    #[test]
    fn what_was_removed_counts_no_more_unless_it_is_still_open() {
        let folder = tempfile::tempdir().unwrap();
        let quota = quota(folder.path(), 100_000);
        let path = folder.path().join("x");
        quota.charge(90_000).unwrap();
        std::fs::write(&path, vec![0; 80_000]).unwrap();
        assert!(quota.charge(20_000).is_err(), "80,000 and a name lie there");
        let open = std::fs::File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(
            quota.charge(30_000).is_err(),
            "it has no name, and is there"
        );
        drop(open);
        quota.charge(30_000).unwrap();
    }

    #[test]
    fn names_count_and_hard_links_count_their_bytes_once() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), vec![0; 10_000]).unwrap();
        std::fs::hard_link(folder.path().join("a"), folder.path().join("b")).unwrap();
        std::os::unix::fs::symlink("/etc", folder.path().join("c")).unwrap();
        let link = "/etc".len() as u64;
        assert_eq!(measure(folder.path()), 3 * ENTRY_BYTES + 10_000 + link);
    }

    #[test]
    fn a_hole_counts_as_long_as_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let quota = quota(folder.path(), 100_000);
        assert!(quota.reach(100_001).is_err());
        assert!(quota.reach(u64::MAX).is_err());
        quota.reach(100_000).unwrap();
    }
}
