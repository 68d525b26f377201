//! The mark: one small file that says how the store was last left. It owns the facts by which an index is trusted and by which a
//! journal that became shorter is found out. A mark that does not decode is no mark: then nothing is trusted and all is rebuilt.

use std::path::Path;

use super::codec::{Reader, put_short};
use super::files;
use super::types::{Position, StoreError};

const MAGIC: &[u8; 8] = b"AIRLMARK";
/// The newest format of the whole folder that this program reads, and the one it writes.
pub(super) const FOLDER_FORMAT: u32 = 1;
/// The mark's file name in the data folder.
pub(super) const MARK_FILE: &str = "mark";

/// How the store was last left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    /// The system's start that wrote it: page cache survives a killed process, but no power cut.
    pub(super) boot: String,
    /// The journal reached at least this position.
    pub(super) position: Position,
    /// After a clean close: the fingerprint of the index's files.
    pub(super) clean: Option<[u8; 32]>,
}

impl Mark {
    /// `None`: there is none, or it cannot be believed.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, StoreError> {
        files::read(&dir.join(MARK_FILE))?.map_or(Ok(None), |bytes| Self::decode(&bytes))
    }

    pub(super) fn write(&self, dir: &Path) -> Result<(), StoreError> {
        files::replace(&dir.join(MARK_FILE), &self.encode())
    }

    /// Makes the next start rebuild the index. Works on a full disk.
    pub(super) fn remove(dir: &Path) -> Result<(), StoreError> {
        files::remove(&dir.join(MARK_FILE))
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&FOLDER_FORMAT.to_le_bytes());
        out.extend_from_slice(&self.position.to_le_bytes());
        put_short(&mut out, self.boot.as_bytes());
        if let Some(fingerprint) = &self.clean {
            out.extend_from_slice(fingerprint);
        }
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Result<Option<Self>, StoreError> {
        let Some((content, crc)) = bytes.split_last_chunk::<4>() else {
            return Ok(None);
        };
        if crc32c::crc32c(content) != u32::from_le_bytes(*crc) {
            return Ok(None);
        }
        let mut reader = Reader(content);
        let (Ok(magic), Ok(format)) = (reader.take(MAGIC.len()), reader.u32()) else {
            return Ok(None);
        };
        if magic != MAGIC {
            return Ok(None);
        }
        if format > FOLDER_FORMAT {
            return Err(StoreError::TooNew {
                found: format,
                supported: FOLDER_FORMAT,
            });
        }
        let (Ok(position), Ok(boot)) = (reader.u64(), reader.text().map(str::to_owned)) else {
            return Ok(None);
        };
        let clean = reader.0.try_into().ok();
        Ok(Some(Self {
            boot,
            position,
            clean,
        }))
    }
}

/// Names this start of the system; empty, and then never trusted, where the system does not tell.
pub(super) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}
