//! Which commits and compactions a version of the table takes in: kept in it as numbers of this
//! program's own, so that a table which is up to date costs no reading.

use std::ops::Add;

use object_store::ObjectMeta;
use object_store::path::Path;
use xxhash_rust::xxh3::xxh3_64;

use super::action::{Action, Txn};

/// How many commits and compactions there are.
const OBJECTS: &str = "mdca-lake";
/// A sum over their names.
const NAMES: &str = "mdca-lake/names";
/// How many columns the table has.
const COLUMNS: &str = "mdca-lake/columns";

/// A set of commits and compactions, as far as a number and a sum over their names tell it from others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    objects: u64,
    names: u64,
}

impl Seen {
    /// Of these objects.
    pub(super) fn of<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        paths.into_iter().fold(Self::default(), |seen, path| {
            seen + Self {
                objects: 1,
                names: xxh3_64(path.as_ref().as_bytes()) >> 1,
            }
        })
    }

    /// Which of these objects are not in it: those that are newest, where that is certain.
    pub(super) fn missing(self, mut there: Vec<ObjectMeta>) -> Option<Vec<Path>> {
        let new = (there.len() as u64).checked_sub(self.objects)?;
        there.sort_by_key(|object| object.last_modified);
        let old = there.len() - usize::try_from(new).ok()?;
        let paths: Vec<Path> = there.into_iter().map(|object| object.location).collect();
        (Self::of(&paths[..old]) == self).then(|| paths[old..].to_vec())
    }

    /// As a version says it, of a table with so many columns.
    pub(super) fn actions(self, columns: usize, now_ms: i64) -> [Action; 3] {
        let txn = |app_id: &str, version: u64| {
            Action::from(Txn {
                app_id: app_id.to_owned(),
                version: version.cast_signed(),
                last_updated: Some(now_ms),
            })
        };
        [
            txn(OBJECTS, self.objects),
            txn(NAMES, self.names),
            txn(COLUMNS, columns as u64),
        ]
    }

    /// What a version says, with the number of columns; `None` where it is not of this program.
    pub(super) fn read(actions: &[Action]) -> Option<(Self, usize)> {
        let number = |app_id: &str| {
            let txns = actions.iter().filter_map(|action| action.txn.as_ref());
            let mut its = txns.filter(|txn| txn.app_id == app_id);
            its.next().map(|txn| txn.version.cast_unsigned())
        };
        let seen = Self {
            objects: number(OBJECTS)?,
            names: number(NAMES)?,
        };
        Some((seen, usize::try_from(number(COLUMNS)?).ok()?))
    }
}

impl Add for Seen {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            objects: self.objects.saturating_add(other.objects),
            // A version is a positive number of 64 bits.
            names: self.names.wrapping_add(other.names) & (u64::MAX >> 1),
        }
    }
}
