//! One journal frame: `length | position | back | crc of contents | crc of header | contents`. It owns these bytes and refuses a
//! frame of which a single bit is not as written.
//!
//! `back` says how many frames of the same group stand before it: frames of one group became durable together, so a valid frame
//! behind a torn one proves a lost commit only if it belongs to a later group.

use super::super::types::{COMMIT_BYTES_MAX, Position};

/// Bytes before a frame's contents.
pub(in crate::store) const FRAME_HEADER: usize = 4 + 8 + 4 + 4 + 4;
/// The longest contents of a frame: a commit, and room for its keys.
pub(in crate::store) const FRAME_BYTES_MAX: usize = COMMIT_BYTES_MAX + (16 << 20);

/// Leaves room for the header; answers where the frame starts.
pub(in crate::store) fn begin_frame(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.resize(start + FRAME_HEADER, 0);
    start
}

/// Writes the header of the frame whose contents reach from behind `start` to the end of `out`.
pub(in crate::store) fn end_frame(
    out: &mut [u8],
    start: usize,
    position: Position,
    group: Position,
) {
    let Some((header, contents)) = out
        .get_mut(start..)
        .and_then(|frame| frame.split_first_chunk_mut::<FRAME_HEADER>())
    else {
        return;
    };
    let length = u32::try_from(contents.len()).unwrap_or(u32::MAX);
    let back = u32::try_from(position.saturating_sub(group)).unwrap_or(u32::MAX);
    *header = encode_header(length, position, back, crc32c::crc32c(contents));
}

fn encode_header(length: u32, position: Position, back: u32, crc: u32) -> [u8; FRAME_HEADER] {
    let mut header = [0; FRAME_HEADER];
    header[..4].copy_from_slice(&length.to_le_bytes());
    header[4..12].copy_from_slice(&position.to_le_bytes());
    header[12..16].copy_from_slice(&back.to_le_bytes());
    header[16..20].copy_from_slice(&crc.to_le_bytes());
    let crc = crc32c::crc32c(&header[..20]);
    header[20..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// A frame as found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Frame<'a> {
    pub(in crate::store) position: Position,
    /// The position of the first frame of its group.
    pub(in crate::store) group: Position,
    pub(in crate::store) contents: &'a [u8],
}

/// Why there is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum NoFrame {
    /// The bytes end inside the frame: a write that was cut off.
    Short,
    /// The header is not as written.
    BadHeader,
    /// The header is as written, the contents of this length are not.
    BadContents(usize),
}

/// The frame at the front of `bytes`, and what follows it.
pub(in crate::store) fn parse_frame(bytes: &[u8]) -> Result<(Frame<'_>, &[u8]), NoFrame> {
    let (header, rest) = bytes
        .split_first_chunk::<FRAME_HEADER>()
        .ok_or(NoFrame::Short)?;
    let [
        l0,
        l1,
        l2,
        l3,
        p0,
        p1,
        p2,
        p3,
        p4,
        p5,
        p6,
        p7,
        b0,
        b1,
        b2,
        b3,
        c0,
        c1,
        c2,
        c3,
        ..,
    ] = *header;
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    let position = Position::from_le_bytes([p0, p1, p2, p3, p4, p5, p6, p7]);
    let back = u32::from_le_bytes([b0, b1, b2, b3]);
    let crc = u32::from_le_bytes([c0, c1, c2, c3]);
    let size = usize::try_from(length).unwrap_or(usize::MAX);
    if *header != encode_header(length, position, back, crc) || size > FRAME_BYTES_MAX {
        return Err(NoFrame::BadHeader);
    }
    let (contents, rest) = rest.split_at_checked(size).ok_or(NoFrame::Short)?;
    if crc32c::crc32c(contents) != crc {
        return Err(NoFrame::BadContents(size));
    }
    let frame = Frame {
        position,
        group: position.saturating_sub(Position::from(back)),
        contents,
    };
    Ok((frame, rest))
}
