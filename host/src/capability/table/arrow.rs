//! Arrow's file format, which is also Feather of version 2. Blocks are read one after another; a length that the object does not have
//! is refused before anything is reserved for it. Compressed files are refused: no decompressor of theirs is built in.

use super::column::{ColumnBuilder, kind_of};
use super::source::Source;
use super::{Answer, COLUMNS_MAX, Parsed, ROWS_MAX, invalid};
use crate::capability::budget::Reservation;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::reader::{FileDecoder, read_footer_length};
use arrow_ipc::{Block, root_as_footer};
use arrow_schema::{ArrowError, Schema};
use std::sync::Arc;

/// The end of a file: the footer's length and the magic number.
const TRAILER_BYTES: u64 = 10;
/// The magic number at the beginning, padded.
const MAGIC_BYTES: u64 = 8;
/// The least bytes of a block's message: a marker and a length.
const MESSAGE_BYTES_MIN: u64 = 8;
/// Rows of one step, so that words of a dictionary that unfold to a large column meet the budget early.
const READ_ROWS: usize = 8_192;

pub(super) fn read(object: &Source, memory: &mut Reservation) -> Answer<Parsed> {
    let footer = footer(object)?;
    let footer = root_as_footer(&footer).map_err(|error| damaged(&error))?;
    let schema = footer
        .schema()
        .ok_or_else(|| cut("its footer has no schema"))?;
    if !schema.endianness().equals_to_target_endianness() {
        return Err(invalid("the Arrow file is big-endian".to_owned()));
    }
    let schema = try_fb_to_schema(schema).map_err(|error| unreadable(&error))?;
    if schema.fields().len() > COLUMNS_MAX {
        return Err(CapabilityError::TooLarge(COLUMNS_MAX as u64));
    }
    let (mut parsed, places) = empty(&schema);
    let mut decoder = FileDecoder::new(Arc::new(schema), footer.version()).with_projection(places);
    let mut held = object.bytes_held();
    for block in footer.dictionaries().iter().flatten() {
        let bytes = bytes_of(object, block, held, memory)?;
        held += bytes.len() as u64;
        let known = decoder.read_dictionary(block, &bytes);
        known.map_err(|error| unreadable(&error))?;
    }
    let batches = footer.recordBatches();
    for block in batches.iter().flatten() {
        let bytes = bytes_of(object, block, held + built(&parsed), memory)?;
        let batch = decoder.read_record_batch(block, &bytes);
        let batch = batch.map_err(|error| unreadable(&error))?;
        let batch = batch.ok_or_else(|| cut("a batch of it is empty"))?;
        add(&mut parsed, &batch, held + bytes.len() as u64, memory)?;
    }
    Ok(parsed)
}

fn footer(object: &Source) -> Answer<Vec<u8>> {
    let end = object.size().checked_sub(TRAILER_BYTES);
    let end = end.filter(|end| *end >= MAGIC_BYTES);
    let end = end.ok_or_else(|| cut("it is shorter than an empty one"))?;
    let trailer = object.range(end, TRAILER_BYTES)?;
    let trailer = trailer.try_into().unwrap_or_default();
    let length =
        read_footer_length(trailer).map_err(|_| cut("it does not end in a footer and ARROW1"))?;
    let start = end.checked_sub(length as u64);
    let start = start.ok_or_else(|| cut("its footer is said to be longer than the file"))?;
    object.range(start, length as u64)
}

/// The columns that can be used, and their places in the file.
fn empty(schema: &Schema) -> (Parsed, Vec<usize>) {
    let mut parsed = Parsed {
        rows: 0,
        columns: Vec::new(),
        unusable: Vec::new(),
    };
    let mut places = Vec::new();
    for (place, field) in schema.fields().iter().enumerate() {
        let name = field.name().clone();
        if let Some(kind) = kind_of(field.data_type()) {
            parsed.columns.push((name, ColumnBuilder::new(kind)));
            places.push(place);
        } else {
            parsed.unusable.push((name, field.data_type().to_string()));
        }
    }
    (parsed, places)
}

/// A block's bytes, when `held` bytes are in memory besides.
fn bytes_of(object: &Source, block: &Block, held: u64, memory: &mut Reservation) -> Answer<Buffer> {
    let part = |length: i64| u64::try_from(length).ok();
    let found = part(block.offset())
        .zip(part(block.metaDataLength().into()))
        .zip(part(block.bodyLength()));
    let Some(((offset, message), body)) = found else {
        return Err(cut("a block has a negative length"));
    };
    let length = message.saturating_add(body);
    if message < MESSAGE_BYTES_MIN || length > object.size() {
        return Err(cut("a block has a length that the file has not"));
    }
    memory.grow_to(held + length)?;
    object.range(offset, length).map(Buffer::from_vec)
}

/// Adds a batch in steps, when `held` bytes are in memory besides.
fn add(
    parsed: &mut Parsed,
    batch: &RecordBatch,
    held: u64,
    memory: &mut Reservation,
) -> Answer<()> {
    if batch.num_rows() > ROWS_MAX.saturating_sub(parsed.rows) {
        return Err(CapabilityError::TooLarge(ROWS_MAX as u64));
    }
    for from in (0..batch.num_rows()).step_by(READ_ROWS) {
        let step = batch.slice(from, READ_ROWS.min(batch.num_rows() - from));
        for ((_, builder), array) in parsed.columns.iter_mut().zip(step.columns()) {
            builder.append_array(array)?;
        }
        memory.grow_to(held + built(parsed))?;
    }
    parsed.rows += batch.num_rows();
    Ok(())
}

fn built(parsed: &Parsed) -> u64 {
    let columns = parsed.columns.iter();
    columns.map(|(_, column)| column.bytes()).sum()
}

fn unreadable(error: &ArrowError) -> CapabilityError {
    let text = error.to_string();
    if text.contains("compression") || text.contains("lz4") || text.contains("zstd") {
        return invalid(
            "the Arrow file is compressed, which is not built into this Airlock; write it with compression \"uncompressed\", or as parquet"
                .to_owned(),
        );
    }
    invalid(format!("the Arrow file cannot be read: {text}"))
}

fn damaged(error: &dyn std::fmt::Display) -> CapabilityError {
    invalid(format!("the Arrow file is damaged: {error}"))
}

fn cut(what: &str) -> CapabilityError {
    invalid(format!("the Arrow file is damaged or cut short: {what}"))
}
