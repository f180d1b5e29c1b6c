//! Uploads of which a copy is kept, because nobody can read an upload before it is published: what was
//! written is read back from the copy.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::path::Path;
use parking_lot::Mutex;
use tokio::task::spawn_blocking;

use crate::store::{Checksum, Store, StoreError, Upload, Uploads};

/// Read at once.
const READ_BYTES: usize = 1024 * 1024;

/// Begins the uploads of a store, and keeps a copy of each in files without a name.
#[derive(Debug)]
pub(super) struct Spool {
    store: Store,
    folder: PathBuf,
    copies: Mutex<BTreeMap<String, Arc<File>>>,
}

impl Spool {
    pub(super) fn new(store: Store, folder: PathBuf) -> Arc<Self> {
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
        let copy = blocking(target, move || tempfile::tempfile_in(folder)).await?;
        let copy = Arc::new(copy);
        let inner = self.store.uploads().begin(target, slice, attempt).await?;
        let mut copies = self.copies.lock();
        copies.insert(target.to_string(), Arc::clone(&copy));
        Ok(Box::new(Copied {
            target: target.clone(),
            copy,
            inner,
        }))
    }
}

struct Copied {
    target: Path,
    copy: Arc<File>,
    inner: Box<dyn Upload>,
}

#[async_trait]
impl Upload for Copied {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let (copy, same) = (Arc::clone(&self.copy), bytes.clone());
        blocking(&self.target, move || (&*copy).write_all(&same)).await?;
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

/// The checksum of a copy's bytes.
pub(super) async fn checksum(path: &Path, copy: Arc<File>) -> Result<String, StoreError> {
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
    blocking(path, read).await
}

/// Runs file work where it may block.
async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    let failed = |source: io::Error| StoreError::new("keep a copy of", path.to_string(), source);
    match spawn_blocking(work).await {
        Ok(done) => done.map_err(failed),
        Err(died) => Err(failed(died.into())),
    }
}
