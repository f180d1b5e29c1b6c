//! Uploads of which a copy is kept, because nobody can read an upload before it is published: what was
//! written is read back from the copy.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::path::Path;
use parking_lot::Mutex;

use crate::store::{Checksum, ScratchError, ScratchFolder, Store, StoreError, Upload, Uploads};

/// Read at once.
const READ_BYTES: usize = 1024 * 1024;

/// Begins the uploads of a store, and keeps a copy of each in files without a name.
#[derive(Debug)]
pub(super) struct Spool {
    store: Store,
    folder: ScratchFolder,
    copies: Mutex<BTreeMap<String, Arc<File>>>,
}

impl Spool {
    pub(super) fn new(store: Store, folder: ScratchFolder) -> Arc<Self> {
        Arc::new(Self {
            store,
            folder,
            copies: Mutex::default(),
        })
    }

    /// The store, whose uploads are copied.
    pub(super) fn store(self: &Arc<Self>) -> Store {
        let uploads: Arc<dyn Uploads> = Arc::<Self>::clone(self);
        Store::new(
            self.store.objects(),
            uploads,
            self.store.location().to_owned(),
        )
    }

    /// The copy of what is to be the object of this path.
    pub(super) fn copy(&self, path: &str) -> Option<Arc<File>> {
        let copies = self.copies.lock();
        copies.get(path).cloned()
    }

    /// The checksum of a copy's bytes.
    pub(super) async fn checksum(&self, copy: Arc<File>) -> Result<String, ScratchError> {
        let read = move || {
            let (mut checksum, mut at) = (Checksum::default(), 0);
            let mut bytes = vec![0; READ_BYTES];
            loop {
                let read = copy.read_at(&mut bytes, at)?;
                if read == 0 {
                    return Ok(checksum.text());
                }
                checksum.update(&bytes[..read]);
                at += read as u64;
            }
        };
        self.folder.blocking(read).await
    }
}

#[async_trait]
impl Uploads for Spool {
    async fn begin(
        &self,
        target: &Path,
        slice: &str,
        attempt: &str,
    ) -> Result<Box<dyn Upload>, StoreError> {
        let folder = self.folder.clone();
        let copy = self.folder.blocking(move || folder.file()).await;
        let copy = Arc::new(copy.map_err(|error| not_kept(target, error))?);
        let inner = self.store.uploads().begin(target, slice, attempt).await?;
        let mut copies = self.copies.lock();
        copies.insert(target.to_string(), Arc::clone(&copy));
        Ok(Box::new(Copied {
            target: target.clone(),
            folder: self.folder.clone(),
            copy,
            inner,
        }))
    }
}

struct Copied {
    target: Path,
    folder: ScratchFolder,
    copy: Arc<File>,
    inner: Box<dyn Upload>,
}

#[async_trait]
impl Upload for Copied {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let (copy, same) = (Arc::clone(&self.copy), bytes.clone());
        let kept = self
            .folder
            .blocking(move || (&*copy).write_all(&same))
            .await;
        kept.map_err(|error| not_kept(&self.target, error))?;
        self.inner.write(bytes).await
    }

    async fn seal(&mut self) -> Result<(), StoreError> {
        self.inner.seal().await
    }

    async fn publish(&mut self) -> Result<(), StoreError> {
        self.inner.publish().await
    }

    fn waiting_bytes(&self) -> usize {
        self.inner.waiting_bytes()
    }

    async fn abort(&mut self) {
        self.inner.abort().await;
    }
}

fn not_kept(target: &Path, error: ScratchError) -> StoreError {
    StoreError::new("keep a copy of", target.to_string(), error)
}
