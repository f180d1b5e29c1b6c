//! A page as it is handed on, and what the caller says of it.

use std::ops::Range;

use bytes::Bytes;

use crate::window::{Slice, TimeWindow};

/// One answer of the service.
#[derive(Debug)]
pub struct Page {
    /// Its number in the slice, or in the span that it was read with, from 0.
    pub index: u32,
    /// Whether it is counted here: a page that is shared out among slices counts for one of them.
    pub is_counted: bool,
    /// The answer's text.
    pub text: String,
    /// Where the `data` array lies in the text.
    pub data: Range<usize>,
    /// Where bytes were no UTF-8, if any were.
    pub damage: Option<Damage>,
    pub(super) slice: Slice,
    pub(super) asked: TimeWindow,
}

/// Where a record belongs, by its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the slice. A record without a usable clock is taken to be.
    Inside,
    /// In the slice before, met because an empty answer was probed from 1 ms earlier.
    Neighbour,
    /// In neither: the service was not asked for it.
    Outside,
}

/// What the caller saw in a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PageSeen {
    /// Records in it.
    pub records: u64,
    /// Records that belong to what was asked for.
    pub inside: u64,
    /// Records not met before in the slice.
    pub new: u64,
}

impl PageSeen {
    /// Adds what was seen in another piece of the page.
    pub fn add(&mut self, other: Self) {
        self.records += other.records;
        self.inside += other.inside;
        self.new += other.new;
    }
}

impl Page {
    /// The range that was asked for.
    pub fn asked(&self) -> TimeWindow {
        self.asked
    }

    /// The share that a slice has in a page which was read for many: a page of these records, which lie
    /// there in the text of its array.
    #[must_use]
    pub fn share(&self, slice: Slice, records: &[Range<usize>], is_counted: bool) -> Self {
        let array = &self.text[self.data.clone()];
        let bytes: usize = records.iter().map(|record| record.len() + 1).sum();
        let mut text = String::with_capacity(bytes + 2);
        text.push('[');
        for (index, record) in records.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push_str(&array[record.clone()]);
        }
        text.push(']');
        Self {
            index: self.index,
            is_counted,
            data: 0..text.len(),
            damage: None,
            slice,
            asked: self.asked,
            text,
        }
    }

    /// Says where a record belongs whose clock is `clock_ms`, in milliseconds since the epoch.
    pub fn place(&self, clock_ms: Option<i64>) -> Place {
        match clock_ms {
            None => Place::Inside,
            Some(time_ms) if self.slice.window().contains(time_ms) => Place::Inside,
            Some(time_ms) if self.asked.contains(time_ms) => Place::Neighbour,
            Some(_) => Place::Outside,
        }
    }
}

/// Bytes of an answer that were no UTF-8, each stretch replaced by U+FFFD in the text.
#[derive(Debug)]
pub struct Damage {
    raw: Bytes,
    /// For every stretch: where it lies in the text and in the raw bytes.
    stretches: Vec<(Range<usize>, Range<usize>)>,
}

impl Damage {
    /// Decodes bytes with U+FFFD in place of what is no UTF-8; `None` where all of it is.
    pub(super) fn decode(raw: Vec<u8>) -> (String, Option<Self>) {
        let raw = match String::from_utf8(raw) {
            Ok(text) => return (text, None),
            Err(error) => error.into_bytes(),
        };
        let mut text = String::with_capacity(raw.len());
        let mut stretches = Vec::new();
        let mut at = 0;
        for chunk in raw.utf8_chunks() {
            text.push_str(chunk.valid());
            at += chunk.valid().len();
            let invalid = chunk.invalid().len();
            if invalid > 0 {
                let start = text.len();
                text.push(char::REPLACEMENT_CHARACTER);
                stretches.push((start..text.len(), at..at + invalid));
                at += invalid;
            }
        }
        (
            text,
            Some(Self {
                raw: raw.into(),
                stretches,
            }),
        )
    }

    /// All bytes as they came.
    pub(super) fn into_raw(self) -> Vec<u8> {
        self.raw.into()
    }

    /// The bytes of a stretch of the text as they came, if any of them were no UTF-8.
    pub fn raw_record(&self, range: Range<usize>) -> Option<Vec<u8>> {
        let touched = self
            .stretches
            .iter()
            .any(|(text, _)| range.start <= text.start && text.end <= range.end);
        touched.then(|| {
            self.raw[self.raw_position(range.start)..self.raw_position(range.end)].to_vec()
        })
    }

    /// Where a position of the text lies in the raw bytes.
    fn raw_position(&self, position: usize) -> usize {
        let before = self
            .stretches
            .iter()
            .take_while(|(text, _)| text.end <= position)
            .last();
        before.map_or(position, |(text, raw)| raw.end + (position - text.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_touched_record_are_kept() {
        let raw = b"[{\"a\":\"x\xff\xfey\"},{\"b\":1},{\"c\":\"\xc3\"}]".to_vec();
        let (text, damage) = Damage::decode(raw);
        let damage = damage.unwrap();
        let record = |part: &str| {
            let start = text.find(part).unwrap();
            damage.raw_record(start..start + part.len())
        };
        assert_eq!(
            record("{\"a\":\"x\u{fffd}\u{fffd}y\"}").unwrap(),
            b"{\"a\":\"x\xff\xfey\"}"
        );
        assert_eq!(record("{\"b\":1}"), None);
        assert_eq!(record("{\"c\":\"\u{fffd}\"}").unwrap(), b"{\"c\":\"\xc3\"}");
        assert!(Damage::decode(b"{}".to_vec()).1.is_none());
    }
}
