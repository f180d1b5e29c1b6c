//! The commit of a slice, and the attempt that is about to make it.

use std::collections::HashSet;

use bytes::Bytes;
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::checked_json;
use super::counts::SliceCounts;
use super::damage::Damage;
use super::{CommitError, caps};
use crate::layout::FileName;
use crate::layout::{self, OwnObject};
use crate::store::{Store, StoreError};
use crate::write::FileEntry;

const VERSION: u32 = 1;
/// The version of a commit that names holes: a program that does not know them would say that all is
/// there.
const NEWEST_VERSION: u32 = 2;

/// The file of a slice's rejects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectsEntry {
    /// Where it lies in the lake.
    pub path: String,
    /// Lines in it.
    pub lines: u64,
    /// Its size.
    pub bytes: u64,
    /// `sha256:` and the SHA-256 of its bytes.
    pub checksum: String,
}

/// A stretch of a committed slice that the service did not give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedHole {
    /// The first millisecond of it, since the epoch.
    pub from_ms: i64,
    /// The first after it.
    pub until_ms: i64,
    /// Why it could not be had.
    pub reason: String,
}

/// The commit of one slice: what is in the lake of it, and only that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    version: u32,
    /// The program that wrote it.
    #[serde(default)]
    tool_version: String,
    /// The slice.
    pub slice: String,
    /// The attempt whose rows these are.
    pub attempt: String,
    /// The run that made it.
    pub run: String,
    /// When the attempt was complete, in milliseconds since the epoch.
    pub prepared_ms: i64,
    /// The version of the activity schema.
    pub schema_version: u32,
    /// The files.
    pub files: Vec<FileEntry>,
    /// The rejects, if there are any.
    pub rejects: Option<RejectsEntry>,
    /// What was counted.
    pub counts: SliceCounts,
    /// What of the slice could not be had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holes: Vec<CommittedHole>,
    /// Whether the slice was asked for so late that the service may have forgotten some of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
}

impl Commit {
    /// What a run's attempt at a slice would commit, of the version that this program writes: nothing,
    /// so far.
    pub fn empty(
        slice: String,
        attempt: String,
        run: String,
        prepared_ms: i64,
        schema_version: u32,
    ) -> Self {
        Self {
            version: VERSION,
            tool_version: checked_json::TOOL_VERSION.to_owned(),
            slice,
            attempt,
            run,
            prepared_ms,
            schema_version,
            files: Vec::new(),
            rejects: None,
            counts: SliceCounts::default(),
            holes: Vec::new(),
            late: false,
        }
    }

    /// The same with what of the slice could not be had.
    #[must_use]
    pub fn with_holes(mut self, holes: Vec<CommittedHole>) -> Self {
        if !holes.is_empty() {
            self.version = NEWEST_VERSION;
        }
        self.holes = holes;
        self
    }

    /// The same, asked for late or not.
    #[must_use]
    pub fn late(mut self, late: bool) -> Self {
        if late {
            self.version = NEWEST_VERSION;
        }
        self.late = late;
        self
    }

    /// Whether it says more of its slice than which files hold it, and what was counted.
    pub fn has_remarks(&self) -> bool {
        self.late || !self.holes.is_empty()
    }

    /// Reads the commit of a slice; `None` where it has none.
    pub async fn load(store: &Store, slice: &str) -> Result<Option<Self>, CommitError> {
        let path = layout::commit(slice);
        let Some(bytes) = checked_json::read(store, &path, caps::COMMIT_BYTES).await? else {
            return Ok(None);
        };
        match Self::parse(&bytes, slice) {
            Ok(commit) => Ok(Some(commit)),
            Err(damage) => Err(CommitError::Damaged { path, damage }),
        }
    }

    /// Reads the bytes of the commit object of a slice.
    pub fn parse(bytes: &[u8], slice: &str) -> Result<Self, Damage> {
        let commit: Self = checked_json::open(bytes, NEWEST_VERSION)?;
        commit.placed(slice)
    }

    /// Believes a commit only where it is of this slice and names nothing but what one attempt at it
    /// could have made: who may write into a lake may forge one, and what it names is removed.
    fn placed(self, slice: &str) -> Result<Self, Damage> {
        let Self {
            slice: own,
            attempt,
            files,
            rejects,
            ..
        } = &self;
        if own != slice || !layout::is_slice_name(own) {
            return Err(Damage::Place(own.clone()));
        }
        if !layout::is_attempt_id(attempt) {
            return Err(Damage::NotOwn(attempt.clone()));
        }
        let is_own = |name: FileName| name.slice == *own && name.attempt == *attempt;
        let mut names = HashSet::new();
        for FileEntry { path, rows, .. } in files {
            if *rows == 0 {
                return Err(Damage::NoRows(path.clone()));
            }
            if !FileName::parse(path).is_some_and(is_own) || !names.insert(path) {
                return Err(Damage::NotOwn(path.clone()));
            }
        }
        match rejects {
            Some(RejectsEntry { path, .. }) if *path != layout::rejects(own, attempt).as_ref() => {
                Err(Damage::NotOwn(path.clone()))
            }
            _ => Ok(self),
        }
    }

    /// The paths of the files and the rejects.
    pub fn named_objects(&self) -> impl Iterator<Item = &str> {
        let rejects = self.rejects.iter().map(|rejects| rejects.path.as_str());
        self.files
            .iter()
            .map(|file| file.path.as_str())
            .chain(rejects)
    }

    /// The path, bytes and checksum of each.
    pub(super) fn sums(&self) -> impl Iterator<Item = (&str, u64, &str)> {
        let files = self.files.iter();
        let files = files.map(|file| (file.path.as_str(), file.bytes, file.checksum.as_str()));
        let rejects = self.rejects.iter();
        files.chain(rejects.map(|of| (of.path.as_str(), of.bytes, of.checksum.as_str())))
    }

    /// The object's bytes.
    pub(super) fn seal(&self) -> Bytes {
        checked_json::seal(self)
    }
}

/// An attempt that has all its files and is about to commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The commit that it is to make.
    pub commit: Commit,
    /// The bytes of that commit's object.
    pub(super) body: Bytes,
}

/// The object of an attempt. The commit is kept as it was written: a program that adopts it may not
/// know all that it says.
#[derive(Serialize, Deserialize)]
struct AttemptObject {
    version: u32,
    #[serde(default)]
    tool_version: String,
    commit_path: String,
    commit: Box<RawValue>,
}

impl Attempt {
    /// Writes the attempt object of a commit that is to be made.
    pub(super) async fn put(store: &Store, commit: &Commit) -> Result<(), StoreError> {
        let object = AttemptObject {
            version: VERSION,
            tool_version: checked_json::TOOL_VERSION.to_owned(),
            commit_path: layout::commit(&commit.slice).to_string(),
            commit: to_raw_value(commit).expect("own types serialise to JSON"),
        };
        let path = layout::attempt(&commit.slice, &commit.attempt);
        store.put(&path, checked_json::seal(&object)).await
    }

    /// Reads the attempt object at `path`; `None` where there is none (any more).
    pub async fn load(store: &Store, path: &Path) -> Result<Option<Self>, CommitError> {
        let Some(bytes) = checked_json::read(store, path, caps::ATTEMPT_BYTES).await? else {
            return Ok(None);
        };
        match Self::parse(&bytes, path) {
            Ok(attempt) => Ok(Some(attempt)),
            Err(damage) => Err(CommitError::Damaged {
                path: path.clone(),
                damage,
            }),
        }
    }

    fn parse(bytes: &[u8], path: &Path) -> Result<Self, Damage> {
        let AttemptObject {
            commit_path,
            commit: text,
            ..
        } = checked_json::open(bytes, VERSION)?;
        let commit: Commit = checked_json::read_version(text.get(), NEWEST_VERSION)?;
        let commit = match OwnObject::at(path.as_ref()) {
            Some(OwnObject::Attempt { slice }) => commit.placed(&slice)?,
            _ => return Err(Damage::Place(commit_path)),
        };
        if layout::attempt(&commit.slice, &commit.attempt) != *path
            || layout::commit(&commit.slice).as_ref() != commit_path
        {
            return Err(Damage::Place(commit_path));
        }
        Ok(Self {
            commit,
            body: checked_json::seal_text(text.get().to_owned()),
        })
    }
}
