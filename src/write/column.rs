//! The columns of a row group: each arranged and encoded for itself, on two cores.

use std::thread;

use arrow::array::{Array, ArrayRef};
use arrow::compute::interleave;
use arrow::datatypes::FieldRef;
use parking_lot::Mutex;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, compute_leaves};
use parquet::column::writer::ColumnCloseResult;

use super::error::Cause;
use super::properties::{BARE_BYTES, is_sought};

/// Columns of fewer bytes in all are not worth a thread, and where there is little memory they have fewer.
const WORTH_BYTES: usize = 12 * 1024 * 1024;

/// Where a row is: its batch, and its number there.
pub(super) type Place = (usize, usize);

/// A column of a row group.
pub(super) struct Column {
    pub(super) field: FieldRef,
    /// Its rows.
    pub(super) arrays: Vec<ArrayRef>,
    /// For each leaf the usual one, and the one without dictionary and compression.
    pub(super) writers: Vec<[ArrowColumnWriter; 2]>,
}

impl Column {
    fn bytes(&self) -> usize {
        let arrays = self.arrays.iter();
        arrays.map(Array::get_array_memory_size).sum()
    }

    /// Its leaves as they are written, their rows in this order.
    pub(super) fn encode(
        self,
        order: Option<&[Place]>,
        indexed: bool,
    ) -> Result<Vec<ArrowColumnChunk>, Cause> {
        let Self {
            field,
            arrays,
            writers,
        } = self;
        let is_bare = is_bare(&arrays)?;
        let arrays = arrange(arrays, order)?;
        let mut leaves = Vec::with_capacity(arrays.len());
        for array in &arrays {
            leaves.push(compute_leaves(&field, array)?.into_iter());
        }
        let mut chunks = Vec::with_capacity(writers.len());
        for [usual, bare] in writers {
            let mut writer = if is_bare { bare } else { usual };
            for leaf in leaves.iter_mut().filter_map(Iterator::next) {
                writer.write(&leaf)?;
            }
            let mut chunk = writer.close()?;
            lighten(chunk.close_mut(), indexed, is_sought(&field))?;
            chunks.push(chunk);
        }
        Ok(chunks)
    }
}

/// Works on columns on two threads, the largest first. What comes of them is in their order.
///
/// One column weighs as much as half of the others: more threads would gain little, and each has a
/// column twice. Where the system gives no second thread this one does it all.
pub(super) fn on_two_cores<T: Send>(
    columns: Vec<Column>,
    work: impl Fn(Column) -> Result<T, Cause> + Sync,
) -> Result<Vec<T>, Cause> {
    let mut done: Vec<Option<Result<T, Cause>>> = columns.iter().map(|_| None).collect();
    let mut left: Vec<(usize, Column)> = columns.into_iter().enumerate().collect();
    left.sort_by_cached_key(|(_, column)| column.bytes());
    let bytes: usize = left.iter().map(|(_, column)| column.bytes()).sum();
    let (left, ended) = (Mutex::new(left), Mutex::new(&mut done));
    let take_turns = || {
        loop {
            let next = left.lock().pop();
            let Some((at, column)) = next else { break };
            let worked = work(column);
            ended.lock()[at] = Some(worked);
        }
    };
    thread::scope(|scope| {
        if bytes >= WORTH_BYTES {
            let _helper = thread::Builder::new().spawn_scoped(scope, take_turns);
        }
        take_turns();
    });
    let done = done.into_iter();
    done.map(|worked| worked.expect("every column is worked on"))
        .collect()
}

/// Whether a column has so few bytes that it is written as it is.
fn is_bare(column: &[ArrayRef]) -> Result<bool, Cause> {
    let mut bytes = 0;
    for array in column {
        if array.null_count() < array.len() {
            bytes += array.to_data().get_slice_memory_size()?;
        }
    }
    Ok(bytes < BARE_BYTES)
}

/// Takes from a column what no reader gains from. Every query reads the footers whole, and most of their bytes
/// would be minimum and maximum of columns in which nothing is sought; the page index has those as well.
fn lighten(column: &mut ColumnCloseResult, indexed: bool, is_sought: bool) -> Result<(), Cause> {
    if !indexed {
        column.bloom_filter = None;
        column.column_index = None;
        column.offset_index = None;
    }
    let mut metadata = column
        .metadata
        .clone()
        .into_builder()
        .set_definition_level_histogram(None)
        .set_repetition_level_histogram(None)
        .set_unencoded_byte_array_data_bytes(None);
    if !is_sought {
        metadata = metadata.clear_statistics();
    }
    // By these Spark knows that a dictionary has all values, and passes over the row group without one.
    if !(indexed && is_sought) {
        metadata = metadata.clear_page_encoding_stats();
    }
    column.metadata = metadata.build()?;
    Ok(())
}

/// One column in the given order. What was there before is dropped.
fn arrange(column: Vec<ArrayRef>, order: Option<&[Place]>) -> Result<Vec<ArrayRef>, Cause> {
    let Some(order) = order else {
        return Ok(column);
    };
    let arrays: Vec<&dyn Array> = column.iter().map(AsRef::as_ref).collect();
    Ok(vec![interleave(&arrays, order)?])
}
