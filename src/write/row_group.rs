//! Rows → the bytes of row groups: sorted, encoded column by column.
//!
//! All of it is work of the CPU, without I/O and without a runtime. Columns are arranged, encoded
//! and dropped two at a time, so that beside the rows themselves only two columns exist twice and
//! only two leaves have a dictionary, pages and a zstd context.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::TimestampMicrosecondType;
use bytes::Bytes;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory};
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::writer::SerializedFileWriter;

use super::column::{Column, Place, on_two_cores};
use super::error::Cause;
use super::part::Part;
use super::properties::Layout;
use super::row_order::RowOrder;
use crate::partition::Rows;
use crate::store::Checksum;

/// The earliest and the latest of some times, in microseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) min_us: i64,
    pub(super) max_us: i64,
}

impl Span {
    fn of(times: impl Iterator<Item = i64>) -> Option<Self> {
        times.fold(None, |span, time| {
            Self::union(
                span,
                Some(Self {
                    min_us: time,
                    max_us: time,
                }),
            )
        })
    }

    /// The span of both.
    pub(super) fn union(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) => Some(Self {
                min_us: one.min_us.min(other.min_us),
                max_us: one.max_us.max(other.max_us),
            }),
            (one, other) => one.or(other),
        }
    }
}

/// Encoded rows: a row group, or several.
#[derive(Debug)]
pub(super) struct Encoded {
    /// The next bytes of the file.
    pub(super) bytes: Bytes,
    /// Rows in it.
    pub(super) rows: u64,
    /// Span of `timestamp`; `None` only without rows.
    pub(super) timestamp: Option<Span>,
    /// Span of `created`, as far as rows have one.
    pub(super) created: Option<Span>,
}

/// The end of a file.
pub(super) struct Ended {
    /// Its last bytes: the footer.
    pub(super) bytes: Bytes,
    /// What the footer says.
    pub(super) footer: ParquetMetaData,
    /// The text of the SHA-256 of all its bytes.
    pub(super) checksum: String,
}

/// Encodes one file, row group by row group. Keeps the footer only; all bytes are handed out.
pub(super) struct Encoder {
    layout: Arc<Layout>,
    /// Of what was handed out.
    checksum: Checksum,
    file: SerializedFileWriter<Vec<u8>>,
    columns: ArrowRowGroupWriterFactory,
    bare_columns: ArrowRowGroupWriterFactory,
    row_groups: usize,
}

impl Encoder {
    /// Begins a file.
    pub(super) fn new(layout: Arc<Layout>) -> Result<Self, Cause> {
        let begin = |properties| {
            SerializedFileWriter::new(Vec::new(), Arc::clone(&layout.root), Arc::clone(properties))
        };
        let columns = |file: &_| ArrowRowGroupWriterFactory::new(file, Arc::clone(&layout.schema));
        let file = begin(&layout.properties)?;
        Ok(Self {
            columns: columns(&file),
            // Settings are a file's, so the bare ones come from a file that is never written.
            bare_columns: columns(&begin(&layout.bare)?),
            layout,
            checksum: Checksum::default(),
            file,
            row_groups: 0,
        })
    }

    /// The order of its rows.
    pub(super) fn order(&self) -> RowOrder {
        self.layout.order
    }

    /// Encodes the rows of a part as the file's next row group, by user as several.
    pub(super) fn rows(&mut self, part: Part) -> Result<Encoded, Cause> {
        let (indexed, groups) = (part.gains_from_indexes(), part.ranges_of_users());
        let pieces = part.into_pieces();
        let rows: usize = pieces.iter().map(Rows::len).sum();
        let timestamp = Span::of(times(&pieces, self.layout.timestamp).flatten());
        let created = self
            .layout
            .created
            .and_then(|created| Span::of(times(&pieces, created).flatten()));
        match self.layout.order {
            RowOrder::Time => {
                let order = by_time(&pieces, self.layout.timestamp);
                self.row_group(batches(pieces), order.as_deref(), indexed)?;
            }
            RowOrder::User => {
                let rows = by_user(&pieces, self.layout.user, self.layout.timestamp);
                let batches = batches(pieces);
                for order in rows.chunks(rows.len().div_ceil(groups).max(1)) {
                    self.row_group(batches.clone(), Some(order), indexed)?;
                }
            }
        }
        Ok(Encoded {
            bytes: self.drain()?,
            rows: rows as u64,
            timestamp,
            created,
        })
    }

    /// Encodes rows, in this order, as the file's next row group.
    fn row_group(
        &mut self,
        batches: Vec<RecordBatch>,
        order: Option<&[Place]>,
        indexed: bool,
    ) -> Result<(), Cause> {
        let columns = self.columns_of(batches)?;
        let chunks = on_two_cores(columns, |column| column.encode(order, indexed))?;
        let chunks: Vec<ArrowColumnChunk> = chunks.into_iter().flatten().collect();
        let bytes = chunks.iter().map(|chunk| chunk.close().bytes_written);
        let bytes = usize::try_from(bytes.sum::<u64>()).unwrap_or_default();
        self.file.inner_mut().reserve(bytes);
        let mut row_group = self.file.next_row_group()?;
        for chunk in chunks {
            chunk.append_to_row_group(&mut row_group)?;
        }
        row_group.close()?;
        self.row_groups += 1;
        Ok(())
    }

    /// The columns of a row group, each with two writers for every leaf, the usual one and the bare one.
    /// All are made at once, but what is large in them (zstd's tables, dictionary, pages) comes with the
    /// first value and goes with `close`.
    fn columns_of(&self, batches: Vec<RecordBatch>) -> Result<Vec<Column>, Cause> {
        let usual = self.columns.create_column_writers(self.row_groups)?;
        let bare = self.bare_columns.create_column_writers(self.row_groups)?;
        let mut writers = usual.into_iter().zip(bare).map(<[_; 2]>::from);
        let leaves = self.file.schema_descr();
        let roots = (0..leaves.num_columns()).map(|leaf| leaves.get_column_root_idx(leaf));
        let mut leaf_counts = vec![0; self.layout.schema.fields().len()];
        roots.for_each(|root| leaf_counts[root] += 1);
        let fields = self.layout.schema.fields().iter();
        let columns = fields.zip(transpose(batches)).zip(leaf_counts);
        Ok(columns
            .map(|((field, arrays), leaves)| Column {
                field: Arc::clone(field),
                arrays,
                writers: writers.by_ref().take(leaves).collect(),
            })
            .collect())
    }

    /// Ends the file.
    pub(super) fn finish(mut self, key_values: Vec<KeyValue>) -> Result<Ended, Cause> {
        for key_value in key_values {
            self.file.append_key_value_metadata(key_value);
        }
        let footer = self.file.finish()?;
        Ok(Ended {
            bytes: self.drain()?,
            footer,
            checksum: self.checksum.text(),
        })
    }

    fn drain(&mut self) -> Result<Bytes, Cause> {
        self.file.flush()?;
        let bytes = std::mem::take(self.file.inner_mut());
        self.checksum.update(&bytes);
        Ok(bytes.into())
    }
}

/// The batches that rows lie in.
fn batches(pieces: Vec<Rows>) -> Vec<RecordBatch> {
    let pieces = pieces.into_iter();
    pieces.map(|rows| rows.batch().clone()).collect()
}

/// The times of rows in a column; none if it is not a column of times.
fn times(pieces: &[Rows], column: usize) -> impl Iterator<Item = Option<i64>> {
    pieces
        .iter()
        .filter_map(move |rows| {
            let times = rows.batch().column(column);
            let times = times.as_primitive_opt::<TimestampMicrosecondType>()?;
            Some((rows, times))
        })
        .flat_map(|(rows, times)| {
            let time = |row| times.is_valid(row).then(|| times.value(row));
            rows.numbers().map(time)
        })
}

/// All rows, in the order of their arrival.
fn places(pieces: &[Rows]) -> Vec<Place> {
    let pieces = pieces.iter().enumerate();
    pieces
        .flat_map(|(batch, rows)| rows.numbers().map(move |row| (batch, row)))
        .collect()
}

/// The rows in order of `timestamp`, those of one time in the order of their arrival; `None` where they
/// are all rows of their batches and have that order already.
fn by_time(pieces: &[Rows], timestamp: usize) -> Option<Vec<Place>> {
    let times = times_of(pieces, timestamp);
    let are_whole = pieces.iter().all(Rows::are_whole_batch);
    if are_whole && times.iter().copied().flatten().is_sorted() {
        return None;
    }
    let mut rows = places(pieces);
    rows.sort_by_key(|&(batch, row)| times[batch][row]);
    Some(rows)
}

/// The rows in order of `user_name`, those without one first, and `timestamp`, those of one user and time
/// in the order of their arrival.
fn by_user(pieces: &[Rows], user: Option<usize>, timestamp: usize) -> Vec<Place> {
    let times = times_of(pieces, timestamp);
    let users: Vec<Option<&StringArray>> = pieces
        .iter()
        .map(|rows| rows.batch().column(user?).as_string_opt())
        .collect();
    let key = |&(batch, row): &Place| {
        let users = users[batch].filter(|users| users.is_valid(row));
        (users.map(|users| users.value(row)), times[batch][row])
    };
    let mut rows = places(pieces);
    rows.sort_by(|one, other| key(one).cmp(&key(other)));
    rows
}

/// The times in the batches that rows lie in.
fn times_of(pieces: &[Rows], timestamp: usize) -> Vec<&[i64]> {
    pieces
        .iter()
        .map(|rows| {
            let times = rows.batch().column(timestamp);
            times
                .as_primitive::<TimestampMicrosecondType>()
                .values()
                .as_ref()
        })
        .collect()
}

/// Batches of columns → columns of arrays, so that a column's memory can go when it is encoded.
fn transpose(batches: Vec<RecordBatch>) -> Vec<Vec<ArrayRef>> {
    let mut columns: Vec<Vec<ArrayRef>> = Vec::new();
    for batch in batches {
        let (_, arrays, _) = batch.into_parts();
        columns.resize_with(arrays.len(), Vec::new);
        for (column, array) in columns.iter_mut().zip(arrays) {
            column.push(array);
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use arrow::array::TimestampMicrosecondArray;
    use proptest::prelude::*;

    use super::*;

    fn pieces(times: &[Vec<i64>]) -> Vec<Rows> {
        times
            .iter()
            .map(|times| {
                let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(times.clone()));
                RecordBatch::try_from_iter([("timestamp", times)])
                    .unwrap()
                    .into()
            })
            .collect()
    }

    #[test]
    fn rows_in_order_are_not_arranged() {
        assert_eq!(by_time(&pieces(&[vec![1, 2], vec![], vec![2, 3]]), 0), None);
    }

    #[test]
    fn some_rows_of_a_batch_are_those_that_are_arranged() {
        let mut pieces = pieces(&[vec![1, 2, 3], vec![0, 9]]);
        pieces[0] = Rows::picked(pieces[0].batch().clone(), vec![0, 2]);
        assert_eq!(by_time(&pieces[..1], 0), Some(vec![(0, 0), (0, 2)]));
        let arranged = [(1, 0), (0, 0), (0, 2), (1, 1)];
        assert_eq!(by_time(&pieces, 0), Some(arranged.to_vec()));
        assert_eq!(
            times(&pieces, 0).flatten().collect::<Vec<_>>(),
            [1, 3, 0, 9]
        );
    }

    #[test]
    fn rows_lie_by_user_then_by_time_and_those_without_a_user_first() {
        let batch = |rows: &[(Option<&str>, i64)]| {
            let users: StringArray = rows.iter().map(|row| row.0).collect();
            let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.1));
            let columns: [(&str, ArrayRef); 2] = [
                ("user_name", Arc::new(users)),
                ("timestamp", Arc::new(times)),
            ];
            Rows::from(RecordBatch::try_from_iter(columns).unwrap())
        };
        let pieces = [
            batch(&[(Some("b"), 1), (Some("a"), 9), (None, 5)]),
            batch(&[(Some("a"), 2), (Some("b"), 1), (None, 4)]),
        ];
        let expected = [(1, 2), (0, 2), (1, 0), (0, 1), (0, 0), (1, 1)];
        assert_eq!(by_user(&pieces, Some(0), 1), expected);
    }

    proptest! {
        #[test]
        fn rows_of_one_time_keep_the_order_of_their_arrival(
            times in prop::collection::vec(prop::collection::vec(0_i64..5, 0..20), 1..5),
        ) {
            let mut expected: Vec<(i64, usize, usize)> = Vec::new();
            for (batch, times) in times.iter().enumerate() {
                expected.extend(times.iter().enumerate().map(|(row, &time)| (time, batch, row)));
            }
            expected.sort_unstable();
            let expected: Vec<(usize, usize)> =
                expected.into_iter().map(|(_, batch, row)| (batch, row)).collect();
            let arrival = times
                .iter()
                .enumerate()
                .flat_map(|(batch, times)| (0..times.len()).map(move |row| (batch, row)));
            let found = by_time(&pieces(&times), 0).unwrap_or_else(|| arrival.collect());
            prop_assert_eq!(found, expected);
        }
    }
}
