//! A committed file as it is read: opened with care, because someone who may write to the lake may have
//! made it.
//!
//! * What its pages unpack to is looked up before they are unpacked ([`super::pages`]).
//! * Texts are views: a dictionary's text that stands in every row is in memory once.
//! * Batches are as short as the rows are wide.
//! * The decoder is somebody else's, and stops on some footers: that becomes an error.

use std::cell::Cell;
use std::fs::File;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use bytes::Bytes;
use futures::{FutureExt, TryStreamExt};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStream};
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask, parquet_to_arrow_schema};
use parquet::bloom_filter::Sbbf;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::statistics::Statistics;

use super::object::ObjectReader;
use super::sorted::SortedRows;
use crate::schema::TIMESTAMP;
use crate::store::Store;
use crate::write::RowOrder;

/// Rows of a batch, where they are no wider than activities usually are.
const BATCH_ROWS: usize = 256;
/// Bytes that the rows of a batch should take, by what the footer says.
const BATCH_BYTES: i64 = 4 * 1024 * 1024;

/// What a decoder holds at most of a row group that it reads batch by batch, about: a hundred kilobytes for
/// each of its hundred columns.
const DECODER_BYTES: u64 = 10 * 1024 * 1024;

/// A committed file, opened.
#[derive(Clone)]
pub(super) struct CommittedFile {
    reader: ObjectReader,
    metadata: ArrowReaderMetadata,
}

impl CommittedFile {
    /// Reads the footer of an object of so many bytes.
    pub(super) async fn open(store: &Store, path: &str, bytes: u64) -> Result<Self, ParquetError> {
        Self::read_footer(ObjectReader::new(store, path, bytes)).await
    }

    /// The same of all bytes of one.
    pub(super) async fn open_read(bytes: Bytes) -> Result<Self, ParquetError> {
        Self::read_footer(ObjectReader::of_memory(bytes)).await
    }

    /// The same of the copy of one.
    pub(super) async fn open_copy(copy: Arc<File>, bytes: u64) -> Result<Self, ParquetError> {
        Self::read_footer(ObjectReader::of_copy(copy, bytes)).await
    }

    async fn read_footer(mut reader: ObjectReader) -> Result<Self, ParquetError> {
        guarded(async move {
            let footer = reader.get_metadata(None).await?;
            let columns = footer.file_metadata().schema_descr();
            let schema = parquet_to_arrow_schema(columns, None)?;
            let fields: Fields = schema.fields().iter().map(with_views).collect();
            let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields)));
            let metadata = ArrowReaderMetadata::try_new(footer, options)?;
            Ok(Self { reader, metadata })
        })
        .await
    }

    /// What the footer says.
    pub(super) fn footer(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }

    /// The earliest `timestamp` of a row group in microseconds since the epoch, where the footer says it.
    pub(super) fn earliest_us(&self, row_group: usize) -> Option<i64> {
        let columns = self.footer().file_metadata().schema_descr().columns();
        let column = columns
            .iter()
            .position(|column| column.path().string() == TIMESTAMP)?;
        match self
            .footer()
            .row_group(row_group)
            .column(column)
            .statistics()
        {
            Some(Statistics::Int64(statistics)) => statistics.min_opt().copied(),
            _ => None,
        }
    }

    /// Begins to read a row group.
    pub(super) async fn rows(&self, row_group: usize) -> Result<Rows, ParquetError> {
        let group = self.footer().row_group(row_group);
        let builder = self.builder().with_row_groups(vec![row_group]);
        let builder = builder.with_batch_size(batch_rows(group));
        let stream = guarded(async { builder.build() }).await?;
        Ok(Rows::Lying(stream))
    }

    /// Begins to read the columns of a row group that have these names.
    pub(super) async fn columns(
        &self,
        row_group: usize,
        names: &[&str],
    ) -> Result<Rows, ParquetError> {
        let group = self.footer().row_group(row_group);
        let columns = self.footer().file_metadata().schema_descr();
        let mask = ProjectionMask::columns(columns, names.iter().copied());
        let builder = self.builder().with_row_groups(vec![row_group]);
        let builder = builder
            .with_projection(mask)
            .with_batch_size(batch_rows(group));
        let stream = guarded(async { builder.build() }).await?;
        Ok(Rows::Lying(stream))
    }

    /// Begins to read a row group by `timestamp`. One that lies in another order is read whole first.
    pub(super) async fn rows_by_time(&self, row_group: usize) -> Result<Rows, ParquetError> {
        let mut rows = self.rows(row_group).await?;
        let group = self.footer().row_group(row_group);
        if RowOrder::declared_by(group) == Some(RowOrder::Time) {
            return Ok(rows);
        }
        let mut batches = Vec::new();
        while let Some(batch) = rows.next().await? {
            batches.push(batch);
        }
        Ok(Rows::Sorted(SortedRows::new(batches, batch_rows(group))?))
    }

    /// The memory that reading a row group by `timestamp` takes, in bytes, about.
    pub(super) fn open_bytes(&self, row_group: usize) -> u64 {
        let group = self.footer().row_group(row_group);
        let packed = u64::try_from(group.compressed_size()).unwrap_or_default();
        let whole = u64::try_from(group.total_byte_size()).unwrap_or_default();
        match RowOrder::declared_by(group) {
            Some(RowOrder::Time) => packed.saturating_add(whole.min(DECODER_BYTES)),
            _ => whole,
        }
    }

    /// Reads the bloom filter of a column of a row group.
    pub(super) async fn bloom_filter(
        &self,
        row_group: usize,
        column: usize,
    ) -> Result<Option<Sbbf>, ParquetError> {
        let mut builder = self.builder();
        guarded(builder.get_row_group_column_bloom_filter(row_group, column)).await
    }

    fn builder(&self) -> ParquetRecordBatchStreamBuilder<ObjectReader> {
        let (reader, metadata) = (self.reader.clone(), self.metadata.clone());
        ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata)
    }
}

/// The rows of a row group, batch by batch.
pub(super) enum Rows {
    /// As they lie.
    Lying(ParquetRecordBatchStream<ObjectReader>),
    /// By `timestamp`.
    Sorted(SortedRows),
}

impl Rows {
    /// The next batch, its texts as views.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>, ParquetError> {
        match self {
            Self::Lying(stream) => guarded(stream.try_next()).await,
            Self::Sorted(rows) => rows.next(),
        }
    }
}

/// The rows of a batch of a row group.
fn batch_rows(group: &RowGroupMetaData) -> usize {
    let row_bytes = group.total_byte_size().max(0) / group.num_rows().max(1);
    usize::try_from(BATCH_BYTES / row_bytes.max(1)).map_or(1, |rows| rows.clamp(1, BATCH_ROWS))
}

/// The same field with views in place of texts.
pub(crate) fn with_views(field: &FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Utf8 => DataType::Utf8View,
        DataType::List(element) => DataType::List(with_views(element)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(with_views).collect()),
        DataType::Map(entry, is_sorted) => DataType::Map(with_views(entry), *is_sorted),
        other => other.clone(),
    };
    Arc::new(Field::clone(field).with_data_type(data_type))
}

thread_local! {
    static IN_DECODER: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside the decoder of a file, whose panics become errors: nobody has to
/// be told of them a second time.
pub fn in_decoder() -> bool {
    IN_DECODER.get()
}

/// Makes an error of the decoder's panic.
pub(crate) async fn guarded<T>(
    work: impl Future<Output = Result<T, ParquetError>>,
) -> Result<T, ParquetError> {
    let mut work = std::pin::pin!(AssertUnwindSafe(work).catch_unwind());
    let watched = std::future::poll_fn(|context| {
        IN_DECODER.set(true);
        let polled = work.poll_unpin(context);
        IN_DECODER.set(false);
        polled
    });
    watched.await.unwrap_or_else(|_| {
        Err(ParquetError::General(
            "it makes the decoder fail, as no file of this program does".to_owned(),
        ))
    })
}
