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
    /// The store says that the lake's identity is there, and does not show it.
    #[error("make {path}: the store says that it is there, and does not show it; run again")]
    NoIdentity {
        /// Where it should lie.
        path: Path,
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
