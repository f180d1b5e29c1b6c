//! Objects whose commit was lost: they are the only copy of their slice, perhaps, so it is not
//! scanned again as if it had never been.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use object_store::ObjectMeta;
use object_store::path::Path;

use super::damage::Damage;
use super::error::Holder;
use super::{Attempt, Commit, CommitError, Compaction, Identity, LakeSource};
use crate::layout::{self, CompactionName, FileName, OwnObject, PartitionKey};
use crate::store::{Store, StoreError, StoreErrorKind};
use crate::window::{Slice, TimeWindow};

/// A compaction that is made so much earlier than a slice ended has nothing of it. A slice has ended by this
/// machine's clock and by the service's before it is scanned, and no store takes what is signed by a clock that
/// is wrong by so much.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::hours(1);
/// How long after an activity its record may be saved: so much later a slice may begin that has rows of a
/// day.
const LATE: TimeDelta = TimeDelta::days(31);

/// Finds the slices, among those that may be made anew, of which files or rejects are there that
/// neither an attempt nor a commit names, or of which a compaction has rows, or may have had that was lost:
/// the error that each of them is to fail with. None of them begins before `from_ms`, in milliseconds since the epoch, where they
/// are slices of time.
///
/// The objects are listed before the attempts are, and those before the commits, so that nobody who
/// publishes right now is accused: a file is recorded before it shows, and what records it goes only
/// after the commit is there. The same holds of compactions.
///
/// # Errors
/// The store; a compaction of converted files was lost, so that nobody knows which have their rows in it.
pub async fn find_orphans(
    store: &Store,
    from_ms: Option<i64>,
    may_be_made: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, CommitError>, CommitError> {
    let mut orphans = BTreeMap::new();
    let compactions = store.list(&layout::compactions()).await?;
    for (slice, compaction) in compacted(store, &compactions, from_ms, &may_be_made).await? {
        if !is_committed(store, &slice).await? {
            let error = CommitError::Compacted {
                slice: slice.clone(),
                holder: Holder::Compaction(compaction),
            };
            orphans.insert(slice, error);
        }
    }
    let Objects { of_slices, outputs } = objects_of(store, &may_be_made).await?;
    // Before what lies there of a slice itself: that is not to be moved away while its compaction is lost.
    let strays = strays(store, outputs, &compactions).await?;
    for (slice, error) in hidden_in(store, strays, from_ms, &may_be_made).await? {
        orphans.entry(slice).or_insert(error);
    }
    for (slice, mut paths) in of_slices {
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

/// A file that a compaction has left which was lost, and that compaction: nothing records it, nor an attempt
/// at it. `None` where there is none.
pub async fn find_lost_compaction(
    store: &Store,
) -> Result<Option<(Path, CompactionName)>, StoreError> {
    let compactions = store.list(&layout::compactions()).await?;
    let Objects { outputs, .. } = objects_of(store, |_| false).await?;
    let first = strays(store, outputs, &compactions)
        .await?
        .into_values()
        .next();
    Ok(first.map(|stray| (stray.path, stray.compaction)))
}

/// That a compaction of a day was lost whose file lies in the folder of that day; `None` where none was.
pub async fn find_lost_compaction_of(
    store: &Store,
    day: PartitionKey,
) -> Result<Option<CommitError>, StoreError> {
    let folder = Path::from(format!("{}/{day}", layout::FILES_FOLDER));
    let strays = strays(store, store.list(&folder).await?, &[]).await?;
    Ok(strays.into_values().next().map(Stray::into_error))
}

/// The slices, of some, whose rows a compaction has taken. One that cannot be read says nothing.
async fn compacted(
    store: &Store,
    compactions: &[ObjectMeta],
    from_ms: Option<i64>,
    which: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, Path>, CommitError> {
    let earliest = from_ms.and_then(DateTime::from_timestamp_millis);
    let mut found = BTreeMap::new();
    for object in compactions {
        let Some(OwnObject::Compaction { name }) = OwnObject::at(object.location.as_ref()) else {
            continue;
        };
        if earliest.is_some_and(|earliest| latest_end_in(object, name.day) < earliest) {
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

/// When a slice of which something was written at this time has ended at the latest.
fn latest_end(written: DateTime<Utc>) -> DateTime<Utc> {
    let latest = written.checked_add_signed(CLOCKS_DIFFER);
    latest.unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// When a slice has ended at the latest of which this compaction of a day, or a file of one, has rows. What is
/// older than the end of its day is a copy, and its time says nothing: a compaction is made afterwards.
fn latest_end_in(object: &ObjectMeta, day: PartitionKey) -> DateTime<Utc> {
    let is_copied = object.last_modified.timestamp_micros() < day.range_us().end;
    if is_copied {
        DateTime::<Utc>::MAX_UTC
    } else {
        latest_end(object.last_modified)
    }
}

/// What is there of slices and compactions.
#[derive(Default)]
struct Objects {
    /// Files and rejects by slice, of some slices.
    of_slices: BTreeMap<String, BTreeSet<String>>,
    /// Files of compactions.
    outputs: Vec<ObjectMeta>,
}

async fn objects_of(store: &Store, which: impl Fn(&str) -> bool) -> Result<Objects, StoreError> {
    let mut found = Objects::default();
    for folder in [Path::from(layout::FILES_FOLDER), layout::all_rejects()] {
        for object in store.list(&folder).await? {
            match layout::slice_of_object(&object.location) {
                Some(slice) if which(&slice) => {
                    let of_slice = found.of_slices.entry(slice).or_default();
                    of_slice.insert(object.location.to_string());
                }
                Some(_) => {}
                None => found.outputs.push(object),
            }
        }
    }
    Ok(found)
}

/// A file of a compaction that is not there and that no attempt is about to make.
struct Stray {
    path: Path,
    compaction: CompactionName,
    /// No slice that ended later has rows in it, nor in any other of its day.
    latest_end: DateTime<Utc>,
}

impl Stray {
    fn into_error(self) -> CommitError {
        CommitError::Damaged {
            path: layout::compaction(self.compaction),
            damage: Damage::Unrecorded(self.path.to_string()),
        }
    }
}

/// The stray files among those of compactions, one of each day. The attempt is looked for before the
/// compaction: it goes only after that is there.
async fn strays(
    store: &Store,
    outputs: Vec<ObjectMeta>,
    compactions: &[ObjectMeta],
) -> Result<BTreeMap<PartitionKey, Stray>, StoreError> {
    let listed: BTreeSet<&Path> = compactions.iter().map(|of| &of.location).collect();
    let mut strays: BTreeMap<PartitionKey, Stray> = BTreeMap::new();
    for output in outputs {
        let file = FileName::parse(output.location.as_ref());
        let file = file.filter(|file| layout::is_attempt_id(&file.attempt));
        let Some((file, compaction)) = file.and_then(|file| {
            let compaction = CompactionName::of_file(&file)?;
            Some((file, compaction))
        }) else {
            continue;
        };
        let made = layout::compaction(compaction);
        let attempt = layout::attempt(&compaction.to_string(), &file.attempt);
        if listed.contains(&made)
            || is_there(store, &attempt).await?
            || is_there(store, &made).await?
        {
            continue;
        }
        let latest_end = latest_end_in(&output, file.key);
        let stray = strays.entry(file.key).or_insert(Stray {
            path: output.location,
            compaction,
            latest_end,
        });
        stray.latest_end = stray.latest_end.max(latest_end);
    }
    Ok(strays)
}

/// Whether anything is there, be it an object or not.
async fn is_there(store: &Store, path: &Path) -> Result<bool, StoreError> {
    match store.size(path).await {
        Ok(size) => Ok(size.is_some()),
        Err(error) if error.kind() == StoreErrorKind::Unfit => Ok(true),
        Err(error) => Err(error),
    }
}

/// The slices, of some, that may have rows in stray files: where their compactions were lost, their own
/// commits may have been, too.
async fn hidden_in(
    store: &Store,
    strays: BTreeMap<PartitionKey, Stray>,
    from_ms: Option<i64>,
    which: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, CommitError>, CommitError> {
    let mut hidden = BTreeMap::new();
    if strays.is_empty() {
        return Ok(hidden);
    }
    let Some(identity) = Identity::load(store).await? else {
        return Ok(hidden);
    };
    if identity.source == LakeSource::Convert {
        let first = strays.into_values().next();
        return first.map_or(Ok(hidden), |first| Err(first.into_error()));
    }
    // Of no slices there are none to scan.
    let Ok(length) = identity.slice_length() else {
        return Ok(hidden);
    };
    let mut done_ms = from_ms.unwrap_or(0);
    // Days follow one another, so what lies before the end of one was looked at.
    for (day, stray) in strays {
        let day_ms = day.range_us().start / 1_000;
        let latest_ms = stray.latest_end.timestamp_millis();
        let window = TimeWindow {
            from_ms: day_ms.max(done_ms),
            until_ms: latest_ms.min(day_ms + LATE.num_milliseconds()),
        };
        let may_have_rows = |slice: &Slice| slice.until_ms() <= latest_ms;
        for slice in length.slices(window).take_while(may_have_rows) {
            let slice = slice.to_string();
            if which(&slice) {
                let error = CommitError::Compacted {
                    slice: slice.clone(),
                    holder: Holder::Stray(stray.path.clone()),
                };
                hidden.insert(slice, error);
            }
        }
        done_ms = done_ms.max(window.until_ms);
    }
    Ok(hidden)
}

/// Whether a slice has a commit, readable or not.
async fn is_committed(store: &Store, slice: &str) -> Result<bool, CommitError> {
    match Commit::load(store, slice).await {
        Ok(commit) => Ok(commit.is_some()),
        Err(CommitError::Damaged { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_at_the_end_of_all_times_has_no_day_after_it() {
        let last = DateTime::<Utc>::MAX_UTC;
        assert_eq!(latest_end(last), last);
        assert_eq!(latest_end(DateTime::UNIX_EPOCH).timestamp(), 60 * 60);
    }
}
