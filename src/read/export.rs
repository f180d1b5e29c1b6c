//! The original records of a lake, by time.
//!
//! Files are sorted inside their row groups only, and those of different slices overlap. So row
//! groups are merged: each is opened when the merge reaches its earliest time, which the footer
//! says, and closed when it is used up. Memory holds a short batch of each row group that is open.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io::Write;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use parquet::errors::ParquetError;
use parquet::file::statistics::Statistics;

use super::file::{CommittedFile, Rows};
use super::restore::MAX_RECORD_BYTES;
use super::{ReadError, RecordRestorer};
use crate::schema::{self, TIMESTAMP};
use crate::store::Store;
use crate::window::TimeWindow;

/// Text gathered before it is handed on.
const WRITE_BYTES: usize = 256 * 1024;

/// A committed file.
#[derive(Debug, Clone)]
pub struct ExportFile {
    /// The file, relative to the lake's root.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
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

/// Writes the records of the files whose `timestamp` lies in the window, one a line, by time.
/// Returns how many.
///
/// # Errors
/// A file cannot be read, or the output takes no more.
pub async fn export(
    store: &Store,
    mut files: Vec<ExportFile>,
    window: Option<TimeWindow>,
    out: &mut impl Write,
) -> Result<u64, ReadError> {
    if let Some(window) = window {
        files.retain(|file| {
            file.timestamp_ms.0 < window.until_ms && file.timestamp_ms.1 >= window.from_ms
        });
    }
    files.sort_by_key(|file| file.timestamp_ms.0);
    let mut files = VecDeque::from(files);
    let mut waiting: Vec<Waiting> = Vec::new();
    let mut open: Vec<Option<Reading>> = Vec::new();
    // The next time of every open row group; the position breaks ties, so the order is the same each time.
    let mut next: BinaryHeap<Reverse<(i64, usize)>> = BinaryHeap::new();
    let mut text = String::new();
    let mut records = 0;
    loop {
        let now_us = next.peek().map(|Reverse((time_us, _))| *time_us);
        let due =
            |file: &ExportFile| is_due(file.timestamp_ms.0.saturating_mul(1_000), now_us, &waiting);
        if files.front().is_some_and(due)
            && let Some(file) = files.pop_front()
        {
            waiting.extend(look_at(store, file).await?);
            // The earliest is last.
            waiting.sort_by_key(|group| Reverse(group.min_us));
            continue;
        }
        if let Some(group) =
            waiting.pop_if(|group| now_us.is_none_or(|now_us| group.min_us <= now_us))
        {
            let mut reading = begin(&group).await?;
            if let Some(time_us) = advance(&mut reading).await? {
                next.push(Reverse((time_us, open.len())));
                open.push(Some(reading));
            }
            continue;
        }
        let Some(Reverse((time_us, position))) = next.pop() else {
            break;
        };
        let reading = open[position]
            .as_mut()
            .expect("a row group in the heap is open");
        if window.is_none_or(|window| window.contains(time_us.div_euclid(1_000))) {
            reading.restore(&mut text)?;
            text.push('\n');
            records += 1;
        }
        match advance(reading).await? {
            Some(time_us) => next.push(Reverse((time_us, position))),
            None => open[position] = None,
        }
        if text.len() >= WRITE_BYTES {
            out.write_all(text.as_bytes()).map_err(ReadError::Output)?;
            text.clear();
        }
    }
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(ReadError::Output)?;
    Ok(records)
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

/// Reads a file's footer: its row groups, and when each begins.
async fn look_at(store: &Store, file: ExportFile) -> Result<Vec<Waiting>, ReadError> {
    let ExportFile { path, bytes, .. } = file;
    let failed = |source| ReadError::File {
        path: path.clone(),
        source,
    };
    let file = CommittedFile::open(store, &path, bytes)
        .await
        .map_err(failed)?;
    let columns = file.footer().file_metadata().schema_descr();
    let Some(column) = columns
        .columns()
        .iter()
        .position(|column| column.path().string() == TIMESTAMP)
    else {
        return Err(ReadError::Columns { path });
    };
    let file = Arc::new(OpenFile { path, file });
    let groups = file
        .file
        .footer()
        .row_groups()
        .iter()
        .enumerate()
        .map(|(row_group, group)| {
            let min_us = match group.column(column).statistics() {
                Some(Statistics::Int64(statistics)) => statistics.min_opt().copied(),
                _ => None,
            };
            // Without a minimum it is opened first, which is always right.
            Waiting {
                min_us: min_us.unwrap_or(i64::MIN),
                file: Arc::clone(&file),
                row_group,
            }
        });
    Ok(groups.collect())
}

async fn begin(group: &Waiting) -> Result<Reading, ReadError> {
    let OpenFile { path, file } = group.file.as_ref();
    let rows = file
        .rows(group.row_group)
        .await
        .map_err(|source| ReadError::File {
            path: path.clone(),
            source,
        })?;
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
        let failed = |source: ParquetError| ReadError::File {
            path: reading.path.clone(),
            source,
        };
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
