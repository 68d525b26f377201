//! Parquet in and out. The bytes that are written follow from columns and rows alone: row groups are cut by row number, whatever
//! the batches were.

use super::column::{ColumnBuilder, Values, kind_of, known_bytes};
use super::source::{OnDisk, Source};
use super::{Answer, COLUMNS_MAX, Parsed, ROWS_MAX, invalid, threads};
use crate::capability::budget::{Budget, Reservation};
use crate::capability::handles::lock;
use crate::capability::objects::Writer;
use crate::sandbox::bindings::airlock::operator::dataset::{Column, ColumnData, ColumnKind};
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use arrow_array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::ChunkReader;
use std::io;
use std::sync::{Arc, Mutex};

/// Rows of a row group that is written.
const ROW_GROUP_ROWS: usize = 65_536;
/// The most rows of one batch that a guest hands over.
const BATCH_ROWS_MAX: usize = 65_536;

pub(super) fn read(object: Source, memory: &mut Reservation) -> Answer<Parsed> {
    let held = object.bytes_held();
    match object {
        Source::Memory(bytes) => read_from(bytes, held, memory),
        Source::Disk(spooled) => read_from(OnDisk(Arc::new(spooled)), held, memory),
    }
}

/// `file_bytes` of the object are in memory.
fn read_from<R: ChunkReader + Clone + 'static>(
    object: R,
    file_bytes: u64,
    memory: &mut Reservation,
) -> Answer<Parsed> {
    let metadata = ArrowReaderMetadata::load(&object, ArrowReaderOptions::new())
        .map_err(|error| unreadable(&error))?;
    let fields = metadata.schema().fields();
    if fields.len() > COLUMNS_MAX {
        return Err(CapabilityError::TooLarge(COLUMNS_MAX as u64));
    }
    let told = metadata.metadata().file_metadata().num_rows();
    let rows = usize::try_from(told)
        .map_err(|_| invalid(format!("the parquet file is damaged: it has {told} rows")))?;
    if rows > ROWS_MAX {
        return Err(CapabilityError::TooLarge(ROWS_MAX as u64));
    }
    let (mut usable, mut unusable) = (Vec::new(), Vec::new());
    for (place, field) in fields.iter().enumerate() {
        match kind_of(field.data_type()) {
            Some(kind) => usable.push((place, field.name(), kind)),
            None => unusable.push((field.name().clone(), field.data_type().to_string())),
        }
    }
    let file = Columns {
        object,
        metadata: metadata.clone(),
        rows,
        held: Mutex::new((file_bytes, memory)),
    };
    let columns = threads::each(&usable, |(place, name, kind)| {
        Ok(((*name).clone(), file.column(*place, *kind)?))
    })?;
    Ok(Parsed {
        rows,
        columns: columns.into_iter().collect::<Answer<_>>()?,
        unusable,
    })
}

/// A file whose columns are read by several threads.
struct Columns<'a, R> {
    object: R,
    metadata: ArrowReaderMetadata,
    /// Rows that every column must have.
    rows: usize,
    /// Bytes held so far, by the file and by all columns.
    held: Mutex<(u64, &'a mut Reservation)>,
}

impl<R: ChunkReader + Clone + 'static> Columns<'_, R> {
    fn column(&self, place: usize, kind: ColumnKind) -> Answer<ColumnBuilder> {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(
            self.object.clone(),
            self.metadata.clone(),
        );
        let mask = ProjectionMask::roots(builder.parquet_schema(), [place]);
        let reader = builder
            .with_projection(mask)
            .with_batch_size(read_rows(kind))
            .build()
            .map_err(|error| unreadable(&error))?;
        // Held before it is allocated: a file that tells of more rows than it has gets no memory for them.
        let mut counted = known_bytes(kind, self.rows);
        self.hold(counted)?;
        let mut column = ColumnBuilder::for_rows(kind, self.rows);
        let mut rows = 0;
        for batch in reader {
            let batch = batch.map_err(|error| damaged(&error.to_string()))?;
            rows += batch.num_rows();
            for array in batch.columns() {
                column.append_array(array)?;
            }
            self.hold(column.bytes().saturating_sub(counted))?;
            counted = counted.max(column.bytes());
        }
        if rows != self.rows {
            let told = self.rows;
            return Err(damaged(&format!(
                "a column has {rows} rows, the file tells of {told}"
            )));
        }
        Ok(column)
    }

    fn hold(&self, more: u64) -> Answer<()> {
        let mut held = lock(&self.held);
        held.0 += more;
        let all = held.0;
        held.1.grow_to(all)
    }
}

/// Rows of one step while reading, so that a small file that unfolds to a large table meets the budget early: few where one value may
/// be large.
fn read_rows(kind: ColumnKind) -> usize {
    match kind {
        ColumnKind::Text | ColumnKind::Float64List => 1_024,
        _ => 16_384,
    }
}

fn damaged(what: &str) -> CapabilityError {
    invalid(format!("the parquet file is damaged: {what}"))
}

fn unreadable(error: &ParquetError) -> CapabilityError {
    invalid(format!("the parquet file cannot be read: {error}"))
}

/// A parquet table that is being written.
pub(in super::super) struct TableWriter {
    columns: Vec<ColumnBuilder>,
    schema: SchemaRef,
    /// Rows in the builders.
    pending: usize,
    writer: ArrowWriter<Writer>,
    memory: Reservation,
}

impl TableWriter {
    pub(in super::super) fn new(
        object: Writer,
        columns: &[Column],
        budget: &Budget,
    ) -> Answer<Self> {
        if columns.is_empty() || columns.len() > COLUMNS_MAX {
            return Err(invalid(format!("a table has 1 to {COLUMNS_MAX} columns")));
        }
        let mut names = std::collections::BTreeSet::new();
        if let Some(twice) = columns.iter().find(|column| !names.insert(&column.name)) {
            return Err(invalid(format!("column {:?} is there twice", twice.name)));
        }
        let fields: Vec<Field> = columns
            .iter()
            .map(|column| Field::new(&column.name, arrow_type(column.kind), true))
            .collect();
        let schema = Arc::new(Schema::new(fields));
        let properties = WriterProperties::builder()
            .set_created_by("airlock".to_owned())
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .build();
        let writer = ArrowWriter::try_new(object, Arc::clone(&schema), Some(properties));
        Ok(Self {
            columns: columns
                .iter()
                .map(|column| ColumnBuilder::new(column.kind))
                .collect(),
            schema,
            pending: 0,
            writer: writer.map_err(|error| unwritable(&error))?,
            memory: budget.take(0)?,
        })
    }

    /// Adds a batch: all of it or, where it does not fit the columns, nothing.
    pub(in super::super) fn append(&mut self, batch: &[ColumnData]) -> Answer<()> {
        let rows = batch.first().map_or(0, length);
        if rows > BATCH_ROWS_MAX {
            return Err(CapabilityError::TooLarge(BATCH_ROWS_MAX as u64));
        }
        let fits = |(column, data): (&ColumnBuilder, &ColumnData)| {
            length(data) == rows && column_takes(column, data)
        };
        if batch.len() != self.columns.len() || !self.columns.iter().zip(batch).all(fits) {
            return Err(invalid(
                "a batch has one entry a column, of the column's kind, all of one length"
                    .to_owned(),
            ));
        }
        let mut from = 0;
        while from < rows {
            let to = rows.min(from + ROW_GROUP_ROWS - self.pending);
            for (column, data) in self.columns.iter_mut().zip(batch) {
                column.append_data(data, from, to)?;
            }
            self.pending += to - from;
            from = to;
            let held: u64 = self.columns.iter().map(ColumnBuilder::bytes).sum();
            self.memory.grow_to(held)?;
            if self.pending == ROW_GROUP_ROWS {
                self.write_group()?;
            }
        }
        Ok(())
    }

    fn write_group(&mut self) -> Answer<()> {
        let arrays = self.columns.iter_mut().map(|column| array(column.take()));
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays.collect())
            .map_err(|error| invalid(error.to_string()))?;
        self.pending = 0;
        self.writer
            .write(&batch)
            .and_then(|()| self.writer.flush())
            .map_err(|error| unwritable(&error))
    }

    /// Makes the table visible, durably; yields the SHA-256 of its bytes in hex.
    pub(in super::super) fn finish(mut self) -> Answer<String> {
        if self.pending > 0 {
            self.write_group()?;
        }
        let object = self.writer.into_inner();
        object.map_err(|error| unwritable(&error))?.finish()
    }
}

/// The answer of the object's own writer where it is the cause.
fn unwritable(error: &ParquetError) -> CapabilityError {
    if let ParquetError::External(cause) = error
        && let Some(cause) = cause.downcast_ref::<io::Error>()
        && let Some(answer) = cause.get_ref()
        && let Some(answer) = answer.downcast_ref::<CapabilityError>()
    {
        return answer.clone();
    }
    CapabilityError::Unavailable(format!("the parquet file cannot be written: {error}"))
}

fn arrow_type(kind: ColumnKind) -> DataType {
    match kind {
        ColumnKind::Boolean => DataType::Boolean,
        ColumnKind::Int64 => DataType::Int64,
        ColumnKind::Float64 => DataType::Float64,
        ColumnKind::Text => DataType::Utf8,
        ColumnKind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ColumnKind::Float64List => {
            DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true)))
        }
    }
}

fn array(values: Values) -> ArrayRef {
    match values {
        Values::Boolean(values) => Arc::new(values),
        Values::Int64(values) => Arc::new(values),
        Values::Float64(values) => Arc::new(values),
        Values::Text(values) => Arc::new(values),
        Values::Timestamp(values) => {
            let times: TimestampMicrosecondArray = values.reinterpret_cast();
            Arc::new(times.with_timezone("UTC"))
        }
        Values::Float64List(values) => Arc::new(values),
    }
}

fn length(data: &ColumnData) -> usize {
    match data {
        ColumnData::Booleans(values) => values.len(),
        ColumnData::Int64s(values) | ColumnData::Timestamps(values) => values.len(),
        ColumnData::Float64s(values) => values.len(),
        ColumnData::Texts(values) => values.len(),
        ColumnData::Float64Lists(values) => values.len(),
    }
}

fn column_takes(column: &ColumnBuilder, data: &ColumnData) -> bool {
    matches!(
        (column, data),
        (ColumnBuilder::Boolean(_), ColumnData::Booleans(_))
            | (ColumnBuilder::Int64(_), ColumnData::Int64s(_))
            | (ColumnBuilder::Float64(_), ColumnData::Float64s(_))
            | (ColumnBuilder::Text(_), ColumnData::Texts(_))
            | (ColumnBuilder::Timestamp(_), ColumnData::Timestamps(_))
            | (ColumnBuilder::Float64List(_), ColumnData::Float64Lists(_))
    )
}
