//! The objects of a lake, by their names alone.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use object_store::path::Path;

use super::asked::Depth;
use super::{FindingKind, Verification};
use crate::commit::caps;
use crate::error::JobError;
use crate::layout::{self, CompactionName, FileName, OwnObject, PartitionKey};
use crate::store::Store;

/// An object that was written so much later than all others has a time that may be wrong.
const ALONE: TimeDelta = TimeDelta::hours(1);
/// What is said of a file that no program of this kind gave its name.
const FOREIGN_FILE: &str = "its name is not that of a file of the lake";

/// The objects of a lake, by their names.
#[derive(Default)]
pub(super) struct Names {
    /// Slices with a commit.
    pub(super) commits: BTreeSet<String>,
    pub(super) attempts: Vec<Path>,
    pub(super) compaction_attempts: Vec<Path>,
    /// Slices marked as unproven.
    pub(super) unproven: Vec<String>,
    /// Files and their slices.
    pub(super) files: Vec<(Path, String)>,
    /// Files of compactions.
    pub(super) outputs: Vec<(Path, CompactionName)>,
    /// Rejects and their slices.
    pub(super) rejects: Vec<(Path, String)>,
    /// Objects on their way, and when they were last written.
    pub(super) puts: Vec<(Path, DateTime<Utc>)>,
    /// Files that are not published, and their slices.
    pub(super) staged: Vec<(Path, String)>,
    /// When the newest of the lake's own objects was written, by the store's clock. One that was written
    /// more than an hour after all others does not count: its time may be wrong, and all would look old.
    pub(super) newest: Option<DateTime<Utc>>,
}

impl Names {
    /// Whether an object was there when the lake was listed.
    pub(super) fn has(&self, object: &Path) -> bool {
        let files = self.files.iter().chain(&self.rejects).chain(&self.staged);
        let outputs = self.outputs.iter().map(|(path, _)| path);
        let attempts = self.attempts.iter().chain(&self.compaction_attempts);
        let mut all = files.map(|(path, _)| path).chain(outputs).chain(attempts);
        all.any(|path| path == object)
    }
}

impl Verification {
    /// Lists the lake. What has no name of this program's is foreign.
    pub(super) async fn read_names(
        &mut self,
        store: &Store,
        depth: Depth,
    ) -> Result<Names, JobError> {
        let (mut listed, mut written) = (Names::default(), Vec::new());
        for object in store.list(&Path::from(layout::FILES_FOLDER)).await? {
            let path = object.location;
            match FileName::parse(path.as_ref()) {
                Some(name) if layout::is_slice_name(&name.slice) => {
                    listed.files.push((path, name.slice));
                }
                Some(FileName { attempt, .. }) if !layout::is_attempt_id(&attempt) => {
                    self.find(&path, FindingKind::Foreign, FOREIGN_FILE);
                }
                Some(name) if CompactionName::of_file(&name).is_some() => {
                    let compaction = CompactionName::of_file(&name);
                    listed.outputs.extend(compaction.map(|name| (path, name)));
                }
                _ if object.size == 0 && is_folder_of_files(&path) => {}
                _ if layout::is_dropped_by_a_system(path.as_ref()) => {
                    self.ignored.push(path.to_string());
                }
                _ => self.find(&path, FindingKind::Foreign, FOREIGN_FILE),
            }
        }
        for object in store.list(&Path::from(layout::OWN_FOLDER)).await? {
            let path = object.location;
            written.push(object.last_modified);
            match OwnObject::at(path.as_ref()) {
                Some(OwnObject::Identity | OwnObject::Change { .. }) => {}
                Some(OwnObject::Staged { slice }) => listed.staged.push((path, slice)),
                Some(OwnObject::Put) => listed.puts.push((path, object.last_modified)),
                Some(OwnObject::Commit { slice }) => {
                    listed.commits.insert(slice);
                }
                // Read once the commits are listed.
                Some(OwnObject::Compaction { .. }) => {}
                Some(OwnObject::Attempt { .. }) => listed.attempts.push(path),
                Some(OwnObject::CompactionAttempt { .. }) => listed.compaction_attempts.push(path),
                Some(OwnObject::Unproven { slice }) => listed.unproven.push(slice),
                Some(OwnObject::Rejects { slice }) => listed.rejects.push((path, slice)),
                Some(OwnObject::Run { run }) => {
                    if object.size == 0 || object.size > caps::REPORT_BYTES || depth == Depth::Rows
                    {
                        self.read_run(store, &path, &run).await?;
                    }
                }
                None if object.size == 0 && layout::is_folder(path.as_ref()) => {}
                None if layout::is_dropped_by_a_system(path.as_ref()) => {
                    self.ignored.push(path.to_string());
                }
                None => self.find(
                    &path,
                    FindingKind::Foreign,
                    "its name is not that of an object of the lake",
                ),
            }
        }
        listed.newest = newest(written);
        Ok(listed)
    }
}

/// The newest time, but for one that is more than an hour later than all others.
fn newest(mut written: Vec<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    written.sort_unstable();
    let last = written.pop()?;
    let before = written.pop();
    Some(
        before
            .filter(|before| last - *before > ALONE)
            .unwrap_or(last),
    )
}

/// Object stores may show the folders themselves as empty objects.
fn is_folder_of_files(path: &Path) -> bool {
    let mut parts = path.as_ref().split('/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(layout::FILES_FOLDER), None, _) => true,
        (Some(layout::FILES_FOLDER), Some(day), None) => day.parse::<PartitionKey>().is_ok(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_object_with_a_wrong_time_makes_nothing_old() {
        let at = |minutes: i64| DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes);
        for (written, expected) in [
            (vec![], None),
            (vec![7], Some(7)),
            (vec![9, 7], Some(9)),
            (vec![60, 0], Some(60)),
            (vec![0, 61, 1], Some(61)),
            (vec![0, 120, 1], Some(1)),
        ] {
            let found = newest(written.iter().copied().map(at).collect());
            assert_eq!(found, expected.map(at), "{written:?}");
        }
    }
}
