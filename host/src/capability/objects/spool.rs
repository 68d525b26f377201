//! A remote object on the local disk while a table is read from it. A file and not ranges, because the digest of an object is of
//! its bytes in their order and a table is read in another one: so each byte crosses the network once, memory holds two ranges
//! whatever the object's row groups are, and CSV and Arrow come the same way. The file has no name: it goes with its owner, also with
//! a process that is killed. It refuses to hold more than its share of the disk.

use super::reader::RemoteReader;
use crate::capability::Answer;
use crate::capability::handles::lock;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// The most bytes of all objects that lie on the disk at once.
pub const SPOOL_BYTES_MAX: u64 = 16 << 30;

/// Where objects lie.
pub(in crate::capability) struct Spool {
    folder: PathBuf,
    taken: Arc<Mutex<u64>>,
}

/// An object on the disk.
pub(in crate::capability) struct Spooled {
    pub(in crate::capability) file: File,
    /// Bytes.
    pub(in crate::capability) size: u64,
    /// SHA-256.
    pub(in crate::capability) digest: [u8; 32],
    _share: Share,
}

/// Bytes of the disk, given back on drop.
struct Share {
    taken: Arc<Mutex<u64>>,
    bytes: u64,
}

impl Drop for Share {
    fn drop(&mut self) {
        *lock(&self.taken) -= self.bytes;
    }
}

impl Spool {
    /// The folder is made at its first use.
    pub(in crate::capability) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            taken: Arc::default(),
        }
    }

    fn share(&self, bytes: u64) -> Answer<Share> {
        let mut taken = lock(&self.taken);
        if bytes > SPOOL_BYTES_MAX {
            return Err(CapabilityError::TooLarge(SPOOL_BYTES_MAX));
        }
        if bytes > SPOOL_BYTES_MAX - *taken {
            return Err(CapabilityError::Unavailable(
                "other tables of this host fill the disk space for remote objects; try again later"
                    .to_owned(),
            ));
        }
        *taken += bytes;
        Ok(Share {
            taken: Arc::clone(&self.taken),
            bytes,
        })
    }

    /// Brings an object of this size here.
    pub(super) fn fetch(&self, mut object: RemoteReader, size: u64) -> Answer<Spooled> {
        self.keep(size, || object.next_range())
    }

    /// Keeps `size` bytes that come one range after another, until one is empty.
    pub(in crate::capability) fn keep(
        &self,
        size: u64,
        mut next: impl FnMut() -> Answer<Bytes>,
    ) -> Answer<Spooled> {
        let share = self.share(size)?;
        let refused = |error: io::Error| {
            CapabilityError::Unavailable(format!(
                "the object cannot be kept in the data folder while it is read: {}",
                error.kind()
            ))
        };
        let mut file = self.file().map_err(refused)?;
        let mut hash = Sha256::new();
        loop {
            let range = next()?;
            if range.is_empty() {
                break;
            }
            hash.update(&range);
            file.write_all(&range).map_err(refused)?;
        }
        Ok(Spooled {
            file,
            size,
            digest: hash.finalize().into(),
            _share: share,
        })
    }

    /// A new file without a name.
    fn file(&self) -> io::Result<File> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        let path = self.folder.join(crate::capability::random_hex()?);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(&path)?;
        std::fs::remove_file(path)?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_is_shared_and_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path().join("spool"));
        let share = spool.share(SPOOL_BYTES_MAX - 1).unwrap();
        assert!(matches!(
            spool.share(2),
            Err(CapabilityError::Unavailable(_))
        ));
        spool.share(1).unwrap();
        drop(share);
        spool.share(SPOOL_BYTES_MAX).unwrap();
        let larger = spool.share(SPOOL_BYTES_MAX + 1);
        assert!(matches!(larger, Err(CapabilityError::TooLarge(_))));
    }

    #[test]
    fn a_file_has_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path().join("spool"));
        let _file = spool.file().unwrap();
        let left = std::fs::read_dir(folder.path().join("spool")).unwrap();
        assert_eq!(left.count(), 0);
    }
}
