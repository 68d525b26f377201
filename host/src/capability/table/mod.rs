//! Tables in memory: columns of six kinds, read from parquet, Arrow or CSV, sliced, counted and split. It refuses to know URIs,
//! grants and handles.

mod arrow;
pub(super) mod column;
mod counts;
mod csv;
mod parquet;
mod part;
mod profile;
mod slice;
mod source;
mod threads;

pub(super) use parquet::TableWriter;
pub(super) use part::Part;
pub(super) use source::Source;

use super::Answer;
use super::budget::{Budget, Reservation};
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use column::{ColumnBuilder, Values};
use std::collections::BTreeSet;

/// The most rows of a table.
pub(super) const ROWS_MAX: usize = u32::MAX as usize;
/// The most columns of a table.
pub(super) const COLUMNS_MAX: usize = 4_096;

/// A table as read, never changed.
pub(super) struct Table {
    /// Rows.
    pub(super) rows: usize,
    /// Columns that can be used, in the order of the file.
    pub(super) columns: Vec<(String, Values)>,
    /// Columns of other types, each with its type, for messages.
    unusable: Vec<(String, String)>,
    /// SHA-256 of the object's bytes.
    pub(super) digest: [u8; 32],
    /// Gives the memory back with the table.
    _memory: Reservation,
}

/// What a reader of a format yields.
struct Parsed {
    rows: usize,
    columns: Vec<(String, ColumnBuilder)>,
    unusable: Vec<(String, String)>,
}

impl Table {
    /// Reads an object.
    pub(super) fn read(object: impl Into<Source>, budget: &Budget) -> Answer<Self> {
        let object = object.into();
        // What is in memory and the columns are held at the same time while parsing.
        let mut memory = budget.take(object.bytes_held())?;
        let (digest, parsed) = threads::both(object.digester(), || parse(object, &mut memory))?;
        let parsed = parsed?;
        let mut names = BTreeSet::new();
        let all = parsed.columns.iter().map(|(name, _)| name);
        for name in all.chain(parsed.unusable.iter().map(|(name, _)| name)) {
            if !names.insert(name) {
                return Err(invalid(format!("column {name:?} is there twice")));
            }
        }
        if names.len() > COLUMNS_MAX {
            return Err(CapabilityError::TooLarge(COLUMNS_MAX as u64));
        }
        let finish = |(name, builder): (String, ColumnBuilder)| (name, builder.finish());
        Ok(Self {
            rows: parsed.rows,
            columns: parsed.columns.into_iter().map(finish).collect(),
            unusable: parsed.unusable,
            digest,
            _memory: memory,
        })
    }

    /// A column by name.
    pub(super) fn column(&self, name: &str) -> Answer<&Values> {
        if let Some((_, values)) = self.columns.iter().find(|(known, _)| known == name) {
            return Ok(values);
        }
        let shown: String = name.chars().take(100).collect();
        let other = self.unusable.iter().find(|(known, _)| known == name);
        Err(match other {
            Some((_, kind)) => invalid(format!(
                "column {shown:?} is of type {kind}, which tables here do not hold; write it as a number or text"
            )),
            None => CapabilityError::NotFound(format!("the table has no column {shown:?}")),
        })
    }
}

/// Parquet and Arrow by their magic numbers, else CSV.
fn parse(object: Source, memory: &mut Reservation) -> Answer<Parsed> {
    if object.starts_with(b"PAR1")? {
        parquet::read(object, memory)
    } else if object.starts_with(b"ARROW1")? {
        arrow::read(&object, memory)
    } else if object.starts_with(b"FEA1")? {
        Err(invalid(
            "the object is Feather of version 1; write version 2, which is Arrow's file format"
                .to_owned(),
        ))
    } else {
        csv::read(&object.into_bytes(memory)?, memory)
    }
}

fn invalid(text: String) -> CapabilityError {
    CapabilityError::Invalid(text)
}

#[cfg(test)]
mod profile_tests;
#[cfg(test)]
#[path = "../table_tests.rs"]
mod tests;
