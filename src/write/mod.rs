//! Parts → finished Parquet files of one attempt at one slice.
//!
//! [`SliceWriter`] takes parts as they come, keeps their rows until a row group is full, and
//! streams row groups into uploads that no reader can see. [`SliceWriter::finish`] hands on files
//! that are whole and durable but not published: that is the commit's step. Until then every error
//! ends in [`SliceWriter::abort`], and nothing is left.
//!
//! * **Row groups** close at 65,536 rows or 32 MiB of Arrow memory, never because a page or a batch
//!   ends; earlier only when all parts together hold three quarters of [`WriteOptions::buffer_bytes`], the
//!   largest part first. Each is sorted by `timestamp` and says so; in a compaction it becomes several,
//!   sorted by user ([`RowOrder`]). While up to two are encoded, further
//!   rows are taken, as far as the buffer holds both.
//! * **Files** belong to one part, begin with their first row group (so none is empty) and end at
//!   [`WriteOptions::max_file_bytes`]. At most eight are unfinished; the one that was written
//!   longest ago makes room, its part goes on in a new file.
//! * **Memory**: rows that wait or are being encoded, plus the footers of eight files, plus what these
//!   have for the next parts of their uploads.
//!   A Parquet encoder lives only while its column is encoded.
//!
//! This is the only stage that writes Parquet. It does not decide which rows belong together, does
//! not make anything visible, and reads no clock.

mod column;
mod error;
mod file;
mod options;
mod part;
mod properties;
mod row_group;
mod row_order;

pub use error::WriteError;
pub use file::{FileEntry, FinishedFile};
pub use options::{CompressionLevel, ParseCompressionError, Provenance, WriteOptions};
pub use properties::{INDEXED_ROWS, message_type};
pub use row_order::RowOrder;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use crate::layout::{self, PartitionKey};
use crate::partition::Rows;
use crate::store::Store;

use file::{OpenFile, origin};
use part::Part;
use properties::{Layout, part_bytes};
use row_group::Encoder;

/// Files of one attempt that may be unfinished. Each holds the footer of its row groups; a slice rarely
/// touches more than three days, and eight leave room for the late ones.
const MAX_OPEN_FILES: usize = 8;

/// Row groups of unfinished files, where there are several: the footers of a large slice would outgrow what
/// its rows take.
const MAX_ROW_GROUPS: usize = 128;

/// What unfinished files may hold in memory until there is enough of it to send, over all files of an
/// attempt. In an object store one holds up to a part of an upload (8 MiB).
const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;

/// Row groups of one attempt that may be encoded at once. Each is of another file.
const MAX_ENCODING: usize = 2;

/// Writes the rows of one attempt at one slice, or at a compaction.
pub struct SliceWriter {
    store: Store,
    schema: SchemaRef,
    slice: String,
    /// What stands in the names of the files where those of a slice have the slice.
    names: String,
    order: RowOrder,
    attempt: String,
    options: WriteOptions,
    provenance: Provenance,
    /// Made with the first file: `new` cannot fail.
    layout: Option<Arc<Layout>>,
    parts: BTreeMap<PartitionKey, Part>,
    files: BTreeMap<PartitionKey, OpenFile>,
    /// The files whose next row group is being encoded, with the memory that its rows hold.
    encoding: VecDeque<(PartitionKey, usize)>,
    finished: Vec<FinishedFile>,
    /// Files begun, over all parts; the next file's number.
    begun_files: u32,
    /// Row groups written, over all files.
    row_groups: u64,
    handed_rows: u64,
    /// Set while a call runs and left set when it fails or is dropped half-way: what it was doing
    /// is lost, so nothing more can be written.
    unfinished: bool,
}

impl SliceWriter {
    /// A writer for the rows of an attempt at a slice, all of them of one schema: with a column
    /// `timestamp` in microseconds UTC that is never null, and maybe one `created`. Nothing is
    /// written before the first row group.
    pub fn new(
        store: Store,
        schema: SchemaRef,
        slice: &str,
        attempt: &str,
        options: WriteOptions,
        provenance: Provenance,
    ) -> Self {
        Self {
            store,
            schema,
            slice: slice.to_owned(),
            names: slice.to_owned(),
            order: RowOrder::Time,
            attempt: attempt.to_owned(),
            options,
            provenance,
            layout: None,
            parts: BTreeMap::new(),
            files: BTreeMap::new(),
            encoding: VecDeque::new(),
            finished: Vec::new(),
            begun_files: 0,
            row_groups: 0,
            handed_rows: 0,
            unfinished: false,
        }
    }

    /// So many bytes of rows may wait from now on, over all parts: what is over is written with the
    /// next rows.
    pub fn set_buffer_bytes(&mut self, bytes: usize) {
        self.options.buffer_bytes = bytes;
    }

    /// The same for a compaction: its files are not named after it, and their rows lie by user.
    #[must_use]
    pub fn of_compaction(self, names: String) -> Self {
        Self {
            names,
            order: RowOrder::User,
            ..self
        }
    }

    /// Takes rows of one part. Returns once those that have to wait fit into the buffer.
    ///
    /// # Errors
    /// The attempt is over: what is left to do is [`SliceWriter::abort`]. The same goes for a call
    /// that was dropped before it returned.
    pub async fn write(
        &mut self,
        key: PartitionKey,
        rows: impl Into<Rows>,
    ) -> Result<(), WriteError> {
        self.begin_call()?;
        self.take_rows(key, rows.into()).await?;
        self.unfinished = false;
        Ok(())
    }

    /// Writes the rows that wait, ends all files and seals them. Publishes nothing. The files are
    /// ordered by path.
    ///
    /// # Errors
    /// Everything is aborted then.
    pub async fn finish(mut self) -> Result<Vec<FinishedFile>, WriteError> {
        match self.finish_files().await {
            Ok(()) => {
                self.finished
                    .sort_by(|a, b| a.entry.path.cmp(&b.entry.path));
                Ok(self.finished)
            }
            Err(error) => {
                self.abort().await;
                Err(error)
            }
        }
    }

    /// Gives the attempt up: removes every file, finished or not.
    pub async fn abort(self) {
        for mut file in self.files.into_values() {
            file.abort().await;
        }
        for mut file in self.finished {
            file.abort().await;
        }
    }

    /// Arrow memory of the rows that wait for their row group or are being encoded, over all parts, in
    /// bytes.
    pub fn buffered_bytes(&self) -> usize {
        let waiting = self.parts.values().map(Part::held_bytes);
        let encoding = self.encoding.iter().map(|(_, bytes)| bytes);
        waiting.sum::<usize>() + encoding.sum::<usize>()
    }

    /// What unfinished files hold in memory until there is enough of it to send, in bytes.
    pub fn waiting_bytes(&self) -> usize {
        self.files.values().map(OpenFile::waiting_bytes).sum()
    }

    fn begin_call(&mut self) -> Result<(), WriteError> {
        if self.unfinished {
            return Err(WriteError::Unfinished {
                slice: self.slice.clone(),
            });
        }
        self.unfinished = true;
        Ok(())
    }

    async fn take_rows(&mut self, key: PartitionKey, rows: Rows) -> Result<(), WriteError> {
        let schema = rows.batch().schema_ref();
        if !Arc::ptr_eq(schema, &self.schema) && *schema != self.schema {
            return Err(WriteError::Columns { key });
        }
        self.handed_rows += rows.len() as u64;
        let failed = |source: ArrowError| WriteError::Encode {
            place: key.to_string(),
            source: source.into(),
        };
        let most_bytes = part_bytes(self.order);
        let mut left = (!rows.is_empty()).then_some(rows);
        while let Some(rows) = left {
            let part = self.parts.entry(key);
            let part = part.or_insert_with(|| Part::new(most_bytes));
            left = part.take(rows).map_err(failed)?;
            if part.is_full() {
                self.flush(key).await?;
            }
        }
        while self.buffered_bytes() > self.options.buffer_bytes {
            if !self.encoding.is_empty() {
                self.end_oldest_row_group().await?;
            } else if let Some(largest) = self.largest_part() {
                self.flush(largest).await?;
            } else {
                break;
            }
        }
        self.flush_ahead().await
    }

    /// Has the largest part encoded before the buffer is full, so that rows are taken meanwhile.
    async fn flush_ahead(&mut self) -> Result<(), WriteError> {
        if self.buffered_bytes() <= self.options.buffer_bytes / 4 * 3 {
            return Ok(());
        }
        if let Some((key, _)) = self.encoding.front() {
            if self.files.get(key).is_some_and(OpenFile::is_encoding) {
                return Ok(());
            }
            self.end_oldest_row_group().await?;
        }
        match self.largest_part() {
            Some(largest) => self.flush(largest).await,
            None => Ok(()),
        }
    }

    fn largest_part(&self) -> Option<PartitionKey> {
        let largest = self.parts.iter().max_by_key(|(_, part)| part.held_bytes());
        largest.map(|(&key, _)| key)
    }

    async fn finish_files(&mut self) -> Result<(), WriteError> {
        self.begin_call()?;
        let waiting: Vec<PartitionKey> = self.parts.keys().copied().collect();
        for key in waiting {
            self.flush(key).await?;
        }
        let unfinished: Vec<PartitionKey> = self.files.keys().copied().collect();
        for key in unfinished {
            self.finish_file(key).await?;
        }
        // Counted on the way in, counted again from the footers.
        let counted_rows = self.finished.iter().map(|file| file.entry.rows).sum();
        if counted_rows != self.handed_rows {
            return Err(WriteError::Conservation {
                place: format!("slice {}", self.slice),
                handed_rows: self.handed_rows,
                counted_rows,
            });
        }
        Ok(())
    }

    /// Has the rows of a part written as one row group.
    async fn flush(&mut self, key: PartitionKey) -> Result<(), WriteError> {
        let Some(part) = self.parts.remove(&key) else {
            return Ok(());
        };
        while self.encoding.len() >= MAX_ENCODING || self.is_encoding(key) {
            self.end_oldest_row_group().await?;
        }
        if !self.files.contains_key(&key) {
            self.begin_file(key).await?;
        }
        let Some(file) = self.files.get_mut(&key) else {
            return Ok(());
        };
        let held_bytes = part.held_bytes();
        file.begin_rows(part)?;
        self.encoding.push_back((key, held_bytes));
        self.row_groups += 1;
        file.last_written = self.row_groups;
        Ok(())
    }

    fn is_encoding(&self, key: PartitionKey) -> bool {
        self.encoding.iter().any(|(encoding, _)| *encoding == key)
    }

    /// Waits for the row group that was begun first of those that are being encoded.
    async fn end_oldest_row_group(&mut self) -> Result<(), WriteError> {
        let Some((key, _)) = self.encoding.pop_front() else {
            return Ok(());
        };
        let Some(file) = self.files.get_mut(&key) else {
            return Ok(());
        };
        file.end_row_group().await?;
        if file.bytes() >= self.options.max_file_bytes {
            self.finish_file(key).await?;
        }
        while self.waiting_bytes() > MAX_WAITING_BYTES
            && let Some(oldest) = self.least_recently_written()
        {
            self.finish_file(oldest).await?;
        }
        let row_groups: usize = self.files.values().map(|file| file.row_groups).sum();
        if row_groups > MAX_ROW_GROUPS
            && self.files.len() > 1
            && let Some(longest) = self.with_most_row_groups()
        {
            self.finish_file(longest).await?;
        }
        Ok(())
    }

    async fn begin_file(&mut self, key: PartitionKey) -> Result<(), WriteError> {
        while self.files.len() >= MAX_OPEN_FILES
            && let Some(oldest) = self.least_recently_written()
        {
            self.finish_file(oldest).await?;
        }
        let layout = self.layout()?;
        let path = layout::file_path(key, &self.names, &self.attempt, self.begun_files);
        let encoder = Encoder::new(layout).map_err(|source| WriteError::Layout { source })?;
        let upload = self
            .store
            .uploads()
            .begin(&path, &self.slice, &self.attempt)
            .await
            .map_err(|source| WriteError::Store {
                path: path.to_string(),
                source,
            })?;
        self.begun_files += 1;
        self.files
            .insert(key, OpenFile::new(key, path, upload, encoder));
        Ok(())
    }

    fn with_most_row_groups(&self) -> Option<PartitionKey> {
        let longest = self.files.iter().max_by_key(|(_, file)| file.row_groups);
        longest.map(|(&key, _)| key)
    }

    fn least_recently_written(&self) -> Option<PartitionKey> {
        let oldest = self.files.iter().min_by_key(|(_, file)| file.last_written);
        oldest.map(|(&key, _)| key)
    }

    async fn finish_file(&mut self, key: PartitionKey) -> Result<(), WriteError> {
        let origin = origin(&self.provenance, &self.slice, &self.attempt);
        let Some(file) = self.files.get_mut(&key) else {
            return Ok(());
        };
        // The file stays where `abort` finds it until it is sealed.
        file.end_row_group().await?;
        self.encoding.retain(|(encoding, _)| *encoding != key);
        let entry = file.finish(origin).await?;
        if let Some(file) = self.files.remove(&key) {
            self.finished.push(file.into_finished(entry));
        }
        Ok(())
    }

    fn layout(&mut self) -> Result<Arc<Layout>, WriteError> {
        if let Some(layout) = &self.layout {
            return Ok(Arc::clone(layout));
        }
        let layout = Layout::new(
            Arc::clone(&self.schema),
            self.options.compression,
            self.order,
        )
        .map_err(|source| WriteError::Layout { source })?;
        Ok(Arc::clone(self.layout.insert(Arc::new(layout))))
    }
}

#[cfg(test)]
mod tests;
