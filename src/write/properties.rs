//! How columns lie in a file: every setting of the Parquet writer, each with its reason.
//!
//! "Readers" are `DuckDB`, Spark from 3.2, Trino, Athena and pyarrow: what one of them cannot read is
//! not written. What a column is like (looked up by value, unique, JSON text) its Arrow field says,
//! in the metadata that the schema gives it; by name only the two clocks and `raw` are known here.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{
    BloomFilterPosition, EnabledStatistics, WriterProperties, WriterPropertiesPtr, WriterVersion,
};
use parquet::schema::types::{ColumnPath, SchemaDescriptor, TypePtr};

use super::error::Cause;
use super::error::WriteError;
use super::options::CompressionLevel;
use super::row_order::RowOrder;
use crate::schema::{CREATED, KIND_KEY, LOOKED_UP_KEY, RAW, TIMESTAMP, UNIQUE_KEY, USER_NAME};

/// Rows at which a row group closes. Scans do not care between 16 K and 200 K rows; a look-up by
/// id reads one row group beside the bloom filters, so smaller is better for it, and below 16 K
/// the pages and footers cost size.
pub(super) const ROW_GROUP_ROWS: usize = 65_536;

/// Arrow bytes at which a row group closes before it has [`ROW_GROUP_ROWS`]. An activity takes 1 to
/// 5 KB, but a single one may take 100 KB: rows alone would let a row group grow to gigabytes.
pub(super) const ROW_GROUP_BYTES: usize = 32 * 1024 * 1024;

/// Rows of a row group by user, at most. What would be one by time becomes several, each with a range of
/// users: who looks for a user reads one of them. None has fewer than [`INDEXED_ROWS`] for that.
pub(super) const USERS_ROWS: usize = 8_192;

/// Rows of a page of users where rows lie by user. Readers of the page index (Spark, Trino, `DataFusion`) read of
/// the other columns the pages of these rows only.
const USER_PAGE_ROWS: usize = 1_024;

/// Arrow bytes of which row groups by user are made at once: a day of some ten thousand activities. More
/// of them would find a user quicker on busier days, and all of them are in memory when they are merged or
/// exported.
const USERS_BYTES: usize = 4 * ROW_GROUP_BYTES;

/// Bytes of minimum and maximum that are kept. Long enough for every id and address; user agents
/// and messages would blow up the footer.
const STATISTICS_BYTES: usize = 64;

/// Bytes at which the dictionary of a column gives way to plain values. The names of a large
/// tenant fit; a column of unique values gives up early.
const DICTIONARY_BYTES: usize = 1024 * 1024;

/// False answers of a bloom filter. 1 % costs 1.2 bytes for each distinct value.
const BLOOM_FALSE_POSITIVES: f64 = 0.01;

/// Rows from which a row group is *indexed*: it has bloom filters and a page index. With fewer they save less than a request: the columns themselves are read as
/// quickly, and have one page. In an hour of a small tenant they would be a fifth of the file.
pub const INDEXED_ROWS: usize = 4_096;

/// Arrow bytes from which a row group is indexed whatever its rows: where those are wide, a column
/// has several pages, and one of them is wanted.
pub(super) const INDEXED_BYTES: usize = ROW_GROUP_BYTES / 4;

/// Arrow bytes of a column of a row group below which it is written as it is: a dictionary (27
/// bytes) and zstd's frames (9 each) cost more than they save.
pub(super) const BARE_BYTES: usize = 96;

/// What all files of a schema share.
#[derive(Debug)]
pub(super) struct Layout {
    /// The schema of the batches.
    pub(super) schema: SchemaRef,
    /// The schema of the files.
    pub(super) root: TypePtr,
    /// The settings.
    pub(super) properties: WriterPropertiesPtr,
    /// The same without dictionary and compression, for columns below [`BARE_BYTES`].
    pub(super) bare: WriterPropertiesPtr,
    /// Position of `timestamp` in the schema of the batches.
    pub(super) timestamp: usize,
    /// Position of `created`, where there is one.
    pub(super) created: Option<usize>,
    /// The order of the rows of a row group.
    pub(super) order: RowOrder,
    /// Position of `user_name`, where there is one.
    pub(super) user: Option<usize>,
}

/// A schema without the column that files are sorted and split by.
#[derive(Debug, thiserror::Error)]
#[error("the schema has no column '{TIMESTAMP}' in microseconds UTC")]
struct NoTimestamp;

impl Layout {
    /// Derives the layout of files from the schema of the batches.
    pub(super) fn new(
        schema: SchemaRef,
        compression: CompressionLevel,
        order: RowOrder,
    ) -> Result<Self, Cause> {
        let time = |name: &str| {
            schema
                .column_with_name(name)
                .filter(|(_, field)| {
                    matches!(field.data_type(), DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if zone.as_ref() == "UTC")
                })
                .map(|(position, _)| position)
        };
        let timestamp = time(TIMESTAMP).ok_or(NoTimestamp)?;
        let created = time(CREATED);
        // Lists get the standard's three levels `<name>.list.element`, whatever Arrow calls the
        // middle. On the kinds of column that the schema knows this changes nothing else.
        let columns = ArrowSchemaConverter::new()
            .with_coerce_types(true)
            .convert(&schema)?;
        // No copy of Arrow's own schema in the footer: 9 KB a file for what the types say already.
        let properties = properties(&schema, &columns, compression, order)?;
        Ok(Self {
            root: columns.root_schema_ptr(),
            bare: Arc::new(bare(&schema, &properties)),
            properties: Arc::new(properties),
            timestamp,
            created,
            order,
            user: schema.column_with_name(USER_NAME).map(|found| found.0),
            schema,
        })
    }
}

/// Arrow bytes of rows that are written at once, in an order.
pub(super) fn part_bytes(order: RowOrder) -> usize {
    match order {
        RowOrder::Time => ROW_GROUP_BYTES,
        RowOrder::User => USERS_BYTES,
    }
}

/// Whether single values or times are sought in a column.
pub(super) fn is_sought(field: &Field) -> bool {
    [TIMESTAMP, CREATED].contains(&field.name().as_str())
        || field.metadata().contains_key(LOOKED_UP_KEY)
}

fn properties(
    schema: &Schema,
    columns: &SchemaDescriptor,
    compression: CompressionLevel,
    order: RowOrder,
) -> Result<WriterProperties, ParquetError> {
    let leaves: Vec<&ColumnPath> = columns.columns().iter().map(|leaf| leaf.path()).collect();
    let mut builder = WriterProperties::builder()
        // Version 1.0 and data pages v1: DELTA encodings cannot be read by Spark 3.2, and with zstd
        // they save little. The version keeps the writer from falling back to them.
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_coerce_types(true)
        .set_compression(zstd(compression)?)
        .set_dictionary_enabled(true)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        // Per page, in the page index: Spark and Trino skip pages by it; it costs kilobytes.
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_offset_index_disabled(false)
        .set_statistics_truncate_length(Some(STATISTICS_BYTES))
        .set_column_index_truncate_length(Some(STATISTICS_BYTES))
        // At the end of the file they would all stay in memory until then.
        .set_bloom_filter_position(BloomFilterPosition::AfterRowGroup)
        // Only what holds is declared, and only by real columns of the file.
        .set_sorting_columns(order.sorting(&leaves));
    // `created_by` stays the library's: readers switch their work-arounds by it.

    for field in schema.fields() {
        let column = ColumnPath::from(field.name().as_str());
        let is = |key: &str| field.metadata().contains_key(key);
        if is(LOOKED_UP_KEY) {
            builder = builder
                .set_column_bloom_filter_enabled(column.clone(), true)
                .set_column_bloom_filter_fpp(column.clone(), BLOOM_FALSE_POSITIVES)
                // Sized for a full row group of distinct values; the writer folds it down to what
                // the row group really holds.
                .set_column_bloom_filter_max_ndv(column.clone(), ROW_GROUP_ROWS as u64);
        }
        if is(UNIQUE_KEY) {
            builder = builder.set_column_dictionary_enabled(column.clone(), false);
        }
        if is(KIND_KEY) {
            // Nobody asks for JSON texts between two others: minimum and maximum would only be
            // weight in the footer.
            builder = builder.set_column_statistics_enabled(column, EnabledStatistics::None);
        }
    }
    if order == RowOrder::User {
        builder = builder
            .set_column_data_page_row_count_limit(ColumnPath::from(USER_NAME), USER_PAGE_ROWS);
    }
    builder = builder.set_column_compression(
        ColumnPath::from(RAW),
        zstd(compression.max(CompressionLevel::RAW))?,
    );
    Ok(builder.build())
}

/// The settings without dictionary and compression.
fn bare(schema: &Schema, properties: &WriterProperties) -> WriterProperties {
    let mut builder = properties
        .clone()
        .into_builder()
        .set_dictionary_enabled(false)
        .set_compression(Compression::UNCOMPRESSED);
    for field in schema.fields() {
        let column = ColumnPath::from(field.name().as_str());
        builder = builder.set_column_compression(column, Compression::UNCOMPRESSED);
    }
    builder.build()
}

fn zstd(level: CompressionLevel) -> Result<Compression, ParquetError> {
    ZstdLevel::try_new(i32::from(level.level())).map(Compression::ZSTD)
}

/// The Parquet message type of files with an Arrow schema.
///
/// # Errors
/// The schema cannot be laid out as Parquet.
pub fn message_type(schema: SchemaRef) -> Result<String, WriteError> {
    let layout = Layout::new(schema, CompressionLevel::DEFAULT, RowOrder::Time)
        .map_err(|source| WriteError::Layout { source })?;
    let mut text = Vec::new();
    parquet::schema::printer::print_schema(&mut text, &layout.root);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use parquet::schema::printer::print_schema;

    use super::*;

    fn layout(time: DataType) -> Result<Layout, Cause> {
        let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)));
        let schema = Schema::new(vec![
            Field::new("tags", list, true),
            Field::new(TIMESTAMP, time, false),
        ]);
        Layout::new(Arc::new(schema), CompressionLevel::DEFAULT, RowOrder::Time)
    }

    #[test]
    fn lists_have_the_names_of_the_standard_and_times_stay_microseconds() {
        let layout = layout(DataType::Timestamp(
            TimeUnit::Microsecond,
            Some("UTC".into()),
        ));
        let mut message = Vec::new();
        print_schema(&mut message, &layout.unwrap().root);
        let message = String::from_utf8(message).unwrap();
        let lines: Vec<&str> = message.lines().map(str::trim).collect();
        assert_eq!(
            lines,
            [
                "message arrow_schema {",
                "OPTIONAL group tags (LIST) {",
                "REPEATED group list {",
                "OPTIONAL BYTE_ARRAY element (STRING);",
                "}",
                "}",
                "REQUIRED INT64 timestamp (TIMESTAMP(MICROS,true));",
                "}",
            ]
        );
    }

    #[test]
    fn times_of_another_unit_or_zone_are_refused() {
        let utc = || Some("UTC".into());
        assert!(layout(DataType::Timestamp(TimeUnit::Millisecond, utc())).is_err());
        assert!(layout(DataType::Timestamp(TimeUnit::Microsecond, None)).is_err());
        assert!(layout(DataType::Int64).is_err());
    }

    #[test]
    fn raw_is_never_compressed_less_than_the_rest() {
        let raw = |level: &str| {
            let schema = Schema::empty();
            let columns = ArrowSchemaConverter::new().convert(&schema).unwrap();
            properties(&schema, &columns, level.parse().unwrap(), RowOrder::Time)
                .unwrap()
                .compression(&ColumnPath::from(RAW))
        };
        assert_eq!(raw("zstd:3"), zstd(CompressionLevel::RAW).unwrap());
        assert_eq!(raw("zstd:19"), zstd("zstd:19".parse().unwrap()).unwrap());
    }
}
