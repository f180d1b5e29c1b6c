//! Objects whose commit was lost: they are the only copy of their slice, perhaps, so it is not
//! scanned again as if it had never been.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta};
use object_store::path::Path;

use super::{Attempt, Commit, CommitError, Compaction};
use crate::layout::{self, OwnObject};
use crate::store::{Store, StoreError};

/// A compaction that is made so much earlier than a slice ended has nothing of it, whatever the clocks of
/// service and store say.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::days(1);

/// Finds the slices, among those that may be made anew, of which files or rejects are there that
/// neither an attempt nor a commit names, or of which a compaction has rows: the error that each of them
/// is to fail with. None of them begins before `from_ms`, in milliseconds since the epoch, where they
/// are slices of time.
///
/// The objects are listed before the attempts are, and those before the commits, so that nobody who
/// publishes right now is accused: a file is recorded before it shows, and what records it goes only
/// after the commit is there.
pub async fn find_orphans(
    store: &Store,
    from_ms: Option<i64>,
    may_be_made: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, CommitError>, CommitError> {
    let mut orphans = BTreeMap::new();
    for (slice, compaction) in compacted(store, from_ms, &may_be_made).await? {
        if !is_committed(store, &slice).await? {
            let error = CommitError::Compacted {
                slice: slice.clone(),
                compaction,
            };
            orphans.insert(slice, error);
        }
    }
    for (slice, mut paths) in objects_of(store, may_be_made).await? {
        let mut newer = None;
        for object in store.list(&layout::attempts_at(&slice)).await? {
            match Attempt::load(store, &object.location).await {
                Ok(Some(attempt)) => {
                    for named in attempt.commit.named_objects() {
                        paths.remove(named);
                    }
                }
                Err(error) if error.is_newer() => newer = Some(error),
                // What it names is not known, so it explains nothing.
                Ok(None) | Err(CommitError::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let is_explained = paths.is_empty() || orphans.contains_key(&slice);
        if is_explained || is_committed(store, &slice).await? {
            continue;
        }
        let error = newer.unwrap_or_else(|| CommitError::Orphaned {
            slice: slice.clone(),
            paths: paths.into_iter().collect(),
        });
        orphans.insert(slice, error);
    }
    Ok(orphans)
}

/// The slices, of some, whose rows a compaction has taken. One that cannot be read says nothing.
async fn compacted(
    store: &Store,
    from_ms: Option<i64>,
    which: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, Path>, CommitError> {
    let earliest = from_ms.and_then(DateTime::from_timestamp_millis);
    let mut found = BTreeMap::new();
    for object in store.list(&layout::compactions()).await? {
        let Some(OwnObject::Compaction { name }) = OwnObject::at(object.location.as_ref()) else {
            continue;
        };
        if earliest.is_some_and(|earliest| object.last_modified + CLOCKS_DIFFER < earliest) {
            continue;
        }
        let compaction = match Compaction::load(store, name).await {
            Ok(Some(compaction)) => compaction,
            Ok(None) | Err(CommitError::Damaged { .. }) => continue,
            Err(error) => return Err(error),
        };
        let slices = compaction
            .inputs
            .iter()
            .filter_map(|input| layout::slice_of_object(&Path::from(input.path.as_str())));
        for slice in slices.filter(|slice| which(slice)) {
            found.insert(slice, object.location.clone());
        }
    }
    Ok(found)
}

/// Files and rejects by slice, for some slices.
async fn objects_of(
    store: &Store,
    which: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, BTreeSet<String>>, StoreError> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for folder in [Path::from(layout::FILES_FOLDER), layout::all_rejects()] {
        for object in store.list(&folder).await? {
            let slice = layout::slice_of_object(&object.location);
            if let Some(slice) = slice.filter(|slice| which(slice)) {
                let of_slice = found.entry(slice).or_default();
                of_slice.insert(object.location.to_string());
            }
        }
    }
    Ok(found)
}

/// Whether a slice has a commit, readable or not.
async fn is_committed(store: &Store, slice: &str) -> Result<bool, CommitError> {
    match Commit::load(store, slice).await {
        Ok(commit) => Ok(commit.is_some()),
        Err(CommitError::Damaged { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}
