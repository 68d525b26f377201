//! The bytes of values and of journal frames' contents. It owns their format, with a version byte in each, and refuses to read
//! past an end or to guess: what does not decode to the last byte is damage.

use sha2::{Digest as _, Sha256};

use super::types::{Digest, Fence, Position, Seq, StoreError};

/// The version of every value, its first byte.
pub(super) const VALUE_FORMAT: u8 = 1;
/// Longer payloads are kept as blobs: sled 0.34 moves large values into files that nothing syncs, and a journal of large
/// values would be slow to replay. Bytes.
pub(super) const INLINE_BYTES_MAX: usize = 4_096;

const INLINE: u8 = 0;
const BLOB: u8 = 1;

/// Bytes that are not what the codec wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

impl Malformed {
    /// As an error that says where.
    #[expect(
        clippy::unused_self,
        reason = "read as a conversion: `map_err(|bad| bad.at(place))`"
    )]
    pub(super) fn at(self, place: &str) -> StoreError {
        StoreError::Damaged {
            what: "bytes that do not decode".to_owned(),
            place: place.to_owned(),
        }
    }
}

/// Reads from the front of a slice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// Opens a value: the version byte must be ours.
    pub(super) fn value(bytes: &'a [u8]) -> Result<Self, Malformed> {
        match bytes.split_first() {
            Some((&VALUE_FORMAT, rest)) => Ok(Self(rest)),
            _ => Err(Malformed),
        }
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// Bytes with their length (16 bits) before them.
    pub(super) fn short(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    /// Bytes with their length (32 bits) before them.
    pub(super) fn long(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u32()?;
        self.take(usize::try_from(length).map_err(|_| Malformed)?)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.short()?).map_err(|_| Malformed)
    }
}

/// Writes bytes with a 16-bit length. Callers have checked the length against `KEY_BYTES_MAX`.
pub(super) fn put_short(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Writes bytes with a 32-bit length. Callers have checked the length against `COMMIT_BYTES_MAX`.
pub(super) fn put_long(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Large payloads of one group of commits, to be written as blobs before the commits that name them.
pub(super) type Blobs = Vec<(Digest, Vec<u8>)>;

/// The SHA-256 that names a blob.
pub(super) fn digest(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

/// Appends a caller's bytes: inline, or as a reference while the bytes go to `blobs`.
pub(super) fn put_payload(out: &mut Vec<u8>, bytes: Vec<u8>, blobs: &mut Blobs) {
    if bytes.len() <= INLINE_BYTES_MAX {
        out.push(INLINE);
        out.extend_from_slice(&bytes);
        return;
    }
    let digest = digest(&bytes);
    out.push(BLOB);
    out.extend_from_slice(&digest.0);
    blobs.push((digest, bytes));
}

/// A caller's bytes as found in a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Payload<'a> {
    Inline(&'a [u8]),
    Blob(Digest),
}

impl<'a> Payload<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        match bytes.split_first() {
            Some((&INLINE, rest)) => Ok(Self::Inline(rest)),
            Some((&BLOB, rest)) => Ok(Self::Blob(Digest(rest.try_into().map_err(|_| Malformed)?))),
            _ => Err(Malformed),
        }
    }
}

/// A row's or timer's value: `version | at (timers only) | payload`.
pub(super) fn versioned(version: u64, at: Option<i64>, room: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(18 + room.min(INLINE_BYTES_MAX));
    out.push(VALUE_FORMAT);
    out.extend_from_slice(&version.to_le_bytes());
    if let Some(at) = at {
        out.extend_from_slice(&at.to_le_bytes());
    }
    out
}

/// A row's version and payload.
pub(super) fn parse_row(bytes: &[u8]) -> Result<(u64, &[u8]), Malformed> {
    let mut reader = Reader::value(bytes)?;
    Ok((reader.u64()?, reader.0))
}

/// A timer's version, time and payload.
pub(super) fn parse_timer(bytes: &[u8]) -> Result<(u64, i64, &[u8]), Malformed> {
    let mut reader = Reader::value(bytes)?;
    Ok((reader.u64()?, reader.u64()?.cast_signed(), reader.0))
}

/// One number: a head, the applied position, the clock.
pub(super) fn number(number: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(9);
    out.push(VALUE_FORMAT);
    out.extend_from_slice(&number.to_le_bytes());
    out
}

pub(super) fn parse_number(bytes: &[u8]) -> Result<u64, Malformed> {
    let mut reader = Reader::value(bytes)?;
    let number = reader.u64()?;
    reader.0.is_empty().then_some(number).ok_or(Malformed)
}

/// What an idempotency key got.
pub(super) fn receipt(position: Position, head: Seq) -> Vec<u8> {
    let mut out = number(position);
    out.extend_from_slice(&head.to_le_bytes());
    out
}

pub(super) fn parse_receipt(bytes: &[u8]) -> Result<(Position, Seq), Malformed> {
    let mut reader = Reader::value(bytes)?;
    Ok((reader.u64()?, reader.u64()?))
}

/// A lease: `fence | until | holder`.
pub(super) fn lease(fence: Fence, until_ms: i64, holder: &str) -> Vec<u8> {
    let mut out = number(fence);
    out.extend_from_slice(&until_ms.to_le_bytes());
    out.extend_from_slice(holder.as_bytes());
    out
}

pub(super) fn parse_lease(bytes: &[u8]) -> Result<(Fence, i64, &str), Malformed> {
    let mut reader = Reader::value(bytes)?;
    let (fence, until) = (reader.u64()?, reader.u64()?.cast_signed());
    Ok((
        fence,
        until,
        std::str::from_utf8(reader.0).map_err(|_| Malformed)?,
    ))
}

/// A claimed item: `fence | until | queue | worker | payload`.
pub(super) fn claim(
    fence: Fence,
    until_ms: i64,
    queue: &str,
    worker: &str,
    payload: &[u8],
) -> Vec<u8> {
    let mut out = number(fence);
    out.extend_from_slice(&until_ms.to_le_bytes());
    put_short(&mut out, queue.as_bytes());
    put_short(&mut out, worker.as_bytes());
    out.extend_from_slice(payload);
    out
}

/// A claimed item as found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim<'a> {
    pub(super) fence: Fence,
    /// When somebody else may have it, milliseconds since the epoch.
    pub(super) until_ms: i64,
    pub(super) queue: &'a str,
    /// Encoded.
    pub(super) payload: &'a [u8],
}

pub(super) fn parse_claim(bytes: &[u8]) -> Result<Claim<'_>, Malformed> {
    let mut reader = Reader::value(bytes)?;
    let fence = reader.u64()?;
    let until_ms = reader.u64()?.cast_signed();
    let queue = reader.text()?;
    reader.text()?;
    Ok(Claim {
        fence,
        until_ms,
        queue,
        payload: reader.0,
    })
}

/// Packs payloads of events that follow each other: `count | (length | payload)*`.
pub(super) fn chunk<'a>(payloads: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = vec![VALUE_FORMAT];
    let count = u32::try_from(payloads.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&count.to_le_bytes());
    payloads.for_each(|payload| put_long(&mut out, payload));
    out
}

/// The payloads of a chunk.
pub(super) fn parse_chunk(bytes: &[u8]) -> Result<Vec<&[u8]>, Malformed> {
    let mut reader = Reader::value(bytes)?;
    let count = reader.u32()?;
    let payloads = (0..count)
        .map(|_| reader.long())
        .collect::<Result<Vec<_>, _>>()?;
    reader.0.is_empty().then_some(payloads).ok_or(Malformed)
}
