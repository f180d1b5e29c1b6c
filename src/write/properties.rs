//! How columns lie in a file: every setting of the Parquet writer, each with its reason.
//!
//! "Readers" are `DuckDB`, Spark from 3.2, Trino, Athena and pyarrow: what one of them cannot read is
//! not written. Columns are named here and nowhere else in the stage; a name that the schema lacks
//! is ignored.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use parquet::arrow::{ArrowSchemaConverter, add_encoded_arrow_schema_to_metadata};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{
    BloomFilterPosition, EnabledStatistics, WriterProperties, WriterPropertiesPtr, WriterVersion,
};
use parquet::schema::types::{ColumnPath, SchemaDescriptor, TypePtr};

use super::error::Cause;
use super::error::WriteError;
use super::options::CompressionLevel;

/// The time that decides on the part, and by which row groups are sorted.
pub(super) const TIMESTAMP: &str = "timestamp";
/// The time of saving. Files say its range, a row group is not sorted by it.
pub(super) const CREATED: &str = "created";

/// Rows at which a row group closes. Scans do not care between 16 K and 200 K rows; a look-up by
/// id reads one row group beside the bloom filters, so smaller is better for it, and below 16 K
/// the pages and footers cost size.
pub(super) const ROW_GROUP_ROWS: usize = 65_536;

/// Arrow bytes at which a row group closes before it has [`ROW_GROUP_ROWS`]. An activity takes 1 to
/// 5 KB, but a single one may take 100 KB: rows alone would let a row group grow to gigabytes.
pub(super) const ROW_GROUP_BYTES: usize = 32 * 1024 * 1024;

/// Bytes of minimum and maximum that are kept. Long enough for every id and address; user agents
/// and messages would blow up the footer.
const STATISTICS_BYTES: usize = 64;

/// Bytes at which the dictionary of a column gives way to plain values. The names of a large
/// tenant fit; a column of unique values gives up early.
const DICTIONARY_BYTES: usize = 1024 * 1024;

/// False answers of a bloom filter. 1 % costs 1.2 bytes for each distinct value.
const BLOOM_FALSE_POSITIVES: f64 = 0.01;

/// Columns that investigations look up by a single value, which minimum and maximum cannot answer.
/// None on columns of few values: their dictionary answers already. None inside of lists: no reader
/// uses them there.
pub const LOOKED_UP: [&str; 4] = [
    "activity_id",
    "user_name",
    "device_client_ip",
    "resolved_actor_id",
];

/// Columns whose values are (nearly) all different: a dictionary would be built and thrown away.
const UNIQUE: [&str; 6] = [
    "activity_id",
    "uid",
    "collected",
    "raw_data_json",
    "unmapped",
    "raw",
];

/// Columns of JSON text. Nobody asks for texts between two others, so minimum and maximum would
/// only be weight in the footer.
const JSON_TEXT: [&str; 8] = [
    "collected",
    "description_metadata",
    "entity_data",
    "event_routing",
    "lograbber_service",
    "raw_data_json",
    "unmapped",
    "raw",
];

/// The exact bytes of the record, where they are kept.
const RAW: &str = "raw";

/// What all files of a schema share.
#[derive(Debug)]
pub(super) struct Layout {
    /// The schema of the batches.
    pub(super) schema: SchemaRef,
    /// The schema of the files.
    pub(super) root: TypePtr,
    /// The settings.
    pub(super) properties: WriterPropertiesPtr,
    /// Position of `timestamp` in the schema of the batches.
    pub(super) timestamp: usize,
    /// Position of `created`, where there is one.
    pub(super) created: Option<usize>,
}

/// A schema without the column that files are sorted and split by.
#[derive(Debug, thiserror::Error)]
#[error("the schema has no column '{TIMESTAMP}' in microseconds UTC")]
struct NoTimestamp;

impl Layout {
    /// Derives the layout of files from the schema of the batches.
    pub(super) fn new(schema: SchemaRef, compression: CompressionLevel) -> Result<Self, Cause> {
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
        let mut properties = properties(&columns, compression)?;
        // Arrow's own schema in the footer gives Arrow readers back the metadata of the fields
        // (which string holds JSON); other readers pass over it.
        add_encoded_arrow_schema_to_metadata(&schema, &mut properties);
        Ok(Self {
            root: columns.root_schema_ptr(),
            properties: Arc::new(properties),
            timestamp,
            created,
            schema,
        })
    }
}

fn properties(
    columns: &SchemaDescriptor,
    compression: CompressionLevel,
) -> Result<WriterProperties, ParquetError> {
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
        .set_sorting_columns(sorting(columns));
    // `created_by` stays the library's: readers switch their work-arounds by it.

    for name in LOOKED_UP {
        let column = ColumnPath::from(name);
        builder = builder
            .set_column_bloom_filter_enabled(column.clone(), true)
            .set_column_bloom_filter_fpp(column.clone(), BLOOM_FALSE_POSITIVES)
            // Sized for a full row group of distinct values; the writer folds it down to what the
            // row group really holds.
            .set_column_bloom_filter_max_ndv(column, ROW_GROUP_ROWS as u64);
    }
    for name in UNIQUE {
        builder = builder.set_column_dictionary_enabled(ColumnPath::from(name), false);
    }
    for name in JSON_TEXT {
        builder =
            builder.set_column_statistics_enabled(ColumnPath::from(name), EnabledStatistics::None);
    }
    builder = builder.set_column_compression(
        ColumnPath::from(RAW),
        zstd(compression.max(CompressionLevel::RAW))?,
    );
    Ok(builder.build())
}

/// The order of rows in every row group: by `timestamp`, which is never null, the earliest first.
fn sorting(columns: &SchemaDescriptor) -> Option<Vec<SortingColumn>> {
    let timestamp = ColumnPath::from(TIMESTAMP);
    columns
        .columns()
        .iter()
        .position(|column| *column.path() == timestamp)
        .and_then(|leaf| i32::try_from(leaf).ok())
        .map(|column_idx| {
            vec![SortingColumn {
                column_idx,
                descending: false,
                nulls_first: false,
            }]
        })
}

fn zstd(level: CompressionLevel) -> Result<Compression, ParquetError> {
    ZstdLevel::try_new(i32::from(level.level())).map(Compression::ZSTD)
}

/// The Parquet message type of files with an Arrow schema.
///
/// # Errors
/// The schema cannot be laid out as Parquet.
pub fn message_type(schema: SchemaRef) -> Result<String, WriteError> {
    let layout = Layout::new(schema, CompressionLevel::DEFAULT)
        .map_err(|source| WriteError::Layout { source })?;
    let mut text = Vec::new();
    parquet::schema::printer::print_schema(&mut text, &layout.root);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{Field, Schema};
    use parquet::schema::printer::print_schema;

    use super::*;

    fn layout(time: DataType) -> Result<Layout, Cause> {
        let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)));
        let schema = Schema::new(vec![
            Field::new("tags", list, true),
            Field::new(TIMESTAMP, time, false),
        ]);
        Layout::new(Arc::new(schema), CompressionLevel::DEFAULT)
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
            let columns = ArrowSchemaConverter::new()
                .convert(&Schema::empty())
                .unwrap();
            properties(&columns, level.parse().unwrap())
                .unwrap()
                .compression(&ColumnPath::from(RAW))
        };
        assert_eq!(raw("zstd:3"), zstd(CompressionLevel::RAW).unwrap());
        assert_eq!(raw("zstd:19"), zstd("zstd:19".parse().unwrap()).unwrap());
    }
}
