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

/// Opens a lake's folder, making it where it is missing.
pub(super) fn open(location: &str) -> Result<Store, StoreError> {
    let root = folder(location)?;
    let failed = |source: io::Error| StoreError::new("open the lake", location.to_owned(), source);
    if root.exists() && !root.is_dir() {
        let reason = BadLocation("it is a file, not a folder".to_owned());
        return Err(StoreError::new(
            "open the lake",
            location.to_owned(),
            reason,
        ));
    }
    fs::create_dir_all(&root).map_err(failed)?;
    let root = root.canonicalize().map_err(failed)?;
    let objects = LocalFileSystem::new_with_prefix(&root)
        .map_err(|source| StoreError::new("open the lake", location.to_owned(), source))?
        .with_fsync(true);
    let uploads = DiskUploads { root: root.clone() };
    Ok(Store::new(
        Arc::new(objects),
        Arc::new(uploads),
        root.display().to_string(),
    ))
}

/// The folder that a path or a `file://` URL names.
fn folder(location: &str) -> Result<PathBuf, StoreError> {
    let bad =
        |reason: String| StoreError::new("open the lake", location.to_owned(), BadLocation(reason));
    if location.is_empty() {
        return Err(bad("the location is empty".to_owned()));
    }
    match location.split_once("://") {
        None => Ok(PathBuf::from(location)),
        Some(("file", _)) => url::Url::parse(location)
            .ok()
            .and_then(|url| url.to_file_path().ok())
            .ok_or_else(|| bad("a file URL has the form file:///folder".to_owned())),
        Some((scheme, _)) => Err(bad(format!(
            "the scheme '{scheme}' is not known; give a path or file:///folder"
        ))),
    }
}

#[derive(Debug)]
struct DiskUploads {
    root: PathBuf,
}

impl DiskUploads {
    fn staging(&self, slice: &str) -> PathBuf {
        self.root.join("_mdca").join("staging").join(slice)
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
        let (file, staged) = blocking("stage", staged, |staged| {
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
        let (_, _) = blocking(
            "sweep",
            self.staging(slice),
            |staging| match fs::remove_dir_all(staging) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                outcome => outcome,
            },
        )
        .await?;
        Ok(())
    }
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
        let (file, _) = blocking("stage", self.staged.clone(), move |_| {
            file.write_all(&bytes)?;
            Ok(file)
        })
        .await?;
        self.file = Some(file);
        Ok(())
    }

    async fn seal(&mut self) -> Result<(), StoreError> {
        let file = self.file.take().expect("a file is sealed once");
        blocking("sync", self.staged.clone(), move |_| file.sync_all()).await?;
        Ok(())
    }

    async fn publish(&mut self) -> Result<(), StoreError> {
        let target = self.target.clone();
        blocking("publish", self.staged.clone(), move |staged| {
            create_folders(parent(&target)?)?;
            fs::rename(staged, &target)?;
            sync_folder(parent(&target)?)?;
            sync_folder(parent(staged)?)
        })
        .await?;
        Ok(())
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

/// Runs file work where it may block; hands the path back.
async fn blocking<T: Send + 'static>(
    action: &'static str,
    path: PathBuf,
    work: impl FnOnce(&FilePath) -> io::Result<T> + Send + 'static,
) -> Result<(T, PathBuf), StoreError> {
    let name = path.display().to_string();
    let done = tokio::task::spawn_blocking(move || work(&path).map(|value| (value, path))).await;
    match done {
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
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_folder(above),
    }
}

fn sync_folder(folder: &FilePath) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
