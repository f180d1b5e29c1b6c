//! Which files of a day are merged. Pure.

use crate::write::FileEntry;

/// So many small files are merged whatever their size.
const MANY: usize = 8;
/// Fewer are where those beside the largest are this part of it together, so that a late row does not
/// rewrite a day.
const PART_OF_LARGEST: u64 = 4;
/// What one compaction takes at most: each file has a footer in memory. The rest is for the next one.
pub(super) const MOST_INPUTS: usize = 512;

/// Whether a day gains by a compaction whose live files have so many bytes each. Files of half of
/// `max_file_bytes` or more are large enough.
pub(super) fn gains(bytes: impl Iterator<Item = u64>, max_file_bytes: u64) -> bool {
    let small = bytes.filter(|bytes| is_small(*bytes, max_file_bytes));
    let (count, sum, largest) = small.fold((0, 0_u64, 0), |(count, sum, largest), bytes| {
        (count + 1, sum.saturating_add(bytes), largest.max(bytes))
    });
    let others = sum - largest;
    count >= MANY || count >= 2 && others.saturating_mul(PART_OF_LARGEST) >= largest
}

fn is_small(bytes: u64, max_file_bytes: u64) -> bool {
    bytes < max_file_bytes / 2
}

/// The live files of a day that one compaction takes; none where nothing would be gained.
pub(super) fn pick(files: &[FileEntry], max_file_bytes: u64) -> Vec<FileEntry> {
    if !gains(files.iter().map(|file| file.bytes), max_file_bytes) {
        return Vec::new();
    }
    let is_small = |file: &&FileEntry| is_small(file.bytes, max_file_bytes);
    let mut small: Vec<FileEntry> = files.iter().filter(is_small).cloned().collect();
    // The smallest first: what is merged often must not be the largest.
    small.sort_by(|a, b| (a.bytes, &a.path).cmp(&(b.bytes, &b.path)));
    small.truncate(MOST_INPUTS);
    small
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn files(bytes: &[u64]) -> Vec<FileEntry> {
        let file = |(number, bytes): (usize, &u64)| FileEntry {
            path: format!("f-{number}"),
            rows: 1,
            bytes: *bytes,
            checksum: String::new(),
            timestamp_min_ms: 0,
            timestamp_max_ms: 0,
            created_min_ms: None,
            created_max_ms: None,
        };
        bytes.iter().enumerate().map(file).collect()
    }

    fn picked(bytes: &[u64]) -> Vec<u64> {
        let picked = pick(&files(bytes), 1_000);
        picked.iter().map(|file| file.bytes).collect()
    }

    #[test]
    fn small_files_are_merged_where_that_gains_something() {
        assert!(picked(&[]).is_empty());
        assert!(picked(&[7]).is_empty());
        assert_eq!(picked(&[10, 12]), [10, 12]);
        // A late row does not rewrite the day.
        assert!(picked(&[400, 1]).is_empty());
        assert!(picked(&[400, 33, 33, 33]).is_empty());
        assert_eq!(picked(&[400, 34, 33, 33]), [33, 33, 34, 400]);
        assert!(picked(&[1, 1, 1, 1, 1, 1, 400]).is_empty());
        assert_eq!(picked(&[1, 1, 1, 1, 1, 1, 1, 400]).len(), 8);
        // Large ones are left.
        assert_eq!(picked(&[500, 1_000, 499, 499]), [499, 499]);
        assert!(picked(&[500, 500, 500, 500, 500, 500, 500, 500]).is_empty());
    }

    #[test]
    fn where_there_are_too_many_the_smallest_come_first() {
        let mut bytes = vec![2; MOST_INPUTS];
        bytes.extend([1, 3]);
        let picked = picked(&bytes);
        assert_eq!(picked.len(), MOST_INPUTS);
        assert_eq!((picked[0], picked[MOST_INPUTS - 1]), (1, 2));
    }

    /// The files of a day after a compaction, as the writer leaves them: full ones, and a rest.
    fn merged(files: &[FileEntry], picked: &[FileEntry], most: u64) -> Vec<u64> {
        let is_left = |file: &&FileEntry| !picked.contains(file);
        let left = files.iter().filter(is_left).map(|file| file.bytes);
        let mut bytes: u64 = picked.iter().map(|file| file.bytes).sum();
        let mut all: Vec<u64> = left.collect();
        while bytes > 0 {
            let file = bytes.min(most);
            all.push(file);
            bytes -= file;
        }
        all
    }

    proptest! {
        #[test]
        fn compacting_a_day_ends_and_never_makes_more_files(
            bytes in prop::collection::vec(1_u64..2_000, 0..1_200),
            most in 2_u64..3_000,
        ) {
            let mut bytes = bytes;
            for _ in 0..20 {
                let files = files(&bytes);
                let picked = pick(&files, most);
                if picked.is_empty() {
                    return Ok(());
                }
                prop_assert!(picked.len() > 1);
                prop_assert!(picked.iter().all(|file| file.bytes < most / 2));
                let after = merged(&files, &picked, most);
                prop_assert!(after.len() < bytes.len());
                prop_assert_eq!(after.iter().sum::<u64>(), bytes.iter().sum::<u64>());
                bytes = after;
            }
            prop_assert!(false, "it does not end: {:?}", bytes);
        }
    }
}
