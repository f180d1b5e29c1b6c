//! Why the table could not be brought up to date.

use object_store::path::Path;

use crate::commit::{self, CommitError};
use crate::layout::CompactionName;
use crate::store::StoreError;

/// Why the table could not be read or brought up to date. What is committed is not affected.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The store failed.
    #[error("cannot read or write the Delta table")]
    Store(#[from] StoreError),
    /// The commits or compactions could not be read.
    #[error("cannot compare the Delta table with the commits")]
    Commit(#[from] CommitError),
    /// A table that is made anew would lack the rows of a commit or compaction.
    #[error("cannot make the table anew: it would lack rows")]
    Unsound(#[source] CommitError),
    /// The table has a file of this program that no commit or compaction names.
    #[error(
        "cannot bring the table up to date: it has {path}, and the commit of that file is missing"
    )]
    CommitMissing {
        /// The file, relative to the lake's root.
        path: String,
    },
    /// The table has a file of a compaction, and neither of them is there.
    #[error(
        "cannot bring the table up to date: it has {path}, and neither that file nor its compaction {compaction} is there"
    )]
    CompactionGone {
        /// The file, relative to the lake's root.
        path: String,
        /// The compaction.
        compaction: CompactionName,
    },
    /// A table that is made anew would lack the rows of a compaction that is not there.
    #[error(
        "cannot make the table anew: {path} is there, and its compaction {compaction} is missing"
    )]
    CompactionMissing {
        /// The file, relative to the lake's root.
        path: String,
        /// The compaction.
        compaction: CompactionName,
    },
    /// It takes in what is not there.
    #[error("commits or compactions are missing: the table takes in {missing} that are not there")]
    Missing {
        /// How many, at least.
        missing: u64,
    },
    /// The table has a file that this program did not write.
    #[error("cannot bring the table up to date: another program has added {path} to it")]
    Foreign {
        /// The file, as the table names it.
        path: String,
    },
    /// Another program changed what the table is.
    #[error("cannot bring the table up to date: another program has changed its {what}")]
    Changed {
        /// What of it.
        what: &'static str,
    },
    /// Its log cannot be read.
    #[error("cannot read the table's log: {path} {is}")]
    Unreadable {
        /// What cannot be read.
        path: Path,
        /// What is wrong with it.
        is: String,
    },
    /// It does not take in all that is committed.
    #[error("the table is not up to date")]
    Behind,
    /// Others were faster each time.
    #[error("cannot bring the table up to date: other runs wrote it {tries} times meanwhile")]
    Contended {
        /// How often it was tried.
        tries: u32,
    },
    /// A version may or may not be there.
    #[error(
        "cannot confirm version {version} of the table ({tries} tries); the next run checks it"
    )]
    Unknown {
        /// The version.
        version: u64,
        /// How often it was put and read back.
        tries: u32,
    },
    /// The checkpoint could not be encoded, which is a bug.
    #[error("cannot write a checkpoint of the table")]
    Checkpoint(#[from] parquet::errors::ParquetError),
}

impl TableError {
    /// What to do about it, on a line of its own.
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Store(error) => Some(error.advice()),
            Self::Commit(error) | Self::Unsound(error) => error.advice(),
            Self::CommitMissing { .. } => Some(
                "add to _mdca what it lacks, from a copy of the lake; without one, delete the folder _delta_log: the next run makes it anew, without the rows of that file",
            ),
            Self::CompactionGone { .. } => Some(
                "add that file and what _mdca lacks, from a copy of the lake; without one, delete the folder _delta_log: the next run makes it anew of what is there",
            ),
            Self::CompactionMissing { .. } => Some(commit::RESTORE),
            Self::Missing { .. } => Some(
                "add to _mdca what it lacks, from a copy of the lake; leave the rest of it as it is; without a copy, and unless verify names a compaction, delete the folder _delta_log: the next run makes it anew, and the loss is said no more",
            ),
            Self::Foreign { .. } | Self::Changed { .. } => Some(
                "write to the table with this program only; delete the folder _delta_log, and the next run makes it anew",
            ),
            Self::Unreadable { .. } => Some(
                "delete _delta_log, and the next run makes it anew; what is committed is not affected",
            ),
            Self::Behind | Self::Contended { .. } | Self::Unknown { .. } => {
                Some("run again; what is committed is not affected")
            }
            Self::Checkpoint(_) => None,
        }
    }

    /// The store's own error, where it is one.
    pub fn store(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) | Self::Commit(CommitError::Store(error)) => Some(error),
            _ => None,
        }
    }
}
