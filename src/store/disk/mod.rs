//! A lake on a disk: files under `_mdca/staging/`, published by a rename and two fsyncs.
//!
//! `tree` makes the calls on the disk and follows no link, `objects` and `uploads` are the two halves
//! of a store made of them.

mod objects;
mod once;
mod place;
mod tree;
mod uploads;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path as FilePath;
use std::sync::Arc;

use super::location::BadLocation;
use super::{Store, StoreError};
use objects::DiskObjects;
use tree::Tree;
use uploads::DiskUploads;

/// The folder of files on their way, and of what staged files of a slice lie below.
const STAGING: &str = "_mdca/staging";

/// Folders of a lake that have to be real ones before anything is written.
const FOLDERS: [&str; 7] = [
    "activities",
    "_mdca",
    STAGING,
    "_mdca/commits",
    "_mdca/attempts",
    "_mdca/rejects",
    "_mdca/runs",
];

/// Makes a lake's folder where it is missing, and opens it.
pub(super) fn make(root: &FilePath) -> Result<Store, StoreError> {
    let shown = root.display().to_string();
    let made = std::path::absolute(root).and_then(|root| make_root(&root));
    made.map_err(|source| StoreError::new("make the lake's folder", shown.clone(), source))?;
    let Some(tree) = open_tree(root)? else {
        let reason = BadLocation("it went away".to_owned());
        return Err(StoreError::new("open the lake", shown, reason));
    };
    for folder in FOLDERS {
        match tree.folder(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::new("open the lake", shown, error));
            }
            _ => {}
        }
    }
    Ok(store_of(tree))
}

/// Opens a lake's folder; `None` where there is none.
pub(super) fn open_if_there(folder: &FilePath) -> Result<Option<Store>, StoreError> {
    Ok(open_tree(folder)?.map(store_of))
}

fn open_tree(folder: &FilePath) -> Result<Option<Tree>, StoreError> {
    let shown = || folder.display().to_string();
    let failed = |source: io::Error| StoreError::new("open the lake", shown(), source);
    // The lake itself may be reached through a link.
    let root = match folder.canonicalize() {
        Ok(root) => root,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if !root.is_dir() {
        let reason = BadLocation("it is a file, not a folder".to_owned());
        return Err(StoreError::new("open the lake", shown(), reason));
    }
    Tree::open(root).map(Some).map_err(failed)
}

fn store_of(tree: Tree) -> Store {
    let tree = Arc::new(tree);
    let location = tree.root().display().to_string();
    let objects = DiskObjects::new(Arc::clone(&tree));
    Store::new(
        Arc::new(objects),
        Arc::new(DiskUploads::new(tree)),
        location,
    )
}

/// Makes the lake's folder, for its owner alone, and its parents, each of them durable in the one
/// above, even where another run has made it a moment ago.
fn make_root(root: &FilePath) -> io::Result<()> {
    let mut owners_alone = fs::DirBuilder::new();
    owners_alone.mode(0o700);
    make_folder(root, &owners_alone)
}

fn make_folder(folder: &FilePath, how: &fs::DirBuilder) -> io::Result<()> {
    let Some(above) = folder.parent() else {
        return Ok(());
    };
    if !folder.is_dir() {
        if !above.is_dir() {
            make_folder(above, &fs::DirBuilder::new())?;
        }
        match how.create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    match File::open(above).and_then(|above| above.sync_all()) {
        Err(error) if may_stay_unsynced(&error) => Ok(()),
        outcome => outcome,
    }
}

/// Who may make a folder somewhere may still not be allowed to look there, and not every disk knows
/// how to sync a folder.
fn may_stay_unsynced(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied || place::cannot(error)
}
