//! The components that this host keeps: one file for each, named by its SHA-256, with its signature beside it. What is read is
//! digested again; a name is never believed. A file is whole and durable before anybody is told that it is there.

use super::fetch::read;
use super::signature::Signature;
use super::{FETCH_BYTES_MAX, RegistryError, SIGNATURE_BYTES_MAX, refused};
use crate::store::Digest;
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder, below a data folder.
const FOLDER: &str = "components";

/// A folder of components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Components(PathBuf);

impl Components {
    /// Those of a data folder, which need not be there.
    pub fn below(data: &Path) -> Self {
        Self(data.join(FOLDER))
    }

    /// Where a component lies, or would.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.0.join(format!("{digest}.wasm"))
    }

    /// A component, if it is here and is what its name says.
    pub fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, RegistryError> {
        let path = self.path(digest);
        let Some(bytes) = read(&path, FETCH_BYTES_MAX)? else {
            return Ok(None);
        };
        let found = Digest(Sha256::digest(&bytes).into());
        if found == *digest {
            return Ok(Some(bytes));
        }
        Err(RegistryError::WrongDigest {
            at: path.display().to_string(),
            expected: digest.to_string(),
            found: found.to_string(),
        })
    }

    /// The signature that came with a component.
    pub fn signature(&self, digest: &Digest) -> Result<Option<Signature>, RegistryError> {
        let text = read(
            &Signature::path_beside(&self.path(digest)),
            SIGNATURE_BYTES_MAX,
        )?;
        Ok(text.map(|text| Signature::parse(&text)).transpose()?)
    }

    /// Keeps a component; both files are durable when this returns.
    pub fn put(
        &self,
        digest: &Digest,
        bytes: &[u8],
        signature: Option<&Signature>,
    ) -> Result<(), RegistryError> {
        fs::create_dir_all(&self.0).map_err(refused("create", &self.0))?;
        let folder = File::open(&self.0).map_err(refused("open", &self.0))?;
        // One writer at a time, so that every unfinished file that is found is nobody's.
        flock(&folder, FlockOperation::LockExclusive)
            .map_err(|error| refused("lock", &self.0)(error.into()))?;
        self.sweep()?;
        let path = self.path(digest);
        if let Some(signature) = signature {
            write_whole(&Signature::path_beside(&path), signature.text().as_bytes())?;
        }
        // A damaged file of this name is replaced.
        if self.get(digest).ok().flatten().is_none() {
            write_whole(&path, bytes)?;
        }
        folder.sync_all().map_err(refused("sync", &self.0))?;
        sync_parent(&self.0)
    }

    /// Removes a component that no plugin is made of any more.
    pub fn remove(&self, digest: &Digest) -> Result<(), RegistryError> {
        let path = self.path(digest);
        for path in [Signature::path_beside(&path), path] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(refused("remove", &path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What a process left that was killed while it wrote.
    fn sweep(&self) -> Result<(), RegistryError> {
        for entry in fs::read_dir(&self.0).map_err(refused("list", &self.0))? {
            let path = entry.map_err(refused("list", &self.0))?.path();
            if path.extension().is_some_and(|extension| extension == "tmp") {
                fs::remove_file(&path).map_err(refused("remove", &path))?;
            }
        }
        Ok(())
    }
}

/// Writes a file beside its place, makes it durable and puts it there. What could not be written whole is removed.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), RegistryError> {
    let unfinished = PathBuf::from(format!("{}.{}.tmp", path.display(), std::process::id()));
    let written = File::create(&unfinished)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&unfinished, path));
    written.map_err(|error| {
        // The error that led here is the one to tell.
        let _ = fs::remove_file(&unfinished);
        refused("write", path)(error)
    })
}

/// Makes the name of a file or folder durable.
pub(super) fn sync_parent(path: &Path) -> Result<(), RegistryError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)
        .and_then(|folder| folder.sync_all())
        .map_err(refused("sync", parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    #[test]
    fn what_is_put_is_got_and_a_changed_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let components = Components::below(folder.path());
        let one = digest(b"one");
        assert!(components.get(&one).unwrap().is_none());
        components.put(&one, b"one", None).unwrap();
        assert_eq!(components.get(&one).unwrap().unwrap(), b"one");
        fs::write(components.path(&one), b"two").unwrap();
        let error = components.get(&one).unwrap_err().to_string();
        assert!(error.contains("changed or damaged"), "{error}");
        components.put(&one, b"one", None).unwrap();
        assert_eq!(components.get(&one).unwrap().unwrap(), b"one");
        components.remove(&one).unwrap();
        components.remove(&one).unwrap();
        assert!(components.get(&one).unwrap().is_none());
    }

    #[test]
    fn what_a_killed_process_left_is_swept_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let components = Components::below(folder.path());
        components.put(&digest(b"one"), b"one", None).unwrap();
        let left = folder.path().join("components/abc.wasm.77.tmp");
        fs::write(&left, b"half").unwrap();
        components.put(&digest(b"two"), b"two", None).unwrap();
        assert!(!left.exists());
    }
}
