//! A power cut: what reached the disk at a random moment, and nothing that was only in memory. Needs root, loop devices and ext4;
//! says so and is left out where they are missing.

use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use super::crash::Writer;
use super::{open, scatter, times, verify};
use crate::store::Store;
use crate::store::mark::Mark;

fn command(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .output()
        .is_ok_and(|output| output.status.success())
}

/// A mounted file system; unmounted at the end, however that comes.
pub(super) struct Mount(String);

impl Mount {
    pub(super) fn new(arguments: &[&str], at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let at = at.to_str().unwrap();
        let mut all = arguments.to_vec();
        all.push(at);
        command("mount", &all).then(|| Self(at.to_owned()))
    }

    pub(super) fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(command("mount", &["-o", &options, &self.0]));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        command("umount", &[&self.0]);
    }
}

#[test]
fn a_power_cut_loses_nothing_that_was_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (image, cut) = (path("image"), path("cut"));
    let (image, cut) = (image.to_str().unwrap(), cut.to_str().unwrap());
    let file = std::fs::File::create(image).unwrap();
    file.set_len(96 << 20).unwrap();
    let live = command("mkfs.ext4", &["-q", "-F", image])
        .then(|| Mount::new(&["-o", "loop", image], &path("live")))
        .flatten();
    let Some(live) = live else {
        eprintln!("left out: power cuts need root, mkfs.ext4 and loop devices");
        return;
    };
    for turn in 0..times(5) {
        let mut writer = Writer::start(&path("live").join("store"));
        let acked = writer.wait_for(scatter(turn) % 1_500 + 1);
        let id = Pid::from_child(&writer.child);
        kill_process(id, Signal::STOP).unwrap();
        assert!(command("cp", &["--sparse=always", image, cut]));
        writer.kill(acked);
        let told = acked;
        let after = Mount::new(&["-o", "loop", cut], &path("after")).unwrap();
        let store_dir = path("after").join("store");
        // The system was started again.
        if let Some(mark) = Mark::read(&store_dir).unwrap() {
            let boot = "before the cut".to_owned();
            Mark { boot, ..mark }.write(&store_dir).unwrap();
        }
        let store = open(&store_dir);
        let head = verify(&store).unwrap();
        assert!(
            head >= told,
            "{told} commits were acknowledged, {head} are there"
        );
        assert_eq!(store.check().unwrap().problems, Vec::<String>::new());
        drop(store);
        drop(after);
    }
    drop(live);
}
