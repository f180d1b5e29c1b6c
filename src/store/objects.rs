//! The objects of a lake, and the uploads that become some.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode};

use super::checksum::Checksum;
use super::circuit_breaker::CircuitBreaker;
use super::error::{CREATE, StoreError, Unfit};
use super::error_kind::StoreErrorKind;
use super::unfinished::UnfinishedUpload;

/// Begins uploads, and removes what was left behind of them.
#[async_trait]
pub trait Uploads: Send + Sync + fmt::Debug {
    /// Begins the upload of the object `target` for one attempt at a slice. Nothing of it can be
    /// seen under `activities/` before [`Upload::publish`].
    async fn begin(
        &self,
        target: &Path,
        slice: &str,
        attempt: &str,
    ) -> Result<Box<dyn Upload>, StoreError>;

    /// Removes what unpublished files of a slice left behind on a disk. Called only once the slice is
    /// committed: an attempt that is still running has lost by then.
    async fn sweep(&self, _slice: &str) -> Result<(), StoreError> {
        Ok(())
    }

    /// The slices of which such files are left, sorted.
    async fn leftovers(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    /// The uploads into object storage that were neither completed nor aborted, as far as the store
    /// says. They are invisible, and nothing needs them gone.
    async fn unfinished(&self) -> Vec<UnfinishedUpload> {
        Vec::new()
    }

    /// Ends an unfinished upload for good; false where the store refuses. Never one of an object that
    /// a commit names: some stores then lose the object.
    async fn abort(&self, _upload: &UnfinishedUpload) -> bool {
        false
    }

    /// Makes sure that an object that shows, or was removed, is still there or still gone after a
    /// power cut, where that is not certain: the run that made it show died or failed before, or
    /// something else must not be removed earlier. In object storage it is certain.
    async fn persist(&self, _target: &Path) -> Result<(), StoreError> {
        Ok(())
    }

    /// What lies in the lake and can be no object: on a disk links, pipes and names that no object has; in
    /// object storage keys that no request can name, as far as listings had them so far.
    async fn strangers(&self) -> Result<Vec<Stranger>, StoreError> {
        Ok(Vec::new())
    }

    /// Removes the folders that a committed slice no longer needs, where a store has folders.
    /// What cannot be removed does no harm.
    async fn tidy(&self, _slice: &str) {}
}

/// One object on its way into the store, invisible until it is published.
///
/// The order of calls is `write`*, `seal`, `publish`; `abort` instead of any of them.
#[async_trait]
pub trait Upload: Send {
    /// Appends bytes.
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError>;

    /// Hands over the last bytes and makes all of them durable. After this only `publish` is
    /// missing.
    async fn seal(&mut self) -> Result<(), StoreError>;

    /// Makes the object visible under its name, whole and durable. After an error the outcome is
    /// unknown: look at the store.
    async fn publish(&mut self) -> Result<(), StoreError>;

    /// Bytes that were written and are held in memory, because they wait for others to go with.
    fn waiting_bytes(&self) -> usize {
        0
    }

    /// Gives the upload up and removes what it holds, unless it is published. What cannot be removed
    /// is left to [`Uploads::sweep`] or [`Uploads::abort`].
    async fn abort(&mut self);
}

/// Something in a lake that is not an object. It is neither read nor followed nor removed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stranger {
    /// Where, as far as its name can be shown.
    pub path: String,
    /// What it is.
    pub is: String,
}

/// What a create-only put found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// The object is new and ours.
    Created,
    /// An object of that name is there, as it was: somebody else's, or our own from a first try whose
    /// answer was lost.
    Existed,
}

/// The store of one lake. Paths are relative to the lake's root.
#[derive(Debug, Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    uploads: Arc<dyn Uploads>,
    location: String,
    single_writer: bool,
    circuit_breaker: Arc<CircuitBreaker>,
}

impl Store {
    /// The same, as far as its answers are judged elsewhere too.
    pub(super) fn with_circuit_breaker(self, circuit_breaker: Arc<CircuitBreaker>) -> Self {
        Self {
            circuit_breaker,
            ..self
        }
    }

    /// Puts a store together from its two halves; `location` names it in messages.
    pub fn new(objects: Arc<dyn ObjectStore>, uploads: Arc<dyn Uploads>, location: String) -> Self {
        Self {
            objects,
            uploads,
            location,
            single_writer: false,
            circuit_breaker: Arc::default(),
        }
    }

    /// The same store, for a run that is the only one to write: what is to be created is looked for
    /// first, and put where the store cannot create only.
    #[must_use]
    pub fn for_single_writer(self) -> Self {
        Self {
            single_writer: true,
            ..self
        }
    }

    /// The lake's location, as messages name it. Holds no secret.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Requests to object storage that failed so that they are sent again, by cause: `http_503`,
    /// `timeout`, `connect`, `cut`. None on a disk.
    pub fn retries(&self) -> BTreeMap<String, u64> {
        self.circuit_breaker.retries()
    }

    /// Whether the requests to another store are counted with those to this one.
    pub fn counts_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.circuit_breaker, &other.circuit_breaker)
    }

    /// The objects, for readers of Parquet files.
    pub fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.objects)
    }

    /// The uploads.
    pub fn uploads(&self) -> &dyn Uploads {
        self.uploads.as_ref()
    }

    /// Reads a whole small object; `None` where there is none.
    ///
    /// # Errors
    /// It has more than `most_bytes`; then nothing of it is read.
    pub async fn get(&self, path: &Path, most_bytes: u64) -> Result<Option<Bytes>, StoreError> {
        let read = async {
            let found = self.objects.get(path).await?;
            if found.meta.size > most_bytes {
                return Ok(Err(found.meta.size));
            }
            found.bytes().await.map(Ok)
        };
        match read.await {
            Ok(Ok(bytes)) => Ok(Some(bytes)),
            Ok(Err(bytes)) => {
                let too_large = Unfit::TooLarge { bytes, most_bytes };
                let object = format!("{}/{path}", self.location);
                Err(StoreError::new("read", object, too_large))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.error("read", path, error)),
        }
    }

    /// What the store knows of an object, without its bytes; `None` where there is none, or on a disk
    /// no regular file.
    pub async fn look(&self, path: &Path) -> Result<Option<ObjectMeta>, StoreError> {
        match self.objects.head(path).await {
            Ok(meta) => Ok(Some(meta)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => match self.error("look at", path, error) {
                error if error.kind() == StoreErrorKind::Unfit => Ok(None),
                error => Err(error),
            },
        }
    }

    /// The size of an object in bytes; `None` where there is none, or on a disk no regular file.
    pub async fn size(&self, path: &Path) -> Result<Option<u64>, StoreError> {
        Ok(self.look(path).await?.map(|meta| meta.size))
    }

    /// The size of an object in bytes; where it is the one expected, also `sha256:` with the SHA-256
    /// of all of them. `None` if the object does not exist.
    ///
    /// # Errors
    /// Among others, what came has another size than the object.
    pub async fn checksum(
        &self,
        path: &Path,
        expected_bytes: u64,
    ) -> Result<Option<(u64, Option<String>)>, StoreError> {
        self.read_checked(path, expected_bytes, |_| ()).await
    }

    /// The same, and `take` has the bytes as they come. They are the object's only once their checksum is.
    pub async fn read_checked(
        &self,
        path: &Path,
        expected_bytes: u64,
        mut take: impl FnMut(&[u8]) + Send,
    ) -> Result<Option<(u64, Option<String>)>, StoreError> {
        let read = async {
            let found = self.objects.get(path).await?;
            let bytes = found.meta.size;
            if bytes != expected_bytes {
                return Ok((bytes, None));
            }
            let mut chunks = found.into_stream();
            let mut checksum = Checksum::default();
            while let Some(chunk) = chunks.try_next().await? {
                checksum.update(&chunk);
                take(&chunk);
            }
            Ok((bytes, Some(checksum.text())))
        };
        match read.await {
            Ok((bytes, None)) => match self.size(path).await? {
                // Something between answered for the store.
                Some(size) if size == expected_bytes => {
                    let object = format!("{}/{path}", self.location);
                    let answer = format!("the answer has {bytes} bytes, and the object {size}");
                    Err(StoreError::new("read", object, answer))
                }
                found => Ok(found.map(|size| (size, None))),
            },
            Ok(found) => Ok(Some(found)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.error("read", path, error)),
        }
    }

    /// Writes an object, replacing what was there, whole or not at all.
    pub async fn put(&self, path: &Path, bytes: Bytes) -> Result<(), StoreError> {
        match self.objects.put(path, bytes.into()).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.error("write", path, error)),
        }
    }

    /// Writes an object only if none of that name is there.
    ///
    /// # Errors
    /// The outcome is unknown then: the object may be there all the same.
    pub async fn create(&self, path: &Path, bytes: Bytes) -> Result<Creation, StoreError> {
        if self.single_writer && self.size(path).await?.is_some() {
            return Ok(Creation::Existed);
        }
        let created = self
            .objects
            .put_opts(path, bytes.clone().into(), PutMode::Create.into())
            .await;
        match created {
            Ok(_) => Ok(Creation::Created),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Creation::Existed),
            Err(error) => {
                let error = self.error(CREATE, path, error);
                if self.single_writer && error.kind() == StoreErrorKind::CreateOnly {
                    self.put(path, bytes).await?;
                    return Ok(Creation::Created);
                }
                Err(error)
            }
        }
    }

    /// Removes an object. One that is missing already is fine.
    pub async fn delete(&self, path: &Path) -> Result<(), StoreError> {
        match self.objects.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.error("remove", path, error)),
        }
    }

    /// Lists all objects below a folder, sorted by path. A folder that is missing is empty.
    pub async fn list(&self, folder: &Path) -> Result<Vec<ObjectMeta>, StoreError> {
        let listed = self.objects.list(Some(folder)).try_collect().await;
        self.sorted(folder, listed)
    }

    /// Lists the last objects below a folder, sorted by path: those behind `offset`, or all where these are
    /// fewer than `at_least`.
    pub async fn list_last(
        &self,
        folder: &Path,
        offset: &Path,
        at_least: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        let last = self.objects.list_with_offset(Some(folder), offset);
        let mut last = self.sorted(folder, last.try_collect().await)?;
        // A store that knows no offset gives all of them.
        last.retain(|object| object.location > *offset);
        if last.len() >= at_least {
            return Ok(last);
        }
        self.list(folder).await
    }

    fn sorted(
        &self,
        folder: &Path,
        listed: Result<Vec<ObjectMeta>, object_store::Error>,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        match listed {
            Ok(mut objects) => {
                objects.sort_by(|a, b| a.location.cmp(&b.location));
                Ok(objects)
            }
            Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(self.error("list", folder, error)),
        }
    }

    /// The error of reading an object through [`Store::objects`].
    pub fn read_error(&self, path: &Path, source: object_store::Error) -> StoreError {
        self.error("read", path, source)
    }

    fn error(&self, action: &'static str, path: &Path, source: object_store::Error) -> StoreError {
        StoreError::of_objects(action, format!("{}/{path}", self.location), source)
    }
}
