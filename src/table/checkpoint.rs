//! A checkpoint: all of a table at one version as one Parquet file, with the columns of the protocol.

use std::io;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow_json::{LineDelimitedWriter, ReaderBuilder};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::WriterProperties;

use super::action::{self, Action};
use crate::read::{guarded, with_views};
use crate::schema::element_field;

/// Actions that are turned into columns at once.
const BATCH: usize = 4_096;

/// The columns of a checkpoint.
static COLUMNS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = || DataType::Utf8;
    let texts = || DataType::List(element_field(DataType::Utf8));
    let int = || DataType::Int32;
    let long = || DataType::Int64;
    let bool = || DataType::Boolean;
    let format = object([("provider", text()), ("options", map())]);
    let columns = [
        (
            "txn",
            object([
                ("appId", text()),
                ("version", long()),
                ("lastUpdated", long()),
            ]),
        ),
        (
            "add",
            object([
                ("path", text()),
                ("partitionValues", map()),
                ("size", long()),
                ("modificationTime", long()),
                ("dataChange", bool()),
                ("stats", text()),
            ]),
        ),
        (
            "remove",
            object([
                ("path", text()),
                ("deletionTimestamp", long()),
                ("dataChange", bool()),
                ("extendedFileMetadata", bool()),
                ("partitionValues", map()),
                ("size", long()),
            ]),
        ),
        (
            "metaData",
            object([
                ("id", text()),
                ("name", text()),
                ("description", text()),
                ("format", format),
                ("schemaString", text()),
                ("partitionColumns", texts()),
                ("configuration", map()),
                ("createdTime", long()),
            ]),
        ),
        (
            "protocol",
            object([
                ("minReaderVersion", int()),
                ("minWriterVersion", int()),
                ("readerFeatures", texts()),
                ("writerFeatures", texts()),
            ]),
        ),
    ];
    Arc::new(Schema::new(fields(columns)))
});

fn fields<const N: usize>(members: [(&str, DataType); N]) -> Fields {
    let members = members.into_iter();
    members
        .map(|(name, kind)| Field::new(name, kind, true))
        .collect()
}

fn object<const N: usize>(members: [(&str, DataType); N]) -> DataType {
    DataType::Struct(fields(members))
}

/// From text to text.
fn map() -> DataType {
    let entry = DataType::Struct(Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Utf8, true),
    ]));
    DataType::Map(Arc::new(Field::new("key_value", entry, false)), false)
}

/// Writes actions as a checkpoint.
pub(super) fn encode(actions: &[Action]) -> Result<Bytes> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build();
    let options = ArrowWriterOptions::new()
        .with_properties(properties)
        .with_skip_arrow_metadata(true);
    let mut file = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(&COLUMNS), options)?;
    for actions in actions.chunks(BATCH) {
        let mut decoder = ReaderBuilder::new(Arc::clone(&COLUMNS))
            .with_batch_size(BATCH)
            .build_decoder()?;
        decoder.serialize(actions)?;
        if let Some(batch) = decoder.flush()? {
            file.write(&batch)?;
        }
    }
    Ok(file.into_inner()?.into())
}

/// The most rows of a checkpoint: each is a file of the lake, but for a few. Ten years have tens of
/// thousands.
const MOST_ROWS: i64 = 4_000_000;
/// The most bytes that its columns unpack to, and that its actions take as text: some 500 for each of two
/// million files.
const MOST_BYTES: usize = 1024 * 1024 * 1024;

/// Reads the actions of a checkpoint; columns that are not known are passed over. It may be anybody's who
/// can write to the lake, and the decoder stops on some: that becomes an error.
pub(super) async fn decode(bytes: Bytes) -> Result<Vec<Action>> {
    guarded(async { decode_within(bytes, MOST_BYTES) }).await
}

/// The same of one that takes at most so many bytes.
fn decode_within(bytes: Bytes, most_bytes: usize) -> Result<Vec<Action>> {
    let metadata = ArrowReaderMetadata::load(&bytes, ArrowReaderOptions::new())?;
    check_size(metadata.metadata(), most_bytes)?;
    // A text that stands in every row is in memory once.
    let fields: Fields = metadata.schema().fields().iter().map(with_views).collect();
    let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields)));
    let metadata = ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options)?;
    let batches = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, metadata).build()?;
    let mut actions = Vec::new();
    let mut left = most_bytes;
    for batch in batches {
        let text = Bounded {
            text: Vec::new(),
            most_bytes: left,
        };
        let mut lines = LineDelimitedWriter::new(text);
        lines.write(&batch?)?;
        lines.finish()?;
        let Bounded { text, .. } = lines.into_inner();
        left -= text.len();
        let read = action::of_lines(&text);
        actions.extend(read.map_err(|error| ParquetError::External(Box::new(error)))?);
    }
    Ok(actions)
}

/// Makes sure that a footer says no more than a checkpoint has.
fn check_size(footer: &ParquetMetaData, most_bytes: usize) -> Result<()> {
    let rows = footer.file_metadata().num_rows();
    let groups = footer.row_groups().iter();
    let sizes = groups.map(|group| usize::try_from(group.total_byte_size()).unwrap_or(usize::MAX));
    let bytes = sizes.fold(0, usize::saturating_add);
    if (0..=MOST_ROWS).contains(&rows) && bytes <= most_bytes {
        return Ok(());
    }
    Err(ParquetError::General(format!(
        "it has {rows} rows that unpack to {bytes} bytes, and at most {MOST_ROWS} of {most_bytes} are read"
    )))
}

/// Text of so many bytes at most: a few bytes of a file may stand for a text in every row.
struct Bounded {
    text: Vec<u8>,
    most_bytes: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if self.text.len() + more.len() > self.most_bytes {
            return Err(io::Error::other("it has more text than is read"));
        }
        self.text.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::action::{Add, Metadata};
    use super::*;

    fn add(number: usize, stats: &str) -> Action {
        let add = Add {
            path: format!("activities/{number}.parquet"),
            partition_values: [("event_date".to_owned(), Some("2026-11-19".to_owned()))].into(),
            size: 1,
            modification_time: 1,
            data_change: false,
            stats: Some(stats.to_owned()),
        };
        add.into()
    }

    #[tokio::test]
    async fn a_checkpoint_is_read_back() {
        let metadata: Metadata = serde_json::from_str(
            r#"{"id": "1", "format": {"provider": "parquet", "options": {}}, "schemaString": "{}",
                "partitionColumns": ["event_date"], "configuration": {"a": "b"}}"#,
        )
        .unwrap();
        let mut actions = vec![Action::from(metadata)];
        actions.extend((0..3_000).map(|number| add(number, "{}")));
        let read = decode(encode(&actions).unwrap()).await;
        assert_eq!(read.unwrap(), actions);
    }

    /// Said in a few bytes, a long text in every row.
    #[test]
    fn a_checkpoint_that_says_more_than_is_read_is_refused() {
        let stats = "x".repeat(100_000);
        let actions: Vec<Action> = (0..1_000).map(|number| add(number, &stats)).collect();
        let bytes = encode(&actions).unwrap();
        assert!(bytes.len() < 1_000_000, "{}", bytes.len());
        assert!(decode_within(bytes.clone(), 200_000_000).is_ok());
        let error = decode_within(bytes, 50_000_000).unwrap_err();
        assert!(error.to_string().contains("more text"), "{error}");
    }

    #[tokio::test]
    async fn no_bytes_make_the_decoder_panic() {
        let whole = encode(&[add(0, "{}")]).unwrap();
        for position in 0..whole.len() {
            let mut bytes = whole.to_vec();
            bytes[position] ^= 0xff;
            drop(decode(bytes.into()).await);
        }
    }
}
