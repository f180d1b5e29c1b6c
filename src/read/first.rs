//! The first records of a committed file: enough to know whose records they are.

use futures::TryStreamExt;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::ParquetError;

use super::object::ObjectReader;
use super::{ReadError, RecordRestorer};
use crate::schema::{self, UNMAPPED};
use crate::store::Store;

/// Rows that are read at once.
const BATCH_ROWS: usize = 64;
/// Text of records that is enough, in bytes.
const ENOUGH_BYTES: usize = 4 * 1024 * 1024;

/// The first records of a file of so many bytes, as JSON, with these of their fields (and what the schema has
/// no column for): so many at most, and fewer where they are large.
///
/// # Errors
/// The file cannot be read, or is of another schema.
pub async fn first_records(
    store: &Store,
    path: &str,
    bytes: u64,
    fields: &[&str],
    most: usize,
) -> Result<Vec<String>, ReadError> {
    let failed = |source: ParquetError| ReadError::of(path, source);
    let reader = ObjectReader::new(store, path, bytes);
    let file = ParquetRecordBatchStreamBuilder::new(reader).await;
    let file = file.map_err(failed)?;
    let columns = schema::activity().columns.iter();
    let columns =
        columns.filter(|column| fields.contains(&&*column.path) || column.name == UNMAPPED);
    let names = columns.map(|column| &*column.name);
    let mask = ProjectionMask::columns(file.parquet_schema(), names);
    let mut rows = file
        .with_projection(mask)
        .with_limit(most)
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(failed)?;
    let (mut records, mut held_bytes) = (Vec::new(), 0);
    while let Some(batch) = rows.try_next().await.map_err(failed)? {
        let restorer = RecordRestorer::new(schema::activity(), &batch);
        let restorer = restorer.ok_or_else(|| ReadError::Columns {
            path: path.to_owned(),
        })?;
        for row in 0..batch.num_rows() {
            let mut record = String::new();
            restorer.restore(row, &mut record);
            held_bytes += record.len();
            records.push(record);
        }
        if held_bytes >= ENOUGH_BYTES {
            break;
        }
    }
    Ok(records)
}
