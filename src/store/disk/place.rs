//! A name in a folder that is open.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

/// A pipe that nobody writes to must not hold up who opens it.
pub(super) const FILE: OFlags = OFlags::NOFOLLOW
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK);
/// What a new file allows, before the process's mask takes its part.
const NEW_FILE: Mode = Mode::from_raw_mode(0o666);

/// A name in an open folder.
pub(super) struct Place {
    pub(super) folder: OwnedFd,
    pub(super) name: String,
}

impl Place {
    /// Makes a file that is to be written; nothing must have the name.
    pub(super) fn create(&self) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | FILE;
        let file = open_at(&self.folder, &self.name, flags, NEW_FILE)?;
        Ok(File::from(file))
    }

    /// Gives what has this name another, in place of what has that.
    pub(super) fn rename(&self, to: &Self) -> io::Result<()> {
        let Self { folder, name } = self;
        Ok(rustix::fs::renameat(folder, name, &to.folder, &to.name)?)
    }

    /// Removes what has the name and is not a folder.
    pub(super) fn remove_file(&self) -> io::Result<()> {
        let removed = rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty());
        Ok(removed?)
    }

    /// Removes a folder that is empty.
    pub(super) fn remove_empty(&self) -> io::Result<()> {
        let removed = rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::REMOVEDIR);
        Ok(removed?)
    }
}

/// The disk does not know what it was asked for.
pub(super) fn cannot(error: &io::Error) -> bool {
    let known = [Errno::INVAL, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS];
    Errno::from_io_error(error).is_some_and(|error| known.contains(&error))
}

/// A network disk may be interrupted in it by a signal.
pub(super) fn open_at(
    folder: impl AsFd,
    name: &str,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    retry_on_intr(|| rustix::fs::openat(&folder, name, flags, mode))
}
