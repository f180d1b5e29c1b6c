//! Uploads into object storage: parts go out as they come, and the request that makes the object
//! visible is kept for the commit.
//!
//! An object below [`PART_BYTES`] stays in memory and is one put in `publish`. A larger one is a
//! multipart upload: `seal` puts its last part, `publish` completes it. Nothing shows in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use tracing::{debug, warn};

use super::odd_keys::OddKeys;
use super::unfinished::{Unfinished, UnfinishedError, UnfinishedUpload};
use super::{StoreError, Stranger, Upload, Uploads};

/// The size of a part. All parts but the last have it: some stores insist.
pub const PART_BYTES: usize = 8 * 1024 * 1024;
/// What sealed small objects may hold in memory until their commit, over all of them. One that
/// does not fit in is uploaded as a single part.
const MAX_KEPT_BYTES: usize = 16 * 1024 * 1024;

/// Begins uploads into object storage, and ends those that were left behind where the store can list
/// them.
#[derive(Debug)]
pub struct RemoteUploads {
    objects: Arc<dyn ObjectStore>,
    unfinished: Option<Arc<dyn Unfinished>>,
    odd_keys: OddKeys,
    prefix: Path,
    location: String,
    part_bytes: usize,
    kept: Arc<AtomicUsize>,
    said: AtomicBool,
}

impl RemoteUploads {
    /// Uploads into a store; `location` names the lake in messages.
    pub fn new(objects: Arc<dyn ObjectStore>, location: String) -> Self {
        Self {
            objects,
            unfinished: None,
            odd_keys: OddKeys::default(),
            prefix: Path::default(),
            location,
            part_bytes: PART_BYTES,
            kept: Arc::default(),
            said: AtomicBool::new(false),
        }
    }

    /// The same with parts of another size, for stores that allow it.
    #[must_use]
    pub fn with_part_bytes(self, part_bytes: usize) -> Self {
        Self { part_bytes, ..self }
    }

    /// The same, for a store that can list what was left unfinished.
    #[must_use]
    pub fn with_unfinished(self, unfinished: Arc<dyn Unfinished>) -> Self {
        Self {
            unfinished: Some(unfinished),
            ..self
        }
    }

    /// The same, for a lake below a prefix, from whose listings these keys are taken.
    pub(super) fn with_odd_keys(self, odd_keys: OddKeys, prefix: Path) -> Self {
        Self {
            odd_keys,
            prefix,
            ..self
        }
    }

    /// Unfinished uploads are invisible: that they cannot be swept is said, once, and stops nothing.
    fn cannot_sweep(&self, error: &UnfinishedError) {
        if !self.said.swap(true, Ordering::Relaxed) {
            warn!(
                lake = %self.location,
                %error,
                "cannot sweep unfinished uploads, so have a lifecycle rule of the bucket abort those older than a few days"
            );
        }
    }
}

#[async_trait]
impl Uploads for RemoteUploads {
    async fn begin(
        &self,
        target: &Path,
        _slice: &str,
        _attempt: &str,
    ) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(RemoteUpload {
            objects: Arc::clone(&self.objects),
            object: format!("{}/{target}", self.location),
            target: target.clone(),
            part_bytes: self.part_bytes,
            waiting: Vec::new(),
            waiting_bytes: 0,
            multipart: None,
            kept: Kept {
                bytes: 0,
                total: Arc::clone(&self.kept),
            },
        }))
    }

    async fn strangers(&self) -> Result<Vec<Stranger>, StoreError> {
        Ok(self.odd_keys.below(&self.prefix))
    }

    async fn unfinished(&self) -> Vec<UnfinishedUpload> {
        let Some(unfinished) = &self.unfinished else {
            return Vec::new();
        };
        match unfinished.list().await {
            Ok(uploads) => uploads,
            Err(error) => {
                self.cannot_sweep(&error);
                Vec::new()
            }
        }
    }

    async fn abort(&self, upload: &UnfinishedUpload) -> bool {
        let Some(unfinished) = &self.unfinished else {
            return false;
        };
        match unfinished.abort(upload).await {
            Ok(()) => true,
            Err(error) => {
                self.cannot_sweep(&error);
                false
            }
        }
    }
}

/// Bytes of a sealed object that wait in memory for the commit.
struct Kept {
    bytes: usize,
    total: Arc<AtomicUsize>,
}

impl Kept {
    /// Takes room for an object, if there is.
    fn take(&mut self, bytes: usize) -> bool {
        let taken = self
            .total
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |total| {
                (total + bytes <= MAX_KEPT_BYTES).then_some(total + bytes)
            });
        if taken.is_ok() {
            self.bytes += bytes;
        }
        taken.is_ok()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

struct RemoteUpload {
    objects: Arc<dyn ObjectStore>,
    target: Path,
    /// The target's full name, for messages.
    object: String,
    part_bytes: usize,
    /// What no part has taken yet, in order.
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
    multipart: Option<Box<dyn MultipartUpload>>,
    kept: Kept,
}

impl RemoteUpload {
    fn failed(&self, action: &'static str, source: object_store::Error) -> StoreError {
        StoreError::of_objects(action, self.object.clone(), source)
    }

    /// Takes the first bytes that wait, at most a part.
    fn next_part(&mut self) -> PutPayload {
        let mut part = Vec::new();
        let mut room = self.part_bytes;
        let mut rest = Vec::new();
        for mut bytes in std::mem::take(&mut self.waiting) {
            if bytes.len() <= room {
                room -= bytes.len();
                part.push(bytes);
            } else {
                let taken = bytes.split_to(room);
                room = 0;
                if !taken.is_empty() {
                    part.push(taken);
                }
                rest.push(bytes);
            }
        }
        self.waiting = rest;
        self.waiting_bytes -= self.part_bytes - room;
        part.into_iter().collect()
    }

    async fn put_part(&mut self) -> Result<(), StoreError> {
        let part = self.next_part();
        let mut multipart = match self.multipart.take() {
            Some(multipart) => multipart,
            None => self
                .objects
                .put_multipart(&self.target)
                .await
                .map_err(|source| self.failed("begin to write", source))?,
        };
        let put = multipart.put_part(part).await;
        // Kept in any case: it has to be aborted.
        self.multipart = Some(multipart);
        put.map_err(|source| self.failed("write", source))
    }
}

#[async_trait]
impl Upload for RemoteUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.waiting_bytes += bytes.len();
        self.waiting.push(bytes);
        while self.waiting_bytes >= self.part_bytes {
            self.put_part().await?;
        }
        Ok(())
    }

    async fn seal(&mut self) -> Result<(), StoreError> {
        let is_small = self.multipart.is_none();
        if is_small && self.kept.take(self.waiting_bytes) {
            return Ok(());
        }
        if self.waiting_bytes > 0 || is_small {
            self.put_part().await?;
        }
        Ok(())
    }

    async fn publish(&mut self) -> Result<(), StoreError> {
        let published = if let Some(multipart) = &mut self.multipart {
            multipart.complete().await
        } else {
            let whole: PutPayload = self.waiting.iter().cloned().collect();
            self.objects.put(&self.target, whole).await
        };
        published.map_err(|source| self.failed("publish", source))?;
        // There is nothing left to abort.
        self.multipart = None;
        self.waiting.clear();
        Ok(())
    }

    fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    async fn abort(&mut self) {
        self.waiting.clear();
        self.waiting_bytes = 0;
        if let Some(mut multipart) = self.multipart.take()
            && let Err(error) = multipart.abort().await
        {
            // Invisible: the bucket's own rule ends it, or `verify --sweep`.
            debug!(object = %self.object, %error, "an upload was not aborted");
        }
    }
}
