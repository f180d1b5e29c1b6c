//! Files on their way to a lake on a disk.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::path::Path;
use rustix::fs::FileType;

use super::STAGING;
use super::objects;
use super::tree::{Tree, ignore_missing};
use crate::store::{StoreError, Stranger, Upload, Uploads};

#[derive(Debug)]
pub(super) struct DiskUploads {
    tree: Arc<Tree>,
}

impl DiskUploads {
    pub(super) fn new(tree: Arc<Tree>) -> Self {
        Self { tree }
    }

    /// Runs file work on a path in the lake where it may block.
    async fn work<T: Send + 'static>(
        &self,
        action: &'static str,
        path: String,
        work: impl FnOnce(&Tree, &str) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let tree = Arc::clone(&self.tree);
        let shown = self.tree.full(&path).display().to_string();
        blocking(action, shown, move || work(&tree, &path)).await
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
        let flat = target.as_ref().replace('/', "!");
        let staged = format!("{STAGING}/{slice}/{attempt}/{flat}.staged");
        let target = target.to_string();
        let tree = Arc::clone(&self.tree);
        let upload = self
            .work("stage", staged, move |_, path| {
                // A link in the way is met before anything is written.
                ignore_missing(tree.place(&target).map(drop))?;
                let file = Some(tree.made_place(path)?.create()?);
                let staged = path.to_owned();
                Ok(DiskUpload {
                    tree,
                    file,
                    staged,
                    target,
                })
            })
            .await?;
        Ok(Box::new(upload))
    }

    async fn sweep(&self, slice: &str) -> Result<(), StoreError> {
        let slice = slice.to_owned();
        self.work("sweep", STAGING.to_owned(), move |tree, staging| {
            tree.remove_folder(&format!("{staging}/{slice}"))?;
            for name in puts_in(tree, staging)? {
                if slice_of_put(&name) == Some(slice.as_str()) {
                    let place = tree.place(&format!("{staging}/{name}"))?;
                    ignore_missing(place.remove_file())?;
                }
            }
            Ok(())
        })
        .await
    }

    async fn leftovers(&self) -> Result<Vec<String>, StoreError> {
        self.work("list", STAGING.to_owned(), |tree, staging| {
            let mut slices = folders_in(tree, staging)?;
            slices.extend(folders_in(tree, "_mdca/attempts")?);
            let puts = puts_in(tree, staging)?;
            let of_slices = puts.iter().filter_map(|name| slice_of_put(name));
            slices.extend(of_slices.map(str::to_owned));
            slices.sort();
            slices.dedup();
            Ok(slices)
        })
        .await
    }

    async fn persist(&self, target: &Path) -> Result<(), StoreError> {
        self.work("sync", target.to_string(), Tree::persist).await
    }

    async fn tidy(&self, slice: &str) {
        let attempts = format!("_mdca/attempts/{slice}");
        // Not empty: another run has just begun an attempt that it will lose.
        let _ = self
            .work("tidy", attempts, |tree, path| {
                tree.place(path)?.remove_empty()
            })
            .await;
    }

    async fn strangers(&self) -> Result<Vec<Stranger>, StoreError> {
        self.work("list", String::new(), |tree, _| objects::strangers(tree))
            .await
    }
}

/// The slice in the name of an object that was on its way: `_mdca!commits!<slice>.json#1`.
fn slice_of_put(name: &str) -> Option<&str> {
    let mut parts = name.strip_prefix("_mdca!")?.split('!');
    match (parts.next()?, parts.next()?) {
        ("commits", commit) => Some(commit.split_once(".json#")?.0),
        ("attempts", slice) => Some(slice),
        _ => None,
    }
}

/// The names of the folders in a folder; none where it is missing.
fn folders_in(tree: &Tree, path: &str) -> io::Result<Vec<String>> {
    names_in(tree, path, |found| found == FileType::Directory)
}

/// The names of the objects that are on their way, or were when somebody died.
fn puts_in(tree: &Tree, staging: &str) -> io::Result<Vec<String>> {
    names_in(tree, staging, |found| found != FileType::Directory)
}

fn names_in(tree: &Tree, path: &str, which: fn(FileType) -> bool) -> io::Result<Vec<String>> {
    let entries = match tree.entries(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let entries = entries.into_iter().filter(|entry| which(entry.file_type()));
    Ok(entries.map(|entry| entry.name).collect())
}

struct DiskUpload {
    tree: Arc<Tree>,
    file: Option<File>,
    staged: String,
    target: String,
}

impl DiskUpload {
    /// The staged file, for messages.
    fn shown(&self) -> String {
        self.tree.full(&self.staged).display().to_string()
    }
}

#[async_trait]
impl Upload for DiskUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let mut file = self.file.take().expect("writing comes before sealing");
        let written = blocking("stage", self.shown(), move || {
            file.write_all(&bytes)?;
            Ok(file)
        });
        self.file = Some(written.await?);
        Ok(())
    }

    async fn seal(&mut self) -> Result<(), StoreError> {
        let file = self.file.take().expect("a file is sealed once");
        blocking("sync", self.shown(), move || file.sync_all()).await
    }

    async fn publish(&mut self) -> Result<(), StoreError> {
        let tree = Arc::clone(&self.tree);
        let (staged, target) = (self.staged.clone(), self.target.clone());
        let shown = tree.full(&target).display().to_string();
        blocking("publish", shown, move || {
            tree.rename(&tree.place(&staged)?, &tree.made_place(&target)?)
        })
        .await
    }

    async fn abort(&mut self) {
        self.file = None;
        let (tree, staged) = (Arc::clone(&self.tree), self.staged.clone());
        // What cannot be removed now is swept once the slice is committed.
        let _ = blocking("abandon", self.shown(), move || {
            tree.place(&staged)?.remove_file()
        })
        .await;
    }
}

/// Runs file work where it may block.
async fn blocking<T: Send + 'static>(
    action: &'static str,
    shown: String,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(StoreError::new(action, shown, source)),
        Err(source) => Err(StoreError::new(action, shown, source)),
    }
}
