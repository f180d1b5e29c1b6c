//! Which records of a page become rows, and where all the others go.
//!
//! Every record goes exactly one way: a row, a reject, a repeat, or the neighbour's. A record
//! whose bytes were no UTF-8 is a row *and* a reject, so that the bytes are kept. The counts say so
//! and are checked before anything is published.

use std::ops::Range;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::known::{Known, Met};
use crate::commit::SliceCounts;
use crate::decode::{Flaw, Piece, Record, RejectReason};
use crate::scan::{ClockField, Page, PageSeen, Place};
use crate::schema;
use crate::text::fingerprint::{fingerprint, fingerprint_of_bytes, short_fingerprint};

/// A text whose records are classified: a page of the service, or a piece of a file.
pub trait RecordText {
    /// What was decoded.
    fn text(&self) -> &str;
    /// Its number, as rejects name it.
    fn number(&self) -> u32;
    /// The place of its first record among those that have this number.
    fn first_record(&self) -> usize;
    /// So many pages it counts for.
    fn pages(&self) -> u64;
    /// Where a record belongs whose clock is `clock_ms`, in milliseconds since the epoch.
    fn place(&self, clock_ms: Option<i64>) -> Place;
    /// The bytes of a record that lies there in the text, if they were no UTF-8 when they came.
    fn raw_record(&self, record: Range<usize>) -> Option<Vec<u8>>;
}

impl RecordText for Page {
    fn text(&self) -> &str {
        &self.text[self.data.clone()]
    }

    fn number(&self) -> u32 {
        self.index
    }

    fn first_record(&self) -> usize {
        0
    }

    fn pages(&self) -> u64 {
        u64::from(self.is_counted)
    }

    fn place(&self, clock_ms: Option<i64>) -> Place {
        Self::place(self, clock_ms)
    }

    fn raw_record(&self, record: Range<usize>) -> Option<Vec<u8>> {
        let start = self.data.start;
        let damage = self.damage.as_ref()?;
        damage.raw_record(start + record.start..start + record.end)
    }
}

/// What tells the records of a piece apart. It is taken from the text alone, so that it can be made
/// of several pieces at once.
pub struct Fingerprints {
    records: Vec<u128>,
    ids: Vec<u64>,
}

impl Fingerprints {
    /// The fingerprints of a piece that was decoded from this text.
    pub fn of(text: &str, decoded: &Piece) -> Self {
        let ids = decoded
            .batch
            .column_by_name(schema::ACTIVITY_ID)
            .expect("the schema has an id column")
            .as_string::<i32>();
        let id = |row| short_fingerprint(ids.value(row).as_bytes());
        let records = decoded.records.iter();
        Self {
            records: records.map(|record| fingerprint_of(text, record)).collect(),
            ids: (0..ids.len()).map(id).collect(),
        }
    }
}

/// Sifts the pages of one slice.
pub struct Classifier {
    clock: ClockField,
    known: Known,
}

/// A piece of a page, classified.
pub struct Classified {
    /// The rows, in the page's order.
    pub rows: RecordBatch,
    /// A line of JSON for every reject.
    pub rejects: String,
    /// What this page adds to the slice's counts.
    pub counts: SliceCounts,
    /// What the scan wants to know.
    pub seen: PageSeen,
}

impl Classifier {
    /// A classifier for one slice of a lake with this clock.
    pub fn new(clock: ClockField) -> Self {
        Self {
            clock,
            known: Known::default(),
        }
    }

    /// About how much memory it takes to know the records that were met, in bytes.
    pub fn held_bytes(&self) -> u64 {
        self.known.held_bytes()
    }

    /// Sends every record of a piece of a page its way.
    pub fn classify(
        &mut self,
        page: &impl RecordText,
        decoded: &Piece,
        fingerprints: &Fingerprints,
    ) -> Result<Classified, ArrowError> {
        let is_begin = decoded.first_record == 0;
        let mut counts = SliceCounts {
            pages: if is_begin { page.pages() } else { 0 },
            ..SliceCounts::default()
        };
        let mut seen = PageSeen {
            records: decoded.records.len() as u64,
            inside: 0,
            new: 0,
        };
        let mut rejects = String::new();
        let mut keep = Vec::with_capacity(decoded.records.len());
        for (index, record) in decoded.records.iter().enumerate() {
            counts.records += 1;
            let place = page.place(self.clock_ms(record));
            let (id, fingerprint) = (fingerprints.ids[index], fingerprints.records[index]);
            let met = match (place, &record.flaw) {
                (Place::Inside, None) => self.known.meet(id, fingerprint),
                _ => self.known.meet_other(fingerprint),
            };
            let is_new = met != Met::Again;
            seen.new += u64::from(is_new);
            seen.inside += u64::from(place != Place::Outside);
            let mut reject = |reason: RejectReason, place: &str| {
                let line = reject_line(page, record, decoded.first_record + index, reason, place);
                rejects.push_str(&line);
                rejects.push('\n');
                *counts
                    .rejects
                    .entry(reason.as_str().to_owned())
                    .or_default() += 1;
            };
            let row = match (place, &record.flaw) {
                (Place::Neighbour, _) => {
                    counts.outside_probe += 1;
                    false
                }
                (_, Some(_)) | (Place::Outside, None) if !is_new => {
                    counts.repeats += 1;
                    false
                }
                (_, Some(flaw)) => {
                    reject(flaw.reason, &flaw.place);
                    false
                }
                (Place::Outside, None) => {
                    reject(RejectReason::OutOfSlice, self.clock.record_key());
                    false
                }
                (Place::Inside, None) => {
                    if is_new {
                        counts.changed_repeats += u64::from(met == Met::Changed);
                        if page.raw_record(record.range.clone()).is_some() {
                            reject(RejectReason::InvalidUtf8, "");
                            counts.copies += 1;
                        }
                        counts.odd_created += u64::from(record.created_ms.is_none());
                        counts.rows += 1;
                    } else {
                        counts.repeats += 1;
                    }
                    is_new
                }
            };
            keep.push(row);
        }
        let rows = if keep.iter().all(|row| *row) {
            decoded.batch.clone()
        } else {
            filter_record_batch(&decoded.batch, &BooleanArray::from(keep))?
        };
        Ok(Classified {
            rows,
            rejects,
            counts,
            seen,
        })
    }

    fn clock_ms(&self, record: &Record) -> Option<i64> {
        match self.clock {
            ClockField::Created => record.created_ms,
            ClockField::Date => record.timestamp_ms,
        }
    }
}

/// What tells a record from others: its JSON or, where it is none, its text.
fn fingerprint_of(array: &str, record: &Record) -> u128 {
    let text = &array[record.range.clone()];
    match &record.flaw {
        Some(Flaw {
            reason: RejectReason::NotJson | RejectReason::TooLarge,
            ..
        }) => fingerprint_of_bytes(text.as_bytes()),
        _ => fingerprint(text),
    }
}

/// A reject as a line of JSON: why, where, and the record's text, in base64 where it was no text.
fn reject_line(
    page: &impl RecordText,
    record: &Record,
    index: usize,
    reason: RejectReason,
    place: &str,
) -> String {
    let mut line = json!({
        "reason": reason.as_str(),
        "place": place,
        "page": page.number(),
        "record": page.first_record() + index,
    });
    let (key, text) = match page.raw_record(record.range.clone()) {
        Some(bytes) => ("base64", BASE64_STANDARD.encode(bytes)),
        None => ("text", page.text()[record.range.clone()].to_owned()),
    };
    line[key] = text.into();
    line.to_string()
}
