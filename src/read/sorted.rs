//! The rows of a row group in another order than they lie in.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use parquet::errors::ParquetError;

use crate::schema::TIMESTAMP;

/// Rows by `timestamp`, those of one time as they lay.
pub(super) struct SortedRows {
    batches: Vec<RecordBatch>,
    /// Batch and row of each, in order.
    places: Vec<(usize, usize)>,
    /// The next of them.
    at: usize,
    /// How many are handed on at once.
    batch_rows: usize,
}

impl SortedRows {
    /// Sorts all rows of a row group.
    ///
    /// # Errors
    /// They have no `timestamp`.
    pub(super) fn new(batches: Vec<RecordBatch>, batch_rows: usize) -> Result<Self, ParquetError> {
        let mut rows: Vec<(i64, usize, usize)> = Vec::new();
        for (position, batch) in batches.iter().enumerate() {
            let times = batch
                .column_by_name(TIMESTAMP)
                .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
            let times =
                times.ok_or_else(|| ParquetError::General(format!("no column {TIMESTAMP}")))?;
            let times = times.values().iter().enumerate();
            rows.extend(times.map(|(row, &time_us)| (time_us, position, row)));
        }
        rows.sort_unstable();
        Ok(Self {
            batches,
            places: rows
                .into_iter()
                .map(|(_, batch, row)| (batch, row))
                .collect(),
            at: 0,
            batch_rows,
        })
    }

    /// The next rows; `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>, ParquetError> {
        let left = &self.places[self.at..];
        let some = &left[..left.len().min(self.batch_rows)];
        if some.is_empty() {
            return Ok(None);
        }
        self.at += some.len();
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        Ok(Some(interleave_record_batch(&batches, some)?))
    }
}
