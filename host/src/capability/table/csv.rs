//! CSV (RFC 4180) with a header row. Types are inferred over the whole file: boolean, int64, float64, timestamp, else text. An empty
//! field is null; a quoted empty field is an empty text. It is read twice instead of held as texts.

use super::column::ColumnBuilder;
use super::{Answer, COLUMNS_MAX, Parsed, ROWS_MAX, invalid};
use crate::capability::budget::Reservation;
use crate::sandbox::bindings::airlock::operator::dataset::ColumnKind;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;

/// Kinds that a column may turn out to be, narrowest first.
const CANDIDATES: [ColumnKind; 4] = [
    ColumnKind::Boolean,
    ColumnKind::Int64,
    ColumnKind::Float64,
    ColumnKind::Timestamp,
];
/// After how many rows the memory is counted again.
const COUNT_EVERY: usize = 1_024;

/// A field: none is null.
type Field = Option<String>;

pub(super) fn read(bytes: &[u8], memory: &mut Reservation) -> Answer<Parsed> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        invalid(format!(
            "the object is neither parquet nor UTF-8 text: {error}"
        ))
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut records = Records {
        rest: text,
        line: 1,
    };
    let header = records.next().ok_or_else(|| {
        invalid("the CSV file is empty; its first row names the columns".to_owned())
    })??;
    if header.len() > COLUMNS_MAX {
        return Err(CapabilityError::TooLarge(COLUMNS_MAX as u64));
    }
    let start = records;
    let kinds = infer(start.clone(), header.len())?;
    let names = header.into_iter().map(Option::unwrap_or_default);
    let builders = kinds.into_iter().map(ColumnBuilder::new);
    let mut columns: Vec<_> = names.zip(builders).collect();
    let mut rows = 0;
    for record in start {
        rows += 1;
        for ((_, builder), field) in columns.iter_mut().zip(record?) {
            append(builder, field);
        }
        if rows % COUNT_EVERY == 0 {
            let held: u64 = columns.iter().map(|(_, column)| column.bytes()).sum();
            memory.grow_to(bytes.len() as u64 + held)?;
        }
    }
    let held: u64 = columns.iter().map(|(_, column)| column.bytes()).sum();
    memory.grow_to(bytes.len() as u64 + held)?;
    Ok(Parsed {
        rows,
        columns,
        unusable: Vec::new(),
    })
}

/// The kind of each column. A column without any value is float64: all of it is missing.
fn infer(records: Records<'_>, width: usize) -> Answer<Vec<ColumnKind>> {
    let mut possible = vec![[true; CANDIDATES.len()]; width];
    let mut seen = vec![false; width];
    for (row, record) in records.enumerate() {
        let line_hint = row + 2;
        let record = record?;
        if record.len() != width {
            return Err(invalid(format!(
                "record {line_hint} of the CSV file has {} fields, its header has {width}",
                record.len()
            )));
        }
        if row >= ROWS_MAX {
            return Err(CapabilityError::TooLarge(ROWS_MAX as u64));
        }
        for ((field, flags), seen) in record.iter().zip(&mut possible).zip(&mut seen) {
            let Some(field) = field else { continue };
            *seen = true;
            for (flag, kind) in flags.iter_mut().zip(CANDIDATES) {
                *flag = *flag && fits(field, kind);
            }
        }
    }
    let decide = |(flags, seen): ([bool; 4], bool)| {
        let mut fitting = CANDIDATES.into_iter().zip(flags).filter(|(_, fits)| *fits);
        match fitting.next() {
            _ if !seen => ColumnKind::Float64,
            Some((kind, _)) => kind,
            None => ColumnKind::Text,
        }
    };
    Ok(possible.into_iter().zip(seen).map(decide).collect())
}

fn fits(field: &str, kind: ColumnKind) -> bool {
    match kind {
        ColumnKind::Boolean => boolean(field).is_some(),
        ColumnKind::Int64 => field.parse::<i64>().is_ok(),
        ColumnKind::Float64 => field.parse::<f64>().is_ok(),
        _ => timestamp(field).is_some(),
    }
}

fn append(builder: &mut ColumnBuilder, field: Field) {
    match builder {
        ColumnBuilder::Boolean(builder) => {
            builder.append_option(field.and_then(|text| boolean(&text)));
        }
        ColumnBuilder::Int64(builder) => {
            builder.append_option(field.and_then(|text| text.parse().ok()));
        }
        ColumnBuilder::Float64(builder) => {
            builder.append_option(field.and_then(|text| text.parse().ok()));
        }
        ColumnBuilder::Timestamp(builder) => {
            builder.append_option(field.and_then(|text| timestamp(&text)));
        }
        ColumnBuilder::Text(builder) => builder.append_option(field),
        // No CSV column is a list.
        ColumnBuilder::Float64List(builder) => builder.append(false),
    }
}

fn boolean(field: &str) -> Option<bool> {
    match field {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// An instant with its offset, or a date or date and time that is taken as UTC; in microseconds.
fn timestamp(field: &str) -> Option<i64> {
    if !field.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    if let Ok(instant) = field.parse::<jiff::Timestamp>() {
        return Some(instant.as_microsecond());
    }
    let local = field.parse::<jiff::civil::DateTime>().ok()?;
    let instant = local.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(instant.timestamp().as_microsecond())
}

/// The records of a CSV text.
#[derive(Clone)]
struct Records<'a> {
    rest: &'a str,
    line: usize,
}

impl Iterator for Records<'_> {
    type Item = Answer<Vec<Field>>;

    fn next(&mut self) -> Option<Self::Item> {
        // Blank lines are no records, as in pandas.
        while let Some(rest) = ["\r\n", "\n"]
            .iter()
            .find_map(|end| self.rest.strip_prefix(end))
        {
            self.rest = rest;
            self.line += 1;
        }
        if self.rest.is_empty() {
            return None;
        }
        let mut record = Vec::new();
        loop {
            let field = match self.field() {
                Ok(field) => field,
                Err(error) => {
                    self.rest = "";
                    return Some(Err(error));
                }
            };
            record.push(field);
            if let Some(rest) = self.rest.strip_prefix(',') {
                self.rest = rest;
                continue;
            }
            let rest = self.rest.strip_prefix('\r').unwrap_or(self.rest);
            self.rest = rest.strip_prefix('\n').unwrap_or(rest);
            self.line += 1;
            return Some(Ok(record));
        }
    }
}

impl Records<'_> {
    /// Takes one field and leaves what ends it.
    fn field(&mut self) -> Answer<Field> {
        let Some(quoted) = self.rest.strip_prefix('"') else {
            let end = self.rest.find([',', '\n']).unwrap_or(self.rest.len());
            let (field, rest) = self.rest.split_at(end);
            let trimmed = field.strip_suffix('\r').unwrap_or(field);
            self.rest = rest;
            return Ok((!trimmed.is_empty()).then(|| trimmed.to_owned()));
        };
        let (mut text, mut rest) = (String::new(), quoted);
        loop {
            let Some((part, after)) = rest.split_once('"') else {
                return Err(self.wrong("a quoted field has no end"));
            };
            text.push_str(part);
            let Some(after_quote) = after.strip_prefix('"') else {
                rest = after;
                break;
            };
            text.push('"');
            rest = after_quote;
        }
        if !(rest.is_empty() || rest.starts_with([',', '\r', '\n'])) {
            return Err(self.wrong("there is text after a closing quote"));
        }
        self.line += text.matches('\n').count();
        self.rest = rest;
        Ok(Some(text))
    }

    fn wrong(&self, what: &str) -> CapabilityError {
        invalid(format!("line {} of the CSV file: {what}", self.line))
    }
}
