//! The objects of a lake on a disk.
//!
//! `object_store`'s own `LocalFileSystem` follows links and opens pipes, knows one way to create
//! only, stops a listing at a name that it cannot have, and hides what its puts leave behind.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use futures::{StreamExt, TryFutureExt, stream};
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, Extensions, GetOptions, GetResult, GetResultPayload,
    ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result,
};
use rustix::fs::{FileType, Stat};

use super::STAGING;
use super::place::Place;
use super::tree::{DEPTH, Entry, Tree, kind_of};
use crate::store::Stranger;
use crate::store::error::DISK;

/// The most bytes that are read along with the opening of an object. Most are a commit, and a lake of
/// years has tens of thousands: a second task for each costs more than its bytes.
const MOST_AT_ONCE_BYTES: u64 = 64 * 1024;
/// Objects removed at once.
const REMOVALS: usize = 10;

/// The objects of a lake on a disk.
#[derive(Debug)]
pub(super) struct DiskObjects {
    tree: Arc<Tree>,
}

impl DiskObjects {
    pub(super) fn new(tree: Arc<Tree>) -> Self {
        Self { tree }
    }

    /// Runs file work on an object where it may block.
    async fn work<T: Send + 'static>(
        &self,
        path: &Path,
        work: impl FnOnce(&Tree, &str) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (tree, path) = (Arc::clone(&self.tree), path.clone());
        let done = tokio::task::spawn_blocking(move || work(&tree, path.as_ref()));
        done.await.map_err(|source| Error::JoinError { source })?
    }
}

impl fmt::Display for DiskObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.tree.root().display())
    }
}

#[async_trait]
impl ObjectStore for DiskObjects {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let once = match opts.mode {
            PutMode::Overwrite => false,
            PutMode::Create => true,
            PutMode::Update(_) => return Err(unknown(self, "an update under a condition")),
        };
        self.work(location, move |tree, path| {
            let created = put(tree, path, &payload, once).map_err(|error| failed(path, error))?;
            if created {
                Ok(PutResult {
                    e_tag: None,
                    version: None,
                    extensions: Extensions::default(),
                })
            } else {
                Err(Error::AlreadyExists {
                    path: path.to_owned(),
                    source: io::Error::from(io::ErrorKind::AlreadyExists).into(),
                })
            }
        })
        .await
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(unknown(self, "an upload in parts"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let location = location.clone();
        self.work(&location.clone(), move |tree, path| {
            if options.head {
                let found = tree.stat_file(path).map_err(|error| failed(path, error))?;
                let meta = meta_of(location, &found);
                options.check_preconditions(&meta)?;
                return Ok(GetResult {
                    payload: GetResultPayload::Stream(stream::empty().boxed()),
                    range: 0..0,
                    meta,
                    attributes: Attributes::default(),
                    extensions: Extensions::default(),
                });
            }
            let file = tree.open_file(path).map_err(|error| failed(path, error))?;
            let found = rustix::fs::fstat(&file).map_err(|error| failed(path, error.into()))?;
            let meta = meta_of(location, &found);
            options.check_preconditions(&meta)?;
            let range = match &options.range {
                None => 0..meta.size,
                Some(range) => range.as_range(meta.size).map_err(|error| Error::Generic {
                    store: DISK,
                    source: Box::new(error),
                })?,
            };
            let payload = if range.end - range.start > MOST_AT_ONCE_BYTES {
                GetResultPayload::File(file, tree.full(path))
            } else {
                let read = read_range(&file, meta.size, &range);
                let bytes = read.map_err(|error| failed(path, error))?;
                GetResultPayload::Stream(stream::once(async { Ok(bytes) }).boxed())
            };
            Ok(GetResult {
                payload,
                range,
                meta,
                attributes: Attributes::default(),
                extensions: Extensions::default(),
            })
        })
        .await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let ranges = ranges.to_vec();
        self.work(location, move |tree, path| {
            let read = || -> io::Result<Vec<Bytes>> {
                let file = tree.open_file(path)?;
                let size = file.metadata()?.len();
                ranges
                    .iter()
                    .map(|range| read_range(&file, size, range))
                    .collect()
            };
            read().map_err(|error| failed(path, error))
        })
        .await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let objects = Self::new(Arc::clone(&self.tree));
        let objects = Arc::new(objects);
        locations
            .map(move |location| {
                let objects = Arc::clone(&objects);
                async move {
                    let location = location?;
                    let removed = objects.work(&location, |tree, path| {
                        let removed = tree.place(path).and_then(|place| place.remove_file());
                        removed.map_err(|error| failed(path, error))
                    });
                    removed.await.map(|()| location)
                }
            })
            .buffered(REMOVALS)
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let objects = Self::new(Arc::clone(&self.tree));
        let prefix = prefix.cloned().unwrap_or_default();
        async move {
            let found = objects.work(&prefix, |tree, path| {
                let mut found = Vec::new();
                let listed = look_below(tree, path, |path, entry| {
                    if let Some(meta) = as_object(path, entry) {
                        found.push(meta);
                    }
                });
                listed.map_err(|error| failed(path, error))?;
                Ok(found)
            });
            found.await
        }
        .map_ok(|found| stream::iter(found.into_iter().map(Ok)))
        .try_flatten_stream()
        .boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(unknown(self, "a listing of one folder"))
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(unknown(self, "a copy"))
    }
}

/// What lies in a lake and can be no object.
pub(super) fn strangers(tree: &Tree) -> io::Result<Vec<Stranger>> {
    let mut strangers = Vec::new();
    look_below(tree, "", |path, entry| {
        let file_type = entry.file_type();
        let is = if !entry.is_name {
            "an object cannot have its name".to_owned()
        } else if ![FileType::RegularFile, FileType::Directory].contains(&file_type) {
            format!("it is {}, not a file", kind_of(file_type))
        } else if file_type == FileType::Directory && path.split('/').count() > DEPTH {
            "it is a folder deeper than any in a lake".to_owned()
        } else if file_type == FileType::Directory && has_name_of_file(path) {
            "it is a folder, and has the name of a file".to_owned()
        } else {
            return;
        };
        let path = path.to_owned();
        strangers.push(Stranger { path, is });
    })?;
    strangers.sort();
    Ok(strangers)
}

/// Every object of a lake has an ending, and no folder of it has one. Some systems keep folders of their own
/// that begin with a dot.
fn has_name_of_file(path: &str) -> bool {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    name.trim_start_matches('.').contains('.')
}

/// Looks at everything below a folder. One that is missing is empty; one that goes away meanwhile
/// too.
fn look_below(tree: &Tree, folder: &str, mut look: impl FnMut(&str, &Entry)) -> io::Result<()> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match tree.entries(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let path = if folder.is_empty() {
                entry.name.clone()
            } else {
                format!("{folder}/{}", entry.name)
            };
            look(&path, &entry);
            let goes_on = entry.file_type() == FileType::Directory && entry.is_name;
            if goes_on && path.split('/').count() <= DEPTH {
                folders.push(path);
            }
        }
    }
    Ok(())
}

/// A link or a pipe with the name of an object is listed like one: who reads it is told what it is,
/// and it is not taken for missing.
fn as_object(path: &str, entry: &Entry) -> Option<ObjectMeta> {
    let is_one = entry.file_type() != FileType::Directory && entry.is_name;
    let location = Path::parse(path).ok().filter(|_| is_one)?;
    Some(meta_of(location, &entry.stat))
}

fn meta_of(location: Path, found: &Stat) -> ObjectMeta {
    let nanoseconds = u32::try_from(found.st_mtime_nsec).unwrap_or_default();
    let modified: Option<DateTime<Utc>> = DateTime::from_timestamp(found.st_mtime, nanoseconds);
    ObjectMeta {
        location,
        last_modified: modified.unwrap_or_default(),
        size: u64::try_from(found.st_size).unwrap_or_default(),
        e_tag: None,
        version: None,
    }
}

/// Writes an object where nobody looks, and gives it its name when it is whole and durable; false
/// where it was to be new, and something has the name.
fn put(tree: &Tree, path: &str, payload: &PutPayload, once: bool) -> io::Result<bool> {
    let target = tree.made_place(path)?;
    let (staged, mut file) = stage(tree, path)?;
    let mut named = || {
        payload.iter().try_for_each(|bytes| file.write_all(bytes))?;
        file.sync_all()?;
        if once {
            tree.rename_once(&staged, &target)
        } else {
            tree.rename(&staged, &target).map(|()| true)
        }
    };
    let outcome = named();
    if once || outcome.is_err() {
        // It may have been renamed, and what stays is swept.
        let _ = staged.remove_file();
    }
    outcome
}

/// A new file for an object on its way: `staging/<its path>#<n>`.
fn stage(tree: &Tree, path: &str) -> io::Result<(Place, File)> {
    let flat = path.replace('/', "!");
    let mut place = tree.made_place(&format!("{STAGING}/x"))?;
    let mut n = 1_u64;
    loop {
        place.name = format!("{flat}#{n}");
        match place.create() {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => n += 1,
            created => {
                let created = created?;
                return Ok((place, created));
            }
        }
    }
}

/// A range that lies in the file; memory is not set aside for a length that may be made up.
fn read_range(file: &File, size: u64, range: &Range<u64>) -> io::Result<Bytes> {
    let length = range
        .end
        .checked_sub(range.start)
        .filter(|_| range.end <= size);
    let Some(Ok(length)) = length.map(usize::try_from) else {
        let message = format!("bytes {range:?} of a file of {size}");
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
    };
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes.into())
}

fn failed(path: &str, error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::NotFound {
        return Error::NotFound {
            path: path.to_owned(),
            source: error.into(),
        };
    }
    Error::Generic {
        store: DISK,
        source: error.into(),
    }
}

fn unknown(store: &DiskObjects, operation: &str) -> Error {
    Error::NotImplemented {
        operation: operation.to_owned(),
        implementer: store.to_string(),
    }
}
