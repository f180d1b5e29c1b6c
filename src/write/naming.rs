//! The names of files: deterministic from slice, attempt and number, so that two attempts can never
//! write the same file and a file says who wrote it.

use object_store::path::Path;

use crate::partition::PartitionKey;

/// The folder of all data files.
const FOLDER: &str = "activities";

/// The path of the file `number` of an attempt, relative to the lake's root.
pub(super) fn file_path(key: PartitionKey, slice: &str, attempt: &str, number: u32) -> Path {
    Path::from(format!("{FOLDER}/{key}/{slice}-{attempt}-{number}.parquet"))
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
}
