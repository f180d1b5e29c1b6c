//! The names of files: deterministic from slice, attempt and number, so that two attempts can never
//! write the same file and a file says who wrote it.

use object_store::path::Path;

use super::PartitionKey;
use crate::window::digits;

/// The folder of all data files.
pub const FILES_FOLDER: &str = "activities";

/// What the path of a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName {
    /// The part.
    pub key: PartitionKey,
    /// The slice.
    pub slice: String,
    /// The attempt.
    pub attempt: String,
    /// Its number among the files of the attempt.
    pub number: u32,
}

impl FileName {
    /// Reads a path; `None` where no file of this program has such a name.
    pub fn parse(path: &str) -> Option<Self> {
        let (key, name) = path
            .strip_prefix(FILES_FOLDER)?
            .strip_prefix('/')?
            .split_once('/')?;
        let mut from_right = name.strip_suffix(".parquet")?.rsplitn(3, '-');
        let number = from_right.next()?;
        let attempt = from_right.next()?;
        let slice = from_right.next()?;
        // One name a file: what would be written differently is not ours.
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        let is_ours = !slice.is_empty()
            && slice.bytes().chain(attempt.bytes()).all(is_plain)
            && (number == "0" || !number.starts_with('0'));
        is_ours.then_some(Self {
            key: key.parse().ok()?,
            slice: slice.to_owned(),
            attempt: attempt.to_owned(),
            number: digits(number)?,
        })
    }
}

/// The path of the file `number` of an attempt, relative to the lake's root.
pub fn file_path(key: PartitionKey, slice: &str, attempt: &str, number: u32) -> Path {
    Path::from(format!(
        "{FILES_FOLDER}/{key}/{slice}-{attempt}-{number}.parquet"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_day_slice_attempt_and_number() {
        let path = file_path(
            "event_date=2026-11-19".parse().unwrap(),
            "20261119T1000Z-20261119T1100Z",
            "k3v9",
            12,
        );
        assert_eq!(
            path.as_ref(),
            "activities/event_date=2026-11-19/20261119T1000Z-20261119T1100Z-k3v9-12.parquet"
        );
    }

    #[test]
    fn a_path_is_read_back_and_no_other_is() {
        let path = "activities/event_date=2026-11-19/20261119T1000Z-20261119T1100Z-k3v9-12.parquet";
        assert_eq!(
            FileName::parse(path),
            Some(FileName {
                key: "event_date=2026-11-19".parse().unwrap(),
                slice: "20261119T1000Z-20261119T1100Z".to_owned(),
                attempt: "k3v9".to_owned(),
                number: 12,
            })
        );
        for other in [
            "activities/event_date=2026-11-19/mine.parquet",
            "activities/event_date=2026-11-19/a-b.parquet",
            "activities/event_date=2026-11-19/a-b-c.parquet",
            "activities/event_date=2026-11-19/a-b-01.parquet",
            "activities/event_date=2026-11-19/sub/a-b-1.parquet",
            "activities/event_date=2026-11-1/a-b-1.parquet",
            "activities/a-b-1.parquet",
            "elsewhere/event_date=2026-11-19/a-b-1.parquet",
            "activities/event_date=2026-11-19/a-b-1.parquet.tmp",
        ] {
            assert_eq!(FileName::parse(other), None, "{other}");
        }
    }
}
