//! Opening the folder: what a crash, a power cut or a bad disk left is found and either repaired exactly or refused. It owns that
//! judgement. Nothing acknowledged is ever dropped to get going.

use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

use super::shared::{Paths, Shared, Start};
use super::{Options, checkpoint};
use crate::store::blobs::BlobStore;
use crate::store::files;
use crate::store::index::{self, Index};
use crate::store::journal::{EXTENSION, Journal, scan};
use crate::store::mark::{self, Mark};
use crate::store::memtable::Memtable;
use crate::store::types::{Position, StoreError};

/// While replaying, changes go into the index whenever they have this many bytes.
const REPLAY_BYTES: usize = 8 << 20;

/// Opens or makes a store.
pub(super) fn open(dir: &Path, options: &Options) -> Result<(Shared, Journal), StoreError> {
    files::ensure_dir(dir)?;
    let paths = Paths::new(dir);
    let lock = lock(&paths.lock)?;
    for dir in [&paths.journal, &paths.checkpoints] {
        files::ensure_dir(dir)?;
    }
    sweep(&paths.checkpoints)?;
    let mark = Mark::read(dir)?;
    let found = survey(&paths, mark.as_ref())?;
    let blobs = BlobStore::open(&paths.blobs)?;
    let (index, applied) = open_index(&paths, mark.as_ref(), &found)?;
    let unclean = Mark {
        boot: mark::boot_id(),
        position: found.end,
        clean: None,
    };
    unclean.write(dir)?;
    let active = replay(&paths, &index, applied, found.end)?;
    let journal = match &found.newest {
        Some((path, length)) if *length > 0 => Journal::open(path, *length, options.segment_bytes)?,
        _ => Journal::create(&paths.journal, found.end + 1, options.segment_bytes)?,
    };
    let since_checkpoint = bytes_behind(&paths.journal, &found)?;
    let shared = Shared::new(Start {
        since_checkpoint,
        paths,
        index,
        blobs,
        clock: options.clock.clone(),
        lock,
        active,
        position: found.end,
        checkpoint_bytes: options.checkpoint_bytes,
    });
    Ok((shared, journal))
}

/// One process at a time. The lock goes with the process, however it ends.
fn lock(path: &Path) -> Result<File, StoreError> {
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(files::refused("lock", path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // The holder's number is a help, not a condition.
            let _ = file.read_to_string(&mut holder);
            return Err(StoreError::InUse(format!(
                "{}, process {}",
                path.display(),
                holder.trim()
            )));
        }
        Err(TryLockError::Error(error)) => return Err(files::refused("lock", path)(error)),
    }
    file.set_len(0)
        .and_then(|()| file.write_all(std::process::id().to_string().as_bytes()))
        .map_err(files::refused("lock", path))?;
    Ok(file)
}

/// Removes unfinished checkpoints and imports.
fn sweep(dir: &Path) -> Result<(), StoreError> {
    for entry in std::fs::read_dir(dir).map_err(files::refused("list", dir))? {
        let path = entry.map_err(files::refused("list", dir))?.path();
        if path.extension().is_some_and(|extension| extension == "tmp") {
            files::remove(&path)?;
        }
    }
    Ok(())
}

/// Journal bytes in segments that begin behind the newest checkpoint.
fn bytes_behind(journal: &Path, found: &Found) -> Result<u64, StoreError> {
    let newest = found
        .checkpoints
        .last()
        .map_or(0, |(position, _)| *position);
    files::numbered(journal, EXTENSION)?
        .iter()
        .filter(|(first, _)| *first > newest)
        .map(|(_, path)| Ok(path.metadata().map_err(files::refused("read", path))?.len()))
        .sum()
}

/// What the truth is.
struct Found {
    first: Position,
    end: Position,
    /// The segment to go on with, and its length; none where a new one is needed.
    newest: Option<(std::path::PathBuf, u64)>,
    checkpoints: Vec<(Position, std::path::PathBuf)>,
}

fn survey(paths: &Paths, mark: Option<&Mark>) -> Result<Found, StoreError> {
    let checkpoints = checkpoint::list(&paths.checkpoints)?;
    let mut scanned = scan::scan(&paths.journal, Position::MAX, |_| Ok(()))?;
    let newest = checkpoints.last();
    let known = mark
        .map_or(0, |mark| mark.position)
        .max(newest.map_or(0, |(position, _)| *position));
    if let Some((position, path)) = newest {
        let empty = scanned.as_ref().is_none_or(|scan| scan.end == 0);
        if empty && known == *position && checkpoint::header(path)?.imported {
            checkpoint::begin_behind(&paths.journal, *position)?;
            scanned = scan::scan(&paths.journal, Position::MAX, |_| Ok(()))?;
        }
    }
    let damaged = |what: String| StoreError::Damaged {
        what,
        place: paths.journal.display().to_string(),
    };
    let Some(scan) = scanned else {
        return if known == 0 && !paths.index.exists() {
            Ok(Found {
                first: 1,
                end: 0,
                newest: None,
                checkpoints,
            })
        } else {
            Err(damaged("the journal is gone".to_owned()))
        };
    };
    if scan.end < known {
        return Err(damaged(format!(
            "it ends at position {}, but position {known} was durable",
            scan.end
        )));
    }
    if scan.torn > 0 {
        tracing::warn!(
            bytes = scan.torn,
            "cutting a torn write off the journal's end"
        );
    }
    Ok(Found {
        first: scan.first,
        end: scan.end,
        newest: Some(scan.newest),
        checkpoints,
    })
}

/// The index as it is if it can be trusted, else a new one from the newest good checkpoint.
fn open_index(
    paths: &Paths,
    mark: Option<&Mark>,
    found: &Found,
) -> Result<(Index, Position), StoreError> {
    if is_trusted(paths, mark) {
        match Index::open(&paths.index).and_then(|index| {
            let applied = index.applied()?.unwrap_or(0);
            Ok((index, applied))
        }) {
            Ok((index, applied)) if applied + 1 >= found.first => {
                if applied > found.end {
                    return Err(StoreError::Damaged {
                        what: format!(
                            "it ends at position {}, but the index holds position {applied}",
                            found.end
                        ),
                        place: paths.journal.display().to_string(),
                    });
                }
                return Ok((index, applied));
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the index does not open"),
        }
    }
    rebuild(paths, found)
}

fn is_trusted(paths: &Paths, mark: Option<&Mark>) -> bool {
    let Some(mark) = mark.filter(|_| paths.index.is_dir()) else {
        return false;
    };
    match &mark.clean {
        Some(clean) => index::fingerprint(&paths.index).is_ok_and(|found| found == *clean),
        None => !mark.boot.is_empty() && mark.boot == mark::boot_id(),
    }
}

fn rebuild(paths: &Paths, found: &Found) -> Result<(Index, Position), StoreError> {
    let aside = paths.root.join("index.old");
    files::remove(&aside)?;
    if paths.index.exists() {
        if found.end > 0 {
            tracing::info!("rebuilding the index from checkpoint and journal");
        }
        // Aside and not away: if sled still holds its files, they must not be those of the new index.
        std::fs::rename(&paths.index, &aside).map_err(files::refused("move", &paths.index))?;
    }
    let good = newest_good(found)?;
    let index = Index::open(&paths.index)?;
    let applied = good.map_or(Ok(0), |path| checkpoint::load(path, &index))?;
    files::remove(&aside)?;
    Ok((index, applied))
}

/// The newest checkpoint that is whole and reaches the journal; none if the journal begins at the beginning.
fn newest_good(found: &Found) -> Result<Option<&Path>, StoreError> {
    let mut why = "there is none".to_owned();
    for (position, path) in found.checkpoints.iter().rev() {
        if position + 1 < found.first {
            break;
        }
        match checkpoint::verify(path) {
            Ok(header) if header.position == *position => return Ok(Some(path)),
            Ok(_) => "its name is not its position".clone_into(&mut why),
            Err(error @ StoreError::TooNew { .. }) => return Err(error),
            Err(error) => why = error.to_string(),
        }
        tracing::warn!(checkpoint = %path.display(), why, "a checkpoint cannot be used");
    }
    if found.first == 1 {
        return Ok(None);
    }
    Err(StoreError::Damaged {
        what: format!(
            "no good checkpoint reaches position {}, where the journal begins ({why})",
            found.first
        ),
        place: "checkpoints".to_owned(),
    })
}

/// Brings the index up to the journal; what is left in memory is applied later.
fn replay(
    paths: &Paths,
    index: &Index,
    applied: Position,
    end: Position,
) -> Result<Memtable, StoreError> {
    let mut changes = Memtable::default();
    if applied < end {
        scan::scan(&paths.journal, applied, |frame| {
            changes.replay(frame.position, frame.contents)?;
            if changes.bytes() >= REPLAY_BYTES {
                index.apply(&std::mem::take(&mut changes))?;
            }
            Ok(())
        })?;
    }
    Ok(changes)
}
