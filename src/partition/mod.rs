//! Splits batches into parts: the rows of one partition, the UTC day of `timestamp`.
//!
//! In comes a batch as decoded, out go parts, ordered by key. Every row is in exactly one part and
//! keeps its order there; nothing is added and nothing is left out. Each row is routed by itself,
//! never a batch by its first row. The part with most rows of a batch lies in it; any other owns its
//! memory, so that a few late rows do not keep a whole page alive. Only where there are very many they
//! all lie in it: a hundred arrays for each row or two would take many times the batch. Pure: no files
//! and no paths but the key's segment.

mod rows;

pub use rows::Rows;

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, PrimitiveArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::error::ArrowError;

use crate::layout::PartitionKey;
use crate::schema::TIMESTAMP;

/// Why a batch could not be split. The decoder promises that none of the first three happens.
#[derive(Debug, thiserror::Error)]
pub enum PartitionError {
    /// The column `timestamp` in microseconds is missing.
    #[error("cannot split a batch: it has no column '{TIMESTAMP}' in microseconds")]
    Column,

    /// A row has no timestamp, so it belongs to no day.
    #[error("cannot split a batch: row {row} has no timestamp")]
    Missing {
        /// Position of the row in the batch, from 0.
        row: u64,
    },

    /// The timestamp of a row lies outside of the years 0 to 9999.
    #[error("cannot split a batch: the year of row {row} does not have four digits")]
    OutOfRange {
        /// Position of the row in the batch, from 0.
        row: u64,
    },

    /// Arrow could not copy the rows of a part.
    #[error("cannot split a batch: copying the rows of {key} failed")]
    Copy {
        /// The part.
        key: PartitionKey,
        /// What Arrow said.
        #[source]
        source: ArrowError,
    },
}

/// So many parts of a batch own their memory, at most.
const MAX_COPIES: usize = 64;

/// Splits a batch into parts, ordered by key. A batch without rows has none.
pub fn split(batch: &RecordBatch) -> Result<Vec<(PartitionKey, Rows)>, PartitionError> {
    let timestamps = timestamps(batch)?;
    let Some(&first) = timestamps.values().first() else {
        return Ok(Vec::new());
    };
    let mut key = key_of(first, 0)?;
    let mut day = key.range_us();
    if timestamps.values().iter().all(|time| day.contains(time)) {
        return Ok(vec![(key, batch.clone().into())]);
    }

    let mut rows_of: BTreeMap<PartitionKey, Vec<usize>> = BTreeMap::new();
    for (row, &time) in timestamps.values().iter().enumerate() {
        // Neighbours mostly share their day.
        if !day.contains(&time) {
            key = key_of(time, row as u64)?;
            day = key.range_us();
        }
        rows_of.entry(key).or_default().push(row);
    }
    let are_many = rows_of.len() > MAX_COPIES;
    rows_of
        .into_iter()
        .map(|(key, rows)| {
            let is_most = rows.len() > batch.num_rows() / 2;
            let rows = Rows::picked(batch.clone(), rows);
            if is_most || are_many {
                return Ok((key, rows));
            }
            match rows.copy() {
                Ok(part) => Ok((key, part.into())),
                Err(source) => Err(PartitionError::Copy { key, source }),
            }
        })
        .collect()
}

fn timestamps(
    batch: &RecordBatch,
) -> Result<&PrimitiveArray<TimestampMicrosecondType>, PartitionError> {
    let column = batch
        .column_by_name(TIMESTAMP)
        .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>())
        .ok_or(PartitionError::Column)?;
    let missing = column
        .nulls()
        .and_then(|nulls| (0_u64..).zip(nulls).find(|&(_, valid)| !valid));
    match missing {
        Some((row, _)) => Err(PartitionError::Missing { row }),
        None => Ok(column),
    }
}

fn key_of(timestamp_us: i64, row: u64) -> Result<PartitionKey, PartitionError> {
    PartitionKey::of_timestamp_us(timestamp_us).ok_or(PartitionError::OutOfRange { row })
}

#[cfg(test)]
mod tests;
