//! The rows of several files by `timestamp`, without holding the files.
//!
//! Row groups are sorted, those that lie by user once they are read, and merged. Each is unpacked when the
//! merge reaches its earliest time, and wholly: a decoder that waits takes more than the rows (a hundred
//! kilobytes for each of its hundred columns). Its rows wait as bytes, and where they take more than they
//! may, those that are needed last wait on the disk.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use parquet::errors::ParquetError;

use super::ReadError;
use super::blocks::{Block, Blocks, Run};
use super::columns::{Columns, to_write};
use super::digest::{Digester, RowSum};
use super::file::CommittedFile;
use crate::schema::TIMESTAMP;
use crate::store::{ScratchFolder, Store};
use crate::write::FileEntry;

/// Rows that are handed on at once.
const OUT_ROWS: usize = 1_024;
/// Bytes of rows at which they are handed on.
const OUT_BYTES: usize = 2 * 1024 * 1024;
/// Bytes at which a block ends, where all blocks that are being merged fit into their share of the memory.
const BLOCK_BYTES: std::ops::RangeInclusive<u64> = 4 * 1024..=256 * 1024;

/// The rows of files by `timestamp`, those of one time in the order of the files.
pub struct MergedRows {
    runs: Vec<RowGroup>,
    /// The next time of every run that is not used up; of one that was not read the earliest that its file
    /// says.
    next: BinaryHeap<Reverse<(i64, usize)>>,
    blocks: Blocks,
    block_bytes: usize,
    columns: Columns,
    digester: Digester,
}

/// A row group.
struct RowGroup {
    /// Where its rows are; `None` once they were read.
    unread: Option<(Arc<Source>, usize)>,
    /// Its rows, once they were read.
    rows: Run,
}

struct Source {
    path: String,
    file: CommittedFile,
}

impl Source {
    fn failed(&self, source: impl Into<ParquetError>) -> ReadError {
        ReadError::of(self.path.as_str(), source.into())
    }
}

impl MergedRows {
    /// Reads the footers of files. Of their rows so many bytes will be in memory, beside one row group that
    /// is being unpacked; the others wait in a file without a name, in the folder `scratch`.
    ///
    /// # Errors
    /// A file cannot be read, or has a column that this program does not know.
    pub async fn open(
        store: &Store,
        files: &[FileEntry],
        memory_bytes: u64,
        scratch: &ScratchFolder,
    ) -> Result<Self, ReadError> {
        let columns = Columns::known();
        let digester = Digester::new(columns.schema()).map_err(unfit)?;
        let (mut runs, mut next) = (Vec::new(), BinaryHeap::new());
        for entry in files {
            let path = entry.path.clone();
            let file = match CommittedFile::open(store, &path, entry.bytes).await {
                Ok(file) => file,
                Err(source) => return Err(ReadError::of(path, source)),
            };
            Columns::of(&file, &path)?;
            let source = Arc::new(Source { path, file });
            for row_group in 0..source.file.footer().num_row_groups() {
                // Without a minimum it is read first, which is always right.
                let min_us = source.file.earliest_us(row_group).unwrap_or(i64::MIN);
                next.push(Reverse((min_us, runs.len())));
                runs.push(RowGroup {
                    unread: Some((Arc::clone(&source), row_group)),
                    rows: Run::new(runs.len()),
                });
            }
        }
        // One block of each run may be merged at once: a quarter is for these, the rest for those that wait.
        let block_bytes = memory_bytes / 4 / runs.len().max(1) as u64;
        let block_bytes = block_bytes.clamp(*BLOCK_BYTES.start(), *BLOCK_BYTES.end());
        let in_memory = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
        Ok(Self {
            runs,
            next,
            blocks: Blocks::new(in_memory(memory_bytes / 4 * 3), scratch.clone()),
            block_bytes: in_memory(block_bytes),
            columns,
            digester,
        })
    }

    /// The next rows, by time, as they are written; `None` at the end.
    ///
    /// # Errors
    /// A file cannot be read, or rows cannot wait on the disk.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, ReadError> {
        let mut picked = Picked::default();
        while !picked.is_enough()
            && let Some(Reverse((_, position))) = self.next.pop()
        {
            if let Some((source, row_group)) = self.runs[position].unread.take() {
                self.read(position, &source, row_group).await?;
            } else {
                let other = self.next.peek().map(|Reverse(other)| *other);
                let block = self.runs[position].rows.block();
                pick(block, position, other, &mut picked);
            }
            self.go_on(position).await?;
        }
        self.batch(&picked).map_err(unfit)
    }

    /// What was read so far.
    pub fn sum(&self) -> RowSum {
        self.digester.sum()
    }

    /// Reads the rows of a run into blocks.
    async fn read(
        &mut self,
        position: usize,
        source: &Source,
        row_group: usize,
    ) -> Result<(), ReadError> {
        let rows = source.file.rows_by_time(row_group).await;
        let mut rows = rows.map_err(|error| source.failed(error))?;
        let mut block = Block::default();
        while let Some(batch) = rows.next().await.map_err(|error| source.failed(error))? {
            let batch = self.columns.complete(&batch);
            let batch = batch.map_err(|error| source.failed(error))?;
            let times = times_us(&batch).map_err(|error| source.failed(error))?;
            let packed = self.digester.add(&batch);
            let packed = packed.map_err(|error| source.failed(error))?;
            for (row, time_us) in packed.iter().zip(times) {
                block.push(time_us, row.as_ref());
                if block.bytes() >= self.block_bytes {
                    let run = &mut self.runs[position].rows;
                    run.put(&mut self.blocks, std::mem::take(&mut block))
                        .await?;
                }
            }
        }
        let run = &mut self.runs[position].rows;
        Ok(run.put(&mut self.blocks, block).await?)
    }

    /// Says when a run is needed next.
    async fn go_on(&mut self, position: usize) -> Result<(), ReadError> {
        let run = &mut self.runs[position].rows;
        if let Some(time_us) = run.next_us(&mut self.blocks).await? {
            self.next.push(Reverse((time_us, position)));
        }
        Ok(())
    }

    fn batch(&self, picked: &Picked) -> Result<Option<RecordBatch>, ArrowError> {
        if picked.ends.is_empty() {
            return Ok(None);
        }
        let columns = self.digester.columns(picked.rows())?;
        let batch = RecordBatch::try_new(Arc::clone(self.columns.schema()), columns)?;
        to_write(&batch).map(Some)
    }
}

/// Picks the rows of a block that come before the next of any other run.
fn pick(block: &mut Block, position: usize, other: Option<(i64, usize)>, picked: &mut Picked) {
    while !picked.is_enough()
        && let Some(time_us) = block.next_us()
        && other.is_none_or(|other| (time_us, position) <= other)
        && let Some(row) = block.next_row()
    {
        picked.push(row);
    }
}

fn times_us(batch: &RecordBatch) -> Result<Vec<i64>, ArrowError> {
    let times = batch.column_by_name(TIMESTAMP);
    let times = times.and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    let times = times.ok_or_else(|| ArrowError::SchemaError(format!("no column {TIMESTAMP}")))?;
    Ok(times.reinterpret_cast::<Int64Type>().values().to_vec())
}

fn unfit(error: ArrowError) -> ReadError {
    ReadError::of("the rows of several files", error.into())
}

/// Rows that are to be handed on, in order.
#[derive(Default)]
struct Picked {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Picked {
    fn push(&mut self, row: &[u8]) {
        self.bytes.extend_from_slice(row);
        self.ends.push(self.bytes.len());
    }

    fn is_enough(&self) -> bool {
        self.ends.len() >= OUT_ROWS || self.bytes.len() >= OUT_BYTES
    }

    fn rows(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        let ranges = begins.zip(&self.ends);
        ranges.map(|(begin, &end)| &self.bytes[begin..end])
    }
}
