//! The first records of a committed file: enough to know whose records they are.

use parquet::errors::ParquetError;

use super::file::CommittedFile;
use super::{ReadError, RecordRestorer};
use crate::schema::{self, UNMAPPED};
use crate::store::Store;

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
    let columns = schema::activity().columns.iter();
    let columns =
        columns.filter(|column| fields.contains(&&*column.path) || column.name == UNMAPPED);
    let names: Vec<&str> = columns.map(|column| &*column.name).collect();
    let file = CommittedFile::open(store, path, bytes);
    let file = file.await.map_err(failed)?;
    let (mut records, mut held_bytes) = (Vec::new(), 0);
    for row_group in 0..file.footer().num_row_groups() {
        let mut rows = file.columns(row_group, &names).await.map_err(failed)?;
        while let Some(batch) = rows.next().await.map_err(failed)? {
            let restorer = RecordRestorer::new(schema::activity(), &batch);
            let restorer = restorer.ok_or_else(|| ReadError::Columns {
                path: path.to_owned(),
            })?;
            for row in 0..batch.num_rows() {
                if records.len() >= most || held_bytes >= ENOUGH_BYTES {
                    return Ok(records);
                }
                let mut record = String::new();
                restorer.restore(row, &mut record);
                held_bytes += record.len();
                records.push(record);
            }
        }
    }
    Ok(records)
}
