//! What rows are, whatever their order and whatever batches they come in: their number, and the sum of
//! a fingerprint of each over all columns.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};
use parquet::errors::ParquetError;

use super::ReadError;
use super::columns::Columns;
use super::file::CommittedFile;
use crate::text::fingerprint::fingerprint_of_bytes;

/// Rows as a set in which one may be several times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowSum {
    /// Rows.
    pub rows: u64,
    /// The sum of their fingerprints.
    digest: u128,
}

/// Sums rows up.
pub(super) struct Digester {
    converter: RowConverter,
    sum: RowSum,
}

impl Digester {
    /// For batches of a schema.
    pub(super) fn new(schema: &Schema) -> Result<Self, ArrowError> {
        let types = schema.fields().iter();
        let fields = types.map(|field| SortField::new(field.data_type().clone()));
        Ok(Self {
            converter: RowConverter::new(fields.collect())?,
            sum: RowSum::default(),
        })
    }

    /// Adds the rows of a batch, and gives each as bytes.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<Rows, ArrowError> {
        let rows = self.converter.convert_columns(batch.columns())?;
        for row in &rows {
            let fingerprint = fingerprint_of_bytes(row.as_ref());
            self.sum.digest = self.sum.digest.wrapping_add(fingerprint);
            self.sum.rows += 1;
        }
        Ok(rows)
    }

    /// The columns of rows that were added.
    pub(super) fn columns<'r>(
        &self,
        rows: impl Iterator<Item = &'r [u8]>,
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        let parser = self.converter.parser();
        // The parser lends what it parses.
        let parser = &parser;
        self.converter
            .convert_rows(rows.map(|row| parser.parse(row)))
    }

    /// What was added.
    pub(super) fn sum(&self) -> RowSum {
        self.sum
    }
}

impl std::ops::AddAssign for RowSum {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.digest = self.digest.wrapping_add(other.digest);
    }
}

/// Reads the copy of a file of so many bytes, which is to have this path, to its last row.
///
/// # Errors
/// It cannot be read, or is of another schema.
pub async fn sum_rows(copy: Arc<File>, path: &str, bytes: u64) -> Result<RowSum, ReadError> {
    let failed = |source: ParquetError| ReadError::of(path, source);
    let file = CommittedFile::open_copy(copy, bytes)
        .await
        .map_err(failed)?;
    let columns = Columns::of(&file, path)?;
    let mut digester = Digester::new(columns.schema()).map_err(|error| failed(error.into()))?;
    for row_group in 0..file.footer().num_row_groups() {
        let mut rows = file.rows(row_group).await.map_err(failed)?;
        while let Some(batch) = rows.next().await.map_err(failed)? {
            let batch = columns
                .complete(&batch)
                .map_err(|error| failed(error.into()))?;
            digester.add(&batch).map_err(|error| failed(error.into()))?;
        }
    }
    Ok(digester.sum())
}
