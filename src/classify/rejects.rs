//! The rejects of one attempt, streamed into an upload as they come.

use bytes::Bytes;
use object_store::path::Path;

use crate::commit::RejectsEntry;
use crate::layout;
use crate::store::{Checksum, Store, StoreError, Upload};

/// Writes the lines of an attempt's rejects. Nothing is begun before the first.
pub struct RejectsWriter {
    store: Store,
    slice: String,
    attempt: String,
    path: Path,
    upload: Option<Box<dyn Upload>>,
    lines: u64,
    bytes: u64,
    checksum: Checksum,
}

impl RejectsWriter {
    /// A writer for an attempt at a slice.
    pub fn new(store: Store, slice: &str, attempt: &str) -> Self {
        Self {
            store,
            slice: slice.to_owned(),
            attempt: attempt.to_owned(),
            path: layout::rejects(slice, attempt),
            upload: None,
            lines: 0,
            bytes: 0,
            checksum: Checksum::default(),
        }
    }

    /// Appends whole lines.
    pub async fn write(&mut self, lines: String) -> Result<(), StoreError> {
        if lines.is_empty() {
            return Ok(());
        }
        if self.upload.is_none() {
            let uploads = self.store.uploads();
            self.upload = Some(
                uploads
                    .begin(&self.path, &self.slice, &self.attempt)
                    .await?,
            );
        }
        self.lines += memchr::memchr_iter(b'\n', lines.as_bytes()).count() as u64;
        self.bytes += lines.len() as u64;
        self.checksum.update(lines.as_bytes());
        let upload = self.upload.as_mut().expect("begun above");
        upload.write(Bytes::from(lines)).await
    }

    /// Seals what was written: what the commit says about it, and the upload; nothing if there are
    /// no rejects.
    pub async fn seal(&mut self) -> Result<Option<(RejectsEntry, Box<dyn Upload>)>, StoreError> {
        let Some(mut upload) = self.upload.take() else {
            return Ok(None);
        };
        if let Err(error) = upload.seal().await {
            upload.abort().await;
            return Err(error);
        }
        let entry = RejectsEntry {
            path: self.path.to_string(),
            lines: self.lines,
            bytes: self.bytes,
            checksum: self.checksum.text(),
        };
        Ok(Some((entry, upload)))
    }

    /// Gives up what was not sealed.
    pub async fn abort(&mut self) {
        if let Some(upload) = &mut self.upload {
            upload.abort().await;
        }
    }
}
