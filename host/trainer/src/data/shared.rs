//! Matrices in memory that processes share: a sealed memfd, written once and mapped read-only on both sides, so that a training
//! process sees the rows of its host without a copy. It refuses a file that could still change: a mapping is only as immutable as
//! its seals. Linux only, as the worker processes are.
//!
//! The file: [`MAGIC`], the length of the header as u64, the header (JSON: names, counts, digest), then the sections of numbers in
//! the machine's own byte order, each at a multiple of [`ALIGN`]. Both sides are one program on one machine.

use crate::error::TrainError;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// The first bytes of every shared matrix; the last two are the format.
pub(super) const MAGIC: &[u8; 16] = b"airlock-matrix01";
/// Sections begin at multiples of so many bytes: a cache line.
const ALIGN: usize = 64;
/// The longest header, bytes: 16,384 features with long names.
const HEADER_MAX: usize = 16 << 20;

/// Nothing of the file can change any more, not even its seals.
fn sealed() -> SealFlags {
    SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL
}

/// Numbers of which every bit pattern is a value, without padding.
///
/// # Safety
/// Implement it for nothing else: files are read as these types.
#[expect(unsafe_code, reason = "bytes of a file become numbers")]
pub(crate) unsafe trait Plain: Copy + fmt::Debug + 'static {}

// SAFETY: every byte is a u8.
#[expect(unsafe_code, reason = "see `Plain`")]
unsafe impl Plain for u8 {}
// SAFETY: every eight bytes are a u64.
#[expect(unsafe_code, reason = "see `Plain`")]
unsafe impl Plain for u64 {}
// SAFETY: every four bytes are an f32, and an f32 has no padding.
#[expect(unsafe_code, reason = "see `Plain`")]
unsafe impl Plain for f32 {}

/// A mapped file that nobody can change.
#[derive(Debug)]
struct Mapping {
    start: *const u8,
    bytes: usize,
    file: OwnedFd,
}

// SAFETY: the memory is read-only in this process and sealed against every other; it is freed once, by the last owner.
#[expect(unsafe_code, reason = "a mapping is shared by threads")]
unsafe impl Send for Mapping {}
// SAFETY: as above; nobody writes.
#[expect(unsafe_code, reason = "a mapping is shared by threads")]
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps all of a sealed file.
    #[expect(unsafe_code, reason = "maps a file")]
    fn new(file: OwnedFd) -> Result<Self, TrainError> {
        let seals = fcntl_get_seals(&file).map_err(|error| unusable(&error))?;
        if !seals.contains(sealed()) {
            return Err(TrainError::Data(
                "a shared matrix is not sealed: its bytes could change during training".to_owned(),
            ));
        }
        let bytes = rustix::fs::fstat(&file).map_err(|error| unusable(&error))?;
        let bytes = usize::try_from(bytes.st_size).unwrap_or(0);
        if bytes == 0 {
            return Err(damaged("it is empty"));
        }
        // SAFETY: a new mapping at a place of the kernel's choice. The seals were checked above: the file can neither shrink below
        // `bytes` nor change, so reads neither fault nor race.
        let start = unsafe {
            mmap(
                std::ptr::null_mut(),
                bytes,
                ProtFlags::READ,
                MapFlags::SHARED,
                &file,
                0,
            )
        };
        let start = start
            .map_err(|error| no_room(error.into(), bytes as u64))?
            .cast();
        Ok(Self { start, bytes, file })
    }

    #[expect(unsafe_code, reason = "reads a mapping")]
    fn as_bytes(&self) -> &[u8] {
        // SAFETY: the mapping is `bytes` long, lives as long as `self` and is never written.
        unsafe { std::slice::from_raw_parts(self.start, self.bytes) }
    }
}

impl Drop for Mapping {
    #[expect(unsafe_code, reason = "ends a mapping")]
    fn drop(&mut self) {
        // SAFETY: made by `mmap` with this length; every slice of it borrows from `self`. A failure leaves address space behind.
        let _ = unsafe { munmap(self.start.cast_mut().cast(), self.bytes) };
    }
}

/// A column of numbers, owned or in a mapping. It reads as a slice.
pub(crate) struct Slab<T>(Place<T>);

enum Place<T> {
    Owned(Vec<T>),
    Mapped {
        mapping: Arc<Mapping>,
        /// Byte offset: aligned, and `len` values are inside; checked when the slab was made.
        at: usize,
        len: usize,
        kind: PhantomData<T>,
    },
}

impl<T> From<Vec<T>> for Slab<T> {
    fn from(values: Vec<T>) -> Self {
        Self(Place::Owned(values))
    }
}

impl<T: Plain> Deref for Slab<T> {
    type Target = [T];

    #[expect(unsafe_code, reason = "bytes of a mapping become numbers")]
    fn deref(&self) -> &[T] {
        match &self.0 {
            Place::Owned(values) => values,
            Place::Mapped {
                mapping, at, len, ..
            } => {
                // SAFETY: `Sections::next` made sure that `at` is a multiple of `ALIGN` and `len` values lie inside the mapping,
                // which begins at a page; every bit pattern is a `T`; nobody writes; `self` keeps the mapping.
                unsafe { std::slice::from_raw_parts(mapping.start.add(*at).cast(), *len) }
            }
        }
    }
}

impl<T: Plain> fmt::Debug for Slab<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Slab({} values)", self.len())
    }
}

/// A sealed file, ready to be sent to another process.
#[derive(Debug, Clone)]
pub(crate) struct SharedFile(Arc<Mapping>);

impl AsFd for SharedFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.file.as_fd()
    }
}

/// Writes a shared file, section by section.
pub(super) struct Sink {
    file: File,
    at: usize,
    /// What all of it will take, for the error that says so.
    needed: u64,
}

impl Sink {
    /// Begins a file with its header.
    pub(super) fn new(header: &[u8], needed: u64) -> Result<Self, TrainError> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = memfd_create("airlock-matrix", flags).map_err(|error| unusable(&error))?;
        let mut sink = Self {
            file: File::from(file),
            at: 0,
            needed,
        };
        sink.write(MAGIC)?;
        sink.write(&(header.len() as u64).to_le_bytes())?;
        sink.write(header)?;
        Ok(sink)
    }

    /// Adds a section, whose owner frees its own copy afterwards.
    #[expect(unsafe_code, reason = "numbers become bytes of a file")]
    pub(super) fn section<T: Plain>(&mut self, values: &[T]) -> Result<(), TrainError> {
        let gap = self.at.next_multiple_of(ALIGN) - self.at;
        self.write(&[0; ALIGN][..gap])?;
        // SAFETY: a `Plain` has no padding, so all of its bytes are initialised; the slice is borrowed for as long.
        let bytes = unsafe {
            std::slice::from_raw_parts(values.as_ptr().cast(), std::mem::size_of_val(values))
        };
        self.write(bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), TrainError> {
        let written = self.file.write_all(bytes);
        written.map_err(|error| no_room(error, self.needed))?;
        self.at += bytes.len();
        Ok(())
    }

    /// Seals the file.
    pub(super) fn finish(self) -> Result<OwnedFd, TrainError> {
        let file = OwnedFd::from(self.file);
        fcntl_add_seals(&file, sealed()).map_err(|error| unusable(&error))?;
        Ok(file)
    }
}

/// Reads a shared file, section by section, in the order in which they were written.
pub(super) struct Sections {
    mapping: Arc<Mapping>,
    at: usize,
}

impl Sections {
    /// Maps a file after checking its seals; yields its header too.
    pub(super) fn open(file: OwnedFd) -> Result<(Self, Vec<u8>), TrainError> {
        let mapping = Arc::new(Mapping::new(file)?);
        let bytes = mapping.as_bytes();
        let rest = bytes
            .strip_prefix(MAGIC)
            .ok_or_else(|| damaged("it begins with other bytes"))?;
        let (length, rest) = rest
            .split_first_chunk::<8>()
            .ok_or_else(|| damaged("it is cut off"))?;
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let header = rest
            .get(..length)
            .filter(|header| header.len() <= HEADER_MAX)
            .ok_or_else(|| damaged("its header is longer than it"))?
            .to_vec();
        let at = MAGIC.len() + 8 + length;
        Ok((Self { mapping, at }, header))
    }

    /// The next section, of so many values.
    pub(super) fn next<T: Plain>(&mut self, len: usize) -> Result<Slab<T>, TrainError> {
        let at = self.at.next_multiple_of(ALIGN);
        let end = size_of::<T>()
            .checked_mul(len)
            .and_then(|bytes| bytes.checked_add(at))
            .filter(|end| *end <= self.mapping.bytes)
            .ok_or_else(|| damaged("a section is cut off"))?;
        self.at = end;
        Ok(Slab(Place::Mapped {
            mapping: Arc::clone(&self.mapping),
            at,
            len,
            kind: PhantomData,
        }))
    }

    /// The file, for sending it on. Refuses bytes after the last section.
    pub(super) fn finish(self) -> Result<SharedFile, TrainError> {
        if self.at == self.mapping.bytes {
            Ok(SharedFile(self.mapping))
        } else {
            Err(damaged("there are bytes after its end"))
        }
    }
}

/// A file that breaks its own format.
pub(super) fn damaged(what: &str) -> TrainError {
    TrainError::Data(format!("a shared matrix is damaged: {what}"))
}

fn unusable(error: &Errno) -> TrainError {
    TrainError::WorkerLost(format!(
        "this system shares no memory between processes (memfd): {error}"
    ))
}

fn no_room(error: io::Error, needed: u64) -> TrainError {
    match error.kind() {
        io::ErrorKind::OutOfMemory | io::ErrorKind::StorageFull => TrainError::OutOfMemory {
            needed,
            available: 0,
        },
        _ => TrainError::WorkerLost(format!("a matrix cannot be shared: {error}")),
    }
}
