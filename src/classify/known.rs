//! The records of a slice that were met, so that one that comes again is a repeat.

use std::num::NonZeroU64;

use super::pairs::Pairs;

/// Sixteen bytes for each record: eight of its id, eight of its JSON. Two records are taken for one where
/// all sixteen are the same.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The JSON that an id came with first.
    by_id: Pairs,
    /// Everything else: records without an id, or with the id of another.
    others: Pairs,
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
        let json = half(fingerprint);
        match self.by_id.second_of(id, json) {
            None => Met::New,
            Some(first) if first == json => Met::Again,
            // Of one id there may be many: they must not all be looked for at one place.
            Some(_) if self.others.add(id ^ json.get(), json) => Met::Changed,
            Some(_) => Met::Again,
        }
    }

    /// Whether a record with this id and this JSON was met.
    pub(super) fn has(&self, id: u64, fingerprint: u128) -> bool {
        let json = half(fingerprint);
        self.by_id.has(id, json) || self.others.has(id ^ json.get(), json)
    }

    /// Whether a record that has no usable id, or does not become a row, was met.
    pub(super) fn has_other(&self, fingerprint: u128) -> bool {
        let first = half(fingerprint >> u64::BITS);
        self.others.has(first.get(), half(fingerprint))
    }

    /// Takes note of a record that has no usable id, or does not become a row.
    pub(super) fn meet_other(&mut self, fingerprint: u128) -> Met {
        let first = half(fingerprint >> u64::BITS);
        if self.others.add(first.get(), half(fingerprint)) {
            Met::New
        } else {
            Met::Again
        }
    }

    /// How much memory this takes, in bytes.
    pub(super) fn held_bytes(&self) -> u64 {
        self.by_id.held_bytes() + self.others.held_bytes()
    }
}

/// The last half of a fingerprint, which is one too; none is 0.
#[expect(clippy::cast_possible_truncation, reason = "it is a half")]
fn half(fingerprint: u128) -> NonZeroU64 {
    NonZeroU64::new(fingerprint as u64).unwrap_or(NonZeroU64::MIN)
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
        assert!(!known.has_other(10));
        assert_eq!(known.meet_other(10), Met::New);
        assert!(known.has_other(10));
        assert_eq!(known.meet_other(10), Met::Again);
        assert_eq!(known.meet_other((2 << u64::BITS) + 10), Met::New);
    }

    #[test]
    fn the_same_change_of_other_ids_is_met_for_the_first_time() {
        // Numbers whose digits overlap in each way.
        let ids = [1, 3, 5, 7];
        let mut known = Known::default();
        for (json, met) in [(10, Met::New), (11, Met::Changed), (11, Met::Again)] {
            assert!(!ids.iter().any(|id| known.has(*id, json)) || met == Met::Again);
            assert_eq!(ids.map(|id| known.meet(id, json)), [met; 4]);
            assert!(ids.iter().all(|id| known.has(*id, json)));
        }
    }

    #[test]
    fn the_memory_of_all_records_is_counted() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut known = Known::default();
        for _ in 0..10_000 {
            known.meet(random.u64(..), random.u128(..));
            known.meet_other(random.u128(..));
        }
        let bytes = 20_000 * 18..=20_000 * 24;
        assert!(
            bytes.contains(&known.held_bytes()),
            "{}",
            known.held_bytes()
        );
    }
}
