//! The original records of files, by time.
//!
//! Files are sorted inside their row groups only, and those of different slices overlap. So row groups are
//! merged: each is opened when the merge reaches its earliest time, which the footer says, and closed when
//! it is used up. Where more of them overlap than may be open, the records of the others wait as text, in a
//! temporary file where they take much.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use object_store::path::Path;
use parquet::errors::ParquetError;
use parquet::schema::types::ColumnDescPtr;

use super::blocks::{Block, Blocks, Run};
use super::file::{CommittedFile, Rows};
use super::restore::MAX_RECORD_BYTES;
use super::{ReadError, RecordRestorer};
use crate::schema::{self, TIMESTAMP};
use crate::store::{ScratchFolder, Store};
use crate::window::TimeWindow;

/// A file up to this size, such as that of an hour, is held while it is open, and asked for once.
const SMALL_BYTES: u64 = 1024 * 1024;
/// What row groups that are open take together, about. The row groups of one merged file that lie by user take
/// as much.
const OPEN_BYTES: u64 = 128 * 1024 * 1024;
/// Records that wait in memory, not in a file.
const WAITING_BYTES: usize = 32 * 1024 * 1024;
/// What of the records of a row group that wait is in memory when it is their turn.
const BLOCK_BYTES: usize = 64 * 1024;

/// A committed file.
#[derive(Debug, Clone)]
pub struct ExportFile {
    /// The file, relative to the lake's root.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// `sha256:` and the SHA-256 of all of them.
    pub checksum: String,
    /// The earliest and the latest `timestamp` in it, in milliseconds since the epoch.
    pub timestamp_ms: (i64, i64),
}

/// The times that are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) window: Option<TimeWindow>,
    /// Only what is later than this, in microseconds since the epoch.
    pub(super) after_us: Option<i64>,
}

impl Wanted {
    fn has(&self, time_us: i64) -> bool {
        let is_in = |window: TimeWindow| window.contains(time_us.div_euclid(1_000));
        self.window.is_none_or(is_in) && self.after_us.is_none_or(|after_us| time_us > after_us)
    }

    fn may_be_in(&self, file: &ExportFile) -> bool {
        self.window.is_none_or(|window| {
            file.timestamp_ms.0 < window.until_ms && file.timestamp_ms.1 >= window.from_ms
        })
    }
}

/// A row group that is not open yet.
struct Waiting {
    min_us: i64,
    file: Arc<OpenFile>,
    row_group: usize,
}

struct OpenFile {
    path: String,
    file: CommittedFile,
}

/// The rest of the records of a row group.
enum Records {
    /// They are being decoded, which takes so many bytes of memory.
    Decoding(Box<Decoding>, u64),
    /// They were decoded, and wait as text.
    Away(Run),
}

/// A row group that is being read.
struct Decoding {
    path: String,
    rows: Rows,
    batch: RecordBatch,
    restorer: Option<RecordRestorer>,
    row: usize,
}

/// The records of files that are wanted, by time.
pub(super) struct ByTime {
    wanted: Wanted,
    files: VecDeque<ExportFile>,
    waiting: Vec<Waiting>,
    /// The open row groups, each under the number that it got as it was opened.
    open: HashMap<usize, Records>,
    opened: usize,
    /// What those that are being decoded take.
    open_bytes: u64,
    /// The text of the others.
    blocks: Blocks,
    /// The next time of every open row group; its number breaks ties, so the order is the same each time.
    next: BinaryHeap<Reverse<(i64, usize)>>,
    /// The row group whose row was given last.
    last: Option<usize>,
}

impl ByTime {
    /// What has to wait on a disk does so in the folder `scratch`.
    pub(super) fn of(mut files: Vec<ExportFile>, wanted: Wanted, scratch: ScratchFolder) -> Self {
        files.retain(|file| wanted.may_be_in(file));
        files.sort_by(|a, b| (a.timestamp_ms.0, &a.path).cmp(&(b.timestamp_ms.0, &b.path)));
        Self {
            wanted,
            files: files.into(),
            waiting: Vec::new(),
            open: HashMap::new(),
            opened: 0,
            open_bytes: 0,
            blocks: Blocks::new(WAITING_BYTES, scratch),
            next: BinaryHeap::new(),
            last: None,
        }
    }

    /// Goes to the next record: its time in microseconds, or `None` at the end.
    pub(super) async fn next(&mut self, store: &Store) -> Result<Option<i64>, ReadError> {
        loop {
            let next_us = self.next_row(store).await?;
            if next_us.is_none_or(|time_us| self.wanted.has(time_us)) {
                return Ok(next_us);
            }
        }
    }

    async fn next_row(&mut self, store: &Store) -> Result<Option<i64>, ReadError> {
        if let Some(number) = self.last.take() {
            self.advance(number).await?;
        }
        loop {
            let now_us = self.next.peek().map(|Reverse((time_us, _))| *time_us);
            let due = |file: &ExportFile| {
                let min_us = file.timestamp_ms.0.saturating_mul(1_000);
                is_due(min_us, now_us, &self.waiting)
            };
            if self.files.front().is_some_and(due)
                && let Some(file) = self.files.pop_front()
            {
                self.waiting.extend(look_at(store, &file).await?);
                // The earliest is last.
                self.waiting.sort_by_key(|group| Reverse(group.min_us));
            } else if let Some(group) = self
                .waiting
                .pop_if(|group| now_us.is_none_or(|now_us| group.min_us <= now_us))
            {
                let number = self.opened;
                self.opened += 1;
                let records = self.begin(&group, number).await?;
                self.open.insert(number, records);
                self.advance(number).await?;
            } else {
                let Some(Reverse((time_us, number))) = self.next.pop() else {
                    return Ok(None);
                };
                self.last = Some(number);
                return Ok(Some(time_us));
            }
        }
    }

    /// Begins with a row group. Where too many are open already it is read to its end.
    async fn begin(&mut self, group: &Waiting, number: usize) -> Result<Records, ReadError> {
        let bytes = group.file.file.open_bytes(group.row_group);
        let mut decoding = Decoding::begin(group).await?;
        if self.open_bytes == 0 || self.open_bytes + bytes <= OPEN_BYTES {
            self.open_bytes += bytes;
            return Ok(Records::Decoding(Box::new(decoding), bytes));
        }
        let mut run = Run::new(number);
        let (mut block, mut text) = (Block::default(), String::new());
        while let Some(time_us) = decoding.advance().await? {
            if !self.wanted.has(time_us) {
                continue;
            }
            text.clear();
            decoding.restore(&mut text)?;
            block.push(time_us, text.as_bytes());
            if block.bytes() >= BLOCK_BYTES {
                run.put(&mut self.blocks, std::mem::take(&mut block))
                    .await?;
            }
        }
        run.put(&mut self.blocks, block).await?;
        Ok(Records::Away(run))
    }

    async fn advance(&mut self, number: usize) -> Result<(), ReadError> {
        let time_us = match self.open.get_mut(&number) {
            None => return Ok(()),
            Some(Records::Decoding(decoding, _)) => decoding.advance().await?,
            Some(Records::Away(run)) => run.next_us(&mut self.blocks).await?,
        };
        if let Some(time_us) = time_us {
            self.next.push(Reverse((time_us, number)));
        } else if let Some(Records::Decoding(_, bytes)) = self.open.remove(&number) {
            self.open_bytes -= bytes;
        }
        Ok(())
    }

    /// Appends the text of the record that was given last. One that waited can be taken once.
    pub(super) fn restore(&mut self, text: &mut String) -> Result<(), ReadError> {
        match self.last.and_then(|last| self.open.get_mut(&last)) {
            None => {}
            Some(Records::Decoding(decoding, _)) => decoding.restore(text)?,
            Some(Records::Away(run)) => {
                let waited = run.next_row().unwrap_or_default();
                let waited = std::str::from_utf8(waited).map_err(|error| {
                    ReadError::of("a temporary file", ParquetError::External(error.into()))
                })?;
                text.push_str(waited);
            }
        }
        text.push('\n');
        Ok(())
    }
}

/// Whether a file has to be looked at before anything later is written.
fn is_due(min_us: i64, now_us: Option<i64>, waiting: &[Waiting]) -> bool {
    let first = waiting.last().map(|group| group.min_us);
    [now_us, first]
        .into_iter()
        .flatten()
        .min()
        .is_none_or(|time_us| min_us <= time_us)
}

/// Opens a file once it has the bytes that its commit says: a single other one may be another value, and no
/// decoder would notice. A small one is read once.
async fn open(store: &Store, file: &ExportFile) -> Result<CommittedFile, ReadError> {
    let ExportFile {
        path,
        bytes,
        checksum,
        ..
    } = file;
    let mut held = Vec::new();
    let is_small = *bytes <= SMALL_BYTES;
    let take = |read: &[u8]| {
        if is_small {
            held.extend_from_slice(read);
        }
    };
    let found = store
        .read_checked(&Path::from(path.as_str()), *bytes, take)
        .await;
    let flaw = match found.map_err(|error| ReadError::of_object(path.as_str(), error))? {
        None => return Err(ReadError::Gone { path: path.clone() }),
        Some((_, Some(found))) if found == *checksum => {
            let opened = if is_small {
                CommittedFile::open_read(held.into()).await
            } else {
                CommittedFile::open(store, path, *bytes).await
            };
            return opened.map_err(|source| ReadError::of(path.as_str(), source));
        }
        Some((_, Some(_))) => "it has other bytes than its commit says: it was changed".to_owned(),
        Some((found, None)) => format!("it has {found} bytes instead of {bytes}"),
    };
    Err(ReadError::File {
        path: path.clone(),
        flaw,
    })
}

/// Reads a file's footer: its row groups, and when each begins.
async fn look_at(store: &Store, file: &ExportFile) -> Result<Vec<Waiting>, ReadError> {
    let path = file.path.clone();
    let file = open(store, file).await?;
    let columns = file.footer().file_metadata().schema_descr();
    let has_times = |column: &ColumnDescPtr| column.path().string() == TIMESTAMP;
    if !columns.columns().iter().any(has_times) {
        return Err(ReadError::Columns { path });
    }
    let file = Arc::new(OpenFile { path, file });
    let groups = (0..file.file.footer().num_row_groups()).map(|row_group| Waiting {
        // Without a minimum it is opened first, which is always right.
        min_us: file.file.earliest_us(row_group).unwrap_or(i64::MIN),
        file: Arc::clone(&file),
        row_group,
    });
    Ok(groups.collect())
}

impl Decoding {
    async fn begin(group: &Waiting) -> Result<Self, ReadError> {
        let OpenFile { path, file } = group.file.as_ref();
        let rows = file
            .rows_by_time(group.row_group)
            .await
            .map_err(|source| ReadError::of(path.as_str(), source))?;
        Ok(Self {
            path: path.clone(),
            rows,
            batch: RecordBatch::new_empty(schema::activity().arrow()),
            restorer: None,
            row: 0,
        })
    }

    /// Moves to the next row; its time in microseconds, or `None` at the end.
    async fn advance(&mut self) -> Result<Option<i64>, ReadError> {
        let no_columns = || ReadError::Columns {
            path: self.path.clone(),
        };
        while self.row >= self.batch.num_rows() {
            let failed = |source: ParquetError| ReadError::of(self.path.as_str(), source);
            let Some(batch) = self.rows.next().await.map_err(failed)? else {
                return Ok(None);
            };
            let restorer = RecordRestorer::new(schema::activity(), &batch);
            self.restorer = Some(restorer.ok_or_else(no_columns)?);
            self.batch = batch;
            self.row = 0;
        }
        let times = self
            .batch
            .column_by_name(TIMESTAMP)
            .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
        let time_us = times.ok_or_else(no_columns)?.value(self.row);
        self.row += 1;
        Ok(Some(time_us))
    }

    /// Appends the record of the row that was read last.
    fn restore(&self, out: &mut String) -> Result<(), ReadError> {
        let Some(restorer) = &self.restorer else {
            return Ok(());
        };
        let row = self.row - 1;
        let bytes = restorer.record_bytes(row);
        if bytes > MAX_RECORD_BYTES {
            return Err(ReadError::Record {
                path: self.path.clone(),
                bytes,
            });
        }
        restorer.restore(row, out);
        Ok(())
    }
}
