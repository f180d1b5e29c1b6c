//! The records of a slice that were met, so that one that comes again is a repeat.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::mem::size_of;

/// Ids are in so many tables. A table that grows is there twice for a moment, so a single one would be a
/// peak of its own.
const TABLES: usize = 64;

/// Sixteen bytes for each record: eight of its id, eight of its JSON. Two records are taken for one where
/// all sixteen are the same.
#[derive(Debug)]
pub(super) struct Known {
    /// The JSON that an id came with first; in each table ids whose last bits are the same.
    by_id: Vec<HashMap<u64, u64>>,
    /// Everything else: records without an id, or with the id of another.
    others: HashSet<u128>,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            by_id: vec![HashMap::new(); TABLES],
            others: HashSet::new(),
        }
    }
}

/// What a record is to those that were met before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    /// Nothing like it was.
    New,
    /// Its id was, with other JSON.
    Changed,
    /// The same was.
    Again,
}

impl Known {
    /// Takes note of a record with an id.
    pub(super) fn meet(&mut self, id: u64, fingerprint: u128) -> Met {
        let json = low_half(fingerprint);
        let table = usize::from(id.to_le_bytes()[0]) % TABLES;
        match self.by_id[table].entry(id) {
            Entry::Vacant(place) => {
                place.insert(json);
                Met::New
            }
            Entry::Occupied(first) if *first.get() == json => Met::Again,
            Entry::Occupied(_) if self.others.insert(both(id, json)) => Met::Changed,
            Entry::Occupied(_) => Met::Again,
        }
    }

    /// Takes note of a record that has no usable id, or does not become a row.
    pub(super) fn meet_other(&mut self, fingerprint: u128) -> Met {
        if self.others.insert(fingerprint) {
            Met::New
        } else {
            Met::Again
        }
    }

    /// About how much memory this takes, in bytes. The tables have a byte of their own for each place, and
    /// are full at seven eighths.
    pub(super) fn held_bytes(&self) -> u64 {
        let by_id: usize = self.by_id.iter().map(HashMap::capacity).sum();
        let places = by_id + self.others.capacity();
        (places as u64) * 8 / 7 * (size_of::<u128>() as u64 + 1)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "half of a fingerprint is one too"
)]
fn low_half(fingerprint: u128) -> u64 {
    fingerprint as u64
}

fn both(id: u64, json: u64) -> u128 {
    u128::from(id) << 64 | u128::from(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_met_again_only_where_id_and_json_are_the_same() {
        let mut known = Known::default();
        assert_eq!(known.meet(1, 10), Met::New);
        assert_eq!(known.meet(1, 10), Met::Again);
        assert_eq!(known.meet(1, 11), Met::Changed);
        assert_eq!(known.meet(1, 11), Met::Again);
        assert_eq!(known.meet(1, 10), Met::Again);
        assert_eq!(known.meet(2, 10), Met::New);
        assert_eq!(known.meet_other(10), Met::New);
        assert_eq!(known.meet_other(10), Met::Again);
    }

    #[test]
    fn a_record_takes_at_most_forty_bytes() {
        let mut known = Known::default();
        for id in 0..200_000 {
            assert_eq!(known.meet(id, u128::from(id) << 3), Met::New);
            assert!(id < 1_000 || known.held_bytes() <= 40 * (id + 1), "{id}");
        }
        assert!(known.held_bytes() >= 200_000 * 17, "{}", known.held_bytes());
    }
}
