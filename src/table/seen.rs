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

    /// Which of these objects are not in it: those that are newest, where that is certain.
    pub(super) fn missing(self, there: &[ObjectMeta]) -> Option<Vec<ObjectMeta>> {
        let new = (there.len() as u64).checked_sub(self.objects)?;
        let mut there = there.to_vec();
        there.sort_by_key(|object| object.last_modified);
        let new = there.split_off(there.len() - usize::try_from(new).ok()?);
        (Self::of(&there) == self).then_some(new)
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
            // A version is a positive number of 64 bits.
            sum: self.sum.wrapping_add(other.sum) & (u64::MAX >> 1),
        }
    }
}
