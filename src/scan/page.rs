//! A page as it is handed on, and what the caller says of it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::text::damage::Damage;
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
    /// Counts the strays of a page that came after the end was said, where they mean nothing.
    pub(super) strays: Option<Arc<AtomicU64>>,
}

/// Where a record belongs, by its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the slice. A record without a usable clock is taken to be, unless more than the slice was asked
    /// for, or its end was said.
    Inside,
    /// In the slice before, met because an empty answer was probed from 1 ms earlier; or anywhere, met
    /// because a continuation was followed that the service itself called unneeded.
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
    /// Records of the slice itself: neither of a neighbour nor from elsewhere.
    pub own: u64,
    /// Those of them that were not met before.
    pub new_own: u64,
    /// Records of which nothing says where they belong, and that did not come where they are taken to be inside.
    pub unplaced: u64,
    /// The oldest and the newest time of records that are inside, by the lake's clock, in milliseconds since
    /// the epoch.
    pub times_ms: Option<(i64, i64)>,
}

/// The times that both stretches have.
pub(super) fn spanned(a: Option<(i64, i64)>, b: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    }
}

impl PageSeen {
    /// Adds what was seen in another piece of the page.
    pub fn add(&mut self, other: Self) {
        self.records += other.records;
        self.inside += other.inside;
        self.new += other.new;
        self.own += other.own;
        self.new_own += other.new_own;
        self.unplaced += other.unplaced;
        self.add_times(other.times_ms);
    }

    /// Takes note of the time of a record that is inside.
    pub fn add_time(&mut self, clock_ms: i64) {
        self.add_times(Some((clock_ms, clock_ms)));
    }

    fn add_times(&mut self, times_ms: Option<(i64, i64)>) {
        self.times_ms = spanned(self.times_ms, times_ms);
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
            strays: None,
            text,
        }
    }

    /// Says where a record belongs whose clock is `clock_ms`, in milliseconds since the epoch.
    pub fn place(&self, clock_ms: Option<i64>) -> Place {
        match clock_ms {
            // It may be the last of the slice before, which has it.
            None if self.asked.from_ms < self.slice.from_ms() => Place::Outside,
            // The service has said that the slice has ended. If it is of the slice, it comes again with a piece.
            None if self.strays.is_some() => Place::Neighbour,
            None => Place::Inside,
            Some(time_ms) if self.slice.window().contains(time_ms) => Place::Inside,
            Some(time_ms) if self.asked.contains(time_ms) => Place::Neighbour,
            Some(_) => match &self.strays {
                Some(strays) => {
                    strays.fetch_add(1, Ordering::Relaxed);
                    Place::Neighbour
                }
                None => Place::Outside,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record without a clock is of the slice, unless it may be of the one before: that has it already.
    #[test]
    fn what_cannot_be_placed_is_of_the_slice_where_nothing_else_was_asked_for() {
        let slice: Slice = "20261119T1000Z-20261119T1100Z".parse().unwrap();
        let TimeWindow { from_ms, until_ms } = slice.window();
        for (from_ms, until_ms, place) in [
            (from_ms, until_ms, Place::Inside),
            (from_ms + 1, until_ms - 1, Place::Inside),
            (from_ms - 1, until_ms, Place::Outside),
        ] {
            let page = Page {
                index: 0,
                is_counted: true,
                text: "[]".to_owned(),
                data: 0..2,
                damage: None,
                slice,
                asked: TimeWindow { from_ms, until_ms },
                strays: None,
            };
            assert_eq!(page.place(None), place);
            assert_eq!(page.place(Some(slice.from_ms())), Place::Inside);
        }
    }
}
