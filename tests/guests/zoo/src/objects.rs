//! Does with objects what a script says: its lines are parted by `;`, its words by blanks. The answers are its value.

use crate::airlock::operator::dataset::{Column, ColumnData, ColumnKind, Table, TableWriter};
use crate::airlock::operator::storage;
use crate::airlock::operator::types::CapabilityError;

const CALL_BYTES: usize = 1 << 20;

/// A JSON list of texts, one a line of the script.
pub fn play(script: &str) -> String {
    let answers = script.split(';').map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        format!("{:?}", step(&words).unwrap_or_else(|error| said(&error)))
    });
    format!("[{}]", answers.collect::<Vec<_>>().join(","))
}

fn step(words: &[&str]) -> Result<String, CapabilityError> {
    match words {
        ["put", uri, text] => {
            let writer = storage::create(uri)?;
            writer.write(text.as_bytes())?;
            writer.finish()
        }
        ["fill", uri, mib] => filled(uri, mib)?.finish(),
        ["drop", uri, mib] => filled(uri, mib).map(|_| "dropped".into()),
        // One object is read while others change it.
        ["race", uri, mib] => {
            filled(uri, mib)?.finish()?;
            let reader = storage::open(uri)?;
            reader.read(1)?;
            let writer = storage::create(uri)?;
            written(&writer, mib, 7)?;
            writer.finish()?;
            drain(&reader)
        }
        ["get", uri] => {
            let bytes = storage::open(uri)?.read(1_000)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        ["sum", uri] => drain(&storage::open(uri)?),
        ["head", uri] => Ok(storage::head(uri)?.map_or("none".into(), |found| found.size.to_string())),
        ["list", prefix] => listed(prefix, None),
        ["list", prefix, after] => listed(prefix, Some(after)),
        ["count", prefix] => Ok(storage::list(prefix, None)?.len().to_string()),
        ["delete", uri] => storage::delete(uri).map(|()| "deleted".into()),
        ["save", uri, rows] => save(uri, rows.parse().expect("a number")),
        ["table", uri] => {
            let table = Table::open(uri)?;
            let columns: Vec<String> = table.schema().into_iter().map(|column| column.name).collect();
            Ok(format!("{} {} {}", table.rows(), columns.join("+"), table.digest()))
        }
        _ => Ok(format!("no step {words:?}")),
    }
}

fn filled(uri: &str, mib: &str) -> Result<storage::Writer, CapabilityError> {
    let writer = storage::create(uri)?;
    written(&writer, mib, 1)?;
    Ok(writer)
}

fn written(writer: &storage::Writer, mib: &str, seed: usize) -> Result<(), CapabilityError> {
    for call in 0..mib.parse().expect("a number") {
        let pattern: Vec<u8> = (0..CALL_BYTES).map(|at| ((at * seed) ^ (at >> 8) ^ call) as u8).collect();
        writer.write(&pattern)?;
    }
    Ok(())
}

/// Length, and a sum that the order of bytes changes.
fn drain(reader: &storage::Reader) -> Result<String, CapabilityError> {
    let (mut length, mut sum) = (0, 0_u64);
    loop {
        let bytes = reader.read(u32::MAX)?;
        if bytes.is_empty() {
            return Ok(format!("{length} {sum}"));
        }
        length += bytes.len();
        sum = bytes.iter().fold(sum, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    }
}

fn listed(prefix: &str, after: Option<&str>) -> Result<String, CapabilityError> {
    let found = storage::list(prefix, after)?;
    let found = found.into_iter().map(|object| format!("{}={}", object.uri, object.size));
    Ok(found.collect::<Vec<_>>().join(" "))
}

fn save(uri: &str, rows: i64) -> Result<String, CapabilityError> {
    let column = |name: &str, kind| Column { name: name.into(), kind };
    let columns = [column("id", ColumnKind::Int64), column("name", ColumnKind::Text)];
    let writer = TableWriter::create(uri, &columns)?;
    for from in (0..rows).step_by(10_000) {
        let part = from..rows.min(from + 10_000);
        let names = part.clone().map(|row| Some(format!("row {}", row * 7_919 % 10_007)));
        writer.append(&[
            ColumnData::Int64s(part.map(Some).collect()),
            ColumnData::Texts(names.collect()),
        ])?;
    }
    writer.finish()
}

fn said(error: &CapabilityError) -> String {
    match error {
        CapabilityError::Denied(text) => format!("denied: {text}"),
        CapabilityError::NotFound(text) => format!("not-found: {text}"),
        CapabilityError::Invalid(text) => format!("invalid: {text}"),
        CapabilityError::TooLarge(limit) => format!("too-large: {limit}"),
        CapabilityError::Conflict(text) => format!("conflict: {text}"),
        CapabilityError::Unavailable(text) => format!("unavailable: {text}"),
    }
}
