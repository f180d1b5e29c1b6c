//! The compaction of a day, and the attempt that is about to make it.

use std::collections::HashSet;

use bytes::Bytes;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::checked_json;
use super::damage::Damage;
use super::{CommitError, caps};
use crate::layout::{self, CompactionName, FileName, OwnObject};
use crate::store::{Store, StoreError};
use crate::write::FileEntry;

const VERSION: u32 = 1;
/// The attempt of a compaction that was made so that nobody else makes one of its number any more.
const VOID_ATTEMPT: &str = "0000000000000000";

/// A file whose rows a compaction has taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompactedInput {
    /// Where it lay in the lake.
    pub path: String,
    /// Its rows.
    pub rows: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// `sha256:` and the SHA-256 of its bytes.
    pub checksum: String,
}

impl From<&FileEntry> for CompactedInput {
    fn from(file: &FileEntry) -> Self {
        Self {
            path: file.path.clone(),
            rows: file.rows,
            bytes: file.bytes,
            checksum: file.checksum.clone(),
        }
    }
}

impl CompactedInput {
    /// Whether this is a file as whoever made it names it.
    pub fn is(&self, file: &FileEntry) -> bool {
        let Self {
            path,
            rows,
            bytes,
            checksum,
        } = self;
        (path, rows, bytes, checksum) == (&file.path, &file.rows, &file.bytes, &file.checksum)
    }
}

/// One compaction of a day: its outputs hold the rows of its inputs, and only those.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compaction {
    version: u32,
    /// The program that wrote it.
    #[serde(default)]
    tool_version: String,
    /// Its name: the day, and its number.
    pub compaction: String,
    /// The attempt whose outputs these are.
    pub attempt: String,
    /// The run that made it.
    pub run: String,
    /// When the attempt was complete, in milliseconds since the epoch.
    pub prepared_ms: i64,
    /// The version of the activity schema.
    pub schema_version: u32,
    /// The files whose rows it has taken.
    pub inputs: Vec<CompactedInput>,
    /// The files that hold them now.
    pub outputs: Vec<FileEntry>,
}

impl Compaction {
    /// A compaction of the version that this program writes.
    pub fn new(
        name: CompactionName,
        attempt: String,
        run: String,
        prepared_ms: i64,
        schema_version: u32,
        inputs: Vec<CompactedInput>,
        outputs: Vec<FileEntry>,
    ) -> Self {
        Self {
            version: VERSION,
            tool_version: checked_json::TOOL_VERSION.to_owned(),
            compaction: name.to_string(),
            attempt,
            run,
            prepared_ms,
            schema_version,
            inputs,
            outputs,
        }
    }

    /// One that takes and leaves nothing: who has died over this number has lost.
    pub(super) fn void(name: CompactionName) -> Self {
        let attempt = VOID_ATTEMPT.to_owned();
        Self::new(name, attempt, String::new(), 0, 0, Vec::new(), Vec::new())
    }

    /// Reads a compaction; `None` where there is none of this name.
    pub async fn load(store: &Store, name: CompactionName) -> Result<Option<Self>, CommitError> {
        let path = layout::compaction(name);
        let Some(bytes) = checked_json::read(store, &path, caps::COMPACTION_BYTES).await? else {
            return Ok(None);
        };
        let read: Result<Self, Damage> = checked_json::open(&bytes, VERSION);
        match read.and_then(|compaction| compaction.placed(name)) {
            Ok(compaction) => Ok(Some(compaction)),
            Err(damage) => Err(CommitError::Damaged { path, damage }),
        }
    }

    /// Believes a compaction only where it is of this name, names as its own nothing but what one
    /// attempt at it could have made, takes nothing but files of its day that were there before it, and
    /// leaves as many rows as it takes: who may write into a lake may forge one, and what it takes is
    /// removed.
    fn placed(self, name: CompactionName) -> Result<Self, Damage> {
        if self.compaction != name.to_string() {
            return Err(Damage::Place(self.compaction));
        }
        if !layout::is_attempt_id(&self.attempt) {
            return Err(Damage::NotOwn(self.attempt));
        }
        let mut named = HashSet::new();
        for output in &self.outputs {
            let is_own = |file: FileName| {
                CompactionName::of_file(&file) == Some(name) && file.attempt == self.attempt
            };
            let is_own = FileName::parse(&output.path).is_some_and(is_own);
            if !is_own || output.rows == 0 || !named.insert(&output.path) {
                return Err(Damage::NotOwn(output.path.clone()));
            }
        }
        for input in &self.inputs {
            let can_take = FileName::parse(&input.path).is_some_and(|file| takes(name, &file));
            if !can_take || input.rows == 0 || !named.insert(&input.path) {
                return Err(Damage::NotOwn(input.path.clone()));
            }
        }
        let (taken, left) = (self.rows_taken(), self.rows_left());
        if taken != left {
            return Err(Damage::Rows { taken, left });
        }
        Ok(self)
    }

    // Wide: one that somebody forged may say any number.
    fn rows_taken(&self) -> u128 {
        self.inputs.iter().map(|file| u128::from(file.rows)).sum()
    }

    fn rows_left(&self) -> u128 {
        self.outputs.iter().map(|file| u128::from(file.rows)).sum()
    }

    /// Its name.
    pub fn name(&self) -> CompactionName {
        self.compaction
            .parse()
            .expect("it was placed, or made here")
    }

    /// The object's bytes.
    pub(super) fn seal(&self) -> Bytes {
        checked_json::seal(self)
    }
}

/// Whether a compaction can take a file: one of its day, of a slice or of an earlier compaction.
fn takes(name: CompactionName, file: &FileName) -> bool {
    let is_earlier = match CompactionName::of_file(file) {
        Some(earlier) => earlier.number < name.number,
        None => layout::is_slice_name(&file.slice),
    };
    is_earlier && file.key == name.day && layout::is_attempt_id(&file.attempt)
}

/// Reads what the attempt at `path` is about to make; `None` where there is none (any more).
pub async fn load_compaction_attempt(
    store: &Store,
    path: &Path,
) -> Result<Option<Compaction>, CommitError> {
    CompactionAttempt::load(store, path).await
}

/// The object of an attempt at a compaction.
#[derive(Serialize, Deserialize)]
pub(super) struct CompactionAttempt {
    version: u32,
    #[serde(default)]
    tool_version: String,
    /// The compaction that it is to make.
    pub(super) compaction: Compaction,
}

impl CompactionAttempt {
    /// Records that a compaction is about to be made.
    pub(super) async fn put(store: &Store, compaction: &Compaction) -> Result<(), StoreError> {
        let object = Self {
            version: VERSION,
            tool_version: checked_json::TOOL_VERSION.to_owned(),
            compaction: compaction.clone(),
        };
        let path = layout::attempt(&compaction.compaction, &compaction.attempt);
        store.put(&path, checked_json::seal(&object)).await
    }

    /// Reads the attempt object at `path`; `None` where there is none (any more).
    pub(super) async fn load(
        store: &Store,
        path: &Path,
    ) -> Result<Option<Compaction>, CommitError> {
        let Some(bytes) = checked_json::read(store, path, caps::COMPACTION_ATTEMPT_BYTES).await?
        else {
            return Ok(None);
        };
        match Self::parse(&bytes, path) {
            Ok(compaction) => Ok(Some(compaction)),
            Err(damage) => Err(CommitError::Damaged {
                path: path.clone(),
                damage,
            }),
        }
    }

    fn parse(bytes: &[u8], path: &Path) -> Result<Compaction, Damage> {
        let Self { compaction, .. } = checked_json::open(bytes, VERSION)?;
        let Some(OwnObject::CompactionAttempt { name }) = OwnObject::at(path.as_ref()) else {
            return Err(Damage::Place(compaction.compaction));
        };
        let compaction = compaction.placed(name)?;
        let is_here = layout::attempt(&compaction.compaction, &compaction.attempt) == *path;
        if is_here && compaction.attempt != VOID_ATTEMPT {
            return Ok(compaction);
        }
        Err(Damage::Place(compaction.attempt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: &str = "activities/event_date=2026-11-19";
    const OWN: &str = "0123456789abcdef";

    fn name(number: u32) -> CompactionName {
        format!("2026-11-19-{number}").parse().unwrap()
    }

    fn input(path: &str, rows: u64) -> CompactedInput {
        CompactedInput {
            path: path.to_owned(),
            rows,
            bytes: 1,
            checksum: String::new(),
        }
    }

    fn output(path: &str, rows: u64) -> FileEntry {
        FileEntry {
            path: path.to_owned(),
            rows,
            bytes: 1,
            checksum: String::new(),
            timestamp_min_ms: 0,
            timestamp_max_ms: 0,
            created_min_ms: None,
            created_max_ms: None,
        }
    }

    fn judged(number: u32, inputs: &[(&str, u64)], outputs: &[(&str, u64)]) -> Result<(), String> {
        let compaction = Compaction::new(
            name(number),
            OWN.to_owned(),
            String::new(),
            0,
            1,
            inputs
                .iter()
                .map(|(path, rows)| input(path, *rows))
                .collect(),
            outputs
                .iter()
                .map(|(path, rows)| output(path, *rows))
                .collect(),
        );
        let placed = compaction.placed(name(number));
        placed.map(drop).map_err(|damage| damage.to_string())
    }

    #[test]
    fn a_compaction_names_only_what_can_be_its_own() {
        let slice = &format!("{DAY}/20261119T1000Z-20261119T1100Z-{OWN}-0.parquet");
        let converted = &format!("{DAY}/c-{0}{0}-{OWN}-0.parquet", "0123456789abcdef");
        let earlier = &format!("{DAY}/z-000001-{OWN}-0.parquet");
        let own = &format!("{DAY}/z-000002-{OWN}-0.parquet");
        let second = &format!("{DAY}/z-000002-{OWN}-1.parquet");
        let taken = [(&**slice, 2), (converted, 3), (earlier, 4)];
        assert_eq!(judged(2, &taken, &[(own, 5), (second, 4)]), Ok(()));
        assert_eq!(judged(2, &[], &[]), Ok(()));
        for other in [
            "_mdca/lake.json",
            "_mdca/commits/20261119T1000Z-20261119T1100Z.json",
            &format!(
                "activities/event_date=2026-11-20/20261119T1000Z-20261119T1100Z-{OWN}-0.parquet"
            ),
            &format!(
                "{DAY}/../event_date=2026-11-19/20261119T1000Z-20261119T1100Z-{OWN}-0.parquet"
            ),
            &format!("{DAY}/20261119T1000Z-20261119T1100Z-other-0.parquet"),
            &format!("{DAY}/notes-{OWN}-0.parquet"),
            &format!("{DAY}/z-000003-{OWN}-0.parquet"),
            own,
        ] {
            let refused = judged(2, &[(other, 9)], &[(own, 9)]);
            assert!(refused.is_err(), "{other} as input");
        }
        for other in [
            slice,
            earlier,
            "_mdca/lake.json",
            &format!("{DAY}/z-000002-fedcba9876543210-0.parquet"),
            &format!("activities/event_date=2026-11-20/z-000002-{OWN}-0.parquet"),
        ] {
            let refused = judged(2, &[(converted, 9)], &[(other, 9)]);
            assert!(refused.is_err(), "{other} as output");
        }
        for (what, inputs, outputs) in [
            ("rows are lost", vec![(&**slice, 2)], vec![(&**own, 1)]),
            ("all rows are lost", vec![(slice, 2)], vec![]),
            ("an input without rows", vec![(slice, 0)], vec![]),
            (
                "an input twice",
                vec![(slice, 1), (slice, 1)],
                vec![(own, 2)],
            ),
            (
                "an output twice",
                vec![(slice, 2)],
                vec![(own, 1), (own, 1)],
            ),
        ] {
            assert!(judged(2, &inputs, &outputs).is_err(), "{what}");
        }
    }
}
