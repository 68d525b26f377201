//! Objects that a program reads and leaves: copied between storage and its folder through the attempt's own storage port, so
//! under its grants. It refuses to follow a link that the program made.

use super::config::wrong;
use super::refused;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::sandbox::ports::StoragePort;
use airlock_core::run::event::{AttemptError, AttemptErrorKind};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;
use std::io::{self, Read};
use std::path::Path;
use tokio::io::AsyncWriteExt;

/// What one call moves, bytes.
const CHUNK_BYTES: u32 = 1 << 20;

/// What a config calls a program: a URI, or a path that stands for a `file://` one.
pub(super) fn uri_of(program: &str) -> String {
    if program.contains("://") {
        program.to_owned()
    } else if program.starts_with('/') {
        format!("file://{program}")
    } else {
        format!("file://./{}", program.strip_prefix("./").unwrap_or(program))
    }
}

/// A whole object in memory.
pub(super) async fn read(
    storage: &dyn StoragePort,
    uri: &str,
    max_bytes: usize,
) -> Result<Vec<u8>, AttemptError> {
    let reader = storage.open(uri.to_owned()).await.map_err(denied)?;
    let mut bytes = Vec::new();
    let read = loop {
        match storage.read(reader, CHUNK_BYTES).await {
            Ok(chunk) if chunk.is_empty() => break Ok(()),
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(error) => break Err(denied(error)),
        }
        if bytes.len() > max_bytes {
            break Err(wrong(&format!("{uri} is over {max_bytes} bytes")));
        }
    };
    storage.close(reader);
    read.map(|()| bytes)
}

/// Puts an object into the folder, of which nobody else knows yet; yields its size.
pub(super) async fn fetch(
    storage: &dyn StoragePort,
    uri: &str,
    folder: &Path,
    name: &str,
    max_bytes: u64,
) -> Result<u64, AttemptError> {
    let failed = |error: io::Error| {
        let message = format!("{name} cannot be put into the scratch folder: {error}");
        refused(AttemptErrorKind::Transient, &message)
    };
    let path = folder.join(name);
    if let Some(parent) = path.parent() {
        tokio::fs::create_dir_all(parent).await.map_err(failed)?;
    }
    let file = tokio::fs::File::create_new(&path).await;
    let mut file = file.map_err(failed)?;
    let reader = storage.open(uri.to_owned()).await.map_err(denied)?;
    let mut size = 0_u64;
    let copied = loop {
        let chunk = match storage.read(reader, CHUNK_BYTES).await {
            Ok(chunk) if chunk.is_empty() => break Ok(()),
            Ok(chunk) => chunk,
            Err(error) => break Err(denied(error)),
        };
        size = size.saturating_add(chunk.len() as u64);
        if size > max_bytes {
            let message = format!("{uri} does not fit into the scratch folder's quota");
            break Err(refused(AttemptErrorKind::LimitExceeded, &message));
        }
        if let Err(error) = file.write_all(&chunk).await {
            break Err(failed(error));
        }
    };
    storage.close(reader);
    copied?;
    file.flush().await.map_err(failed)?;
    Ok(size)
}

/// Keeps a file of the folder as an object.
pub(super) async fn keep(
    storage: &dyn StoragePort,
    folder: &Path,
    name: &str,
    uri: &str,
) -> Result<(), AttemptError> {
    let missing = |error: io::Error| {
        let message = format!("the program left no {name:?} for {uri}: {error}");
        refused(AttemptErrorKind::Permanent, &message)
    };
    let mut file = open(folder, name).map_err(missing)?;
    let writer = storage.create(uri.to_owned()).await.map_err(denied)?;
    let written = loop {
        let (chunk, rest) = match chunk(file).await {
            Ok(read) => read,
            Err(error) => break Err(missing(error)),
        };
        file = rest;
        if chunk.is_empty() {
            break Ok(());
        }
        if let Err(error) = storage.write(writer, chunk).await {
            break Err(denied(error));
        }
    };
    let finished = match written {
        Ok(()) => storage.finish(writer).await.map(|_| ()).map_err(denied),
        Err(error) => Err(error),
    };
    storage.close(writer);
    finished
}

fn open(folder: &Path, name: &str) -> io::Result<File> {
    let dir = Dir::open_ambient_dir(folder, ambient_authority())?;
    let mut options = OpenOptions::new();
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    options.read(true).custom_flags(flags.bits().cast_signed());
    let file = dir.open_with(name, &options)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("it is no plain file"))
    }
}

/// The next bytes, read off the threads that others wait for.
async fn chunk(file: File) -> io::Result<(Vec<u8>, File)> {
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        (&file)
            .take(u64::from(CHUNK_BYTES))
            .read_to_end(&mut bytes)?;
        Ok((bytes, file))
    });
    read.await.map_err(io::Error::other)?
}

/// What storage answers, as the end of an attempt: what may go away is retried.
fn denied(error: CapabilityError) -> AttemptError {
    let (kind, message) = match error {
        CapabilityError::Denied(text) => (AttemptErrorKind::Unrunnable, text),
        CapabilityError::Unavailable(text) => (AttemptErrorKind::Transient, text),
        CapabilityError::TooLarge(limit) => {
            let text = format!("an object is over the limit of {limit} bytes");
            (AttemptErrorKind::LimitExceeded, text)
        }
        CapabilityError::Invalid(text) => (AttemptErrorKind::InvalidInput, text),
        CapabilityError::NotFound(text) | CapabilityError::Conflict(text) => {
            (AttemptErrorKind::Permanent, text)
        }
    };
    refused(kind, &message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stands_for_a_uri() {
        assert_eq!(uri_of("s3://b/p.wasm"), "s3://b/p.wasm");
        assert_eq!(uri_of("/opt/p.wasm"), "file:///opt/p.wasm");
        assert_eq!(uri_of("./p.wasm"), "file://./p.wasm");
        assert_eq!(uri_of("bin/p.wasm"), "file://./bin/p.wasm");
        assert_eq!(
            uri_of("../p.wasm"),
            "file://./../p.wasm",
            "which storage refuses"
        );
    }

    #[test]
    fn a_link_that_a_program_left_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("out")).unwrap();
        std::os::unix::fs::symlink("/etc", folder.path().join("sub")).unwrap();
        std::fs::write(folder.path().join("real"), "x").unwrap();
        std::os::unix::fs::symlink("real", folder.path().join("inner")).unwrap();
        for name in ["out", "sub/passwd", "inner", ".", "missing"] {
            assert!(open(folder.path(), name).is_err(), "{name}");
        }
        open(folder.path(), "real").unwrap();
    }
}
