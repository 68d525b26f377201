//! How run events become bytes: a format version, then postcard. Rows are JSON behind the same kind of version byte, so that
//! a person can read them in an export.

use airlock_core::ids::RunId;
use airlock_core::run::event::{Event, Json, RunHeader, RunType};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The format of event payloads. Adding or changing a member of `Event` makes a new number and keeps a reader for the old one.
const EVENT_FORMAT: u8 = 2;
/// The header of a run had no history yet.
const EVENT_FORMAT_FIRST: u8 = 1;
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
    let broken = |error: postcard::Error| CodecError::Broken(error.to_string());
    match bytes {
        [EVENT_FORMAT_FIRST, 0, queued @ ..] => decode_first_queued(queued).map_err(broken),
        [EVENT_FORMAT_FIRST, _, ..] => {
            postcard::from_bytes(body(bytes, EVENT_FORMAT_FIRST)?).map_err(broken)
        }
        _ => postcard::from_bytes(body(bytes, EVENT_FORMAT)?).map_err(broken),
    }
}

/// `RunHeader` as format 1 had it.
#[derive(Deserialize)]
struct FirstHeader {
    run_id: RunId,
    run_type: RunType,
    logical_date: Option<Timestamp>,
    data_interval_start: Option<Timestamp>,
    data_interval_end: Option<Timestamp>,
    run_after: Timestamp,
    params: Json,
    conf: Json,
}

/// `RunQueued`, the one event that format 1 had in another form; all others only got company behind them.
fn decode_first_queued(bytes: &[u8]) -> Result<Event, postcard::Error> {
    let (old, dag_version, at): (FirstHeader, [u8; 32], Timestamp) = postcard::from_bytes(bytes)?;
    let header = RunHeader {
        logical_date: old.logical_date,
        data_interval_start: old.data_interval_start,
        data_interval_end: old.data_interval_end,
        params: old.params,
        conf: old.conf,
        ..RunHeader::new(old.run_id, old.run_type, old.run_after)
    };
    Ok(Event::RunQueued {
        header: Box::new(header),
        dag_version,
        at,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// `RunQueued` in the order of members that the first format had.
    fn first_queued() -> Vec<u8> {
        let run_id = RunId::parse("manual__1").unwrap();
        let at = Timestamp::from_second(1_750_000_000).unwrap();
        let none: Option<Timestamp> = None;
        let header = (
            run_id,
            RunType::Manual,
            Some(at),
            none,
            none,
            at,
            "{}",
            "{\"a\":1}",
        );
        let mut bytes = vec![EVENT_FORMAT_FIRST, 0];
        bytes.extend(postcard::to_allocvec(&(header, [7_u8; 32], at)).unwrap());
        bytes
    }

    #[test]
    fn a_run_that_the_first_format_recorded_is_read() {
        let event = decode_event(&first_queued()).unwrap();
        let Event::RunQueued {
            header,
            dag_version,
            ..
        } = event
        else {
            panic!("another event: {event:?}");
        };
        assert_eq!(
            (header.run_id.as_str(), header.conf.as_str()),
            ("manual__1", "{\"a\":1}")
        );
        assert_eq!(dag_version, [7; 32]);
        assert!(header.asset_events.is_empty());
    }

    #[test]
    fn an_event_of_a_newer_format_names_both_formats() {
        let error = decode_event(&[EVENT_FORMAT + 1, 0]).unwrap_err();
        assert_eq!(
            error,
            CodecError::TooNew {
                found: 3,
                supported: 2
            }
        );
    }
}
