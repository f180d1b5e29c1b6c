//! The folders and files of a lake, reached from its root one name at a time.
//!
//! Every folder on the way is opened from the one before it, and a symbolic link is not followed, so
//! that someone who may write into the lake cannot lead this program out of it, not even while it is on
//! its way. Only regular files are opened. Paths are the lake's own, with `/` between the names.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path as FilePath, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::{Errno, retry_on_intr};
use tracing::warn;

use super::STAGING;
use super::once::Once;
use super::place::{FILE, Place, cannot, open_at};
use crate::store::error::Unfit;

/// A handle that names a folder is enough to go on from it; reading it is another right.
#[cfg(target_os = "linux")]
const PASS: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const PASS: OFlags = OFlags::RDONLY;
const FOLDER: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
/// What a new folder allows, before the process's mask takes its part.
const NEW_FOLDER: Mode = Mode::from_raw_mode(0o777);
/// Names on the way to what is deepest in a lake: more of them are nobody's.
pub(super) const DEPTH: usize = 8;
/// How often a folder that others add to is emptied before it is left to them.
const SWEEP_TRIES: u32 = 5;

/// A lake's folder.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    handle: OwnedFd,
    /// Folders whose names this process has made durable in the one above.
    durable: Mutex<HashSet<String>>,
    /// Whether it was said that this disk cannot sync a folder.
    said: AtomicBool,
    once: Once,
}

/// What a name in a folder stands for.
pub(super) struct Entry {
    /// The name; one that is not UTF-8 is shown as far as it can be.
    pub(super) name: String,
    /// Whether an object may have that name.
    pub(super) is_name: bool,
    pub(super) stat: Stat,
}

impl Entry {
    pub(super) fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }
}

impl Tree {
    /// Opens the lake in a folder whose path has no link in it.
    pub(super) fn open(root: PathBuf) -> io::Result<Self> {
        let flags = PASS | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            handle: rustix::fs::open(&root, flags, Mode::empty())?,
            root,
            durable: Mutex::default(),
            said: AtomicBool::new(false),
            once: Once::default(),
        })
    }

    pub(super) fn root(&self) -> &FilePath {
        &self.root
    }

    /// The full path, for messages and for others' readers.
    pub(super) fn full(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Opens a folder.
    pub(super) fn folder(&self, path: &str) -> io::Result<OwnedFd> {
        self.walk(path, |folder, name, so_far| {
            open_folder(folder, name, so_far)
        })
    }

    /// Opens the folder of a path, and gives its last name.
    pub(super) fn place(&self, path: &str) -> io::Result<Place> {
        let (folder, name) = split(path);
        let (folder, name) = (self.folder(folder)?, name.to_owned());
        Ok(Place { folder, name })
    }

    /// The same, making what is missing on the way. Each folder is durable in the one above, whichever
    /// run made it, except where files wait: they are renamed to places that are.
    pub(super) fn made_place(&self, path: &str) -> io::Result<Place> {
        let (folder, name) = split(path);
        let is_staging = folder.starts_with(STAGING);
        let folder = self.walk(folder, |above, name, so_far| {
            let (folder, made) = open_or_make(above, name, so_far)?;
            let known = self.durable.lock().contains(so_far);
            if !is_staging && (made || !known) {
                self.sync_folder(above)?;
                self.durable.lock().insert(so_far.to_owned());
            }
            Ok(folder)
        })?;
        let name = name.to_owned();
        Ok(Place { folder, name })
    }

    /// Goes from the root to a folder, a step for each name; a step also learns the path so far.
    fn walk(
        &self,
        path: &str,
        mut step: impl FnMut(BorrowedFd<'_>, &str, &str) -> io::Result<OwnedFd>,
    ) -> io::Result<OwnedFd> {
        let mut at: Option<OwnedFd> = None;
        let mut end = 0;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            end += usize::from(end > 0) + name.len();
            let above = at.as_ref().unwrap_or(&self.handle).as_fd();
            at = Some(step(above, name, &path[..end])?);
        }
        match at {
            Some(folder) => Ok(folder),
            None => self.handle.try_clone(),
        }
    }

    /// Opens a regular file to be read.
    pub(super) fn open_file(&self, path: &str) -> io::Result<File> {
        let Place { folder, name } = self.place(path)?;
        let flags = OFlags::RDONLY | FILE;
        let file = match open_at(&folder, &name, flags, Mode::empty()) {
            Err(Errno::LOOP | Errno::MLINK | Errno::NXIO) => {
                return Err(not_a_file(stat(&folder, &name)?));
            }
            file => File::from(file?),
        };
        let found = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(found.st_mode) == FileType::RegularFile {
            Ok(file)
        } else {
            Err(not_a_file(found))
        }
    }

    /// What lies under a path, if that is a regular file.
    pub(super) fn stat_file(&self, path: &str) -> io::Result<Stat> {
        let Place { folder, name } = self.place(path)?;
        let found = stat(&folder, &name)?;
        if FileType::from_raw_mode(found.st_mode) == FileType::RegularFile {
            Ok(found)
        } else {
            Err(not_a_file(found))
        }
    }

    /// Gives a file another name, replacing what had it, and makes that durable.
    pub(super) fn rename(&self, from: &Place, to: &Place) -> io::Result<()> {
        from.rename(to)?;
        self.sync_folder(to.folder.as_fd())
    }

    /// Gives a file another name that nothing has, and makes that durable; false where something has
    /// it. The file may keep its old name as well.
    pub(super) fn rename_once(&self, from: &Place, to: &Place) -> io::Result<bool> {
        let created = self.once.name(from, to)?;
        if created {
            self.sync_folder(to.folder.as_fd())?;
        }
        Ok(created)
    }

    /// Makes durable what is there, and the names of all folders on the way to it.
    pub(super) fn persist(&self, path: &str) -> io::Result<()> {
        ignore_missing(self.open_file(path).and_then(|file| file.sync_all()))?;
        let mut above = vec![self.handle.try_clone()?];
        let (folder, _) = split(path);
        let reached = self.walk(folder, |folder, name, so_far| {
            let folder = open_folder(folder, name, so_far)?;
            above.push(folder.try_clone()?);
            Ok(folder)
        });
        ignore_missing(reached.map(drop))?;
        let deepest_first = above.iter().rev();
        deepest_first
            .map(AsFd::as_fd)
            .try_for_each(|folder| self.sync_folder(folder))
    }

    /// Removes a folder and all in it, links but not what they lead to. Somebody who has lost the
    /// slice and does not know it yet may add to it meanwhile: what stays is theirs to remove, or the
    /// next run's.
    pub(super) fn remove_folder(&self, path: &str) -> io::Result<()> {
        for _ in 0..SWEEP_TRIES {
            let removed = self.place(path).and_then(|place| remove(&place, path));
            match ignore_missing(removed) {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                outcome => return outcome,
            }
        }
        Ok(())
    }

    /// What is in a folder.
    pub(super) fn entries(&self, path: &str) -> io::Result<Vec<Entry>> {
        entries(self.folder(path)?.as_fd())
    }

    fn sync_folder(&self, folder: BorrowedFd<'_>) -> io::Result<()> {
        let flags = OFlags::RDONLY | FOLDER;
        let synced = match open_at(folder, ".", flags, Mode::empty()) {
            // Who may make a folder somewhere may still not be allowed to look there.
            Err(Errno::ACCESS) => return Ok(()),
            opened => {
                let folder = opened?;
                retry_on_intr(|| rustix::fs::fsync(&folder))
            }
        };
        let outcome = synced.map_err(io::Error::from);
        if let Err(error) = &outcome
            && cannot(error)
        {
            if !self.said.swap(true, Ordering::Relaxed) {
                warn!(lake = %self.root.display(), %error, "this disk cannot sync a folder: a power cut may lose the last commits, whose slices are then scanned again");
            }
            return Ok(());
        }
        outcome
    }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn open_folder(above: BorrowedFd<'_>, name: &str, path: &str) -> io::Result<OwnedFd> {
    match open_at(above, name, PASS | FOLDER, Mode::empty()) {
        Err(Errno::NOTDIR | Errno::LOOP | Errno::MLINK) => {
            let is = kind(stat(above, name)?);
            let path = path.to_owned();
            Err(io::Error::other(Unfit::NotAFolder { path, is }))
        }
        opened => Ok(opened?),
    }
}

/// Whether it was made just now.
fn open_or_make(above: BorrowedFd<'_>, name: &str, path: &str) -> io::Result<(OwnedFd, bool)> {
    match open_folder(above, name, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match rustix::fs::mkdirat(above, name, NEW_FOLDER) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            Ok((open_folder(above, name, path)?, true))
        }
        opened => Ok((opened?, false)),
    }
}

fn stat(folder: impl AsFd, name: &str) -> io::Result<Stat> {
    Ok(rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn not_a_file(found: Stat) -> io::Error {
    io::Error::other(Unfit::NotAFile { is: kind(found) })
}

/// What something is, for messages.
fn kind(found: Stat) -> &'static str {
    kind_of(FileType::from_raw_mode(found.st_mode))
}

/// The same.
pub(super) fn kind_of(found: FileType) -> &'static str {
    match found {
        FileType::RegularFile => "a file",
        FileType::Directory => "a folder",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a named pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "of an unknown kind",
    }
}

fn entries(folder: BorrowedFd<'_>) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let folder = open_at(folder, ".", OFlags::RDONLY | FOLDER, Mode::empty())?;
    let mut names = Dir::new(folder)?;
    while let Some(entry) = names.next() {
        let entry = entry?;
        let bytes = entry.file_name();
        if [&b"."[..], b".."].contains(&bytes.to_bytes()) {
            continue;
        }
        let stat = match rustix::fs::statat(names.fd()?, bytes, AtFlags::SYMLINK_NOFOLLOW) {
            // Removed since.
            Err(Errno::NOENT) => continue,
            stat => stat?,
        };
        let name = bytes.to_str();
        entries.push(Entry {
            is_name: name.is_ok_and(|name| !name.bytes().any(|b| b.is_ascii_control())),
            name: bytes.to_string_lossy().into_owned(),
            stat,
        });
    }
    Ok(entries)
}

/// Removes a folder and all that is in it, as deep as a lake is.
fn remove(place: &Place, path: &str) -> io::Result<()> {
    if path.split('/').count() > DEPTH {
        return Ok(());
    }
    let folder = open_folder(place.folder.as_fd(), &place.name, path)?;
    for entry in entries(folder.as_fd())? {
        let (name, file_type) = (entry.name.clone(), entry.file_type());
        let folder = folder.try_clone()?;
        let inside = Place { folder, name };
        ignore_missing(if file_type == FileType::Directory {
            remove(&inside, &format!("{path}/{}", entry.name))
        } else {
            inside.remove_file()
        })?;
    }
    place.remove_empty()
}

pub(super) fn ignore_missing(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}
