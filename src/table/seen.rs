//! Which commits and compactions a version of the table takes in: kept in it as numbers of this
//! program's own, so that a table which is up to date costs no reading. One that was written anew is
//! another one.

use std::ops::Add;

use object_store::ObjectMeta;
use twox_hash::XxHash3_64;

use super::action::{Action, Txn};

/// How many commits and compactions there are.
const OBJECTS: &str = "mdca-lake";
/// A sum over their names, sizes and times.
const SUM: &str = "mdca-lake/sum";
/// How many columns the table has.
const COLUMNS: &str = "mdca-lake/columns";
/// That it says which columns have bounds.
const BOUNDS: (&str, u64) = ("mdca-lake/bounds", 1);
/// That it has the remarks of all that it takes in, in this form.
const REMARKS: (&str, u64) = ("mdca-lake/remarks", 1);

/// A version is a positive number of 64 bits.
fn as_version(sum: u64) -> u64 {
    sum & (u64::MAX >> 1)
}

/// A set of commits and compactions, as far as their number and a sum over them tell it from others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    objects: u64,
    sum: u64,
}

impl Seen {
    /// Of these objects.
    pub(super) fn of<'a>(objects: impl IntoIterator<Item = &'a ObjectMeta>) -> Self {
        let one = |object: &ObjectMeta| {
            let ObjectMeta {
                location,
                last_modified,
                size,
                ..
            } = object;
            let time_us = last_modified.timestamp_micros();
            Self {
                objects: 1,
                sum: XxHash3_64::oneshot(format!("{location} {size} {time_us}").as_bytes()) >> 1,
            }
        };
        let objects = objects.into_iter().map(one);
        objects.fold(Self::default(), |all, one| all + one)
    }

    /// How many objects it has more than the other.
    pub(super) fn more_than(self, other: Self) -> u64 {
        self.objects.saturating_sub(other.objects)
    }

    /// Whether it has as many objects as the other, and not the same.
    pub(super) fn is_of_others_than(self, other: Self) -> bool {
        self.objects == other.objects && self.sum != other.sum
    }

    /// The same, where some of the `objects` that are there could not be read: no set of objects is this one,
    /// so that all of them are looked at again.
    pub(super) fn incomplete(self, objects: usize) -> Self {
        Self {
            objects: objects as u64,
            sum: self.sum ^ 1,
        }
    }

    /// Which of these objects are not in it: some that follow each other in time, where that is certain. They
    /// are the newest, but for what a clock that was ahead has made.
    pub(super) fn missing(self, there: &[ObjectMeta]) -> Option<Vec<ObjectMeta>> {
        let mut there = there.to_vec();
        there.sort_by_key(|object| object.last_modified);
        let sums: Vec<Self> = there.iter().map(|object| Self::of([object])).collect();
        let total = |sums: &[Self]| sums.iter().fold(Self::default(), |sum, one| sum + *one);
        let all = total(&sums);
        let new = usize::try_from(all.objects.checked_sub(self.objects)?).ok()?;
        if new == 0 {
            return (self == all).then(Vec::new);
        }
        let mut end = there.len();
        let mut some = total(&sums[end - new..]);
        while self + some != all {
            end -= 1;
            let begin = end.checked_sub(new)?;
            some = some.without(sums[end]) + *sums.get(begin)?;
        }
        Some(there[end - new..end].to_vec())
    }

    fn without(self, other: Self) -> Self {
        Self {
            objects: self.objects - other.objects,
            sum: as_version(self.sum.wrapping_sub(other.sum)),
        }
    }

    /// As a version says it, of a table with so many columns.
    pub(super) fn actions(self, columns: usize, now_ms: i64) -> [Action; 5] {
        let txn = |app_id: &str, version: u64| {
            Action::from(Txn {
                app_id: app_id.to_owned(),
                version: version.cast_signed(),
                last_updated: Some(now_ms),
            })
        };
        [
            txn(OBJECTS, self.objects),
            txn(SUM, self.sum),
            txn(COLUMNS, columns as u64),
            txn(BOUNDS.0, BOUNDS.1),
            txn(REMARKS.0, REMARKS.1),
        ]
    }

    /// What a version says, with the number of columns; `None` where it is not of this program, or of an
    /// earlier one that knew no remarks. Of one that did not say which columns have bounds the number is
    /// none, so that the table is looked at, and completed.
    pub(super) fn read(actions: &[Action]) -> Option<(Self, usize)> {
        let number = |app_id: &str| {
            let txns = actions.iter().filter_map(|action| action.txn.as_ref());
            let mut its = txns.filter(|txn| txn.app_id == app_id);
            its.next().map(|txn| txn.version.cast_unsigned())
        };
        let seen = Self {
            objects: number(OBJECTS)?,
            sum: number(SUM)?,
        };
        let columns = usize::try_from(number(COLUMNS)?).ok()?;
        let says_bounds = number(BOUNDS.0) == Some(BOUNDS.1);
        let columns = if says_bounds { columns } else { 0 };
        (number(REMARKS.0)? == REMARKS.1).then_some((seen, columns))
    }
}

impl Add for Seen {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            objects: self.objects.saturating_add(other.objects),
            sum: as_version(self.sum.wrapping_add(other.sum)),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use object_store::path::Path;

    use super::*;

    fn object(time_s: i64) -> ObjectMeta {
        ObjectMeta {
            location: Path::from(format!("{time_s}.json")),
            last_modified: DateTime::from_timestamp(time_s, 0).unwrap(),
            size: 7,
            e_tag: None,
            version: None,
        }
    }

    #[test]
    fn the_new_ones_are_found_wherever_a_clock_has_put_them() {
        let there: Vec<ObjectMeta> = (0..9).map(object).collect();
        for count in 0..=there.len() {
            for first in 0..=there.len() - count {
                let new = &there[first..first + count];
                let known = there.iter().filter(|object| !new.contains(object));
                let found = Seen::of(known).missing(&there);
                let found =
                    found.map(|found| found.iter().map(|object| object.last_modified).collect());
                let times: Vec<_> = new.iter().map(|object| object.last_modified).collect();
                assert_eq!(found, Some(times), "{count} from {first}");
            }
        }
    }

    #[test]
    fn what_is_not_there_any_more_is_not_taken_for_what_came() {
        let there: Vec<ObjectMeta> = (0..9).map(object).collect();
        for count in 0..12 {
            let mut known: Vec<ObjectMeta> = there.iter().take(count).cloned().collect();
            known.push(object(100));
            assert!(Seen::of(&known).missing(&there).is_none(), "{count}");
        }
    }
}
