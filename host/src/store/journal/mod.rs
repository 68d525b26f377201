//! The journal: the truth of the store. It owns the segment files `journal/<first position>.log`, appends groups of frames with
//! one write and one fdatasync each, and lets old segments go. It refuses to go on after a failed write or sync: what the disk
//! holds then is not known.

pub(super) mod frame;
pub(super) mod scan;

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::files;
use super::types::{Position, StoreError};

const MAGIC: &[u8; 8] = b"AIRLJRNL";
/// The newest journal format that this program reads, and the one it writes.
/// 2: a frame may remove a stream, which 1 does not know; what 1 knows is written as it was.
pub(super) const JOURNAL_FORMAT: u32 = 2;
/// `magic | format | first position | crc`.
pub(super) const SEGMENT_HEADER: usize = 8 + 4 + 8 + 4;
/// A segment that is at least this long is followed by a new one, bytes.
pub(super) const SEGMENT_BYTES: u64 = 16 << 20;
/// The extension of segments.
pub(super) const EXTENSION: &str = "log";

/// The newest segment, open for appending.
pub(super) struct Journal {
    dir: PathBuf,
    file: File,
    path: PathBuf,
    length: u64,
    segment_bytes: u64,
    /// An older program began the segment and still reads it; newer frames go into one of their own.
    is_old: bool,
}

impl Journal {
    /// Begins a segment whose first frame will be `first`.
    pub(super) fn create(
        dir: &Path,
        first: Position,
        segment_bytes: u64,
    ) -> Result<Self, StoreError> {
        let path = files::numbered_path(dir, first, EXTENSION);
        let mut file = File::create(&path).map_err(files::refused("create", &path))?;
        file.write_all(&segment_header(first))
            .and_then(|()| file.sync_all())
            .map_err(files::refused("write", &path))?;
        files::sync_dir(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            file,
            path,
            length: SEGMENT_HEADER as u64,
            segment_bytes,
            is_old: false,
        })
    }

    /// Opens the newest segment behind its last good frame; what lies behind that is cut off, durably.
    pub(super) fn open(path: &Path, length: u64, segment_bytes: u64) -> Result<Self, StoreError> {
        let refused = |action| files::refused(action, path);
        let file = File::options()
            .append(true)
            .read(true)
            .open(path)
            .map_err(refused("open"))?;
        if file.metadata().map_err(refused("open"))?.len() != length {
            file.set_len(length)
                .and_then(|()| file.sync_all())
                .map_err(refused("cut"))?;
        }
        Ok(Self {
            dir: path.parent().unwrap_or(path).to_owned(),
            path: path.to_owned(),
            length,
            segment_bytes,
            is_old: format_of(&file, path)? < JOURNAL_FORMAT,
            file,
        })
    }

    /// Makes frames durable, the first of which has the position `first`. After an error the journal must not be used again.
    pub(super) fn append(&mut self, first: Position, frames: &[u8]) -> Result<(), StoreError> {
        if self.length >= self.segment_bytes || self.is_old {
            *self = Self::create(&self.dir, first, self.segment_bytes)?;
        }
        let written = self
            .file
            .write_all(frames)
            .map_err(files::refused("write", &self.path))
            .and_then(|()| {
                self.file
                    .sync_data()
                    .map_err(files::refused("sync", &self.path))
            });
        if written.is_err() {
            // Nobody was told that these frames are there. If this fails, too, the next start cuts or keeps them.
            let _ = self.file.set_len(self.length);
        }
        self.length += frames.len() as u64;
        written
    }
}

/// The format in the header of a segment that was scanned before.
fn format_of(file: &File, path: &Path) -> Result<u32, StoreError> {
    let mut format = [0; 4];
    file.read_exact_at(&mut format, MAGIC.len() as u64)
        .map_err(files::refused("read", path))?;
    Ok(u32::from_le_bytes(format))
}

fn segment_header(first: Position) -> [u8; SEGMENT_HEADER] {
    let mut header = [0; SEGMENT_HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&JOURNAL_FORMAT.to_le_bytes());
    header[12..20].copy_from_slice(&first.to_le_bytes());
    let crc = crc32c::crc32c(&header[..20]);
    header[20..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Removes segments all of whose frames are at or before `position`, but never the newest. Answers how many went.
pub(super) fn truncate(dir: &Path, position: Position) -> Result<usize, StoreError> {
    let segments = files::numbered(dir, EXTENSION)?;
    let mut removed = 0;
    for ((_, path), (next_first, _)) in segments.iter().zip(segments.iter().skip(1)) {
        if *next_first > position.saturating_add(1) {
            break;
        }
        // Oldest first, each durably: a crash in between leaves no hole.
        files::remove(path)?;
        files::sync_dir(dir)?;
        removed += 1;
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_an_error_with_the_path() {
        let mut journal = Journal {
            dir: PathBuf::from("/dev"),
            file: File::options().append(true).open("/dev/full").unwrap(),
            path: PathBuf::from("/dev/full"),
            length: 0,
            segment_bytes: 1,
            is_old: false,
        };
        journal.segment_bytes = u64::MAX;
        let error = journal.append(1, b"frames").unwrap_err();
        assert!(error.to_string().contains("/dev/full"), "{error}");
    }
}
