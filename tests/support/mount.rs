//! File systems of a test's own: small ones that fill, and read-only ones. It refuses nothing; where this process may not mount,
//! there is none, and the test says what it leaves out.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted file system; unmounted at the end, however that comes.
#[derive(Debug)]
pub struct Mount(PathBuf);

impl Mount {
    /// None where this process may not mount.
    ///
    /// # Panics
    /// If its folder cannot be made.
    pub fn new(arguments: &[&str], at: PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&at).unwrap();
        let output = Command::new("mount").args(arguments).arg(&at).output();
        output
            .is_ok_and(|output| output.status.success())
            .then(|| Self(at))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Changes its options.
    ///
    /// # Panics
    /// If `mount` refuses.
    pub fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let mut command = Command::new("mount");
        let status = command.args(["-o", &options]).arg(&self.0).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // What stays mounted is in the way of nothing but its own folder.
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Fills the file system that `folder` is on, but for `left` bytes.
///
/// # Panics
/// If its file cannot be made.
pub fn fill(folder: &Path, left: u64) -> PathBuf {
    let path = folder.join("filler");
    let zeros = vec![0; 64 << 10];
    let mut file = std::fs::File::create(&path).unwrap();
    while std::io::Write::write_all(&mut file, &zeros).is_ok() {}
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(left)).unwrap();
    path
}
