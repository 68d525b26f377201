//! The bytes of an object that a table is read from: in memory, or in a file on the local disk. It refuses to know where they came
//! from.

use super::{Answer, invalid};
use crate::capability::budget::Reservation;
use crate::capability::objects::Spooled;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use bytes::Bytes;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, Length};
use sha2::{Digest as _, Sha256};
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// An object's bytes.
pub(in super::super) enum Source {
    Memory(Bytes),
    Disk(Spooled),
}

impl From<Vec<u8>> for Source {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Memory(Bytes::from(bytes))
    }
}

impl Source {
    /// What works out the SHA-256 of all bytes, so that it can be done beside something else.
    pub(super) fn digester(&self) -> impl FnOnce() -> [u8; 32] + Send + use<> {
        let known = match self {
            Self::Memory(bytes) => Err(bytes.clone()),
            Self::Disk(spooled) => Ok(spooled.digest),
        };
        move || known.unwrap_or_else(|bytes| Sha256::digest(&bytes).into())
    }

    /// Bytes of it that are in memory.
    pub(super) fn bytes_held(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Disk(_) => 0,
        }
    }

    /// Bytes of the whole.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Disk(spooled) => spooled.size,
        }
    }

    pub(super) fn starts_with(&self, magic: &[u8]) -> Answer<bool> {
        let length = magic.len() as u64;
        Ok(self.size() >= length && self.range(0, length)? == magic)
    }

    /// Some bytes; the error says that the object ends before.
    pub(super) fn range(&self, from: u64, length: u64) -> Answer<Vec<u8>> {
        let to = from.checked_add(length).filter(|to| *to <= self.size());
        let (Some(_), Ok(start), Ok(count)) = (to, usize::try_from(from), usize::try_from(length))
        else {
            return Err(invalid(format!(
                "the object is cut short: it has {} bytes, and {length} are said to be at {from}",
                self.size()
            )));
        };
        match self {
            Self::Memory(bytes) => {
                let part = bytes.get(start..start + count);
                Ok(part.unwrap_or_default().to_vec())
            }
            Self::Disk(spooled) => {
                let mut part = vec![0; count];
                let read = spooled.file.read_exact_at(&mut part, from);
                read.map_err(|error| unread(&error))?;
                Ok(part)
            }
        }
    }

    /// All of it in memory, taken from the budget.
    pub(super) fn into_bytes(self, memory: &mut Reservation) -> Answer<Bytes> {
        match self {
            Self::Memory(bytes) => Ok(bytes),
            Self::Disk(ref spooled) => {
                memory.grow_to(spooled.size)?;
                self.range(0, spooled.size).map(Bytes::from)
            }
        }
    }
}

fn unread(error: &io::Error) -> CapabilityError {
    CapabilityError::Unavailable(format!(
        "the object's copy on the local disk cannot be read: {}",
        error.kind()
    ))
}

/// For readers that ask for ranges, several at once.
#[derive(Clone)]
pub(super) struct OnDisk(pub(super) Arc<Spooled>);

/// Reads on from a place. Clones of a file share its position, so this has one of its own.
pub(super) struct ReadFrom(std::fs::File, u64);

impl Read for ReadFrom {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read_at(buffer, self.1)?;
        self.1 += count as u64;
        Ok(count)
    }
}

impl Length for OnDisk {
    fn len(&self) -> u64 {
        self.0.size
    }
}

impl ChunkReader for OnDisk {
    type T = io::BufReader<ReadFrom>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(io::BufReader::new(ReadFrom(
            self.0.file.try_clone()?,
            start,
        )))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let end = start.checked_add(length as u64);
        // Nothing is reserved for what the file cannot hold.
        if end.is_none_or(|end| end > self.0.size) {
            return Err(ParquetError::EOF(format!(
                "{length} bytes are said to be at {start}, and the file has {}",
                self.0.size
            )));
        }
        let mut bytes = vec![0; length];
        self.0.file.read_exact_at(&mut bytes, start)?;
        Ok(bytes.into())
    }
}
