//! One file: from its first row group to sealed and waiting to be published.

use bytes::Bytes;
use object_store::path::Path;
use parquet::file::metadata::{KeyValue, RowGroupMetaData};
use serde::{Deserialize, Serialize};
use tokio::task::{JoinHandle, spawn_blocking};

use super::error::{Cause, WriteError};
use super::options::Provenance;
use super::part::Part;
use super::row_group::{Encoded, Encoder, Ended, Span};
use crate::layout::PartitionKey;
use crate::store::{StoreError, Upload};

/// What a commit says about a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Where it is, relative to the lake's root.
    pub path: String,
    /// Rows, as its footer counts them.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of all its bytes: `sha256:` and 64 hexadecimal digits.
    pub checksum: String,
    /// The earliest `timestamp`, in milliseconds since the epoch.
    pub timestamp_min_ms: i64,
    /// The latest `timestamp`, in milliseconds since the epoch.
    pub timestamp_max_ms: i64,
    /// The earliest `created`, in milliseconds since the epoch, where a row has one.
    pub created_min_ms: Option<i64>,
    /// The latest `created`, in milliseconds since the epoch, where a row has one.
    pub created_max_ms: Option<i64>,
}

/// A file that is whole, durable and invisible. The commit publishes it.
pub struct FinishedFile {
    /// What the commit will say about it.
    pub entry: FileEntry,
    upload: Box<dyn Upload>,
}

impl FinishedFile {
    /// Makes the file visible. After an error the outcome is unknown: look at the store.
    pub async fn publish(&mut self) -> Result<(), StoreError> {
        self.upload.publish().await
    }

    /// Gives the file up and removes what it holds. For files that are not published.
    pub async fn abort(&mut self) {
        self.upload.abort().await;
    }

    /// The entry and the sealed upload.
    pub fn into_parts(self) -> (FileEntry, Box<dyn Upload>) {
        (self.entry, self.upload)
    }
}

/// A file that is being written.
pub(super) struct OpenFile {
    key: PartitionKey,
    path: Path,
    upload: Box<dyn Upload>,
    /// Away while it encodes on another thread.
    encoder: Option<Encoder>,
    /// The row group that is being encoded.
    encoding: Option<JoinHandle<Result<(Encoder, Encoded), Cause>>>,
    bytes: u64,
    rows: u64,
    /// Row groups that were appended: what the footer will say of them is in memory.
    pub(super) row_groups: usize,
    timestamp: Option<Span>,
    created: Option<Span>,
    /// When it was last written, on the writer's own count of row groups.
    pub(super) last_written: u64,
}

impl OpenFile {
    /// Begins a file on an upload that has just begun.
    pub(super) fn new(
        key: PartitionKey,
        path: Path,
        upload: Box<dyn Upload>,
        encoder: Encoder,
    ) -> Self {
        Self {
            key,
            path,
            upload,
            encoder: Some(encoder),
            encoding: None,
            bytes: 0,
            rows: 0,
            row_groups: 0,
            timestamp: None,
            created: None,
            last_written: 0,
        }
    }

    /// Bytes that the upload holds in memory until there are enough to send.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.upload.waiting_bytes()
    }

    /// Bytes handed to the store so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Begins to encode the rows of a part, where it holds up nobody.
    pub(super) fn begin_rows(&mut self, part: Part) -> Result<(), WriteError> {
        let mut encoder = self.take_encoder()?;
        self.encoding = Some(spawn_blocking(move || {
            let group = encoder.rows(part)?;
            Ok((encoder, group))
        }));
        Ok(())
    }

    /// Whether a row group is being encoded, and is not done.
    pub(super) fn is_encoding(&self) -> bool {
        let encoding = self.encoding.as_ref();
        encoding.is_some_and(|encoding| !encoding.is_finished())
    }

    /// Waits for the row group that is being encoded, if any, and appends it.
    pub(super) async fn end_row_group(&mut self) -> Result<(), WriteError> {
        let Some(encoding) = self.encoding.take() else {
            return Ok(());
        };
        let (encoder, group) = encoded(&self.path, encoding).await?;
        self.encoder = Some(encoder);
        let day = self.key.range_us();
        let belongs = |span: Span| day.contains(&span.min_us) && day.contains(&span.max_us);
        if !group.timestamp.is_some_and(belongs) {
            return Err(WriteError::Misplaced {
                path: self.path.to_string(),
            });
        }
        self.rows += group.rows;
        self.row_groups += 1;
        self.timestamp = Span::union(self.timestamp, group.timestamp);
        self.created = Span::union(self.created, group.created);
        self.send(group.bytes).await
    }

    /// Writes the footer and seals the upload. What is left is [`OpenFile::into_finished`].
    pub(super) async fn finish(
        &mut self,
        key_values: Vec<KeyValue>,
    ) -> Result<FileEntry, WriteError> {
        // A file is begun with a row group at hand, so it has rows by now.
        let timestamp = self.timestamp.ok_or_else(|| WriteError::Misplaced {
            path: self.path.to_string(),
        })?;
        let encoder = self.take_encoder()?;
        let mut all = key_values;
        let mut note = |key: &str, value: String| all.push(KeyValue::new(key.to_owned(), value));
        note("mdca.rows", self.rows.to_string());
        note("mdca.sort", encoder.order().to_string());
        note("mdca.timestamp_min_ms", ms(timestamp.min_us).to_string());
        note("mdca.timestamp_max_ms", ms(timestamp.max_us).to_string());
        if let Some(created) = self.created {
            note("mdca.created_min_ms", ms(created.min_us).to_string());
            note("mdca.created_max_ms", ms(created.max_us).to_string());
        }

        let encoding = spawn_blocking(move || encoder.finish(all));
        let Ended {
            bytes,
            footer,
            checksum,
        } = encoded(&self.path, encoding).await?;
        let counted = footer.file_metadata().num_rows();
        let in_row_groups: i64 = footer
            .row_groups()
            .iter()
            .map(RowGroupMetaData::num_rows)
            .sum();
        for counted_rows in [counted, in_row_groups].map(|rows| u64::try_from(rows).unwrap_or(0)) {
            if counted_rows != self.rows {
                return Err(WriteError::Conservation {
                    place: self.path.to_string(),
                    handed_rows: self.rows,
                    counted_rows,
                });
            }
        }
        self.send(bytes).await?;
        self.upload
            .seal()
            .await
            .map_err(|source| self.store_error(source))?;
        Ok(FileEntry {
            path: self.path.to_string(),
            rows: self.rows,
            bytes: self.bytes,
            checksum,
            timestamp_min_ms: ms(timestamp.min_us),
            timestamp_max_ms: ms(timestamp.max_us),
            created_min_ms: self.created.map(|created| ms(created.min_us)),
            created_max_ms: self.created.map(|created| ms(created.max_us)),
        })
    }

    /// The sealed file as the commit takes it.
    pub(super) fn into_finished(self, entry: FileEntry) -> FinishedFile {
        FinishedFile {
            entry,
            upload: self.upload,
        }
    }

    /// Gives the file up and removes what it holds.
    pub(super) async fn abort(&mut self) {
        self.upload.abort().await;
    }

    async fn send(&mut self, bytes: Bytes) -> Result<(), WriteError> {
        self.bytes += bytes.len() as u64;
        self.upload
            .write(bytes)
            .await
            .map_err(|source| self.store_error(source))
    }

    fn take_encoder(&mut self) -> Result<Encoder, WriteError> {
        self.encoder.take().ok_or_else(|| WriteError::Encode {
            place: self.path.to_string(),
            source: "an earlier row group was not encoded".into(),
        })
    }

    fn store_error(&self, source: StoreError) -> WriteError {
        WriteError::Store {
            path: self.path.to_string(),
            source,
        }
    }
}

/// What every footer says beside the counts: where the rows come from.
pub(super) fn origin(provenance: &Provenance, slice: &str, attempt: &str) -> Vec<KeyValue> {
    let Provenance {
        tool_version,
        schema_version,
        run,
        clock,
    } = provenance;
    [
        ("mdca.schema_version", schema_version.as_str()),
        ("mdca.tool_version", tool_version),
        ("mdca.run", run),
        ("mdca.slice", slice),
        ("mdca.attempt", attempt),
        ("mdca.clock", clock),
    ]
    .map(|(key, value)| KeyValue::new(key.to_owned(), value.to_owned()))
    .to_vec()
}

/// Microseconds → the milliseconds that the service counts in.
fn ms(time_us: i64) -> i64 {
    time_us.div_euclid(1000)
}

/// What encoding came to.
async fn encoded<T>(path: &Path, encoding: JoinHandle<Result<T, Cause>>) -> Result<T, WriteError> {
    let place = path.to_string();
    match encoding.await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(WriteError::Encode { place, source }),
        Err(stopped) => Err(WriteError::Encode {
            place,
            source: stopped.into(),
        }),
    }
}
