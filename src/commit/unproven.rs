//! A slice that was asked for so late that an empty answer proves nothing about it:
//! `_mdca/unproven/<slice>.json`, created once. A commit of the slice outranks it.

use serde::{Deserialize, Serialize};

use super::checked_json;
use super::damage::Damage;
use super::{CommitError, caps};
use crate::layout;
use crate::store::{Creation, Store};
use crate::window::Slice;

const VERSION: u32 = 1;
/// The service forgets after about 30 days, and 29 prove nothing; the clock of who asks may be a day behind.
const TOO_LATE_MS: i64 = 28 * 24 * 60 * 60 * 1_000;

/// What a run reported of a time that it could not scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KnownFailure {
    /// The run that met it.
    pub run: String,
    /// The slice that failed; none where the run did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slice: Option<String>,
    /// What happened.
    pub error: String,
}

/// The marker of a slice of which nothing is known, and nothing will be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unproven {
    version: u32,
    /// The slice.
    pub slice: String,
    /// The run that asked.
    pub run: String,
    /// When the service answered with nothing, by its own clock, in milliseconds since the epoch.
    pub asked_ms: i64,
    /// Why the slice was not scanned earlier, as far as the run reports say.
    pub last_failure: Option<KnownFailure>,
}

impl Unproven {
    /// A marker of the version that this program writes.
    pub fn new(
        slice: String,
        run: String,
        asked_ms: i64,
        last_failure: Option<KnownFailure>,
    ) -> Self {
        Self {
            version: VERSION,
            slice,
            run,
            asked_ms,
            last_failure,
        }
    }

    /// Whether a slice is so old, at a time in milliseconds since the epoch, that it may be asked for too
    /// late.
    pub(super) fn is_too_late(slice: &str, at_ms: i64) -> bool {
        let slice = slice.parse::<Slice>();
        slice.is_ok_and(|slice| at_ms.saturating_sub(slice.from_ms()) >= TOO_LATE_MS)
    }

    /// Whether it was made when its slice was not too old to be asked for.
    pub fn is_too_early(&self) -> bool {
        !Self::is_too_late(&self.slice, self.asked_ms)
    }

    /// Puts the marker, unless the slice has one: the first says when hope was lost.
    pub async fn create(&self, store: &Store) -> Result<(), CommitError> {
        let path = layout::unproven_at(&self.slice);
        let marker = checked_json::seal(self);
        // One that is empty was cut short, and is none: whoever lists markers passes it over.
        if store.create(&path, marker.clone()).await? == Creation::Existed
            && store.size(&path).await? == Some(0)
        {
            store.put(&path, marker).await?;
        }
        Ok(())
    }

    /// Reads the marker of a slice; `None` where it has none.
    pub async fn load(store: &Store, slice: &str) -> Result<Option<Self>, CommitError> {
        let path = layout::unproven_at(slice);
        let Some(bytes) = checked_json::read(store, &path, caps::UNPROVEN_BYTES).await? else {
            return Ok(None);
        };
        let marker: Result<Self, Damage> = checked_json::open(&bytes, VERSION);
        match marker {
            Ok(marker) if marker.slice == slice => Ok(Some(marker)),
            Ok(marker) => Err(CommitError::Damaged {
                path,
                damage: Damage::Place(marker.slice),
            }),
            Err(damage) => Err(CommitError::Damaged { path, damage }),
        }
    }
}
