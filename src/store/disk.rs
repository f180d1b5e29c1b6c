//! A lake on a disk: files under `_mdca/staging/`, published by a rename and two fsyncs.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::path::Path;

use super::error::BadLocation;
use super::{Store, StoreError, Upload, Uploads};

/// How often a folder that others add to is emptied before it is left to them.
const SWEEP_TRIES: u32 = 5;

/// Makes a lake's folder where it is missing, and opens it.
pub(super) fn make(root: &FilePath) -> Result<Store, StoreError> {
    let shown = root.display().to_string();
    if !root.exists() {
        let made = std::path::absolute(root).and_then(|root| create_folders(&root));
        made.map_err(|source| StoreError::new("make the lake's folder", shown.clone(), source))?;
    }
    // A run that died right after it made one of these may have left it less than durable.
    for folder in ["", "activities", "_mdca", "_mdca/attempts"] {
        ignore_missing(sync_folder(&root.join(folder))).map_err(|source| {
            let object = root.join(folder).display().to_string();
            StoreError::new("sync", object, source)
        })?;
    }
    match open_if_there(root)? {
        Some(store) => Ok(store),
        None => Err(StoreError::new(
            "open the lake",
            shown,
            BadLocation("it went away".to_owned()),
        )),
    }
}

/// Opens a lake's folder; `None` where there is none.
pub(super) fn open_if_there(folder: &FilePath) -> Result<Option<Store>, StoreError> {
    let shown = || folder.display().to_string();
    let failed = |source: io::Error| StoreError::new("open the lake", shown(), source);
    let root = match folder.canonicalize() {
        Ok(root) => root,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if !root.is_dir() {
        let reason = BadLocation("it is a file, not a folder".to_owned());
        return Err(StoreError::new("open the lake", shown(), reason));
    }
    let objects = LocalFileSystem::new_with_prefix(&root)
        .map_err(|source| StoreError::new("open the lake", shown(), source))?
        .with_fsync(true);
    let uploads = DiskUploads { root: root.clone() };
    Ok(Some(Store::new(
        Arc::new(objects),
        Arc::new(uploads),
        root.display().to_string(),
    )))
}

#[derive(Debug)]
struct DiskUploads {
    root: PathBuf,
}

impl DiskUploads {
    fn own_folder(&self) -> PathBuf {
        self.root.join("_mdca")
    }

    fn staging(&self, slice: &str) -> PathBuf {
        self.own_folder().join("staging").join(slice)
    }
}

#[async_trait]
impl Uploads for DiskUploads {
    async fn begin(
        &self,
        target: &Path,
        slice: &str,
        attempt: &str,
    ) -> Result<Box<dyn Upload>, StoreError> {
        // One flat name for each target; never one that ends in `.parquet`, which readers would find.
        let staged = self
            .staging(slice)
            .join(attempt)
            .join(format!("{}.staged", target.as_ref().replace('/', "!")));
        let target = self.root.join(target.as_ref());
        let file = blocking("stage", staged.clone(), |staged| {
            create_folders(parent(staged)?)?;
            File::options().write(true).create_new(true).open(staged)
        })
        .await?;
        Ok(Box::new(DiskUpload {
            file: Some(file),
            staged,
            target,
        }))
    }

    async fn sweep(&self, slice: &str) -> Result<(), StoreError> {
        let own = self.own_folder();
        let slice = slice.to_owned();
        blocking("sweep", self.staging(&slice), move |staging| {
            remove_folder(staging)?;
            // What the store itself leaves when it dies inside a put: `<name>#<n>` beside `<name>`.
            remove_put_leftovers(
                &own.join("commits"),
                &format!("{slice}.json#"),
                PutLeftovers::Counted,
            )?;
            remove_put_leftovers(&own.join("attempts").join(&slice), "", PutLeftovers::Listed)?;
            remove_put_leftovers(
                &own.join("rejects"),
                &format!("{slice}-"),
                PutLeftovers::Listed,
            )
        })
        .await
    }

    async fn leftovers(&self) -> Result<Vec<String>, StoreError> {
        let attempts = self.own_folder().join("attempts");
        let commits = self.own_folder().join("commits");
        blocking("list", self.own_folder().join("staging"), move |staging| {
            let mut slices = folder_names(staging)?;
            slices.extend(folder_names(&attempts)?);
            // Of one who died while it lost, when the winner had swept already.
            let names = names(&commits)?;
            let leftovers = names.iter().filter_map(|name| put_leftover_of(name));
            slices
                .extend(leftovers.filter_map(|name| Some(name.strip_suffix(".json")?.to_owned())));
            slices.sort();
            slices.dedup();
            Ok(slices)
        })
        .await
    }

    async fn persist(&self, target: &Path) -> Result<(), StoreError> {
        let root = self.root.clone();
        blocking("sync", root.join(target.as_ref()), move |path| {
            ignore_missing(File::open(path).and_then(|file| file.sync_all()))?;
            let folders = path.ancestors().skip(1);
            let mut own = folders.take_while(|folder| folder.starts_with(&root));
            own.try_for_each(|folder| ignore_missing(sync_folder(folder)))
        })
        .await
    }

    async fn tidy(&self, slice: &str) {
        let attempts = self.own_folder().join("attempts").join(slice);
        // Not empty: another run has just begun an attempt that it will lose.
        let _ = blocking("tidy", attempts, |attempts| fs::remove_dir(attempts)).await;
    }
}

/// How to find leftovers of the store's puts in a folder.
#[derive(Clone, Copy)]
enum PutLeftovers {
    /// By counting up from 1: the folder may hold tens of thousands of commits.
    Counted,
    /// By listing the folder.
    Listed,
}

fn remove_put_leftovers(folder: &FilePath, prefix: &str, find: PutLeftovers) -> io::Result<()> {
    match find {
        PutLeftovers::Counted => {
            for n in 1_u32.. {
                let leftover = folder.join(format!("{prefix}{n}"));
                if !leftover.is_file() {
                    break;
                }
                ignore_missing(fs::remove_file(leftover))?;
            }
            Ok(())
        }
        PutLeftovers::Listed => {
            for name in names(folder)? {
                if put_leftover_of(&name).is_some() && name.starts_with(prefix) {
                    ignore_missing(fs::remove_file(folder.join(name)))?;
                }
            }
            Ok(())
        }
    }
}

/// The name that an unfinished put of the store was for.
fn put_leftover_of(name: &str) -> Option<&str> {
    let (name, n) = name.rsplit_once('#')?;
    (!n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())).then_some(name)
}

/// Removes a folder and all in it. Somebody who has lost the slice and does not know it yet may add
/// to it meanwhile: what stays is theirs to remove, or the next run's.
fn remove_folder(folder: &FilePath) -> io::Result<()> {
    for _ in 0..SWEEP_TRIES {
        match ignore_missing(fs::remove_dir_all(folder)) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            outcome => return outcome,
        }
    }
    Ok(())
}

fn ignore_missing(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// The names in a folder; none where it is missing. Names that are no UTF-8 are not ours.
fn names(folder: &FilePath) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string().ok());
    }
    Ok(names)
}

fn folder_names(folder: &FilePath) -> io::Result<Vec<String>> {
    Ok(names(folder)?
        .into_iter()
        .filter(|name| folder.join(name).is_dir())
        .collect())
}

struct DiskUpload {
    file: Option<File>,
    staged: PathBuf,
    target: PathBuf,
}

#[async_trait]
impl Upload for DiskUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let mut file = self.file.take().expect("writing comes before sealing");
        let written = blocking("stage", self.staged.clone(), move |_| {
            file.write_all(&bytes)?;
            Ok(file)
        });
        self.file = Some(written.await?);
        Ok(())
    }

    async fn seal(&mut self) -> Result<(), StoreError> {
        let file = self.file.take().expect("a file is sealed once");
        blocking("sync", self.staged.clone(), move |_| file.sync_all()).await
    }

    async fn publish(&mut self) -> Result<(), StoreError> {
        let target = self.target.clone();
        blocking("publish", self.staged.clone(), move |staged| {
            create_folders(parent(&target)?)?;
            fs::rename(staged, &target)?;
            sync_folder(parent(&target)?)?;
            sync_folder(parent(staged)?)
        })
        .await
    }

    async fn abort(&mut self) {
        self.file = None;
        // What cannot be removed now is swept once the slice is committed.
        let _ = blocking("abandon", self.staged.clone(), |staged| {
            fs::remove_file(staged)
        })
        .await;
    }
}

/// Runs file work where it may block.
async fn blocking<T: Send + 'static>(
    action: &'static str,
    path: PathBuf,
    work: impl FnOnce(&FilePath) -> io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    let name = path.display().to_string();
    match tokio::task::spawn_blocking(move || work(&path)).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(StoreError::new(action, name, source)),
        Err(source) => Err(StoreError::new(action, name, source)),
    }
}

fn parent(path: &FilePath) -> io::Result<&FilePath> {
    path.parent()
        .ok_or_else(|| io::Error::other("the path has no parent folder"))
}

/// Makes a folder and its parents, each of them durable in the one above.
fn create_folders(folder: &FilePath) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = parent(folder)?;
    create_folders(above)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    match sync_folder(above) {
        // Who may make a folder somewhere may still not be allowed to look there.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        outcome => outcome,
    }
}

fn sync_folder(folder: &FilePath) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
