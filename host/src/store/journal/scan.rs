//! Reading a journal back. It owns the judgement of what a bad frame means: a torn write at the very end is cut; a bad frame
//! anywhere else, a hole, or a journal that ends before it must, is damage and refused.

use std::path::{Path, PathBuf};

use super::frame::{FRAME_HEADER, Frame, NoFrame, parse_frame};
use super::{EXTENSION, JOURNAL_FORMAT, MAGIC, SEGMENT_HEADER};
use crate::store::codec::Reader;
use crate::store::files;
use crate::store::types::{Position, StoreError};

/// What disks write whole. A torn write leaves a whole sector of zeros where data never arrived.
const SECTOR: usize = 512;

/// What a journal holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Scan {
    /// The position of the oldest frame that could be there.
    pub(in crate::store) first: Position,
    /// The newest position, or the one before `first`.
    pub(in crate::store) end: Position,
    /// The newest segment, and the length up to its last good frame. A length of 0: even its header is torn.
    pub(in crate::store) newest: (PathBuf, u64),
    /// How many bytes behind that are a torn write.
    pub(in crate::store) torn: u64,
}

/// Verifies every frame and gives those after `after` to `each`. `None`: there is no journal.
pub(in crate::store) fn scan(
    dir: &Path,
    after: Position,
    mut each: impl FnMut(Frame<'_>) -> Result<(), StoreError>,
) -> Result<Option<Scan>, StoreError> {
    let segments = files::numbered(dir, EXTENSION)?;
    let Some((first, _)) = segments.first() else {
        return Ok(None);
    };
    let mut scan = Scan {
        first: *first,
        end: first.saturating_sub(1),
        newest: (PathBuf::new(), 0),
        torn: 0,
    };
    let count = segments.len();
    for (index, (first, path)) in segments.into_iter().enumerate() {
        let bytes = files::read(&path)?.unwrap_or_default();
        let segment = Segment {
            path: &path,
            bytes: &bytes,
            last: index + 1 == count,
        };
        if first != scan.end + 1 {
            return Err(segment.damaged(format!("positions {} to {first} are missing", scan.end)));
        }
        let good = segment.read(&mut scan.end, |frame| {
            if frame.position > after {
                each(frame)
            } else {
                Ok(())
            }
        })?;
        scan.torn = (bytes.len() - good) as u64;
        scan.newest = (path, good as u64);
    }
    Ok(Some(scan))
}

struct Segment<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    last: bool,
}

impl<'a> Segment<'a> {
    /// Answers the length up to the last good frame.
    fn read(
        &self,
        end: &mut Position,
        mut each: impl FnMut(Frame<'_>) -> Result<(), StoreError>,
    ) -> Result<usize, StoreError> {
        let Some(header) = self.bytes.first_chunk::<SEGMENT_HEADER>() else {
            return if self.last {
                Ok(0)
            } else {
                Err(self.damaged("its header is cut".to_owned()))
            };
        };
        self.check_header(header, *end + 1)?;
        let mut rest = self.bytes.get(SEGMENT_HEADER..).unwrap_or_default();
        while !rest.is_empty() {
            match parse_frame(rest) {
                Ok((frame, behind)) => {
                    if frame.position != *end + 1 {
                        return Err(self.damaged(format!(
                            "position {} where {} belongs",
                            frame.position,
                            *end + 1
                        )));
                    }
                    each(frame)?;
                    *end = frame.position;
                    rest = behind;
                }
                Err(why) => {
                    self.check_torn(rest, why, *end + 1)?;
                    break;
                }
            }
        }
        Ok(self.bytes.len() - rest.len())
    }

    fn check_header(
        &self,
        header: &[u8; SEGMENT_HEADER],
        first: Position,
    ) -> Result<(), StoreError> {
        let bad = || self.damaged("its header does not decode".to_owned());
        let (content, crc) = header.split_last_chunk::<4>().ok_or_else(bad)?;
        let mut reader = Reader(content);
        let magic = reader.take(MAGIC.len()).map_err(|_| bad())?;
        if magic != MAGIC || crc32c::crc32c(content) != u32::from_le_bytes(*crc) {
            return Err(bad());
        }
        let format = reader.u32().map_err(|_| bad())?;
        if format > JOURNAL_FORMAT {
            return Err(StoreError::TooNew {
                found: format,
                supported: JOURNAL_FORMAT,
            });
        }
        if reader.u64().map_err(|_| bad())? != first {
            return Err(self.damaged(format!("it does not begin with position {first}")));
        }
        Ok(())
    }

    /// Accepts a bad frame only as the torn end of the last group, which nobody was told about.
    fn check_torn(&self, rest: &[u8], why: NoFrame, position: Position) -> Result<(), StoreError> {
        let what = format!("the frame of position {position} is bad");
        if !self.last {
            return Err(self.damaged(what));
        }
        let torn = match why {
            NoFrame::Short => return Ok(()),
            NoFrame::BadHeader => self.has_empty_sector(rest, rest.len()),
            NoFrame::BadContents(length) => self.has_empty_sector(rest, FRAME_HEADER + length),
        };
        if !torn || later_group_follows(rest, position) {
            return Err(self.damaged(what));
        }
        Ok(())
    }

    /// Whether data that was to fill the front `length` bytes of `rest` never arrived in some sector.
    fn has_empty_sector(&self, rest: &'a [u8], length: usize) -> bool {
        let start = self.bytes.len() - rest.len();
        let bytes = rest.get(..length).unwrap_or(rest);
        let to_boundary = (SECTOR - start % SECTOR).min(bytes.len());
        let (front, sectors) = bytes.split_at(to_boundary);
        std::iter::once(front)
            .chain(sectors.chunks(SECTOR))
            .any(|sector| !sector.is_empty() && sector.iter().all(|byte| *byte == 0))
    }

    fn damaged(&self, what: String) -> StoreError {
        StoreError::Damaged {
            what,
            place: self.path.display().to_string(),
        }
    }
}

/// Whether a valid frame stands somewhere in `rest` whose group began after `position`: then the group of `position` was
/// durable, and told.
fn later_group_follows(rest: &[u8], position: Position) -> bool {
    (1..rest.len())
        .filter_map(|offset| rest.get(offset..))
        .filter_map(|bytes| parse_frame(bytes).ok())
        .any(|(frame, _)| frame.group > position)
}

#[cfg(test)]
mod tests {
    use super::super::Journal;
    use super::super::frame::{begin_frame, end_frame};
    use super::*;

    fn group(first: Position, contents: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for (position, bytes) in (first..).zip(contents) {
            let start = begin_frame(&mut out);
            out.extend_from_slice(bytes);
            end_frame(&mut out, start, position, first);
        }
        out
    }

    fn journal(dir: &Path) -> PathBuf {
        let mut journal = Journal::create(dir, 1, u64::MAX).unwrap();
        journal.append(1, &group(1, &[b"one", b"two"])).unwrap();
        journal
            .append(3, &group(3, &[&[7; 2_000], b"four"]))
            .unwrap();
        files::numbered(dir, EXTENSION).unwrap().remove(0).1
    }

    fn ends(dir: &Path) -> Result<Scan, StoreError> {
        scan(dir, 0, |_| Ok(())).map(|scan| scan.unwrap())
    }

    #[test]
    fn a_write_that_was_cut_off_is_torn_at_every_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = journal(dir.path());
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(ends(dir.path()).unwrap().end, 4);
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let found = ends(dir.path()).unwrap();
            assert!(found.end < 4, "cut at {length}");
            assert_eq!(found.newest.1 + found.torn, length as u64);
        }
    }

    #[test]
    fn a_changed_bit_is_damage_everywhere_even_in_the_last_frame() {
        let dir = tempfile::tempdir().unwrap();
        let path = journal(dir.path());
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            std::fs::write(&path, &bytes).unwrap();
            assert!(
                matches!(
                    ends(dir.path()),
                    Err(StoreError::Damaged { .. } | StoreError::TooNew { .. })
                ),
                "changed at {at}"
            );
        }
    }

    #[test]
    fn sectors_that_never_arrived_are_torn_even_before_frames_of_the_same_group() {
        let dir = tempfile::tempdir().unwrap();
        let path = journal(dir.path());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[512..1_024].fill(0);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(ends(dir.path()).unwrap().end, 2);
    }

    #[test]
    fn empty_sectors_before_a_later_group_are_damage() {
        let dir = tempfile::tempdir().unwrap();
        let path = journal(dir.path());
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap();
        std::io::Write::write_all(&mut file, &group(5, &[b"five"])).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[512..1_024].fill(0);
        std::fs::write(&path, &bytes).unwrap();
        assert!(matches!(ends(dir.path()), Err(StoreError::Damaged { .. })));
    }
}
