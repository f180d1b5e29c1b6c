//! A committed file, decoded to its last row, against what its commit, its footer and its place say.
//!
//! One row group is in memory at a time, in short batches; a slice's rows are remembered by their
//! hashes, as they were when the slice was scanned. What is found is said by row numbers and
//! counts: no value of a record is repeated.

use std::collections::HashSet;
use std::ops::Range;

use arrow::array::{Array, AsArray, RecordBatch, StringViewArray, TimestampMicrosecondArray};
use arrow::datatypes::{Schema, TimestampMicrosecondType};
use parquet::bloom_filter::Sbbf;
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, RowGroupMetaData};
use parquet::file::statistics::Statistics;
use parquet::schema::printer::print_schema;
use parquet::schema::types::SchemaDescriptor;

use super::file::CommittedFile;
use super::restore::MAX_RECORD_BYTES;
use super::{ReadError, RecordRestorer};
use crate::schema::{self, ACTIVITY_ID, CREATED, TIMESTAMP, USER_NAME};
use crate::store::Store;
use crate::text::fingerprint::{fingerprint, short_fingerprint};
use crate::window::{TimeWindow, is_in_seconds};
use crate::write::{self, FileEntry, INDEXED_ROWS, RowOrder};

/// What a file should hold.
#[derive(Debug, Clone)]
pub struct Expected {
    /// What the commit says about it.
    pub entry: FileEntry,
    /// The timestamps of its part, in microseconds since the epoch.
    pub day_us: Range<i64>,
    /// The slice.
    pub slice: String,
    /// The attempt.
    pub attempt: String,
    /// The run.
    pub run: String,
    /// The lake's clock: the name of its column, and the time of the slice. None where the slice
    /// is not a slice of time.
    pub clock: Option<(&'static str, TimeWindow)>,
}

/// What the files of one slice hold together. 24 bytes for each row, as when it was scanned.
#[derive(Debug, Default)]
pub struct SliceRows {
    /// Rows.
    pub rows: u64,
    /// Rows without a `created`.
    pub odd_created: u64,
    /// Whether a record may be there twice, and is not remembered.
    is_of_slices: bool,
    records: HashSet<u128>,
    ids: HashSet<u64>,
}

impl SliceRows {
    /// For rows of several slices, which may have a record in common.
    pub fn of_slices() -> Self {
        Self {
            is_of_slices: true,
            ..Self::default()
        }
    }

    /// Rows whose id another row has as well, with other JSON.
    pub fn changed_repeats(&self) -> u64 {
        (self.records.len() as u64).saturating_sub(self.ids.len() as u64)
    }
}

/// Decodes a file and says what is wrong with it, a sentence each.
///
/// # Errors
/// The store failed. A file that is not Parquet is not an error, but a finding.
pub async fn inspect(
    store: &Store,
    expected: &Expected,
    slice: &mut SliceRows,
) -> Result<Vec<String>, ReadError> {
    let mut flaws = Vec::new();
    match decode(store, expected, slice, &mut flaws).await {
        Ok(()) => {}
        Err(error) => match ReadError::of(expected.entry.path.as_str(), error) {
            ReadError::File { flaw, .. } => flaws.push(flaw),
            error => return Err(error),
        },
    }
    Ok(flaws)
}

async fn decode(
    store: &Store,
    expected: &Expected,
    slice: &mut SliceRows,
    flaws: &mut Vec<String>,
) -> Result<(), ParquetError> {
    let FileEntry { path, bytes, .. } = &expected.entry;
    let file = CommittedFile::open(store, path, *bytes).await?;
    let footer = file.footer();
    let columns = footer.file_metadata().schema_descr();
    if let Some(flaw) = check_schema(columns) {
        // The rows cannot be understood.
        flaws.push(flaw);
        return Ok(());
    }
    let pairs = footer.file_metadata().key_value_metadata();
    flaws.extend(check_footer(pairs, expected));
    let order = said_order(pairs).unwrap_or_else(|flaw| {
        flaws.push(flaw);
        RowOrder::Time
    });
    let mut rows = Rows::new(expected, order);
    for (index, group) in footer.row_groups().iter().enumerate() {
        let mut blooms = Vec::new();
        let indexed = usize::try_from(group.num_rows()).is_ok_and(|rows| rows >= INDEXED_ROWS);
        for name in schema::activity().looked_up() {
            let Some(column) = position(columns, name) else {
                continue;
            };
            match file.bloom_filter(index, column).await? {
                Some(bloom) => blooms.push((name, bloom, Tally::default())),
                None if indexed => {
                    flaws.push(format!("row group {index} has no bloom filter for {name}"));
                }
                None => {}
            }
        }
        let mut batches = file.rows(index).await?;
        rows.begin_group();
        while let Some(batch) = batches.next().await? {
            for (name, bloom, missing) in &mut blooms {
                check_bloom(&batch, name, bloom, rows.file.rows, missing);
            }
            if !rows.take(&batch, slice) {
                flaws.push("its columns are not those of the schema".to_owned());
                return Ok(());
            }
        }
        flaws.extend(rows.check_group(index, group, columns));
        for (name, _, missing) in blooms {
            flaws.extend(missing.said(&format!(
                "the bloom filter of row group {index} lacks the {name} of"
            )));
        }
    }
    flaws.extend(rows.flaws());
    flaws.extend(check_totals(
        &rows.file,
        footer.file_metadata().num_rows(),
        &expected.entry,
    ));
    Ok(())
}

fn position(columns: &SchemaDescriptor, name: &str) -> Option<usize> {
    columns
        .columns()
        .iter()
        .position(|column| column.path().string() == name)
}

/// Compares the schema of a file with that of this program. A file of an older program may lack
/// the columns that were appended since.
pub(super) fn check_schema(columns: &SchemaDescriptor) -> Option<String> {
    let known = schema::activity().arrow();
    let in_file = columns.root_schema().get_fields().len();
    if in_file > known.fields().len() {
        return Some(format!(
            "it has {in_file} columns, and this version knows {}",
            known.fields().len()
        ));
    }
    let known = Schema::new(known.fields()[..in_file].to_vec());
    let mut found = Vec::new();
    print_schema(&mut found, columns.root_schema());
    let found = String::from_utf8_lossy(&found).into_owned();
    // What cannot be laid out differs as well.
    let known = write::message_type(known.into()).unwrap_or_default();
    // The first line names the schema, which says nothing about the columns.
    let differs = found
        .lines()
        .skip(1)
        .zip(known.lines().skip(1).chain(std::iter::repeat("nothing")))
        .find(|(found, known)| found != known);
    let (found, known) = differs?;
    Some(format!(
        "its schema is not that of the activities: it has '{}' in place of '{}'",
        found.trim(),
        known.trim()
    ))
}

/// What a footer says of itself.
fn said<'f>(pairs: Option<&'f Vec<KeyValue>>, key: &str) -> Option<&'f String> {
    let mut pairs = pairs.into_iter().flatten();
    pairs.find(|pair| pair.key == key)?.value.as_ref()
}

/// The order that a footer says its rows have.
fn said_order(pairs: Option<&Vec<KeyValue>>) -> Result<RowOrder, String> {
    let said = said(pairs, "mdca.sort").map_or("nothing", String::as_str);
    let is_said = |order: &RowOrder| order.to_string() == said;
    let order = RowOrder::ALL.into_iter().find(is_said);
    order.ok_or_else(|| {
        let known = RowOrder::ALL.map(|order| order.to_string()).join(" and ");
        format!("its footer says {said} as mdca.sort, and this version knows {known}")
    })
}

/// Compares what the footer says of itself with the commit.
fn check_footer(pairs: Option<&Vec<KeyValue>>, expected: &Expected) -> Vec<String> {
    let Expected {
        entry,
        slice,
        attempt,
        run,
        clock,
        day_us: _,
    } = expected;
    let said = |key: &str| said(pairs, key).cloned();
    let ms = |time_ms: i64| Some(time_ms.to_string());
    let mut wanted = vec![
        (
            "mdca.schema_version",
            Some(schema::activity().version.to_string()),
        ),
        ("mdca.run", Some(run.clone())),
        ("mdca.slice", Some(slice.clone())),
        ("mdca.attempt", Some(attempt.clone())),
        ("mdca.rows", Some(entry.rows.to_string())),
        ("mdca.timestamp_min_ms", ms(entry.timestamp_min_ms)),
        ("mdca.timestamp_max_ms", ms(entry.timestamp_max_ms)),
        ("mdca.created_min_ms", entry.created_min_ms.and_then(ms)),
        ("mdca.created_max_ms", entry.created_max_ms.and_then(ms)),
    ];
    if let Some((column, _)) = clock {
        let clock = if *column == CREATED { CREATED } else { "date" };
        wanted.push(("mdca.clock", Some(clock.to_owned())));
    }
    wanted
        .into_iter()
        .filter(|(key, wanted)| said(key) != *wanted)
        .map(|(key, wanted)| {
            let text = |value: Option<String>| value.unwrap_or_else(|| "nothing".to_owned());
            format!(
                "its footer says {} as {key}, and its commit {}",
                text(said(key)),
                text(wanted)
            )
        })
        .collect()
}

fn check_totals(found: &Span, in_footer: i64, entry: &FileEntry) -> Vec<String> {
    let mut flaws = Vec::new();
    if found.rows != entry.rows || u64::try_from(in_footer) != Ok(entry.rows) {
        flaws.push(format!(
            "it holds {} rows, its footer says {in_footer}, and its commit {}",
            found.rows, entry.rows
        ));
    }
    let committed = [
        (
            TIMESTAMP,
            found.timestamp,
            Some((entry.timestamp_min_ms, entry.timestamp_max_ms)),
        ),
        (
            CREATED,
            found.created,
            entry.created_min_ms.zip(entry.created_max_ms),
        ),
    ];
    for (column, found, committed) in committed {
        let found = found.map(|(min, max)| (ms(min), ms(max)));
        if found != committed {
            flaws.push(format!(
                "the {column} of its rows spans {}, and its commit says {}",
                span_text(found),
                span_text(committed)
            ));
        }
    }
    flaws
}

fn ms(time_us: i64) -> i64 {
    time_us.div_euclid(1_000)
}

fn span_text(span: Option<(i64, i64)>) -> String {
    span.map_or_else(
        || "nothing".to_owned(),
        |(min, max)| format!("{min} to {max}"),
    )
}

fn check_bloom(batch: &RecordBatch, name: &str, bloom: &Sbbf, before: u64, missing: &mut Tally) {
    let Some(values) = batch
        .column_by_name(name)
        .and_then(|column| column.as_string_view_opt())
    else {
        return;
    };
    for (row, value) in (before..).zip(values) {
        if value.is_some_and(|value| !bloom.check(value)) {
            missing.count(row);
        }
    }
}

/// Rows of one flaw.
#[derive(Debug, Default)]
struct Tally {
    rows: u64,
    first: u64,
}

impl Tally {
    fn count(&mut self, row: u64) {
        if self.rows == 0 {
            self.first = row;
        }
        self.rows += 1;
    }

    fn said(&self, what: &str) -> Option<String> {
        (self.rows > 0).then(|| format!("{what} {} rows, first row {}", self.rows, self.first))
    }
}

/// Rows and the span of both clocks, in microseconds since the epoch.
#[derive(Debug, Default)]
struct Span {
    rows: u64,
    timestamp: Option<(i64, i64)>,
    created: Option<(i64, i64)>,
    created_nulls: u64,
}

fn widen(span: &mut Option<(i64, i64)>, time_us: i64) {
    *span = Some(span.map_or((time_us, time_us), |(min, max)| {
        (min.min(time_us), max.max(time_us))
    }));
}

/// Before every user and time.
const BEFORE_ALL: (Option<String>, i64) = (None, i64::MIN);

/// What every row of a file is looked at for.
struct Rows<'e> {
    expected: &'e Expected,
    file: Span,
    group: Span,
    order: RowOrder,
    /// User and time of the row before.
    last: (Option<String>, i64),
    text: String,
    unsorted: Tally,
    elsewhere: Tally,
    outside: Tally,
    repeated: Tally,
    oversized: Tally,
}

impl<'e> Rows<'e> {
    fn new(expected: &'e Expected, order: RowOrder) -> Self {
        Self {
            expected,
            file: Span::default(),
            group: Span::default(),
            order,
            last: BEFORE_ALL,
            text: String::new(),
            unsorted: Tally::default(),
            elsewhere: Tally::default(),
            outside: Tally::default(),
            repeated: Tally::default(),
            oversized: Tally::default(),
        }
    }

    fn begin_group(&mut self) {
        self.group = Span::default();
        self.last = BEFORE_ALL;
    }

    /// Looks at the rows of a batch; false where it lacks a column.
    fn take(&mut self, batch: &RecordBatch, slice: &mut SliceRows) -> bool {
        let Some(columns) = RowColumns::of(batch, self.order) else {
            return false;
        };
        for row in 0..batch.num_rows() {
            let number = self.file.rows;
            self.take_times(&columns, row);
            if columns.restorer.record_bytes(row) > MAX_RECORD_BYTES {
                self.oversized.count(number);
                continue;
            }
            self.text.clear();
            columns.restorer.restore(row, &mut self.text);
            slice.rows += 1;
            slice.odd_created += u64::from(columns.created.is_null(row));
            if slice.is_of_slices {
                continue;
            }
            let id = columns.ids.value(row);
            slice.ids.insert(short_fingerprint(id.as_bytes()));
            if !slice.records.insert(fingerprint(&self.text)) {
                self.repeated.count(number);
            }
        }
        true
    }

    /// Looks at whether a row lies where its times, and its user, say.
    fn take_times(&mut self, columns: &RowColumns<'_>, row: usize) {
        let number = self.file.rows;
        let timestamp_us = columns.timestamps.value(row);
        let created = columns.created;
        let created_us = created.is_valid(row).then(|| created.value(row));
        for span in [&mut self.file, &mut self.group] {
            span.rows += 1;
            widen(&mut span.timestamp, timestamp_us);
            match created_us {
                Some(created_us) => widen(&mut span.created, created_us),
                None => span.created_nulls += 1,
            }
        }
        let users = columns.users.filter(|users| users.is_valid(row));
        let key = (users.map(|users| users.value(row)), timestamp_us);
        let last = &mut self.last;
        if (last.0.as_deref(), last.1) > key {
            self.unsorted.count(number);
        }
        if last.0.as_deref() != key.0 {
            last.0 = key.0.map(str::to_owned);
        }
        last.1 = timestamp_us;
        if !self.expected.day_us.contains(&timestamp_us) {
            self.elsewhere.count(number);
        }
        if let Some((column, window)) = &self.expected.clock {
            let clock_us = if *column == CREATED {
                created_us
            } else {
                Some(timestamp_us)
            };
            // Without a usable clock a record is the slice's that it came with.
            let is_elsewhere = |time_ms| !is_in_seconds(time_ms) && !window.contains(time_ms);
            if clock_us.is_some_and(|clock_us| is_elsewhere(ms(clock_us))) {
                self.outside.count(number);
            }
        }
    }

    /// Compares a row group with what the footer says of it.
    fn check_group(
        &self,
        index: usize,
        group: &RowGroupMetaData,
        columns: &SchemaDescriptor,
    ) -> Vec<String> {
        let mut flaws = Vec::new();
        if u64::try_from(group.num_rows()) != Ok(self.group.rows) {
            flaws.push(format!(
                "row group {index} holds {} rows, and its footer says {}",
                self.group.rows,
                group.num_rows()
            ));
        }
        let spans = [
            (TIMESTAMP, self.group.timestamp, 0),
            (CREATED, self.group.created, self.group.created_nulls),
        ];
        for (name, found, nulls) in spans {
            let Some(column) = position(columns, name) else {
                continue;
            };
            let statistics = group.column(column).statistics();
            let said = match statistics {
                Some(Statistics::Int64(said)) => {
                    said.min_opt().copied().zip(said.max_opt().copied())
                }
                _ => None,
            };
            if said != found {
                flaws.push(format!(
                    "the {name} of row group {index} spans {} in microseconds, and its statistics say {}",
                    span_text(found),
                    span_text(said)
                ));
            }
            let null_count = statistics.and_then(Statistics::null_count_opt);
            if null_count.is_some_and(|said| said != nulls) {
                flaws.push(format!(
                    "{nulls} rows of row group {index} have no {name}, and its statistics say another number"
                ));
            }
        }
        if RowOrder::declared_by(group) != Some(self.order) {
            flaws.push(format!(
                "row group {index} does not declare that it is sorted by {}",
                self.order
            ));
        }
        flaws
    }

    fn flaws(&self) -> impl Iterator<Item = String> {
        [
            self.unsorted
                .said(&format!("not sorted by {}:", self.order)),
            self.elsewhere
                .said("the timestamp lies outside the folder's day:"),
            self.outside.said("the clock lies outside the slice:"),
            self.repeated.said("the slice has the same record already:"),
            self.oversized
                .said(&format!("more than {MAX_RECORD_BYTES} bytes of text:")),
        ]
        .into_iter()
        .flatten()
    }
}

/// The columns of a batch that are looked at.
struct RowColumns<'b> {
    timestamps: &'b TimestampMicrosecondArray,
    created: &'b TimestampMicrosecondArray,
    ids: &'b StringViewArray,
    /// Where rows lie by user; by time the users play no part.
    users: Option<&'b StringViewArray>,
    restorer: RecordRestorer,
}

impl<'b> RowColumns<'b> {
    fn of(batch: &'b RecordBatch, order: RowOrder) -> Option<Self> {
        let users = batch.column_by_name(USER_NAME);
        let users = users.and_then(|column| column.as_string_view_opt());
        Some(Self {
            timestamps: times(batch, TIMESTAMP)?,
            created: times(batch, CREATED)?,
            ids: batch.column_by_name(ACTIVITY_ID)?.as_string_view_opt()?,
            users: users.filter(|_| order == RowOrder::User),
            restorer: RecordRestorer::new(schema::activity(), batch)?,
        })
    }
}

fn times<'b>(batch: &'b RecordBatch, column: &str) -> Option<&'b TimestampMicrosecondArray> {
    batch
        .column_by_name(column)?
        .as_primitive_opt::<TimestampMicrosecondType>()
}
