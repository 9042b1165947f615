//! A file system of a few megabytes, to be filled up.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::requirements::missing;

/// A mounted tmpfs; unmounted when it is dropped, however the test ends.
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// `None`, with a message on standard error, where this user may not mount.
    pub fn mount(bytes: usize) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={bytes},mode=0777");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "ringback-test"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self { folder });
        }
        missing("the right to mount a small file system (root)");
        None
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Takes all room that is left, in a file of its own; dropped, it makes room again.
    pub fn fill(&self) -> Filler {
        let path = self.path().join("filler");
        let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        // a page at a time, up to the last one
        while file.write_all(&[0; 4096]).is_ok() {}
        Filler { path }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // lazily: a process that is being killed may have a file open still
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// What makes a disk full.
pub struct Filler {
    path: PathBuf,
}

impl Filler {
    /// Makes room.
    pub fn remove(self) {
        drop(self);
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        // truncated first: whoever has it open does not keep its blocks
        let _ = File::create(&self.path);
        let _ = std::fs::remove_file(&self.path);
    }
}
