//! A checkpoint: all of a table at one version as one Parquet file, with the columns of the protocol.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow_json::{LineDelimitedWriter, ReaderBuilder};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;

use super::action::{self, Action};
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

/// Reads the actions of a checkpoint; columns that are not known are passed over.
pub(super) fn decode(bytes: Bytes) -> Result<Vec<Action>> {
    let mut actions = Vec::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()? {
        let mut lines = LineDelimitedWriter::new(Vec::new());
        lines.write(&batch?)?;
        lines.finish()?;
        let read = action::of_lines(&lines.into_inner());
        actions.extend(read.map_err(|error| ParquetError::External(Box::new(error)))?);
    }
    Ok(actions)
}
