//! Checkpoints, exports and imports of the local store. It owns which checkpoint may be believed and which journal files may go:
//! only those behind two checkpoints that were read back whole. It refuses to remove anything on a guess.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use super::CHECKPOINT;
use super::shared::Shared;
use crate::store::archive::{self, Header, Kind, Record};
use crate::store::blobs::BlobStore;
use crate::store::codec;
use crate::store::files;
use crate::store::index::Index;
use crate::store::journal::{self, Journal, SEGMENT_BYTES};
use crate::store::keys::{self, Range};
use crate::store::types::{Position, StoreError};
use crate::store::view::IDEMPOTENCY_POSITIONS;

/// How many checkpoints are kept.
const KEPT: usize = 2;
/// How many forgotten idempotency keys one checkpoint removes.
const FORGET_MAX: usize = 65_536;

/// Checkpoints by position, oldest first.
pub(super) fn list(dir: &Path) -> Result<Vec<(Position, PathBuf)>, StoreError> {
    files::numbered(dir, CHECKPOINT)
}

fn open(path: &Path) -> Result<archive::Reader<File>, StoreError> {
    let file = File::open(path).map_err(files::refused("open", path))?;
    archive::Reader::start(file, &path.display().to_string())
}

/// A checkpoint's header, which is checked by itself.
pub(super) fn header(path: &Path) -> Result<Header, StoreError> {
    open(path).map(|reader| reader.header())
}

/// Reads a whole archive and checks its end.
pub(super) fn verify(path: &Path) -> Result<Header, StoreError> {
    let mut reader = open(path)?;
    while reader.next()?.is_some() {}
    Ok(reader.header())
}

/// Fills an empty index with a checkpoint that was verified.
pub(super) fn load(path: &Path, index: &Index) -> Result<Position, StoreError> {
    let mut reader = open(path)?;
    let position = reader.header().position;
    index.build(position, || match reader.next()? {
        Some(Record::Pair(key, value)) => Ok(Some((key, value))),
        Some(Record::Blob(..)) => Err(codec::Malformed.at(&path.display().to_string())),
        None => Ok(None),
    })?;
    Ok(position)
}

/// Writes everything in the index to a file. Only the applier calls this: nobody else changes the index.
pub(super) fn snapshot(shared: &Shared, path: &Path) -> Result<Position, StoreError> {
    let position = shared.index.applied()?.unwrap_or(0);
    let file = File::create(path).map_err(files::refused("create", path))?;
    let header = Header::new(Kind::Checkpoint, position);
    let mut writer = archive::Writer::start(&file, &header, &path.display().to_string())?;
    let mut forgotten = Vec::new();
    for pair in shared.index.range(&Range::prefix(vec![keys::KEY_FORMAT])) {
        let (key, value) = pair?;
        if is_forgotten(&key, &value, position) {
            if forgotten.len() < FORGET_MAX {
                forgotten.push(key);
            }
        } else if key != keys::applied() {
            writer.pair(&key, &value)?;
        }
    }
    writer.finish()?;
    file.sync_all().map_err(files::refused("sync", path))?;
    shared.index.forget(&forgotten)?;
    Ok(position)
}

fn is_forgotten(key: &[u8], value: &[u8], position: Position) -> bool {
    keys::is_idempotency(key)
        && codec::parse_receipt(value)
            .is_ok_and(|(made, _)| made.saturating_add(IDEMPOTENCY_POSITIONS) <= position)
}

/// Writes a checkpoint, reads it back, and lets go what two good checkpoints make needless.
pub(super) fn write(shared: &Shared) -> Result<Position, StoreError> {
    let tmp = shared.paths.scratch("checkpoint");
    let written = write_by_way_of(shared, &tmp);
    if written.is_err() {
        // On a full disk the half-written file must go; the first error is the one to tell.
        let _ = files::remove(&tmp);
    }
    written
}

fn write_by_way_of(shared: &Shared, tmp: &Path) -> Result<Position, StoreError> {
    let position = snapshot(shared, tmp)?;
    let path = files::numbered_path(&shared.paths.checkpoints, position, CHECKPOINT);
    if position == 0 || verify(&path).is_ok() {
        files::remove(tmp)?;
    } else {
        verify(tmp)?;
        std::fs::rename(tmp, &path).map_err(files::refused("name", &path))?;
        files::sync_dir(&shared.paths.checkpoints)?;
    }
    tidy(shared)?;
    Ok(position)
}

fn tidy(shared: &Shared) -> Result<(), StoreError> {
    let _upkeep = shared.upkeep.lock().unwrap_or_else(PoisonError::into_inner);
    let all = list(&shared.paths.checkpoints)?;
    let newest: Vec<_> = all.iter().rev().take(KEPT).collect();
    if newest.len() < KEPT || newest.iter().any(|(_, path)| verify(path).is_err()) {
        return Ok(());
    }
    for (_, path) in all.iter().rev().skip(KEPT) {
        files::remove(path)?;
    }
    let oldest = newest.last().map_or(0, |(position, _)| *position);
    journal::truncate(&shared.paths.journal, oldest).map(|_| ())
}

/// Turns a snapshot and the blobs into an export.
pub(super) fn export(
    snapshot: &Path,
    blobs: &BlobStore,
    to: &mut dyn Write,
) -> Result<u64, StoreError> {
    let mut reader = open(snapshot)?;
    let header = Header::new(Kind::Export, reader.header().position);
    let mut writer = archive::Writer::start(to, &header, "the export")?;
    while let Some(record) = reader.next()? {
        if let Record::Pair(key, value) = record {
            writer.pair(&key, &value)?;
        }
    }
    for digest in blobs.list()? {
        if let Some(bytes) = blobs.get(&digest)? {
            writer.blob(&digest, &bytes)?;
        }
    }
    writer.finish()
}

/// Reads an export to its verified end: blobs into their place, the rest into a checkpoint file at `path`.
pub(super) fn receive(
    path: &Path,
    shared: &Shared,
    from: &mut dyn Read,
) -> Result<(Position, u64), StoreError> {
    let mut reader = archive::Reader::start(from, "the import")?;
    let header = Header {
        kind: Kind::Checkpoint,
        imported: true,
        ..reader.header()
    };
    let file = File::create(path).map_err(files::refused("create", path))?;
    let mut writer = archive::Writer::start(&file, &header, &path.display().to_string())?;
    while let Some(record) = reader.next()? {
        match record {
            Record::Pair(key, _) if keys::family(&key).is_none() => {
                return Err(codec::Malformed.at("the import"));
            }
            Record::Pair(key, value) => writer.pair(&key, &value)?,
            Record::Blob(digest, bytes) => {
                shared
                    .blobs
                    .put(&[(digest, bytes)], shared.clock.now_ms())?;
            }
        }
    }
    writer.finish()?;
    file.sync_all().map_err(files::refused("sync", path))?;
    Ok((header.position, reader.count()))
}

/// Makes a received checkpoint the state of an empty store. Once it has its name, the next start finishes what a crash leaves.
pub(super) fn install(
    shared: &Shared,
    received: &Path,
    position: Position,
) -> Result<Option<Journal>, StoreError> {
    if position == 0 {
        return Ok(None);
    }
    let path = files::numbered_path(&shared.paths.checkpoints, position, CHECKPOINT);
    std::fs::rename(received, &path).map_err(files::refused("name", &path))?;
    files::sync_dir(&shared.paths.checkpoints)?;
    let journal = begin_behind(&shared.paths.journal, position)?;
    load(&path, &shared.index)?;
    Ok(Some(journal))
}

/// Replaces a journal without frames by one that begins behind an imported checkpoint.
pub(super) fn begin_behind(dir: &Path, position: Position) -> Result<Journal, StoreError> {
    for (_, path) in files::numbered(dir, journal::EXTENSION)? {
        files::remove(&path)?;
    }
    files::sync_dir(dir)?;
    Journal::create(dir, position + 1, SEGMENT_BYTES)
}
