//! How run events become bytes: a format version, then postcard. Rows are JSON behind the same kind of version byte, so that
//! a person can read them in an export.

use airlock_core::run::event::Event;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The format of event payloads. Adding or changing a member of `Event` makes a new number and keeps a reader for the old one.
const EVENT_FORMAT: u8 = 1;
/// The format of rows.
const ROW_FORMAT: u8 = 1;

/// Bytes that are no event or row of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// A newer Airlock wrote it.
    #[error("format {found} is newer than this Airlock reads ({supported}); use the newer Airlock")]
    TooNew {
        /// The format it has.
        found: u8,
        /// What this program reads.
        supported: u8,
    },
    /// It cannot be read.
    #[error("cannot be decoded: {0}")]
    Broken(String),
}

/// Encodes an event.
pub fn encode_event(event: &Event) -> Result<Vec<u8>, CodecError> {
    postcard::to_extend(event, vec![EVENT_FORMAT])
        .map_err(|error| CodecError::Broken(error.to_string()))
}

/// Decodes an event.
pub fn decode_event(bytes: &[u8]) -> Result<Event, CodecError> {
    let body = body(bytes, EVENT_FORMAT)?;
    postcard::from_bytes(body).map_err(|error| CodecError::Broken(error.to_string()))
}

/// Encodes a row.
pub fn encode_row<T: Serialize>(row: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = vec![ROW_FORMAT];
    serde_json::to_writer(&mut bytes, row)
        .map_err(|error| CodecError::Broken(error.to_string()))?;
    Ok(bytes)
}

/// Decodes a row.
pub fn decode_row<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    serde_json::from_slice(body(bytes, ROW_FORMAT)?)
        .map_err(|error| CodecError::Broken(error.to_string()))
}

fn body(bytes: &[u8], supported: u8) -> Result<&[u8], CodecError> {
    match bytes.split_first() {
        Some((found, body)) if *found == supported => Ok(body),
        Some((found, _)) if *found > supported => Err(CodecError::TooNew {
            found: *found,
            supported,
        }),
        _ => Err(CodecError::Broken("no format version".to_owned())),
    }
}
