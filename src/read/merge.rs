//! The rows of several files by `timestamp`, without holding the files.
//!
//! Row groups are sorted, and merged: each is opened when the merge reaches its earliest time. Where the
//! open ones would take more memory than they may, the one that is needed last is closed, and opened
//! again where it was left: one late row at the begin of a row group must not keep the rest of it in
//! memory for a day.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;

use super::ReadError;
use super::columns::{Columns, to_write};
use super::digest::{Digester, RowSum};
use super::file::{CommittedFile, Rows, batch_rows};
use crate::schema::TIMESTAMP;
use crate::store::Store;
use crate::write::FileEntry;

/// Rows that are handed on at once.
const OUT_ROWS: usize = 1_024;
/// Bytes of rows, and of the batches that they are picked from, at which they are handed on.
const OUT_BYTES: u64 = 8 * 1024 * 1024;
/// What of a column is unpacked at once: a page, and a dictionary.
const COLUMN_BYTES: u64 = 2 * 1024 * 1024;
/// What an open row group takes beside its bytes.
const OPEN_BYTES: u64 = 256 * 1024;
/// So often row groups may be opened again, for each of them: more often there is no end to it.
const MAX_REOPENED: u64 = 64;

/// The rows of files by `timestamp`, those of one time in the order of the files.
pub struct MergedRows {
    groups: Vec<Group>,
    /// The next time of every row group that is not used up; of one that was never open the earliest that
    /// its file says.
    next: BinaryHeap<Reverse<(i64, usize)>>,
    memory_bytes: u64,
    open_bytes: u64,
    reopened: u64,
    columns: Columns,
    digester: Digester,
}

/// A row group.
struct Group {
    file: Arc<Source>,
    /// Its place in the file.
    place: usize,
    /// What it takes while it is open.
    cost_bytes: u64,
    row_bytes: u64,
    /// Rows handed on.
    done: usize,
    was_open: bool,
    open: Option<Open>,
}

struct Source {
    path: String,
    file: CommittedFile,
}

/// A row group that is being read.
struct Open {
    rows: Rows,
    batch: RecordBatch,
    /// The next row of the batch.
    at: usize,
}

impl Open {
    /// The time of a row of the batch.
    fn time_us(&self, row: usize) -> i64 {
        let times = self.batch.column_by_name(TIMESTAMP);
        let times = times.and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
        // The schema was compared.
        times.map_or(i64::MIN, |times| times.value(row))
    }

    /// The next time; `None` where the batch is used up.
    fn next_us(&self) -> Option<i64> {
        (self.at < self.batch.num_rows()).then(|| self.time_us(self.at))
    }
}

impl Source {
    fn failed(&self, source: impl Into<ParquetError>) -> ReadError {
        ReadError::File {
            path: self.path.clone(),
            source: source.into(),
        }
    }
}

impl MergedRows {
    /// Reads the footers of files; of their rows so many bytes will be in memory, or one row group where
    /// it takes more.
    ///
    /// # Errors
    /// A file cannot be read, or has a column that this program does not know.
    pub async fn open(
        store: &Store,
        files: &[FileEntry],
        memory_bytes: u64,
    ) -> Result<Self, ReadError> {
        let columns = Columns::known();
        let digester = Digester::new(columns.schema()).map_err(ParquetError::from);
        let digester = digester.map_err(|source| ReadError::File {
            path: "the schema".to_owned(),
            source,
        })?;
        let (mut groups, mut next) = (Vec::new(), BinaryHeap::new());
        for entry in files {
            let path = entry.path.clone();
            let file = match CommittedFile::open(store, &path, entry.bytes).await {
                Ok(file) => file,
                Err(source) => return Err(ReadError::File { path, source }),
            };
            Columns::of(&file, &path)?;
            let source = Arc::new(Source { path, file });
            for (row_group, group) in source.file.footer().row_groups().iter().enumerate() {
                // Without a minimum it is opened first, which is always right.
                let min_us = source.file.earliest_us(row_group).unwrap_or(i64::MIN);
                next.push(Reverse((min_us, groups.len())));
                groups.push(Group {
                    file: Arc::clone(&source),
                    place: row_group,
                    cost_bytes: cost_bytes(group),
                    row_bytes: row_bytes(group),
                    done: 0,
                    was_open: false,
                    open: None,
                });
            }
        }
        Ok(Self {
            groups,
            next,
            memory_bytes,
            open_bytes: 0,
            reopened: 0,
            columns,
            digester,
        })
    }

    /// The next rows, by time, as they are written; `None` at the end.
    ///
    /// # Errors
    /// A file cannot be read, or so many row groups are of one time that they do not fit into memory.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, ReadError> {
        let mut picked = Picked::default();
        while let Some(Reverse((_, position))) = self.next.pop() {
            if self.groups[position].open.is_none() {
                self.open_group(position).await?;
                self.groups[position].was_open = true;
                // Its next row may be later than the file said.
                self.go_on(position).await?;
                picked.forget(position);
                continue;
            }
            let other = self.next.peek().map(|Reverse(other)| *other);
            self.pick(position, other, &mut picked);
            if self.go_on(position).await? {
                picked.forget(position);
            }
            if picked.is_enough() {
                break;
            }
        }
        picked.into_batch().map_err(|error| ReadError::File {
            path: "the rows of several files".to_owned(),
            source: error.into(),
        })
    }

    /// What was handed on so far, as it was read.
    pub fn sum(&self) -> RowSum {
        self.digester.sum()
    }

    /// Picks the rows of a row group that come before the next of any other.
    fn pick(&mut self, position: usize, other: Option<(i64, usize)>, picked: &mut Picked) {
        let group = &mut self.groups[position];
        let Some(open) = &mut group.open else { return };
        let first = open.at;
        let most = first + picked.room();
        while open.at < most
            && let Some(time_us) = open.next_us()
            && other.is_none_or(|other| (time_us, position) <= other)
        {
            open.at += 1;
        }
        // A file that is not sorted as it says must not stop the merge.
        open.at = open.at.max(first + 1).min(open.batch.num_rows());
        picked.add(position, &open.batch, first..open.at, group.row_bytes);
    }

    /// Says when a row group is needed next, reading on where its batch is used up; true where it was.
    async fn go_on(&mut self, position: usize) -> Result<bool, ReadError> {
        let mut was_used_up = false;
        loop {
            let Some(open) = &self.groups[position].open else {
                return Ok(was_used_up);
            };
            if let Some(time_us) = open.next_us() {
                self.next.push(Reverse((time_us, position)));
                return Ok(was_used_up);
            }
            was_used_up = true;
            self.sum_up(position)?;
            let group = &mut self.groups[position];
            let Some(open) = &mut group.open else {
                return Ok(true);
            };
            let failed = |error| group.file.failed(error);
            if let Some(batch) = open.rows.next().await.map_err(failed)? {
                let batch = self.columns.complete(&batch);
                open.batch = batch.map_err(|error| group.file.failed(error))?;
                open.at = 0;
            } else {
                group.open = None;
                self.open_bytes -= group.cost_bytes;
            }
        }
    }

    /// Adds the rows of a batch that were handed on to the sum.
    fn sum_up(&mut self, position: usize) -> Result<(), ReadError> {
        let group = &mut self.groups[position];
        if let Some(open) = &group.open {
            let added = self.digester.add(&open.batch.slice(0, open.at));
            added.map_err(|error| group.file.failed(error))?;
            group.done += open.at;
        }
        Ok(())
    }

    async fn open_group(&mut self, position: usize) -> Result<(), ReadError> {
        let cost_bytes = self.groups[position].cost_bytes;
        while self.open_bytes > 0 && self.open_bytes + cost_bytes > self.memory_bytes {
            self.close_one()?;
        }
        let group = &mut self.groups[position];
        self.reopened += u64::from(group.was_open);
        if self.reopened > MAX_REOPENED * self.groups.len() as u64 {
            return Err(ReadError::Memory {
                row_groups: self.groups.len(),
                memory_bytes: self.memory_bytes,
            });
        }
        let group = &mut self.groups[position];
        let rows = group.file.file.rows_from(group.place, group.done).await;
        let rows = rows.map_err(|error| group.file.failed(error))?;
        group.open = Some(Open {
            rows,
            batch: RecordBatch::new_empty(Arc::clone(self.columns.schema())),
            at: 0,
        });
        self.open_bytes += cost_bytes;
        Ok(())
    }

    /// Closes the row group that is needed last of those that are open.
    fn close_one(&mut self) -> Result<(), ReadError> {
        let needed = |Reverse((time_us, position)): &Reverse<(i64, usize)>| {
            let is_open = self.groups[*position].open.is_some();
            is_open.then_some((*time_us, *position))
        };
        let last = self.next.iter().filter_map(needed).max();
        let Some((_, position)) = last else {
            self.open_bytes = 0;
            return Ok(());
        };
        self.sum_up(position)?;
        let group = &mut self.groups[position];
        group.open = None;
        self.open_bytes -= group.cost_bytes;
        Ok(())
    }
}

fn row_bytes(group: &RowGroupMetaData) -> u64 {
    let bytes = group.total_byte_size().max(0) / group.num_rows().max(1);
    bytes.unsigned_abs()
}

/// What a row group takes while it is read: its packed bytes, what is unpacked of each column, and a
/// batch.
fn cost_bytes(group: &RowGroupMetaData) -> u64 {
    let packed = group.compressed_size().max(0).unsigned_abs();
    let unpacked = |bytes: i64| bytes.max(0).unsigned_abs().min(COLUMN_BYTES);
    let columns = group.columns().iter();
    let unpacked: u64 = columns
        .map(|column| unpacked(column.uncompressed_size()))
        .sum();
    let batch = batch_rows(group) as u64 * row_bytes(group);
    [packed, unpacked, batch, OPEN_BYTES]
        .into_iter()
        .fold(0, u64::saturating_add)
}

/// Rows that are to be handed on, in order, and the batches that they are in.
#[derive(Default)]
struct Picked {
    batches: Vec<RecordBatch>,
    /// Where among these the batch of a row group is, for as long as it is read, and its bytes.
    of_group: HashMap<usize, (usize, u64)>,
    rows: Vec<(usize, usize)>,
    /// Bytes of the rows, and of the batches that are not read any more.
    bytes: u64,
}

impl Picked {
    fn add(
        &mut self,
        group: usize,
        batch: &RecordBatch,
        rows: std::ops::Range<usize>,
        row_bytes: u64,
    ) {
        let (position, _) = *self.of_group.entry(group).or_insert_with(|| {
            self.batches.push(batch.clone());
            (self.batches.len() - 1, batch.num_rows() as u64 * row_bytes)
        });
        self.bytes += rows.len() as u64 * row_bytes;
        self.rows.extend(rows.map(|row| (position, row)));
    }

    /// The batch of a row group is another one from now on: who holds it is this one alone.
    fn forget(&mut self, group: usize) {
        if let Some((_, bytes)) = self.of_group.remove(&group) {
            self.bytes += bytes;
        }
    }

    fn room(&self) -> usize {
        OUT_ROWS - self.rows.len().min(OUT_ROWS)
    }

    fn is_enough(&self) -> bool {
        self.rows.len() >= OUT_ROWS || self.bytes >= OUT_BYTES
    }

    fn into_batch(self) -> Result<Option<RecordBatch>, arrow::error::ArrowError> {
        if self.rows.is_empty() {
            return Ok(None);
        }
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        to_write(&interleave_record_batch(&batches, &self.rows)?).map(Some)
    }
}
