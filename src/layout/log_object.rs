//! The names below `_delta_log/`, as the protocol of Delta tables gives them.

use object_store::path::Path;

/// The folder of the table's log.
pub const LOG_FOLDER: &str = "_delta_log";
/// Digits of a version in a name.
const DIGITS: usize = 20;
const VERSION: &str = ".json";
const CHECKPOINT: &str = ".checkpoint.parquet";

/// An object of the table's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogObject {
    /// What a version of the table changes.
    Version(u64),
    /// All of the table as it was at a version.
    Checkpoint(u64),
    /// Which checkpoint is the last.
    LastCheckpoint,
}

impl LogObject {
    /// The folder of the log.
    pub fn folder() -> Path {
        Path::from(LOG_FOLDER)
    }

    /// Reads a path; `None` where this program gives nothing such a name.
    pub fn at(path: &str) -> Option<Self> {
        let name = path.strip_prefix(LOG_FOLDER)?.strip_prefix('/')?;
        if name == "_last_checkpoint" {
            return Some(Self::LastCheckpoint);
        }
        let number = |digits: &str| {
            let is_number = digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
            is_number.then(|| digits.parse().ok()).flatten()
        };
        match name.strip_suffix(CHECKPOINT) {
            Some(digits) => number(digits).map(Self::Checkpoint),
            None => number(name.strip_suffix(VERSION)?).map(Self::Version),
        }
    }

    /// Where it lies in the lake.
    pub fn path(self) -> Path {
        match self {
            Self::Version(version) => {
                Path::from(format!("{LOG_FOLDER}/{version:0DIGITS$}{VERSION}"))
            }
            Self::Checkpoint(version) => {
                Path::from(format!("{LOG_FOLDER}/{version:0DIGITS$}{CHECKPOINT}"))
            }
            Self::LastCheckpoint => Path::from(format!("{LOG_FOLDER}/_last_checkpoint")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_of_the_log_is_found_by_its_path_and_nothing_else_is() {
        for object in [
            LogObject::Version(0),
            LogObject::Version(u64::MAX),
            LogObject::Checkpoint(50),
            LogObject::LastCheckpoint,
        ] {
            assert_eq!(LogObject::at(object.path().as_ref()), Some(object));
        }
        for path in [
            "_delta_log",
            "_delta_log/0.json",
            "_delta_log/0000000000000000000+.json",
            "_delta_log/00000000000000000001.crc",
            "_delta_log/00000000000000000001.json/x",
            "_delta_log/00000000000000000001.checkpoint.0000000001.0000000002.parquet",
            "_delta_log/99999999999999999999.json",
            "_delta_logs/00000000000000000001.json",
            "x/_delta_log/00000000000000000001.json",
        ] {
            assert_eq!(LogObject::at(path), None, "{path}");
        }
    }
}
