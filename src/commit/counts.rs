//! What became of the records of a slice.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// So many rejects and not one row: what came is of another form than this program knows.
const TELLING_REJECTS: u64 = 20;

/// What a slice's scan counted. `records + copies = rows + rejects + repeats + outside_probe`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SliceCounts {
    /// Answers of the service that were taken.
    pub pages: u64,
    /// Records in the pages.
    pub records: u64,
    /// Rows written.
    pub rows: u64,
    /// Rejects kept, by reason.
    pub rejects: BTreeMap<String, u64>,
    /// Rejects beside the records' own: the bytes of rows that were no UTF-8 (`invalid_utf8`), and of
    /// pages that could not be read (`unreadable_page`).
    pub copies: u64,
    /// Records met again with the same JSON; written once.
    pub repeats: u64,
    /// Records met again with other JSON; both are rows.
    pub changed_repeats: u64,
    /// Records of other slices: of the one before, met by the probe of an empty range, and of any, where a
    /// continuation brought them that the service itself had called unneeded. Their own slices have them.
    pub outside_probe: u64,
    /// Rows whose `created` is missing or odd.
    pub odd_created: u64,
}

impl SliceCounts {
    /// Whether every record went somewhere.
    pub fn conserve(&self) -> bool {
        // Wide: a damaged commit may say any number.
        let sum = |counts: &[u64]| counts.iter().map(|count| u128::from(*count)).sum::<u128>();
        let rejects: u128 = self.rejects.values().copied().map(u128::from).sum();
        sum(&[self.records, self.copies])
            == sum(&[self.rows, self.repeats, self.outside_probe]) + rejects
    }

    /// How many records are rejects, where not one is a row and they are enough to tell.
    pub fn nothing_but_rejects(&self) -> Option<u64> {
        let all: u64 = self.rejects.values().sum();
        // Rejects with the same text are kept once, and where no row is, nothing else repeats.
        let rejects = all.saturating_sub(self.copies) + self.repeats;
        (self.rows == 0 && rejects >= TELLING_REJECTS).then_some(rejects)
    }

    /// Adds another slice's counts.
    pub fn add(&mut self, other: &Self) {
        let Self {
            pages,
            records,
            rows,
            rejects,
            copies,
            repeats,
            changed_repeats,
            outside_probe,
            odd_created,
        } = other;
        self.pages += pages;
        self.records += records;
        self.rows += rows;
        for (reason, count) in rejects {
            *self.rejects.entry(reason.clone()).or_default() += count;
        }
        self.copies += copies;
        self.repeats += repeats;
        self.changed_repeats += changed_repeats;
        self.outside_probe += outside_probe;
        self.odd_created += odd_created;
    }
}
