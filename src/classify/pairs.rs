//! Pairs of numbers, found by the first, in little more memory than they are: a hash map of the standard
//! library doubles, so that one that just grew takes 39 bytes a pair where this takes 23 at most.

use std::mem::size_of;
use std::num::NonZeroU64;

/// The pairs are in so many parts. A part that grows is there twice for a moment, so a single one would be
/// a peak of its own.
const PARTS: usize = 64;
/// A part is full at seven eighths. It grows by a quarter.
const FULL: (usize, usize) = (7, 8);
const GROWTH: usize = 4;
const LEAST_PLACES: usize = 8;

/// A place, and the pair that is there.
type Place = Option<(u64, NonZeroU64)>;

/// Pairs whose first number is as good as random: a hash that nobody can aim at.
#[derive(Debug)]
pub(super) struct Pairs(Vec<Part>);

impl Default for Pairs {
    fn default() -> Self {
        Self((0..PARTS).map(|_| Part::default()).collect())
    }
}

impl Pairs {
    /// The second number of the pair with this first; where there is none, the pair is added.
    pub(super) fn second_of(&mut self, first: u64, second: NonZeroU64) -> Option<NonZeroU64> {
        let part = self.part(first);
        let found = part.find_or_add((first, second), |there| there.0 == first);
        found.map(|(_, second)| second)
    }

    /// Adds a pair; false where it is there.
    pub(super) fn add(&mut self, first: u64, second: NonZeroU64) -> bool {
        let pair = (first, second);
        let found = self.part(first).find_or_add(pair, |there| there == pair);
        found.is_none()
    }

    /// Whether a pair is there.
    pub(super) fn has(&self, first: u64, second: NonZeroU64) -> bool {
        let part = &self.0[part_of(first)];
        let places = part.places.len();
        let start = scaled(first, places);
        let row = (0..places).map(|nth| part.places[(start + nth) % places]);
        row.map_while(|place| place)
            .any(|there| there == (first, second))
    }

    /// The memory that this takes, in bytes.
    pub(super) fn held_bytes(&self) -> u64 {
        let places: usize = self.0.iter().map(|part| part.places.capacity()).sum();
        (places * size_of::<Place>()) as u64
    }

    fn part(&mut self, first: u64) -> &mut Part {
        &mut self.0[part_of(first)]
    }
}

/// The part of a pair, by the last bits: the first ones say the place in the part.
fn part_of(first: u64) -> usize {
    usize::from(first.to_le_bytes()[0]) % PARTS
}

/// Places in a row: a pair is at the place that its first number says, or at the next that was free.
#[derive(Debug, Default)]
struct Part {
    places: Vec<Place>,
    pairs: usize,
}

impl Part {
    fn find_or_add(
        &mut self,
        pair: (u64, NonZeroU64),
        is_it: impl Fn((u64, NonZeroU64)) -> bool,
    ) -> Place {
        if (self.pairs + 1) * FULL.1 > self.places.len() * FULL.0 {
            self.grow();
        }
        let place = self.place(pair.0, is_it);
        if place.is_none() {
            *place = Some(pair);
            self.pairs += 1;
            return None;
        }
        *place
    }

    /// The place of a pair, or a free one where it is not there.
    fn place(&mut self, first: u64, is_it: impl Fn((u64, NonZeroU64)) -> bool) -> &mut Place {
        let mut at = scaled(first, self.places.len());
        while self.places[at].is_some_and(|there| !is_it(there)) {
            at = (at + 1) % self.places.len();
        }
        &mut self.places[at]
    }

    fn grow(&mut self) {
        let places = (self.places.len() + self.places.len() / GROWTH).max(LEAST_PLACES);
        let before = std::mem::replace(&mut self.places, vec![None; places]);
        for pair in before.into_iter().flatten() {
            *self.place(pair.0, |_| false) = Some(pair);
        }
    }
}

/// A number below `count`, as large a part of it as `number` is of all numbers.
#[expect(clippy::cast_possible_truncation, reason = "it is below `count`")]
fn scaled(number: u64, count: usize) -> usize {
    ((u128::from(number) * count as u128) >> u64::BITS) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// With few numbers, so that many of them meet, and with numbers of one place.
        #[test]
        fn pairs_are_as_a_map_has_them(
            pairs in prop::collection::vec((0_u64..40, 1_u64..4, prop::bool::ANY), 0..400),
        ) {
            let (mut by_first, mut both) = (Pairs::default(), Pairs::default());
            let (mut map, mut set) = (HashMap::new(), HashSet::new());
            for (first, second, is_spread) in pairs {
                let first = if is_spread { first << 58 } else { first << 8 };
                let second = NonZeroU64::new(second).unwrap();
                prop_assert_eq!(by_first.second_of(first, second), map.get(&first).copied());
                map.entry(first).or_insert(second);
                prop_assert_eq!(both.add(first, second), set.insert((first, second)));
            }
        }
    }

    #[test]
    fn a_pair_takes_at_most_twenty_four_bytes() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut pairs = Pairs::default();
        for count in 1..=300_000_u64 {
            assert!(pairs.add(random.u64(..), NonZeroU64::new(count).unwrap()));
            let held = pairs.held_bytes();
            assert!(held >= 18 * count, "{held} for {count}");
            assert!(count < 20_000 || held <= 24 * count, "{held} for {count}");
        }
        assert!(pairs.0.iter().all(|part| part.pairs > 300_000 / PARTS / 2));
    }
}
