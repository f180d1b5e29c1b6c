//! Small file systems.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::gap;

/// A file system of its own, for as long as this lives.
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// Only root may mount; where that is refused, a gap.
    pub(crate) fn new(folder: PathBuf, options: &str) -> Option<Self> {
        std::fs::create_dir_all(&folder).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(&folder)
            .output();
        if mounted.as_ref().is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        gap(&format!(
            "a small file system cannot be mounted: {mounted:?}"
        ));
        None
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn remount(&self, options: &str) {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,{options}")])
            .arg(&self.0)
            .status();
        assert!(status.unwrap().success(), "remount {options}");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
