//! Columns: the six kinds as Arrow arrays, and the builder that brings other Arrow types to them.

use super::{Answer, invalid};
use crate::sandbox::bindings::airlock::operator::dataset::{ColumnData, ColumnKind};
use arrow_array::builder::{
    BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, StringBuilder,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Date64Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, StringArray,
};
use arrow_schema::{DataType, TimeUnit};

/// A finished column. Timestamps are microseconds since the epoch.
pub(in super::super) enum Values {
    Boolean(BooleanArray),
    Int64(Int64Array),
    Float64(Float64Array),
    Text(StringArray),
    Timestamp(Int64Array),
    Float64List(ListArray),
}

/// A column that is being read or written.
pub(in super::super) enum ColumnBuilder {
    Boolean(BooleanBuilder),
    Int64(Int64Builder),
    Float64(Float64Builder),
    Text(StringBuilder),
    Timestamp(Int64Builder),
    Float64List(ListBuilder<Float64Builder>),
}

/// The kind that an Arrow type becomes, or none where it has none.
pub(super) fn kind_of(data_type: &DataType) -> Option<ColumnKind> {
    Some(match data_type {
        DataType::Boolean => ColumnKind::Boolean,
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64 => ColumnKind::Int64,
        DataType::Float32 | DataType::Float64 => ColumnKind::Float64,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ColumnKind::Text,
        DataType::Dictionary(_, values) => match kind_of(values)? {
            ColumnKind::Text => ColumnKind::Text,
            _ => return None,
        },
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => ColumnKind::Timestamp,
        DataType::List(item) | DataType::LargeList(item) => match kind_of(item.data_type())? {
            ColumnKind::Float64 | ColumnKind::Int64 => ColumnKind::Float64List,
            _ => return None,
        },
        _ => return None,
    })
}

/// Bytes of so many rows of a kind, as far as the kind alone tells.
pub(super) fn known_bytes(kind: ColumnKind, rows: usize) -> u64 {
    match kind {
        ColumnKind::Int64 | ColumnKind::Float64 | ColumnKind::Timestamp => 8 * rows as u64,
        ColumnKind::Boolean | ColumnKind::Text | ColumnKind::Float64List => 0,
    }
}

/// Appends every value of a primitive array, converted.
macro_rules! append_all {
    ($builder:expr, $array:expr, $kind:ty, $convert:expr) => {
        for value in $array.as_primitive::<$kind>() {
            $builder.append_option(value.map($convert).transpose()?);
        }
    };
}

impl ColumnBuilder {
    pub(in super::super) fn new(kind: ColumnKind) -> Self {
        match kind {
            ColumnKind::Boolean => Self::Boolean(BooleanBuilder::new()),
            ColumnKind::Int64 => Self::Int64(Int64Builder::new()),
            ColumnKind::Float64 => Self::Float64(Float64Builder::new()),
            ColumnKind::Text => Self::Text(StringBuilder::new()),
            ColumnKind::Timestamp => Self::Timestamp(Int64Builder::new()),
            ColumnKind::Float64List => Self::Float64List(ListBuilder::new(Float64Builder::new())),
        }
    }

    /// One with place for so many rows where a row's size is known; see `known_bytes`.
    pub(super) fn for_rows(kind: ColumnKind, rows: usize) -> Self {
        match kind {
            ColumnKind::Int64 => Self::Int64(Int64Builder::with_capacity(rows)),
            ColumnKind::Float64 => Self::Float64(Float64Builder::with_capacity(rows)),
            ColumnKind::Timestamp => Self::Timestamp(Int64Builder::with_capacity(rows)),
            ColumnKind::Boolean | ColumnKind::Text | ColumnKind::Float64List => Self::new(kind),
        }
    }

    /// Adds a whole array whose type has this builder's kind.
    pub(super) fn append_array(&mut self, array: &ArrayRef) -> Answer<()> {
        match self {
            Self::Boolean(builder) => builder.append_array(array.as_boolean()),
            Self::Int64(builder) => append_integers(builder, array)?,
            Self::Float64(builder) => append_floats(builder, array)?,
            Self::Text(builder) => append_texts(builder, array)?,
            Self::Timestamp(builder) => append_timestamps(builder, array)?,
            Self::Float64List(builder) => append_lists(builder, array)?,
        }
        Ok(())
    }

    /// Adds rows `from..to` of guest data of the same kind.
    pub(super) fn append_data(&mut self, data: &ColumnData, from: usize, to: usize) -> Answer<()> {
        let rows = from..to;
        match (self, data) {
            (Self::Boolean(builder), ColumnData::Booleans(values)) => {
                for value in values.get(rows).unwrap_or_default() {
                    builder.append_option(*value);
                }
            }
            (Self::Int64(builder), ColumnData::Int64s(values))
            | (Self::Timestamp(builder), ColumnData::Timestamps(values)) => {
                for value in values.get(rows).unwrap_or_default() {
                    builder.append_option(*value);
                }
            }
            (Self::Float64(builder), ColumnData::Float64s(values)) => {
                for value in values.get(rows).unwrap_or_default() {
                    builder.append_option(*value);
                }
            }
            (Self::Text(builder), ColumnData::Texts(values)) => {
                for value in values.get(rows).unwrap_or_default() {
                    builder.append_option(value.as_ref());
                }
            }
            (Self::Float64List(builder), ColumnData::Float64Lists(values)) => {
                for value in values.get(rows).unwrap_or_default() {
                    builder
                        .values()
                        .append_slice(value.as_deref().unwrap_or_default());
                    builder.append(value.is_some());
                }
            }
            _ => {
                return Err(invalid(
                    "a column of the batch is of another kind than the table's".to_owned(),
                ));
            }
        }
        Ok(())
    }

    /// About the bytes that it holds.
    pub(super) fn bytes(&self) -> u64 {
        use arrow_array::builder::ArrayBuilder as _;
        let bytes = match self {
            Self::Boolean(builder) => builder.len() / 4,
            Self::Int64(builder) | Self::Timestamp(builder) => 8 * builder.len(),
            Self::Float64(builder) => 8 * builder.len(),
            Self::Text(builder) => 4 * builder.len() + builder.values_slice().len(),
            Self::Float64List(builder) => 4 * builder.len() + 8 * builder.values_ref().len(),
        };
        bytes as u64
    }

    pub(super) fn finish(mut self) -> Values {
        self.take()
    }

    /// What was built so far; the builder begins anew.
    pub(super) fn take(&mut self) -> Values {
        match self {
            Self::Boolean(builder) => Values::Boolean(builder.finish()),
            Self::Int64(builder) => Values::Int64(builder.finish()),
            Self::Float64(builder) => Values::Float64(builder.finish()),
            Self::Text(builder) => Values::Text(builder.finish()),
            Self::Timestamp(builder) => Values::Timestamp(builder.finish()),
            Self::Float64List(builder) => Values::Float64List(builder.finish()),
        }
    }
}

impl Values {
    pub(in super::super) fn kind(&self) -> ColumnKind {
        match self {
            Self::Boolean(_) => ColumnKind::Boolean,
            Self::Int64(_) => ColumnKind::Int64,
            Self::Float64(_) => ColumnKind::Float64,
            Self::Text(_) => ColumnKind::Text,
            Self::Timestamp(_) => ColumnKind::Timestamp,
            Self::Float64List(_) => ColumnKind::Float64List,
        }
    }

    /// The value of a row as a number; booleans are 0 and 1. None: null, or no number at all.
    #[expect(
        clippy::cast_precision_loss,
        reason = "integers over 2^53 lose low bits, as in every tool that takes float features"
    )]
    pub(super) fn number(&self, row: usize) -> Option<f64> {
        match self {
            Self::Boolean(values) => values
                .is_valid(row)
                .then(|| f64::from(u8::from(values.value(row)))),
            Self::Int64(values) | Self::Timestamp(values) => {
                values.is_valid(row).then(|| values.value(row) as f64)
            }
            Self::Float64(values) => values.is_valid(row).then(|| values.value(row)),
            Self::Text(_) | Self::Float64List(_) => None,
        }
    }

    pub(super) fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Boolean(values) => values.is_null(row),
            Self::Int64(values) | Self::Timestamp(values) => values.is_null(row),
            Self::Float64(values) => values.is_null(row),
            Self::Text(values) => values.is_null(row),
            Self::Float64List(values) => values.is_null(row),
        }
    }
}

fn append_integers(builder: &mut Int64Builder, array: &ArrayRef) -> Answer<()> {
    let unsigned = |value: u64| {
        i64::try_from(value)
            .map_err(|_| invalid(format!("{value} does not fit into a signed 64-bit integer")))
    };
    match array.data_type() {
        DataType::Int8 => append_all!(builder, array, Int8Type, |value| Ok(i64::from(value))),
        DataType::Int16 => append_all!(builder, array, Int16Type, |value| Ok(i64::from(value))),
        DataType::Int32 => append_all!(builder, array, Int32Type, |value| Ok(i64::from(value))),
        DataType::Int64 => builder.append_array(array.as_primitive::<Int64Type>()),
        DataType::UInt8 => append_all!(builder, array, UInt8Type, |value| Ok(i64::from(value))),
        DataType::UInt16 => append_all!(builder, array, UInt16Type, |value| Ok(i64::from(value))),
        DataType::UInt32 => append_all!(builder, array, UInt32Type, |value| Ok(i64::from(value))),
        DataType::UInt64 => append_all!(builder, array, UInt64Type, unsigned),
        other => return Err(changed(other)),
    }
    Ok(())
}

fn append_floats(builder: &mut Float64Builder, array: &ArrayRef) -> Answer<()> {
    match array.data_type() {
        DataType::Float32 => append_all!(builder, array, Float32Type, |value| Ok(f64::from(value))),
        DataType::Float64 => builder.append_array(array.as_primitive::<Float64Type>()),
        other => return Err(changed(other)),
    }
    Ok(())
}

fn append_timestamps(builder: &mut Int64Builder, array: &ArrayRef) -> Answer<()> {
    let scaled = |factor: i64| {
        move |value: i64| {
            value
                .checked_mul(factor)
                .ok_or_else(|| invalid(format!("timestamp {value} is out of range")))
        }
    };
    let days = |value: i32| Ok(i64::from(value) * 86_400_000_000);
    let nanos = |value: i64| Ok(value.div_euclid(1_000));
    match array.data_type() {
        DataType::Date32 => append_all!(builder, array, Date32Type, days),
        DataType::Date64 => append_all!(builder, array, Date64Type, scaled(1_000)),
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => append_all!(builder, array, TimestampSecondType, scaled(1_000_000)),
            TimeUnit::Millisecond => {
                append_all!(builder, array, TimestampMillisecondType, scaled(1_000));
            }
            TimeUnit::Microsecond => {
                let times = array.as_primitive::<TimestampMicrosecondType>();
                builder.append_array(&times.reinterpret_cast());
            }
            TimeUnit::Nanosecond => append_all!(builder, array, TimestampNanosecondType, nanos),
        },
        other => return Err(changed(other)),
    }
    Ok(())
}

fn append_texts(builder: &mut StringBuilder, array: &ArrayRef) -> Answer<()> {
    match array.data_type() {
        DataType::Utf8 => builder
            .append_array(array.as_string::<i32>())
            .map_err(|error| invalid(format!("a column of text is too long: {error}")))?,
        DataType::LargeUtf8 => {
            for value in array.as_string::<i64>() {
                builder.append_option(value);
            }
        }
        DataType::Utf8View => {
            for value in array.as_string_view() {
                builder.append_option(value);
            }
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let mut words = StringBuilder::new();
            append_texts(&mut words, dictionary.values())?;
            let words = words.finish();
            // Keys of null rows mean nothing, and there are no keys to ask for without words.
            let keys = if words.is_empty() {
                vec![0; array.len()]
            } else {
                dictionary.normalized_keys()
            };
            for (row, key) in keys.into_iter().enumerate() {
                let known = key < words.len() && words.is_valid(key) && array.is_valid(row);
                builder.append_option(known.then(|| words.value(key)));
            }
        }
        other => return Err(changed(other)),
    }
    Ok(())
}

fn append_lists(builder: &mut ListBuilder<Float64Builder>, array: &ArrayRef) -> Answer<()> {
    for row in 0..array.len() {
        let items = match array.data_type() {
            _ if array.is_null(row) => None,
            DataType::List(_) => Some(array.as_list::<i32>().value(row)),
            DataType::LargeList(_) => Some(array.as_list::<i64>().value(row)),
            other => return Err(changed(other)),
        };
        if let Some(items) = &items {
            append_items(builder.values(), items)?;
        }
        builder.append(items.is_some());
    }
    Ok(())
}

/// Numbers of one list; a null inside is NaN.
#[expect(
    clippy::cast_precision_loss,
    reason = "integers over 2^53 lose low bits, as in every tool that takes float features"
)]
fn append_items(builder: &mut Float64Builder, items: &ArrayRef) -> Answer<()> {
    if kind_of(items.data_type()) == Some(ColumnKind::Int64) {
        let mut integers = Int64Builder::new();
        append_integers(&mut integers, items)?;
        for value in &integers.finish() {
            builder.append_value(value.map_or(f64::NAN, |value| value as f64));
        }
        return Ok(());
    }
    let mut floats = Float64Builder::new();
    append_floats(&mut floats, items)?;
    for value in &floats.finish() {
        builder.append_value(value.unwrap_or(f64::NAN));
    }
    Ok(())
}

fn changed(
    data_type: &DataType,
) -> crate::sandbox::bindings::airlock::operator::types::CapabilityError {
    invalid(format!(
        "a column changes its type to {data_type} inside the file"
    ))
}
