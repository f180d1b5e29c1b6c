//! The rows of one part that wait for their row group, and the memory that they take up.
//!
//! Two sizes are kept apart. The *bytes* of rows decide when the row group is full. The memory
//! *held* is what the process would get back if the part were dropped: a batch holds its buffers
//! as they were allocated, and some rows of a batch hold the whole batch.

use arrow::array::{Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::error::ArrowError;

use super::properties::{INDEXED_BYTES, INDEXED_ROWS, ROW_GROUP_BYTES, ROW_GROUP_ROWS, USERS_ROWS};
use crate::partition::Rows;

/// Memory that a batch may hold beyond twice its bytes before its rows are copied. Twice, because
/// buffers that grew by doubling are no reason to copy a page; the rest because each of some
/// hundred buffers is rounded up.
const SLACK_BYTES: usize = 256 * 1024;

/// A batch with fewer rows and bytes than these is small: its hundred arrays weigh more than their values.
const SMALL_ROWS: usize = 1024;
const SMALL_BYTES: usize = 256 * 1024;

/// So many small batches in a row become one. Late activities trickle into old days a few at a
/// time; unmerged they would hold ten times their size and force row groups out early.
const SMALL_BATCHES: usize = 16;

/// Rows of one part in the order of their arrival.
#[derive(Debug)]
pub(super) struct Part {
    /// Bytes at which it is full.
    most_bytes: usize,
    pieces: Vec<Rows>,
    rows: usize,
    bytes: usize,
    held_bytes: usize,
}

impl Part {
    /// One that is full at so many bytes, or at [`ROW_GROUP_ROWS`].
    pub(super) fn new(most_bytes: usize) -> Self {
        Self {
            most_bytes,
            pieces: Vec::new(),
            rows: 0,
            bytes: 0,
            held_bytes: 0,
        }
    }

    /// Adds rows, from the first on, as far as they fit in; at least one. Those that do not come back.
    pub(super) fn take(&mut self, rows: Rows) -> Result<Option<Rows>, ArrowError> {
        let bytes = row_bytes(&rows)?;
        let fitting = self.room_for(rows.len(), bytes);
        if fitting == rows.len() {
            self.push(rows, bytes)?;
            return Ok(None);
        }
        let (fitting, others) = rows.split_at(fitting);
        let bytes = row_bytes(&fitting)?;
        self.push(fitting, bytes)?;
        Ok(Some(others))
    }

    /// How many of so many rows of so many bytes fit in; at least one.
    fn room_for(&self, rows: usize, bytes: usize) -> usize {
        let room_bytes = self.most_bytes.saturating_sub(self.bytes);
        let bytes_per_row = bytes.div_ceil(rows).max(1);
        rows.min(ROW_GROUP_ROWS.saturating_sub(self.rows))
            .min(room_bytes.div_ceil(bytes_per_row))
            .max(1)
    }

    fn push(&mut self, rows: Rows, bytes: usize) -> Result<(), ArrowError> {
        let held = held_bytes(&rows);
        let (rows, held) = if held > 2 * bytes + SLACK_BYTES {
            let copied = Rows::from(rows.copy()?);
            let held = held_bytes(&copied);
            (copied, held)
        } else {
            (rows, held)
        };
        self.rows += rows.len();
        self.bytes += bytes;
        self.held_bytes += held;
        self.pieces.push(rows);
        self.merge_small()
    }

    /// Says whether it is full.
    pub(super) fn is_full(&self) -> bool {
        self.rows >= ROW_GROUP_ROWS || self.bytes >= self.most_bytes
    }

    /// Says whether bloom filters and a page index are worth their bytes.
    pub(super) fn gains_from_indexes(&self) -> bool {
        self.rows >= INDEXED_ROWS || self.bytes >= INDEXED_BYTES
    }

    /// How many row groups it makes where each has a range of users.
    pub(super) fn ranges_of_users(&self) -> usize {
        let by_rows = self.rows.div_ceil(USERS_ROWS);
        by_rows.max(self.bytes.div_ceil(ROW_GROUP_BYTES)).max(1)
    }

    /// The memory that the rows hold, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// The rows, in the order of their arrival.
    pub(super) fn into_pieces(self) -> Vec<Rows> {
        self.pieces
    }

    fn merge_small(&mut self) -> Result<(), ArrowError> {
        let small = self.pieces.iter().rev().take_while(|rows| is_small(rows));
        let small = small.count();
        if small < SMALL_BATCHES {
            return Ok(());
        }
        let tail = self.pieces.split_off(self.pieces.len() - small);
        self.held_bytes -= tail.iter().map(held_bytes).sum::<usize>();
        let tail: Vec<RecordBatch> = tail
            .into_iter()
            .map(Rows::into_batch)
            .collect::<Result<_, _>>()?;
        let merged = Rows::from(concat_batches(&tail[0].schema(), &tail)?);
        self.held_bytes += held_bytes(&merged);
        self.pieces.push(merged);
        Ok(())
    }
}

/// The bytes of the rows themselves, however large the buffers around them are; of some rows of a batch
/// their share by number.
fn row_bytes(rows: &Rows) -> Result<usize, ArrowError> {
    let columns = rows.batch().columns().iter();
    let all: usize = columns
        .map(|column| column.to_data().get_slice_memory_size())
        .sum::<Result<_, _>>()?;
    Ok(all * rows.len() / rows.batch().num_rows().max(1))
}

fn is_small(rows: &Rows) -> bool {
    rows.len() < SMALL_ROWS && held_bytes(rows) < SMALL_BYTES
}

/// The memory that rows keep alive. Buffers that columns share are counted for each of them: rather too
/// much than too little.
fn held_bytes(rows: &Rows) -> usize {
    rows.batch().get_array_memory_size()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, StringArray};

    use super::*;

    fn batch(first: usize, rows: usize, width: usize) -> RecordBatch {
        let text = (first..first + rows).map(|row| "0".repeat(width) + &row.to_string());
        let column: ArrayRef = Arc::new(StringArray::from_iter_values(text));
        RecordBatch::try_from_iter([("text", column)]).unwrap()
    }

    #[test]
    fn a_row_group_takes_rows_up_to_its_limit_exactly() {
        let mut part = Part::new(ROW_GROUP_BYTES);
        let batch = batch(0, ROW_GROUP_ROWS - 1, 8);
        assert!(part.take(batch.clone().into()).unwrap().is_none());
        assert!(!part.is_full());
        let others = part.take(batch.clone().into()).unwrap().unwrap();
        assert_eq!(others.len(), batch.num_rows() - 1);
        assert!(part.is_full());
    }

    #[test]
    fn a_row_group_closes_by_bytes_where_rows_are_wide() {
        let batch = batch(0, 40, 1024 * 1024);
        let mut part = Part::new(ROW_GROUP_BYTES);
        let others = part.take(batch.into()).unwrap().unwrap();
        assert!((31..=33).contains(&(40 - others.len())));
        assert!(part.is_full());
    }

    #[test]
    fn one_huge_row_always_fits() {
        let huge = batch(0, 1, ROW_GROUP_BYTES + 1);
        let mut part = Part::new(ROW_GROUP_BYTES);
        assert!(part.take(huge.into()).unwrap().is_none());
        assert!(part.is_full());
    }

    #[test]
    fn a_slice_of_a_page_does_not_keep_the_page_alive() {
        let page = batch(0, 5_000, 1_000);
        let mut part = Part::new(ROW_GROUP_BYTES);
        part.take(page.slice(4_990, 10).into()).unwrap();
        assert!(part.held_bytes() < 50_000, "{}", part.held_bytes());
        assert_eq!(*part.into_pieces()[0].batch(), page.slice(4_990, 10));
    }

    #[test]
    fn a_few_rows_of_a_page_do_not_keep_it_alive_and_most_rows_do() {
        let page = batch(0, 5_000, 1_000);
        for (rows, may_hold) in [(100, 200_000), (4_000, page.get_array_memory_size())] {
            let rows: Vec<usize> = (0..rows).collect();
            let mut part = Part::new(ROW_GROUP_BYTES);
            part.take(Rows::picked(page.clone(), rows)).unwrap();
            assert!(part.held_bytes() <= may_hold, "{}", part.held_bytes());
        }
    }

    #[test]
    fn a_whole_page_is_not_copied() {
        let page = batch(0, 5_000, 1_000);
        let mut part = Part::new(ROW_GROUP_BYTES);
        part.take(page.clone().into()).unwrap();
        assert_eq!(part.held_bytes(), page.get_array_memory_size());
        assert!(Arc::ptr_eq(
            part.into_pieces()[0].batch().column(0),
            page.column(0)
        ));
    }

    #[test]
    fn small_batches_are_merged_in_their_order() {
        let mut part = Part::new(ROW_GROUP_BYTES);
        for first in 0..100 {
            part.take(batch(first, 1, 8).into()).unwrap();
        }
        let held = part.held_bytes();
        let pieces = part.into_pieces();
        assert!(pieces.len() < SMALL_BATCHES);
        assert_eq!(held, pieces.iter().map(held_bytes).sum::<usize>());
        let found: Vec<usize> = pieces
            .iter()
            .flat_map(|rows| rows.batch().column(0).as_string::<i32>())
            .map(|text| text.unwrap().parse().unwrap())
            .collect();
        assert_eq!(found, (0..100).collect::<Vec<_>>());
    }
}
