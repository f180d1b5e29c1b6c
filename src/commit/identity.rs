//! What makes a lake one lake: `_mdca/lake.json`, created once and never changed.

use std::fmt;
use std::time::Duration;

use object_store::ObjectMeta;
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::checked_json;
use super::damage::Damage;
use super::{Changes, CommitError, caps};
use crate::clock::Clock;
use crate::layout::{self, OwnObject};
use crate::store::{Creation, Store};
use crate::window::{SliceLength, SliceLengthError};

const VERSION: u32 = 1;
/// How often a lake is made that the store says is there, and is not.
const CREATE_TRIES: u32 = 5;
/// The pause between two of these tries.
const CREATE_PAUSE: Duration = Duration::from_secs(1);

/// Where the records of a lake come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LakeSource {
    /// Scans of the service.
    Scan,
    /// Saved files.
    Convert,
}

impl fmt::Display for LakeSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scan => "scan",
            Self::Convert => "convert",
        })
    }
}

/// The identity of a lake, and where its time begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    version: u32,
    /// The program that made the lake.
    #[serde(default)]
    tool_version: String,
    /// Where the records come from.
    pub source: LakeSource,
    /// The service's host, lower case, without a path.
    pub api_host: String,
    /// `created` or `date`.
    pub clock: String,
    /// What narrows the records, beside the clock; compared as JSON.
    pub filters: Map<String, Value>,
    /// The length of every slice in minutes.
    pub slice_minutes: i64,
    /// The version of the activity schema.
    pub schema_version: u32,
    /// Where a scan without `--from` begins, in milliseconds since the epoch.
    pub begin_ms: i64,
    /// What changed since the lake was made; the host above is the one that is.
    #[serde(skip)]
    pub changes: Changes,
}

impl Identity {
    /// An identity of the version that this program writes.
    pub fn new(
        source: LakeSource,
        api_host: String,
        clock: String,
        filters: Map<String, Value>,
        slice_minutes: i64,
        schema_version: u32,
        begin_ms: i64,
    ) -> Self {
        Self {
            version: VERSION,
            tool_version: checked_json::TOOL_VERSION.to_owned(),
            source,
            api_host,
            clock,
            filters,
            slice_minutes,
            schema_version,
            begin_ms,
            changes: Changes::default(),
        }
    }

    /// Reads the identity of a lake, and what changed of it since; `None` if the lake does not exist yet.
    pub async fn load(store: &Store) -> Result<Option<Self>, CommitError> {
        let path = layout::identity();
        let Some(bytes) = checked_json::read(store, &path, caps::IDENTITY_BYTES).await? else {
            return Ok(None);
        };
        match checked_json::open::<Self>(&bytes, VERSION) {
            Ok(identity) => Ok(Some(identity.changed_by(Changes::load(store).await?))),
            Err(damage) => Err(CommitError::Damaged { path, damage }),
        }
    }

    fn changed_by(mut self, changes: Changes) -> Self {
        if let Some(host) = changes.api_host() {
            host.clone_into(&mut self.api_host);
        }
        self.changes = changes;
        self
    }

    /// Makes sure that the lake's time does not begin later than now, where now is `now_ms`: nothing
    /// would ever be scanned, and nothing missing. A clock may be an hour slow.
    pub fn check_begin(&self, now_ms: i64) -> Result<(), CommitError> {
        const SLOW_MS: i64 = 60 * 60_000;
        if self.begin_ms <= now_ms.saturating_add(SLOW_MS) {
            return Ok(());
        }
        let begin_ms = self.begin_ms;
        Err(CommitError::Damaged {
            path: layout::identity(),
            damage: Damage::BeginsLater { begin_ms, now_ms },
        })
    }

    /// The length of the lake's slices.
    ///
    /// # Errors
    /// So many minutes are no slice: the lake is of another program, or was changed.
    pub fn slice_length(&self) -> Result<SliceLength, SliceLengthError> {
        let minutes = u64::try_from(self.slice_minutes).unwrap_or(0);
        SliceLength::try_new(Duration::from_secs(minutes.saturating_mul(60)))
    }

    /// Reads the identity of a lake that should be there; `None` if there is none at all.
    ///
    /// # Errors
    /// A commit, an attempt, rejects or a Parquet file is there, and the identity is missing.
    pub async fn load_if_lake(store: &Store) -> Result<Option<Self>, CommitError> {
        if let Some(identity) = Self::load(store).await? {
            return Ok(Some(identity));
        }
        let Some(found) = find_any(store).await? else {
            return Ok(None);
        };
        // Another run may have made the lake, and committed, between the two looks.
        match Self::load(store).await? {
            Some(identity) => Ok(Some(identity)),
            None => Err(CommitError::IdentityMissing {
                path: layout::identity(),
                found,
            }),
        }
    }

    /// Makes the lake, unless another run has made it in the meantime: returns the one that is.
    ///
    /// # Errors
    /// Something of a lake is there already: a new identity could contradict the lost one.
    pub async fn create(self, store: &Store, clock: &dyn Clock) -> Result<Self, CommitError> {
        if let Some(identity) = Self::load_if_lake(store).await? {
            return Ok(identity);
        }
        let path = layout::identity();
        for attempt in 0..CREATE_TRIES {
            if attempt > 0 {
                clock.sleep(CREATE_PAUSE).await;
            }
            let failed = match store.create(&path, checked_json::seal(&self)).await {
                Ok(Creation::Created) => return Ok(self),
                Ok(Creation::Existed) => None,
                Err(error) => Some(error),
            };
            // Another run's, or our own put whose answer was lost: what is there counts. Two at once
            // may both be told that the other's is there before either is.
            if let Some(identity) = Self::load(store).await? {
                return Ok(identity);
            }
            if let Some(error) = failed {
                return Err(error.into());
            }
        }
        Err(CommitError::IdentityNotMade {
            path,
            tries: CREATE_TRIES,
        })
    }

    /// Makes sure that the store refuses to create what exists: puts the bytes that are there once
    /// more, so that even a store that overwrites leaves the lake as it was.
    pub async fn check_create_only(store: &Store) -> Result<(), CommitError> {
        let path = layout::identity();
        let Some(bytes) = checked_json::read(store, &path, caps::IDENTITY_BYTES).await? else {
            return Ok(());
        };
        match store.create(&path, bytes).await? {
            Creation::Existed => Ok(()),
            Creation::Created => Err(CommitError::CreateNotHonoured {
                location: store.location().to_owned(),
            }),
        }
    }
}

/// Something that only a lake has: a commit, an attempt, rejects, or a Parquet file where they lie.
async fn find_any(store: &Store) -> Result<Option<Path>, CommitError> {
    let own = [layout::commits(), layout::attempts(), layout::all_rejects()];
    for folder in own {
        for ObjectMeta { location, .. } in store.list(&folder).await? {
            if OwnObject::at(location.as_ref()).is_some() {
                return Ok(Some(location));
            }
        }
    }
    let files = store.list(&Path::from(layout::FILES_FOLDER)).await?;
    let mut files = files.into_iter().map(|object| object.location);
    Ok(files.find(|path| path.extension() == Some("parquet")))
}
