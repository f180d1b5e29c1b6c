//! The names of compactions, and of the files that they leave.

use std::fmt;
use std::str::FromStr;

use object_store::path::Path;

use super::{FileName, PartitionKey, file_path};

/// What the name of a compacted file begins with: it sorts behind those of all slices.
const COMPACTED: &str = "z-";
/// Digits of a compaction's number in the name of a file. Padded, so that the files of a later
/// compaction sort behind those that it takes: a listing in pages then never misses both.
const DIGITS: usize = 6;
/// The last number that has so many digits.
const LAST_NUMBER: u32 = 999_999;

/// Names one compaction of a day. Its text is `2026-11-19-0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CompactionName {
    /// The day.
    pub day: PartitionKey,
    /// Its number among the compactions of the day, from 0.
    pub number: u32,
}

/// A text that names no compaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' does not name a compaction, such as 2026-11-19-0")]
pub struct ParseCompactionError(String);

impl CompactionName {
    /// What stands in the names of its files where others have their slice.
    pub fn in_file_names(self) -> String {
        format!("{COMPACTED}{:0DIGITS$}", self.number)
    }

    /// The path of the file `number` of an attempt at it, relative to the lake's root.
    pub fn file(self, attempt: &str, number: u32) -> Path {
        file_path(self.day, &self.in_file_names(), attempt, number)
    }

    /// The compaction whose file has this name; `None` where it is a slice's.
    pub fn of_file(name: &FileName) -> Option<Self> {
        let number = name.slice.strip_prefix(COMPACTED)?.parse().ok()?;
        let compaction = Self {
            day: name.key,
            number,
        };
        let is_its = number <= LAST_NUMBER && compaction.in_file_names() == name.slice;
        is_its.then_some(compaction)
    }
}

impl fmt::Display for CompactionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.day.date().format("%Y-%m-%d"), self.number)
    }
}

impl FromStr for CompactionName {
    type Err = ParseCompactionError;

    fn from_str(text: &str) -> Result<Self, ParseCompactionError> {
        let read = || {
            let (day, number) = text.rsplit_once('-')?;
            let name = Self {
                day: format!("event_date={day}").parse().ok()?,
                number: number.parse().ok()?,
            };
            // One name a compaction.
            (name.number <= LAST_NUMBER && name.to_string() == text).then_some(name)
        };
        read().ok_or_else(|| ParseCompactionError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTEMPT: &str = "0123456789abcdef";

    fn name(number: u32) -> CompactionName {
        CompactionName {
            day: "event_date=2026-11-19".parse().unwrap(),
            number,
        }
    }

    #[test]
    fn a_compaction_is_its_text() {
        for number in [0, 9, 10, LAST_NUMBER] {
            assert_eq!(name(number).to_string().parse(), Ok(name(number)));
        }
        for text in [
            "2026-11-19",
            "2026-11-19-",
            "2026-11-19-00",
            "2026-11-19-+1",
            "2026-11-9-1",
            "2026-02-30-1",
            "2026-11-19-1000000",
            "event_date=2026-11-19-0",
            "20261119T1000Z-20261119T1100Z",
            "",
        ] {
            assert!(text.parse::<CompactionName>().is_err(), "{text}");
        }
    }

    #[test]
    fn files_of_a_compaction_sort_behind_all_that_it_can_take() {
        let slice = file_path(name(0).day, "c-ffffffffffffffffffffffffffffffff", "f", 9);
        let first = name(0).file("ffffffffffffffff", 9);
        assert!(slice < first);
        for number in [1, 9, 10, 99, 100, LAST_NUMBER] {
            let before = name(number - 1).file("ffffffffffffffff", 99);
            assert!(
                before < name(number).file("0000000000000000", 0),
                "{number}"
            );
        }
    }

    #[test]
    fn a_file_says_of_which_compaction_it_is() {
        let path = name(12).file(ATTEMPT, 3);
        assert_eq!(
            path.as_ref(),
            "activities/event_date=2026-11-19/z-000012-0123456789abcdef-3.parquet"
        );
        let file = FileName::parse(path.as_ref()).unwrap();
        assert_eq!(CompactionName::of_file(&file), Some(name(12)));
        for slice in [
            "20261119T1000Z-20261119T1100Z",
            "z-12",
            "z-0000012",
            "z-",
            "z",
        ] {
            let path = file_path(name(0).day, slice, ATTEMPT, 0);
            let of_file = FileName::parse(path.as_ref());
            let compaction = of_file.and_then(|file| CompactionName::of_file(&file));
            assert_eq!(compaction, None, "{slice}");
        }
    }
}
