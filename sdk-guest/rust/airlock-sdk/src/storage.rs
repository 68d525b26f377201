//! Objects named by URI, as `Read` and `Write`.

use crate::sys::storage as host;
use crate::{CapabilityError, TaskError};
use std::io;

pub use crate::bindings::airlock::operator::storage::ObjectInfo;

/// The most bytes that one host call moves.
const CHUNK_BYTES: usize = 1 << 20;

/// An object being read.
pub struct Reader(host::Reader);

/// An object being written: nothing is visible until `finish`.
pub struct Writer(host::Writer);

/// Opens the object at `uri`.
pub fn open(uri: &str) -> Result<Reader, CapabilityError> {
    host::open(uri).map(Reader)
}

/// Begins an object that replaces what is at `uri` when it is finished.
pub fn create(uri: &str) -> Result<Writer, CapabilityError> {
    host::create(uri).map(Writer)
}

/// Size of the object at `uri`, or none where there is nothing.
pub fn head(uri: &str) -> Result<Option<ObjectInfo>, CapabilityError> {
    host::head(uri)
}

/// Removes the object at `uri`; nothing there is no error.
pub fn delete(uri: &str) -> Result<(), CapabilityError> {
    host::delete(uri)
}

/// All objects under `prefix`, in order of URI; refuses more than `limit`.
pub fn list(prefix: &str, limit: usize) -> Result<Vec<ObjectInfo>, TaskError> {
    let mut found = Vec::new();
    loop {
        let after = found.last().map(|info: &ObjectInfo| info.uri.clone());
        let page = host::list(prefix, after.as_deref())?;
        if page.is_empty() {
            return Ok(found);
        }
        found.extend(page);
        if found.len() > limit {
            return Err(TaskError::permanent(format!(
                "more than {limit} objects under {prefix}: choose a longer prefix"
            )));
        }
    }
}

impl Writer {
    /// Makes the whole object visible, durably, and yields its SHA-256 in hex.
    pub fn finish(self) -> Result<String, CapabilityError> {
        self.0.finish()
    }
}

impl io::Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = u32::try_from(buffer.len().min(CHUNK_BYTES)).unwrap_or(u32::MAX);
        let bytes = self.0.read(wanted).map_err(io::Error::other)?;
        match buffer.get_mut(..bytes.len()) {
            Some(place) => {
                place.copy_from_slice(&bytes);
                Ok(bytes.len())
            }
            None => Err(io::Error::other("the host gave more bytes than asked for")),
        }
    }
}

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let chunk = bytes.get(..CHUNK_BYTES).unwrap_or(bytes);
        self.0.write(chunk).map_err(io::Error::other)?;
        Ok(chunk.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
