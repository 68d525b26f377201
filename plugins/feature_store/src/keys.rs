//! Keys of entities as small numbers, in the order in which they were first seen. A key with a null in it is nobody's.

use airlock_sdk::TaskError;
use airlock_sdk::dataset::ColumnData;
use std::collections::HashMap;

/// The number of a key. There are fewer keys than rows, and fewer rows than 2^32.
pub(crate) type Id = u32;

/// Known keys.
pub(crate) enum Index {
    /// Keys of one integer, timestamp or boolean.
    Number(HashMap<i64, Id>),
    /// All others: the values one after the other, texts after their length.
    Bytes(HashMap<Box<[u8]>, Id>),
}

/// The keys of some rows.
pub(crate) struct Keys {
    columns: Vec<ColumnData>,
}

impl Keys {
    pub(crate) fn new(columns: Vec<ColumnData>) -> Self {
        Self { columns }
    }

    /// The key as one number, where it is one.
    fn number(&self, row: usize) -> Option<i64> {
        match self.columns.as_slice() {
            [ColumnData::Int64s(values) | ColumnData::Timestamps(values)] => {
                values.get(row).copied().flatten()
            }
            [ColumnData::Booleans(values)] => values.get(row).copied().flatten().map(i64::from),
            _ => None,
        }
    }

    /// The key as bytes, into `buffer`; false where it holds a null.
    fn bytes(&self, row: usize, buffer: &mut Vec<u8>) -> bool {
        buffer.clear();
        self.columns.iter().all(|column| match column {
            ColumnData::Int64s(values) | ColumnData::Timestamps(values) => {
                let value = values.get(row).copied().flatten();
                value
                    .map(|value| buffer.extend(value.to_le_bytes()))
                    .is_some()
            }
            ColumnData::Booleans(values) => {
                let value = values.get(row).copied().flatten();
                value.map(|value| buffer.push(value.into())).is_some()
            }
            ColumnData::Texts(values) => {
                let value = values.get(row).and_then(Option::as_ref);
                let add = |text: &String| {
                    buffer.extend((text.len() as u64).to_le_bytes());
                    buffer.extend(text.as_bytes());
                };
                value.map(add).is_some()
            }
            ColumnData::Float64s(_) | ColumnData::Float64Lists(_) => false,
        })
    }
}

impl Index {
    /// An index for keys of columns like these.
    pub(crate) fn for_keys(columns: &[airlock_sdk::dataset::Column]) -> Self {
        use airlock_sdk::dataset::ColumnKind::{Boolean, Int64, Timestamp};
        match columns {
            [column] if matches!(column.kind, Int64 | Timestamp | Boolean) => {
                Self::Number(HashMap::new())
            }
            _ => Self::Bytes(HashMap::new()),
        }
    }

    /// How many keys are known.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Number(known) => known.len(),
            Self::Bytes(known) => known.len(),
        }
    }

    /// The number of a row's key, if it is known.
    pub(crate) fn find(&self, keys: &Keys, row: usize, buffer: &mut Vec<u8>) -> Option<Id> {
        match self {
            Self::Number(known) => known.get(&keys.number(row)?).copied(),
            Self::Bytes(known) if keys.bytes(row, buffer) => known.get(buffer.as_slice()).copied(),
            Self::Bytes(_) => None,
        }
    }

    /// The number of a row's key, a new one where it is not known; none for a null.
    pub(crate) fn add(
        &mut self,
        keys: &Keys,
        row: usize,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Id>, TaskError> {
        if let Some(id) = self.find(keys, row, buffer) {
            return Ok(Some(id));
        }
        let next = Id::try_from(self.len())
            .map_err(|_| TaskError::permanent("there are over 2^32 different keys"))?;
        match self {
            Self::Number(known) => {
                let Some(key) = keys.number(row) else {
                    return Ok(None);
                };
                known.insert(key, next);
            }
            Self::Bytes(known) => {
                if !keys.bytes(row, buffer) {
                    return Ok(None);
                }
                known.insert(buffer.clone().into_boxed_slice(), next);
            }
        }
        Ok(Some(next))
    }
}
