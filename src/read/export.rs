//! The original records of a lake, by time.
//!
//! Files are sorted inside their row groups only, and those of different slices overlap. So row
//! groups are merged: each is opened when the merge reaches its earliest time, which the footer
//! says, and closed when it is used up. Memory holds a short batch of each row group that is open, all of
//! one that lies by user (of a merged file some are open at once, 128 MiB together), and the records of one
//! time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::io::Write;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use object_store::path::Path;
use parquet::errors::ParquetError;
use parquet::schema::types::ColumnDescPtr;

use super::file::{CommittedFile, Rows};
use super::restore::MAX_RECORD_BYTES;
use super::{ReadError, RecordRestorer};
use crate::schema::{self, TIMESTAMP};
use crate::store::Store;
use crate::window::TimeWindow;

/// Text gathered before it is handed on.
const WRITE_BYTES: usize = 256 * 1024;
/// Text of one time that is held until it is whole. The service saves some thousand records in a
/// millisecond, of some kilobytes each.
const TIME_BYTES: usize = 64 * 1024 * 1024;
/// A file up to this size, such as that of an hour, is held while it is open, and asked for once.
const SMALL_BYTES: u64 = 1024 * 1024;

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

/// A row group that is being read.
struct Reading {
    path: String,
    rows: Rows,
    batch: RecordBatch,
    restorer: Option<RecordRestorer>,
    row: usize,
}

/// The export of a lake. Whole times are written, each with all of its records, so that it can go on
/// with other files of the same rows where one is gone.
pub struct Export {
    window: Option<TimeWindow>,
    /// The last time of which everything is written, in microseconds since the epoch.
    written_us: Option<i64>,
    /// Whether a part of the next time is written.
    is_torn: bool,
    /// Records written.
    records: u64,
}

impl Export {
    /// An export of the records whose `timestamp` lies in the window; else of all.
    pub fn new(window: Option<TimeWindow>) -> Self {
        Self {
            window,
            written_us: None,
            is_torn: false,
            records: 0,
        }
    }

    /// Whether it can go on with other files of the same rows: not within a time that has more records
    /// than are held.
    pub fn can_go_on(&self) -> bool {
        !self.is_torn
    }

    /// Records written so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Writes the records of files that were not written yet, one a line, by time.
    ///
    /// # Errors
    /// A file cannot be read, or the output takes no more. Where it is gone
    /// ([`ReadError::gone`]) the export goes on with the files that are there.
    pub async fn write(
        &mut self,
        store: &Store,
        files: Vec<ExportFile>,
        out: &mut impl Write,
    ) -> Result<(), ReadError> {
        let mut merge = Merge::of(files, self.window);
        let mut text = Text::default();
        while let Some(time_us) = merge.next(store).await? {
            if self.wants(time_us) {
                text.begin(time_us);
                merge.restore(&mut text)?;
            }
            if text.is_enough() {
                self.hand_on(&mut text, out)?;
            }
            if text.is_too_much() {
                self.hand_on_torn(&mut text, out)?;
            }
        }
        text.end();
        self.hand_on(&mut text, out)?;
        out.flush().map_err(ReadError::Output)
    }

    fn wants(&self, time_us: i64) -> bool {
        let in_window = self
            .window
            .is_none_or(|window| window.contains(time_us.div_euclid(1_000)));
        in_window
            && self
                .written_us
                .is_none_or(|written_us| time_us > written_us)
    }

    /// Writes the times that are whole.
    fn hand_on(&mut self, text: &mut Text, out: &mut impl Write) -> Result<(), ReadError> {
        let Some(whole_us) = text.whole_us else {
            return Ok(());
        };
        let whole = &text.held.as_bytes()[..text.whole];
        out.write_all(whole).map_err(ReadError::Output)?;
        text.held.drain(..text.whole);
        self.is_torn &= text.whole == 0;
        text.whole = 0;
        self.written_us = Some(whole_us);
        self.records += std::mem::take(&mut text.whole_records);
        Ok(())
    }

    /// Writes what there is of a time, too.
    fn hand_on_torn(&mut self, text: &mut Text, out: &mut impl Write) -> Result<(), ReadError> {
        self.hand_on(text, out)?;
        out.write_all(text.held.as_bytes())
            .map_err(ReadError::Output)?;
        text.held.clear();
        self.is_torn = true;
        Ok(())
    }
}

/// Text that was not handed on yet.
#[derive(Default)]
struct Text {
    held: String,
    /// The time of the record that was begun last.
    time_us: Option<i64>,
    /// Records of it.
    records: u64,
    /// The last time before it, up to where its text goes, and the records that this holds.
    whole_us: Option<i64>,
    whole: usize,
    whole_records: u64,
}

impl Text {
    /// A record of this time follows.
    fn begin(&mut self, time_us: i64) {
        if self.time_us != Some(time_us) {
            self.end();
            self.time_us = Some(time_us);
        }
        self.records += 1;
    }

    /// No more records of the last time follow. They are put in the order of their text: the same rows are
    /// the same export, in whatever files they lie (but for a time that is torn).
    fn end(&mut self) {
        if self.time_us.is_some() {
            if self.records > 1 {
                let mut lines: Vec<&str> = self.held[self.whole..].split_inclusive('\n').collect();
                lines.sort_unstable();
                let sorted = lines.concat();
                self.held.replace_range(self.whole.., &sorted);
            }
            self.whole_us = self.time_us;
            self.whole = self.held.len();
            self.whole_records += std::mem::take(&mut self.records);
        }
    }

    fn is_enough(&self) -> bool {
        self.whole >= WRITE_BYTES
    }

    fn is_too_much(&self) -> bool {
        self.held.len() - self.whole >= TIME_BYTES
    }
}

/// The rows of files, by time.
struct Merge {
    files: VecDeque<ExportFile>,
    waiting: Vec<Waiting>,
    /// The open row groups, each under the number that it got as it was opened.
    open: HashMap<u64, Reading>,
    opened: u64,
    /// The next time of every open row group; its number breaks ties, so the order is the same each time.
    next: BinaryHeap<Reverse<(i64, u64)>>,
    /// The row group whose row was given last.
    last: Option<u64>,
}

impl Merge {
    fn of(mut files: Vec<ExportFile>, window: Option<TimeWindow>) -> Self {
        if let Some(window) = window {
            files.retain(|file| {
                file.timestamp_ms.0 < window.until_ms && file.timestamp_ms.1 >= window.from_ms
            });
        }
        files.sort_by(|a, b| (a.timestamp_ms.0, &a.path).cmp(&(b.timestamp_ms.0, &b.path)));
        Self {
            files: files.into(),
            waiting: Vec::new(),
            open: HashMap::new(),
            opened: 0,
            next: BinaryHeap::new(),
            last: None,
        }
    }

    /// Goes to the next row: its time in microseconds, or `None` at the end.
    async fn next(&mut self, store: &Store) -> Result<Option<i64>, ReadError> {
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
                self.open.insert(number, begin(&group).await?);
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

    async fn advance(&mut self, number: u64) -> Result<(), ReadError> {
        let Some(reading) = self.open.get_mut(&number) else {
            return Ok(());
        };
        match advance(reading).await? {
            Some(time_us) => self.next.push(Reverse((time_us, number))),
            None => drop(self.open.remove(&number)),
        }
        Ok(())
    }

    /// Appends the record of the row that was given last.
    fn restore(&self, text: &mut Text) -> Result<(), ReadError> {
        if let Some(reading) = self.last.and_then(|last| self.open.get(&last)) {
            reading.restore(&mut text.held)?;
            text.held.push('\n');
        }
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

async fn begin(group: &Waiting) -> Result<Reading, ReadError> {
    let OpenFile { path, file } = group.file.as_ref();
    let rows = file
        .rows_by_time(group.row_group)
        .await
        .map_err(|source| ReadError::of(path.as_str(), source))?;
    let batch = RecordBatch::new_empty(schema::activity().arrow());
    Ok(Reading {
        path: path.clone(),
        rows,
        batch,
        restorer: None,
        row: 0,
    })
}

impl Reading {
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

/// Moves to the next row; its time in microseconds, or `None` at the end.
async fn advance(reading: &mut Reading) -> Result<Option<i64>, ReadError> {
    while reading.row >= reading.batch.num_rows() {
        let failed = |source: ParquetError| ReadError::of(reading.path.as_str(), source);
        let Some(batch) = reading.rows.next().await.map_err(failed)? else {
            return Ok(None);
        };
        let restorer = RecordRestorer::new(schema::activity(), &batch);
        reading.restorer = Some(restorer.ok_or_else(|| ReadError::Columns {
            path: reading.path.clone(),
        })?);
        reading.batch = batch;
        reading.row = 0;
    }
    let times = reading
        .batch
        .column_by_name(TIMESTAMP)
        .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    let Some(times) = times else {
        return Err(ReadError::Columns {
            path: reading.path.clone(),
        });
    };
    let time_us = times.value(reading.row);
    reading.row += 1;
    Ok(Some(time_us))
}
