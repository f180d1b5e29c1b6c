//! Which records of a page become rows, and where all the others go.
//!
//! Every record goes exactly one way: a row, a reject, a repeat, or the neighbour's. A record
//! whose bytes were no UTF-8 is a row *and* a reject, so that the bytes are kept. The counts say so
//! and are checked before anything is published.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::commit::SliceCounts;
use crate::decode::{Flaw, Piece, Record, RejectReason};
use crate::scan::{ClockField, Page, PageSeen, Place};
use crate::schema;
use crate::text::fingerprint::{fingerprint, fingerprint_of_bytes, short_fingerprint};

/// Sifts the pages of one slice. Holds 24 bytes for each record of it.
pub struct Classifier {
    clock: ClockField,
    /// Fingerprints of all records met.
    seen: HashSet<u128>,
    /// Hashes of all ids met; only to count ids that come with other JSON.
    ids: HashSet<u64>,
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
            seen: HashSet::new(),
            ids: HashSet::new(),
        }
    }

    /// Sends every record of a piece of a page its way.
    pub fn classify(&mut self, page: &Page, decoded: &Piece) -> Result<Classified, ArrowError> {
        let array = &page.text[page.data.clone()];
        let ids = Arc::clone(
            decoded
                .batch
                .column_by_name(schema::ACTIVITY_ID)
                .expect("the schema has an id column"),
        );
        let ids = ids.as_string::<i32>();
        let mut counts = SliceCounts {
            pages: u64::from(page.is_counted && decoded.first_record == 0),
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
            let is_new = self.seen.insert(fingerprint_of(array, record));
            seen.new += u64::from(is_new);
            let place = page.place(self.clock_ms(record));
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
                    let known_id = !self
                        .ids
                        .insert(short_fingerprint(ids.value(index).as_bytes()));
                    if is_new {
                        counts.changed_repeats += u64::from(known_id);
                        if raw_bytes(page, record).is_some() {
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

/// The bytes of a record that were no UTF-8 when they came.
fn raw_bytes(page: &Page, record: &Record) -> Option<Vec<u8>> {
    let start = page.data.start;
    page.damage
        .as_ref()?
        .raw_record(start + record.range.start..start + record.range.end)
}

/// A reject as a line of JSON: why, where, and the record's text, in base64 where it was no text.
fn reject_line(
    page: &Page,
    record: &Record,
    index: usize,
    reason: RejectReason,
    place: &str,
) -> String {
    let mut line = json!({
        "reason": reason.as_str(),
        "place": place,
        "page": page.index,
        "record": index,
    });
    let (key, text) = match raw_bytes(page, record) {
        Some(bytes) => ("base64", BASE64_STANDARD.encode(bytes)),
        None => (
            "text",
            page.text[page.data.clone()][record.range.clone()].to_owned(),
        ),
    };
    line[key] = text.into();
    line.to_string()
}
