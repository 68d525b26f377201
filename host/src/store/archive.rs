//! The versioned file of everything at one position: checkpoints, and with blobs in it, exports. It owns that format and refuses
//! what is cut, changed, or from a newer Airlock, before any of it is used as truth: readers must reach the end.
//!
//! `magic | format | kind | imported | position | crc` then records `tag | length-prefixed parts`, then `end | count | blake3`.

use std::io::{Read, Write};

use super::codec::digest;
use super::types::{Digest, Position, StoreError};

const MAGIC: &[u8; 8] = b"AIRLARCH";
/// The newest format that this program reads, and the one it writes.
pub(super) const ARCHIVE_FORMAT: u32 = 1;
const HEADER_BYTES: usize = 8 + 4 + 1 + 1 + 8 + 4;
const PAIR: u8 = 1;
const BLOB: u8 = 2;
const END: u8 = 3;
/// The longest key or value that a reader accepts, bytes: more than a pair can have, and than a blob may.
const PART_BYTES_MAX: u32 = 1 << 30;

/// What the file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Lies beside the blobs that it names.
    Checkpoint,
    /// Holds the blobs, too.
    Export,
}

/// The file's beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// A checkpoint that came from an export, so that no journal leads up to it.
    pub(super) imported: bool,
    pub(super) position: Position,
}

impl Header {
    pub(super) fn new(kind: Kind, position: Position) -> Self {
        Self {
            kind,
            imported: false,
            position,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&ARCHIVE_FORMAT.to_le_bytes());
        out.push(u8::from(self.kind == Kind::Export));
        out.push(u8::from(self.imported));
        out.extend_from_slice(&self.position.to_le_bytes());
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8; HEADER_BYTES], place: &str) -> Result<Self, StoreError> {
        let bad = || damaged("its header does not decode", place);
        let (content, crc) = bytes.split_last_chunk::<4>().ok_or_else(bad)?;
        let mut reader = super::codec::Reader(content);
        let magic = reader.take(MAGIC.len()).map_err(|_| bad())?;
        if magic != MAGIC || crc32c::crc32c(content) != u32::from_le_bytes(*crc) {
            return Err(bad());
        }
        let format = reader.u32().map_err(|_| bad())?;
        if format > ARCHIVE_FORMAT {
            return Err(StoreError::TooNew {
                found: format,
                supported: ARCHIVE_FORMAT,
            });
        }
        let kind = match reader.u8().map_err(|_| bad())? {
            0 => Kind::Checkpoint,
            _ => Kind::Export,
        };
        Ok(Self {
            kind,
            imported: reader.u8().map_err(|_| bad())? == 1,
            position: reader.u64().map_err(|_| bad())?,
        })
    }
}

/// One thing of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    Pair(Vec<u8>, Vec<u8>),
    Blob(Digest, Vec<u8>),
}

fn damaged(what: &str, place: &str) -> StoreError {
    StoreError::Damaged {
        what: what.to_owned(),
        place: place.to_owned(),
    }
}

/// Writes an archive from front to back.
pub(super) struct Writer<W: Write> {
    to: std::io::BufWriter<W>,
    hash: blake3::Hasher,
    count: u64,
    place: String,
}

impl<W: Write> Writer<W> {
    pub(super) fn start(to: W, header: &Header, place: &str) -> Result<Self, StoreError> {
        let mut writer = Self {
            to: std::io::BufWriter::with_capacity(1 << 20, to),
            hash: blake3::Hasher::new(),
            count: 0,
            place: place.to_owned(),
        };
        writer.write(&header.encode())?;
        Ok(writer)
    }

    pub(super) fn pair(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.record(PAIR, key, value)
    }

    pub(super) fn blob(&mut self, digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        self.record(BLOB, &digest.0, bytes)
    }

    fn record(&mut self, tag: u8, first: &[u8], second: &[u8]) -> Result<(), StoreError> {
        self.count += 1;
        self.write(&[tag])?;
        for part in [first, second] {
            let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
            self.write(&length.to_le_bytes())?;
            self.write(part)?;
        }
        Ok(())
    }

    /// Writes the end; answers how many records there are.
    pub(super) fn finish(mut self) -> Result<u64, StoreError> {
        self.write(&[END])?;
        let count = self.count.to_le_bytes();
        self.write(&count)?;
        let hash = self.hash.finalize();
        self.write_raw(hash.as_bytes())?;
        self.to.flush().map_err(|source| self.refused(source))?;
        Ok(self.count)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.hash.update(bytes);
        self.write_raw(bytes)
    }

    fn write_raw(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.to
            .write_all(bytes)
            .map_err(|source| self.refused(source))
    }

    fn refused(&self, source: std::io::Error) -> StoreError {
        StoreError::Io {
            action: "write",
            path: self.place.clone(),
            source,
        }
    }
}

/// Reads an archive from front to back. What it has told is only true once `next` has answered `None`.
pub(super) struct Reader<R: Read> {
    from: std::io::BufReader<R>,
    hash: blake3::Hasher,
    header: Header,
    count: u64,
    place: String,
}

impl<R: Read> Reader<R> {
    pub(super) fn start(from: R, place: &str) -> Result<Self, StoreError> {
        let mut reader = Self {
            from: std::io::BufReader::with_capacity(1 << 20, from),
            hash: blake3::Hasher::new(),
            header: Header::new(Kind::Checkpoint, 0),
            count: 0,
            place: place.to_owned(),
        };
        let mut header = [0; HEADER_BYTES];
        reader.fill(&mut header)?;
        reader.header = Header::decode(&header, place)?;
        Ok(reader)
    }

    pub(super) fn header(&self) -> Header {
        self.header
    }

    /// How many records were read.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The next record; `None` once count and checksum were found right.
    pub(super) fn next(&mut self) -> Result<Option<Record>, StoreError> {
        let mut tag = [0; 1];
        self.fill(&mut tag)?;
        if tag == [END] {
            return self.end().map(|()| None);
        }
        let first = self.part()?;
        let second = self.part()?;
        self.count += 1;
        match tag {
            [PAIR] => Ok(Some(Record::Pair(first, second))),
            [BLOB] => self.verified_blob(&first, second).map(Some),
            _ => Err(damaged("an unknown record", &self.place)),
        }
    }

    fn verified_blob(&self, name: &[u8], bytes: Vec<u8>) -> Result<Record, StoreError> {
        let found = digest(&bytes);
        if found.0 != name {
            return Err(damaged("a blob with other bytes", &self.place));
        }
        Ok(Record::Blob(found, bytes))
    }

    fn end(&mut self) -> Result<(), StoreError> {
        let mut count = [0; 8];
        self.fill(&mut count)?;
        let expected = self.hash.finalize();
        let mut hash = [0; 32];
        self.fill(&mut hash)?;
        if u64::from_le_bytes(count) != self.count || *expected.as_bytes() != hash {
            return Err(damaged("its checksum is wrong", &self.place));
        }
        Ok(())
    }

    fn part(&mut self) -> Result<Vec<u8>, StoreError> {
        let mut length = [0; 4];
        self.fill(&mut length)?;
        let length = u32::from_le_bytes(length);
        if length > PART_BYTES_MAX {
            return Err(damaged("a record over the limit", &self.place));
        }
        // Grows as bytes arrive, so that a damaged length costs no memory.
        let mut bytes = Vec::new();
        let read = (&mut self.from)
            .take(u64::from(length))
            .read_to_end(&mut bytes)
            .map_err(|source| self.refused(source))?;
        if read as u64 != u64::from(length) {
            return Err(damaged("it ends too early", &self.place));
        }
        self.hash.update(&bytes);
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), StoreError> {
        self.from
            .read_exact(bytes)
            .map_err(|source| match source.kind() {
                std::io::ErrorKind::UnexpectedEof => damaged("it ends too early", &self.place),
                _ => self.refused(source),
            })?;
        self.hash.update(bytes);
        Ok(())
    }

    fn refused(&self, source: std::io::Error) -> StoreError {
        StoreError::Io {
            action: "read",
            path: self.place.clone(),
            source,
        }
    }
}
