//! The folders that programs work in: one for each attempt, private to the host's user, gone at its end. What a host that died
//! left is removed by the next one. It refuses to name a folder after anything that a DAG says.

use std::fs::DirBuilder;
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Where they all are.
pub struct WorkFolders {
    root: PathBuf,
    made: AtomicU64,
}

/// One of them.
pub(super) struct WorkFolder(PathBuf);

impl WorkFolders {
    /// Below `root`, which belongs to this process alone. Removes what is there.
    pub fn new(root: PathBuf) -> io::Result<Self> {
        match std::fs::remove_dir_all(&root) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Self {
            root,
            made: AtomicU64::new(0),
        })
    }

    /// A new one, empty.
    pub(super) fn make(&self) -> io::Result<WorkFolder> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let mut builder = DirBuilder::new();
        builder.mode(0o700).recursive(true).create(&self.root)?;
        // Programs see real paths; a link in the data folder's own path is resolved once, here.
        let path = self.root.canonicalize()?.join(number.to_string());
        builder.recursive(false).create(&path)?;
        Ok(WorkFolder(path))
    }
}

impl WorkFolder {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "a program's folder is left; the next start removes it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_with_its_attempt_and_a_dead_hosts_with_the_next_start() {
        let data = tempfile::tempdir().unwrap();
        let root = data.path().join("work");
        std::fs::create_dir_all(root.join("0/left")).unwrap();
        let folders = WorkFolders::new(root.clone()).unwrap();
        assert!(!root.exists());
        let (one, two) = (folders.make().unwrap(), folders.make().unwrap());
        assert_ne!(one.path(), two.path());
        std::fs::write(one.path().join("x"), "x").unwrap();
        let path = one.path().to_owned();
        drop(one);
        assert!(!path.exists() && two.path().exists());
    }
}
