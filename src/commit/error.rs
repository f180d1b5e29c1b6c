//! What can go wrong with the lake's own objects.

use object_store::path::Path;

use super::caps;
use super::damage::{Damage, RESTORE, RESTORE_CHANGES, RESTORE_OBJECT};
use crate::layout::{self, OwnObject};
use crate::store::StoreError;

/// Why the lake could not be read or a slice not committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An object of the lake's own is not what was written. It is neither overwritten nor ignored.
    #[error("cannot read {path}")]
    Damaged {
        /// Where it lies.
        path: Path,
        /// What is wrong with it.
        #[source]
        damage: Damage,
    },
    /// Something of a lake is there, and nothing says of which: a new identity could contradict the
    /// lost one.
    #[error("cannot open the lake: {path} is missing although {found} is there")]
    IdentityMissing {
        /// Where it should lie.
        path: Path,
        /// A commit, an attempt, rejects or a Parquet file.
        found: Path,
    },
    /// Files or rejects of a slice are there that neither a commit nor an attempt names.
    #[error(
        "cannot write slice {slice}: its commit is missing, and {} there, perhaps the only copy",
        are_there(.paths)
    )]
    Orphaned {
        /// The slice.
        slice: String,
        /// The objects.
        paths: Vec<String>,
    },
    /// A slice has no commit, and a compaction has its rows, or may have had.
    #[error("cannot write slice {slice}: {holder}")]
    Compacted {
        /// The slice.
        slice: String,
        /// What has its rows.
        holder: Holder,
    },
    /// The store says that the identity is there, and shows none.
    #[error(
        "cannot create {path}: the store says that it exists, {tries} times, and does not show it"
    )]
    IdentityNotMade {
        /// Where it should lie.
        path: Path,
        /// How often it was created.
        tries: u32,
    },
    /// Records that came in are in none of the places where they go.
    #[error(
        "cannot commit slice {slice}: {records} records came in and {accounted} are accounted for, which is a bug; nothing of it is published"
    )]
    Conservation {
        /// The slice.
        slice: String,
        /// Records in the service's answers.
        records: u64,
        /// Rows, rejects, repeats and the neighbour's.
        accounted: u64,
    },
    /// A slice has so many files that its commit would never be read again.
    #[error(
        "cannot commit slice {slice}: its commit would have {bytes} bytes, and at most {} are read",
        caps::COMMIT_BYTES
    )]
    TooLarge {
        /// The slice.
        slice: String,
        /// Bytes of the commit.
        bytes: u64,
    },
    /// A compaction takes so many files that it would never be read again.
    #[error(
        "cannot make compaction {compaction}: it would have {bytes} bytes, and at most {} are read",
        caps::COMPACTION_BYTES
    )]
    CompactionTooLarge {
        /// The compaction.
        compaction: String,
        /// Bytes of it.
        bytes: u64,
    },
    /// The compaction may or may not be there.
    #[error("cannot confirm compaction {compaction} ({tries} tries); the next run checks it")]
    CompactionUnknown {
        /// The compaction.
        compaction: String,
        /// How often it was put and read back.
        tries: u32,
        /// The last failure.
        #[source]
        last: Option<StoreError>,
    },
    /// The commit may or may not be there.
    #[error("cannot confirm the commit of slice {slice} ({tries} tries); the next run checks it")]
    Unknown {
        /// The slice.
        slice: String,
        /// How often the commit was put and read back.
        tries: u32,
        /// The last failure.
        #[source]
        last: Option<StoreError>,
    },
    /// The store overwrites objects that it was asked only to create.
    #[error(
        "cannot use {location}: it does not support create-only writes, so two runs could overwrite each other's work"
    )]
    CreateNotHonoured {
        /// The lake.
        location: String,
    },
}

/// What has the rows of a slice without a commit.
#[derive(Debug, thiserror::Error)]
pub enum Holder {
    /// The compaction that lies there.
    #[error("its commit is missing, and {0} has its rows")]
    Compaction(Path),
    /// This file, perhaps.
    #[error("it has no commit, and {0} may have its rows, whose compaction is missing")]
    Stray(Path),
}

fn is_change(path: &Path) -> bool {
    matches!(OwnObject::at(path.as_ref()), Some(OwnObject::Change { .. }))
}

/// Objects that are there, so many of them by name as a message takes.
fn are_there(paths: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = paths[..paths.len().min(SHOWN)].join(", ");
    match paths.len() {
        1 => format!("{shown} is"),
        n if n <= SHOWN => format!("{shown} are"),
        n => format!("{shown} and {} more are", n - SHOWN),
    }
}

impl CommitError {
    /// Whether a newer program wrote what could not be read: that is not damage.
    pub fn is_newer(&self) -> bool {
        matches!(self, Self::Damaged { damage, .. } if damage.is_newer())
    }

    /// What to do about it, on a line of its own.
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Damaged { path, damage } => Some(match damage.advice() {
                // Without it nobody knows what the lake is of.
                RESTORE_OBJECT if *path == layout::identity() => {
                    "restore it from a copy of the lake"
                }
                RESTORE_OBJECT if is_change(path) => RESTORE_CHANGES,
                advice => advice,
            }),
            Self::IdentityMissing { .. } => Some(
                "restore _mdca/lake.json, or all of _mdca, from a copy; without one, scan into another location",
            ),
            Self::TooLarge { .. } => {
                Some("raise --max-file-bytes, so that the slice has fewer files")
            }
            Self::Orphaned { .. } => Some(
                "restore _mdca from a copy; without one, and only while the service still has the slice (some 30 days), move these files away and run again",
            ),
            Self::Compacted { .. } => Some(RESTORE),
            Self::IdentityNotMade { .. }
            | Self::Unknown { .. }
            | Self::CompactionUnknown { .. } => Some("run again"),
            Self::CreateNotHonoured { .. } => {
                Some("use another store, or --single-writer if only one run at a time ever writes")
            }
            Self::Store(error) => Some(error.advice()),
            Self::Conservation { .. } | Self::CompactionTooLarge { .. } => None,
        }
    }
}
