//! What can go wrong with the lake's own objects.

use object_store::path::Path;

use super::sealed::Damage;
use crate::store::StoreError;

/// Why the lake could not be read or a slice not committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An object of the lake's own is not what was written. It is neither overwritten nor ignored.
    #[error("read {path}; restore it from a copy, or move it away if it is not the lake's")]
    Damaged {
        /// Where it lies.
        path: Path,
        /// What is wrong with it.
        #[source]
        damage: Damage,
    },
    /// There are commits, and nothing says what lake they are of.
    #[error(
        "read {path}: it is missing although slices are committed; restore it from a copy, for a new one could contradict them"
    )]
    IdentityMissing {
        /// Where it should lie.
        path: Path,
    },
    /// The store says that the identity is there, and shows none.
    #[error(
        "create {path}: the store says that it exists, {tries} times, and shows nothing there; run again"
    )]
    IdentityNotMade {
        /// Where it should lie.
        path: Path,
        /// How often it was created.
        tries: u32,
    },
    /// Records that came in are in none of the places where they go.
    #[error(
        "account for every record of slice {slice}: {records} came in, {accounted} went out; nothing of it is published"
    )]
    Conservation {
        /// The slice.
        slice: String,
        /// Records in the service's answers.
        records: u64,
        /// Rows, rejects, repeats and the neighbour's.
        accounted: u64,
    },
    /// The commit may or may not be there.
    #[error(
        "learn whether slice {slice} is committed after {tries} tries; run again, it will be found out"
    )]
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
        "rely on {location}: it overwrites where it should only create, so two runs could undo each other; use another store, or --single-writer if only one run at a time ever writes"
    )]
    CreateNotHonoured {
        /// The lake.
        location: String,
    },
}
