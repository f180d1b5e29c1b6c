//! Which records of a page become rows, and where all the others go.
//!
//! Every record goes exactly one way: a row, a reject, a repeat, or the neighbour's. A record
//! whose bytes were no UTF-8 is a row *and* a reject, so that the bytes are kept; where its text is another
//! record's, it is a reject alone. The counts say so
//! and are checked before anything is published.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::known::{Known, Met};
use crate::commit::SliceCounts;
use crate::decode::{Piece, Record, RejectReason};
use crate::scan::{ClockField, Page, PageSeen, Place};
use crate::schema;
use crate::text::fingerprint::{fingerprint, fingerprint_of_bytes, short_fingerprint};
use crate::window::is_in_seconds;

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
    fn raw_record(&self, record: Range<usize>) -> Option<&[u8]>;
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

    fn raw_record(&self, record: Range<usize>) -> Option<&[u8]> {
        let start = self.data.start;
        let damage = self.damage.as_ref()?;
        damage.raw_record(start + record.start..start + record.end)
    }
}

/// By what two records with one id are the same. What becomes no row is always told by its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameBy {
    /// By their JSON, however it is spelled.
    Json,
    /// By their bytes, which costs a tenth as much, and is exact until an id comes with other bytes: those
    /// may be the same JSON. [`SliceCounts::changed_repeats`] says so.
    Bytes,
}

/// What tells the records of a piece apart. It is taken from the text alone, so that it can be made
/// of several pieces at once.
pub struct Fingerprints {
    records: Vec<u128>,
    ids: Vec<u64>,
}

impl Fingerprints {
    /// The fingerprints of a piece that was decoded from this text.
    pub fn of(text: &str, decoded: &Piece, same_by: SameBy) -> Self {
        let ids = decoded
            .batch
            .column_by_name(schema::ACTIVITY_ID)
            .expect("the schema has an id column")
            .as_string::<i32>();
        let id = |row| short_fingerprint(ids.value(row).as_bytes());
        let records = decoded.records.iter();
        Self {
            records: records
                .map(|record| fingerprint_of(text, record, same_by))
                .collect(),
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
    /// Times in seconds, where milliseconds are due: their path, and how many.
    pub odd: Vec<(String, u64)>,
}

/// Tells a record that nothing places from the same one where it is taken to be inside.
const NOT_PLACED: u128 = 0x5bd1_e995_9e37_79b9_7f4a_7c15_f39c_c060;

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
        let mut sent = Sent::begin(page, decoded);
        let mut seen = PageSeen {
            records: decoded.records.len() as u64,
            ..PageSeen::default()
        };
        let mut in_seconds = BTreeMap::new();
        let mut keep = Vec::with_capacity(decoded.records.len());
        for (index, record) in decoded.records.iter().enumerate() {
            let clock_ms = clock_of(record, self.clock);
            let is_usable = |clock_ms: &i64| !is_in_seconds(*clock_ms);
            for clock in [ClockField::Created, ClockField::Date] {
                if clock_of(record, clock).is_some_and(is_in_seconds) {
                    *in_seconds.entry(clock.record_key()).or_default() += 1;
                }
            }
            let clock_ms = clock_ms.filter(is_usable);
            let place = page.place(clock_ms);
            let (id, fingerprint) = (fingerprints.ids[index], fingerprints.records[index]);
            // Bytes that were no UTF-8 all look alike in the text.
            let bytes = page.raw_record(record.range.clone());
            let raw = bytes.map(fingerprint_of_bytes);
            let bytes_or_text = raw.unwrap_or(fingerprint);
            let is_own = place == Place::Inside;
            let has_no_place = !is_own && clock_ms.is_none();
            let was_own = has_no_place
                && match &record.flaw {
                    None => self.known.has(id, fingerprint),
                    Some(_) => self.known.has_other(bytes_or_text),
                };
            let (met, has_new_bytes) = match (place, &record.flaw) {
                (Place::Inside, None) => {
                    let is_new = |raw| self.known.meet_other(raw) != Met::Again;
                    let has_new_bytes = raw.is_some_and(is_new);
                    (self.known.meet(id, fingerprint), has_new_bytes)
                }
                // Where it belongs it has not been met by that.
                (Place::Neighbour, _) if has_no_place => {
                    (self.known.meet_other(bytes_or_text ^ NOT_PLACED), false)
                }
                _ => (self.known.meet_other(bytes_or_text), false),
            };
            let is_new = met != Met::Again && !was_own;
            seen.new += u64::from(is_new);
            seen.own += u64::from(is_own);
            seen.new_own += u64::from(is_new && is_own);
            seen.unplaced += u64::from(has_no_place && !was_own);
            seen.inside += u64::from(place != Place::Outside || clock_ms.is_none());
            if let (true, Some(clock_ms)) = (is_own, clock_ms) {
                seen.add_time(clock_ms);
            }
            let way = match met {
                // Its row would be the same as another's.
                Met::Again if has_new_bytes => Way::Reject(RejectReason::InvalidUtf8, ""),
                met => Way::of(record, place, met, self.clock),
            };
            keep.push(matches!(way, Way::Row { .. }));
            sent.send(index, record, bytes, way);
        }
        let rows = if keep.iter().all(|row| *row) {
            decoded.batch.clone()
        } else {
            filter_record_batch(&decoded.batch, &BooleanArray::from(keep))?
        };
        Ok(Classified {
            rows,
            rejects: sent.rejects,
            counts: sent.counts,
            seen,
            odd: in_seconds
                .into_iter()
                .map(|(path, count)| (path.to_owned(), count))
                .collect(),
        })
    }
}

/// What a record says by a clock, in milliseconds since the epoch.
fn clock_of(record: &Record, clock: ClockField) -> Option<i64> {
    match clock {
        ClockField::Created => record.created_ms,
        ClockField::Date => record.timestamp_ms,
    }
}

/// The one way that a record goes.
#[derive(Clone, Copy)]
enum Way<'r> {
    /// It becomes a row; its id may have been met with other JSON.
    Row { is_changed: bool },
    /// It is kept as text: why, and at which place in it.
    Reject(RejectReason, &'r str),
    /// The same was met before.
    Repeat,
    /// It belongs to the slice beside this one.
    Neighbour,
}

impl<'r> Way<'r> {
    fn of(record: &'r Record, place: Place, met: Met, clock: ClockField) -> Self {
        match (place, &record.flaw, met) {
            (Place::Neighbour, ..) => Self::Neighbour,
            (_, _, Met::Again) => Self::Repeat,
            (_, Some(flaw), _) => Self::Reject(flaw.reason, &flaw.place),
            (Place::Outside, None, _) => Self::Reject(RejectReason::OutOfSlice, clock.record_key()),
            (Place::Inside, None, _) => Self::Row {
                is_changed: met == Met::Changed,
            },
        }
    }
}

/// What became of the records of a piece so far.
struct Sent<'p, P> {
    page: &'p P,
    first_record: usize,
    rejects: String,
    counts: SliceCounts,
}

impl<'p, P: RecordText> Sent<'p, P> {
    fn begin(page: &'p P, decoded: &Piece) -> Self {
        let is_begin = decoded.first_record == 0;
        Self {
            page,
            first_record: decoded.first_record,
            rejects: String::new(),
            counts: SliceCounts {
                pages: if is_begin { page.pages() } else { 0 },
                ..SliceCounts::default()
            },
        }
    }

    fn send(&mut self, index: usize, record: &Record, bytes: Option<&[u8]>, way: Way<'_>) {
        self.counts.records += 1;
        match way {
            Way::Neighbour => self.counts.outside_probe += 1,
            Way::Repeat => self.counts.repeats += 1,
            Way::Reject(reason, place) => self.reject(index, record, bytes, reason, place),
            Way::Row { is_changed } => {
                if bytes.is_some() {
                    self.reject(index, record, bytes, RejectReason::InvalidUtf8, "");
                    self.counts.copies += 1;
                }
                self.counts.changed_repeats += u64::from(is_changed);
                self.counts.odd_created += u64::from(record.created_ms.is_none());
                self.counts.rows += 1;
            }
        }
    }

    fn reject(
        &mut self,
        index: usize,
        record: &Record,
        bytes: Option<&[u8]>,
        reason: RejectReason,
        place: &str,
    ) {
        let index = self.first_record + index;
        let line = reject_line(self.page, record, bytes, index, reason, place);
        self.rejects.push_str(&line);
        self.rejects.push('\n');
        let reason = reason.as_str().to_owned();
        *self.counts.rejects.entry(reason).or_default() += 1;
    }
}

/// What tells a record from others: its JSON or, where it becomes no row, its text.
fn fingerprint_of(array: &str, record: &Record, same_by: SameBy) -> u128 {
    let text = &array[record.range.clone()];
    match (&record.flaw, same_by) {
        (None, SameBy::Json) => fingerprint(text),
        _ => fingerprint_of_bytes(text.as_bytes()),
    }
}

/// A reject as a line of JSON: why, where, and the record's text, in base64 where it was no text.
fn reject_line(
    page: &impl RecordText,
    record: &Record,
    bytes: Option<&[u8]>,
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
    let (key, text) = match bytes {
        Some(bytes) => ("base64", BASE64_STANDARD.encode(bytes)),
        None => ("text", page.text()[record.range.clone()].to_owned()),
    };
    line[key] = text.into();
    line.to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decode::{Ingest, PageDecoder, Position};

    /// Lines of a text, all of which belong to one place.
    struct Lines(String, Place);

    impl RecordText for Lines {
        fn text(&self) -> &str {
            &self.0
        }

        fn number(&self) -> u32 {
            0
        }

        fn first_record(&self) -> usize {
            0
        }

        fn pages(&self) -> u64 {
            0
        }

        fn place(&self, _clock_ms: Option<i64>) -> Place {
            self.1
        }

        fn raw_record(&self, _record: Range<usize>) -> Option<&[u8]> {
            None
        }
    }

    fn classified(lines: &Lines, same_by: SameBy) -> Classified {
        classified_by(&mut Classifier::new(ClockField::Created), lines, same_by)
    }

    fn classified_by(classifier: &mut Classifier, lines: &Lines, same_by: SameBy) -> Classified {
        let ingest = Ingest {
            run: "run".to_owned(),
            received_ms: 0,
            keep_raw: false,
        };
        let mut decoder = PageDecoder::new(1 << 20);
        let from = Some(Position::of_lines());
        let piece = decoder.decode(&lines.0, from, &ingest).unwrap();
        let fingerprints = Fingerprints::of(&lines.0, &piece, same_by);
        classifier.classify(lines, &piece, &fingerprints).unwrap()
    }

    #[test]
    fn what_nothing_places_is_kept_where_it_comes_again_inside() {
        let mut classifier = Classifier::new(ClockField::Created);
        for (place, unplaced, rejects, repeats) in [
            (Place::Neighbour, 2, 0, 0),
            (Place::Inside, 0, 2, 0),
            (Place::Inside, 0, 0, 2),
            (Place::Neighbour, 0, 0, 0),
        ] {
            let lines = Lines("{\"_id\":\"a\"}\nno JSON".to_owned(), place);
            let found = classified_by(&mut classifier, &lines, SameBy::Json);
            assert_eq!(found.seen.unplaced, unplaced, "{place:?}");
            assert_eq!(found.rejects.lines().count(), rejects, "{place:?}");
            assert_eq!(found.counts.repeats, repeats, "{place:?}");
        }
    }

    /// A record of one of three ids, or of none, or no JSON, with one of two values, spelled in one of two ways.
    fn record() -> impl Strategy<Value = String> {
        let id = prop::sample::select(vec!["1", "2", "3", "", "no JSON"]);
        (id, 0..2, any::<bool>()).prop_map(|(id, value, is_spaced)| {
            let space = if is_spaced { " " } else { "" };
            let time = r#""timestamp":1764201600000"#;
            match id {
                "" => format!(r#"{{{space}"tags":{value},{time}}}"#),
                "no JSON" => format!(r#"{{"_id":{space}{value},}}"#),
                id => format!(r#"{{{space}"_id":"{id}","tags":{value},{time}}}"#),
            }
        })
    }

    proptest! {
        #[test]
        fn bytes_tell_as_json_does_until_an_id_comes_with_other_bytes(
            records in prop::collection::vec(record(), 1..8),
        ) {
            let lines = Lines(records.join("\n"), Place::Inside);
            let [by_json, by_bytes] =
                [SameBy::Json, SameBy::Bytes].map(|same_by| classified(&lines, same_by));
            // It must not be missed: then the bytes are believed.
            if by_bytes.counts.changed_repeats == 0 {
                prop_assert_eq!(by_bytes.counts, by_json.counts);
                prop_assert_eq!(by_bytes.rejects, by_json.rejects);
                prop_assert_eq!(by_bytes.rows, by_json.rows);
            }
        }
    }
}
