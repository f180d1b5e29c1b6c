//! One record of a committed file: enough to know whose records they are.

use futures::TryStreamExt;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::ParquetError;

use super::object::ObjectReader;
use super::{ReadError, RecordRestorer};
use crate::schema::{self, UNMAPPED};
use crate::store::Store;

/// The first record of a file of so many bytes, as JSON, with these of its fields (and what the schema has
/// no column for); `None` where it has none.
///
/// # Errors
/// The file cannot be read, or is of another schema.
pub async fn first_record(
    store: &Store,
    path: &str,
    bytes: u64,
    fields: &[&str],
) -> Result<Option<String>, ReadError> {
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
        .with_limit(1)
        .with_batch_size(1)
        .build()
        .map_err(failed)?;
    let Some(batch) = rows.try_next().await.map_err(failed)? else {
        return Ok(None);
    };
    let restorer = RecordRestorer::new(schema::activity(), &batch);
    let restorer = restorer.ok_or_else(|| ReadError::Columns {
        path: path.to_owned(),
    })?;
    let mut record = String::new();
    restorer.restore(0, &mut record);
    Ok(Some(record))
}
